"""What a harvester is served: each photo through the real renderer, in each way that the trial looks at."""

from __future__ import annotations

import asyncio
import io
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.renderer import PillowRenderer
from antiscrape.ports import Wanted
from loadtests.faces import attacks, metrics
from loadtests.faces.recognisers import RECOGNISERS, chip, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from antiscrape.ports import Rendered
    from loadtests.faces.photos import Photo

#: Requests that a harvester makes for one picture, to average what it gets.
COPIES = 10
#: Seconds that a rendition may take, and how often one that is not made is asked for again.
_TIMEOUT, _ASKED = 60.0, 30
_SIZES = tuple(float(size) for size in np.linspace(1.0, 0.55, COPIES))
#: What each cut leaves out, as shares of width and height: left, top, right, bottom.
_CUTS = tuple(
    (0.03 * (i % 4), 0.04 * (i % 3), 0.03 * ((i + 2) % 4), 0.04 * ((i + 1) % 3)) for i in range(COPIES)
)
_GREY = (128, 128, 128)
_ACCEPTS = (b"image/avif,image/webp,*/*", b"image/webp,*/*", b"image/png,*/*", b"image/jpeg", b"*/*")


class Variant(NamedTuple):
    """A rendition under certain rules.

    ``judged``: no face may be recognised in it; ``clear``: what is not a face is to be seen in it. ``blank``: every face
    is grey before a harvester looks, so that whatever is told is told by what surrounds it.
    """

    name: str
    rendition: Rendition
    rules: ImageRules
    judged: bool
    clear: bool = False
    blank: bool = False


class Sample(NamedTuple):
    """A picture, and the photo whose view it shows."""

    photo: Photo
    picture: Image.Image


class Served(NamedTuple):
    """A rendition as it came, decoded; ``placeholder`` as the renderer says."""

    picture: Image.Image
    body: bytes
    placeholder: bool


def variants(names: Sequence[str] = ()) -> list[Variant]:
    """Return the variants of these names, or all.

    With a face detector installed, the preview is tried with and without it.
    """
    plain = ImageRules()
    detects = "faces" in {field.name for field in fields(ImageRules)}
    found = [Variant("preview", Rendition.PREVIEW, plain, judged=True, clear=detects)]
    found.append(Variant("preview, no face", Rendition.PREVIEW, plain, judged=False, blank=True))
    if detects:
        off: dict[str, Any] = {"faces": "off"}
        without = replace(plain, **off)
        found.append(Variant("preview, no detector", Rendition.PREVIEW, without, judged=True))
    found += [
        Variant("marked", Rendition.MARKED, plain, judged=False),
        Variant("decoy", Rendition.DECOY, plain, judged=True),
        Variant("original", Rendition.ORIGINAL, plain, judged=False),
    ]
    return [variant for variant in found if not names or variant.name in names]


def rendered(variant: Variant, orders: Sequence[tuple[bytes, Wanted]]) -> list[Served]:
    """Return what each order gets, one after the other."""

    async def all_of_them() -> list[Rendered]:
        # A harvester is patient, and a placeholder would count as a picture without a face.
        renderer = PillowRenderer(replace(variant.rules, timeout=_TIMEOUT))
        try:
            return [await _asked(renderer, source, wanted) for source, wanted in orders]
        finally:
            await renderer.aclose()

    if variant.rendition is Rendition.ORIGINAL:
        return [Served(_decoded(source), source, placeholder=False) for source, _ in orders]
    return [Served(_decoded(one.body), one.body, one.placeholder) for one in asyncio.run(all_of_them())]


async def _asked(renderer: PillowRenderer, source: bytes, wanted: Wanted) -> Rendered:
    """Ask until something is made: on a busy machine a worker may take longer to start than a server waits."""
    for _ in range(_ASKED):
        found = await renderer.render(source, wanted)
        if not found.placeholder:
            break
        await asyncio.sleep(1)
    return found


def served(variant: Variant, photos: Sequence[Photo]) -> list[Served]:
    """Return the rendition of each photo, asked for once by one client."""
    orders = [(photo.encoded(), _wanted(variant, photo, 1)) for photo in photos]
    return rendered(variant, orders)


