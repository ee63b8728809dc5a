"""What a harvester is served: each photo through the real renderer, in each way that the trial looks at."""

from __future__ import annotations

import asyncio
import io
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.renderer import PillowRenderer
from antiscrape.ports import Wanted
from loadtests.faces import attacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiscrape.ports import Rendered
    from loadtests.faces.photos import Photo

#: Requests that a harvester makes for one picture, to average what it gets.
COPIES = 10
_ACCEPTS = (b"image/avif,image/webp,*/*", b"image/webp,*/*", b"image/png,*/*", b"image/jpeg", b"*/*")


class Variant(NamedTuple):
    """A rendition under certain rules.

    ``judged``: no face may be recognised in it; ``clear``: what is not a face is to be seen in it.
    """

    name: str
    rendition: Rendition
    rules: ImageRules
    judged: bool
    clear: bool = False


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
        renderer = PillowRenderer(variant.rules)
        try:
            return [await renderer.render(source, wanted) for source, wanted in orders]
        finally:
            await renderer.aclose()

    if variant.rendition is Rendition.ORIGINAL:
        return [Served(_decoded(source), source, placeholder=False) for source, _ in orders]
    return [Served(_decoded(one.body), one.body, one.placeholder) for one in asyncio.run(all_of_them())]


def served(variant: Variant, photos: Sequence[Photo]) -> list[Served]:
    """Return the rendition of each photo, asked for once by one client."""
    orders = [(photo.encoded(), _wanted(variant, photo, 1)) for photo in photos]
    return rendered(variant, orders)


def ten_copies(variant: Variant, photos: Sequence[Photo]) -> list[Image.Image]:
    """Return the mean of what ten clients get who ask for ten sizes of each photo in different formats."""
    sizes = np.linspace(1.0, 0.55, COPIES)
    orders = [
        (
            photo.sized(round(max(photo.picture.size) * size)).encoded(quality=90 - taker),
            _wanted(variant, photo, taker),
        )
        for photo in photos
        for taker, size in enumerate(sizes, start=1)
    ]
    frames = [one.picture for one in rendered(variant, orders)]
    return [attacks.averaged(frames[start : start + COPIES]) for start in range(0, len(frames), COPIES)]


def ten_crops(variant: Variant, photos: Sequence[Photo]) -> list[Image.Image]:
    """Return what ten differently cropped thumbnails of each photo tell of it, laid over each other.

    Sites serve one photo in several cuts. Cells of each lie elsewhere in the photo, so that their mean has finer steps
    than any of them (super-resolution from several frames: Irani and Peleg, 1991).
    """
    shares = [
        (0.03 * (i % 4), 0.04 * (i % 3), 0.03 * ((i + 2) % 4), 0.04 * ((i + 1) % 3)) for i in range(COPIES)
    ]
    orders = [
        (photo.cropped(*share).encoded(), _wanted(variant, photo, taker))
        for photo in photos
        for taker, share in enumerate(shares, start=1)
    ]
    frames = [one.picture for one in rendered(variant, orders)]
    return [
        _laid_over(frames[place * COPIES : (place + 1) * COPIES], shares, photo.picture.size)
        for place, photo in enumerate(photos)
    ]


def _laid_over(
    frames: Sequence[Image.Image], shares: Sequence[tuple[float, float, float, float]], size: tuple[int, int]
) -> Image.Image:
    scale = min(1.0, attacks.WORKING / max(size))
    width, height = round(size[0] * scale), round(size[1] * scale)
    total, weight = np.zeros((height, width, 3)), np.full((height, width, 1), 1e-9)
    for frame, (left, top, right, bottom) in zip(frames, shares, strict=True):
        box = (
            round(left * width),
            round(top * height),
            round((1 - right) * width),
            round((1 - bottom) * height),
        )
        part = frame.convert("RGB").resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BICUBIC)
        total[box[1] : box[3], box[0] : box[2]] += np.asarray(part, np.float64)
        weight[box[1] : box[3], box[0] : box[2]] += 1
    return Image.fromarray(np.clip(total / weight, 0, 255).astype(np.uint8))


def _wanted(variant: Variant, photo: Photo, taker: int) -> Wanted:
    name = f"photos.example/{photo.name}".encode()
    return Wanted(variant.rendition, accept=_ACCEPTS[taker % len(_ACCEPTS)], name=name, taker=taker)


def _decoded(body: bytes) -> Image.Image:
    with Image.open(io.BytesIO(body)) as opened:
        return opened.convert("RGB")