def sampled(variant: Variant, photo: Photo, picture: Image.Image) -> Sample:
    """Return what a harvester has of ``photo``, of which ``picture`` is the rendition."""
    if not variant.blank:
        return Sample(photo, picture)
    painted = picture.copy()
    scale = np.array([picture.width / photo.picture.width, picture.height / photo.picture.height] * 2)
    for subject in photo.subjects:
        left, top, right, bottom = np.array(subject.box()) * scale
        # the ellipse that holds all of the box: face, forehead, and an eighth of its width at each ear
        across, down = (right - left) / 2 * np.sqrt(2), (bottom - top) / 2 * np.sqrt(2)
        x, y = (left + right) / 2, (top + bottom) / 2
        ImageDraw.Draw(painted).ellipse((x - across, y - down, x + across, y + down), fill=_GREY)
    return Sample(photo, painted)


def ten_sizes(variant: Variant, photos: Sequence[Photo]) -> list[list[Sample]]:
    """Return what ten clients get who ask for each photo in ten sizes and in different formats."""
    return _each_of_ten(
        variant, [photo.sized(round(max(photo.picture.size) * size)) for photo in photos for size in _SIZES]
    )


def ten_crops(variant: Variant, photos: Sequence[Photo]) -> list[list[Sample]]:
    """Return what ten clients get who ask for ten cuts of each photo, as sites make them for their pages.

    Cells of each lie elsewhere in the photo, so that their mean has finer steps than any of them (super-resolution from
    several frames: Irani and Peleg, 1991); and the detector sees ten pictures, of which it must miss only one.
    """
    return _each_of_ten(variant, [photo.cropped(*cut) for photo in photos for cut in _CUTS])


def _each_of_ten(variant: Variant, asked: Sequence[Photo]) -> list[list[Sample]]:
    takers = [1 + place % COPIES for place in range(len(asked))]
    orders = [
        (photo.encoded(quality=90 - taker), _wanted(variant, photo, taker))
        for photo, taker in zip(asked, takers, strict=True)
    ]
    got = [
        sampled(variant, photo, one.picture)
        for photo, one in zip(asked, rendered(variant, orders), strict=True)
    ]
    return [got[start : start + COPIES] for start in range(0, len(got), COPIES)]


def averaged(samples: Sequence[Sample]) -> Image.Image:
    """Return the mean of several renditions of one photo, laid over each other by where the first face is in each.

    The view is the first one's.
    """
    first = samples[0]
    scale = min(1.0, attacks.WORKING / max(first.photo.picture.size))
    size = (round(first.photo.picture.width * scale), round(first.photo.picture.height * scale))
    here = first.photo.subjects[0].points * scale
    total, weight = np.zeros((size[1], size[0], 3)), np.full((size[1], size[0], 1), 1e-9)
    for sample in samples:
        back = np.array(sample.picture.size) / np.array(sample.photo.picture.size)
        turn, shift = fitted(here, sample.photo.subjects[0].points * back)
        matrix = (turn[0, 0], turn[0, 1], shift[0], turn[1, 0], turn[1, 1], shift[1])
        whole = Image.new("L", sample.picture.size, 1)
        part = sample.picture.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
        total += np.asarray(part, np.float64)
        weight[..., 0] += np.asarray(whole.transform(size, Image.Transform.AFFINE, matrix))
    return Image.fromarray(np.clip(total / weight, 0, 255).astype(np.uint8))


def sharpest(samples: Sequence[Sample]) -> Sample:
    """Return the rendition in which most is left of the first face: the strongest edges between jaw and brows."""
    return max(samples, key=_edges)


def _edges(sample: Sample) -> float:
    seen = chip(sample.picture, _in(sample), RECOGNISERS[1])
    grey = metrics.luminance(seen)[16:96, 16:96]
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def _in(sample: Sample) -> NDArray[np.float64]:
    """Return the first face's landmarks in pixels of the rendition."""
    scale = np.array(sample.picture.size) / np.array(sample.photo.picture.size)
    points: NDArray[np.float64] = sample.photo.subjects[0].points * scale
    return points


def _wanted(variant: Variant, photo: Photo, taker: int) -> Wanted:
    name = f"photos.example/{photo.name}".encode()
    return Wanted(variant.rendition, accept=_ACCEPTS[taker % len(_ACCEPTS)], name=name, taker=taker)


def _decoded(body: bytes) -> Image.Image:
    with Image.open(io.BytesIO(body)) as opened:
        return opened.convert("RGB")
