"""Laying a veil over every face: what was there is gone, and it looks like fog rather than like a crime report.

A head's region is reduced to one colour, the mean of many pixels, and that is rounded; it is laid back
as an oval, a little darker above than below, as heads are: the same for every head. Within the oval's
core, which holds the whole find with a margin for hair, ears and jaw, nothing of the picture is left:
not a blur, which is a sum with known weights that deconvolution undoes (rank-1 0.53 blurred, 0.97
restored), but three numbers of twelve values each. The oval's soft rim blends these with what surrounds
the head, never with the face.

Of 66 people, one photo of each in the gallery and 130 others treated the same way, dlib's recogniser
and MobileFaceNet then name 0.015 and 0.023 rightly (chance: 0.015), and no more with a rim of 1.3 times
the core (0.04 and 0.03), which took more of the scene. An oval that is grey for everybody leaves 0.04 and
0.07: what they still tell by is beyond the rim, in backgrounds and collars. Nine cells of 24 levels left
0.09, four cells of twelve 0.07.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from antiscrape.images.faces.finding import MOST_FACES, Face

if TYPE_CHECKING:
    from antiscrape.images.decode import Picture
    from antiscrape.images.faces.finding import FaceFinder
    from antiscrape.images.steps import Step

#: Values left of each channel of a head's colour: two copies of a photograph, encoded apart, come to the same.
LEVELS = 12
#: How much darker the veil is at its top, and lighter at its foot, of 255.
SHADE = 12

# The core in widths and heights of the find, from its middle, which is moved up towards the hair. Its
# outline is |x/a|^n + |y/b|^n = 1, an oval that has room for the find's corners.
_HALF_WIDTH, _HALF_HEIGHT, _UP, _ROUND = 0.72, 0.76, 0.08, 2.5
#: The rim ends at so many times the core's distance from its middle.
_RIM = 1.12
#: Pixels of the stencil's side, of which every face's oval is a reduction.
_STENCIL = 96


class Region(NamedTuple):
    """A rectangle of whole pixels, which may reach beyond the picture."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def within(self, width: int, height: int) -> Region:
        """Return the part that lies on a picture of this size; at least one pixel, at its edge."""
        left, top = min(max(self.left, 0), width - 1), min(max(self.top, 0), height - 1)
        right, bottom = min(max(self.right, left + 1), width), min(max(self.bottom, top + 1), height)
        return Region(left, top, right, bottom)


def veiled(finder: FaceFinder, *, detail: int, otherwise: Step) -> Step:
    """Reduce an upright picture to ``detail`` pixels of its long side, with a veil over every face found.

    Take the step ``otherwise`` where there are more finds than ``MOST_FACES``: what is veiled then is
    not a matter of faces any more.
    """

    def step(picture: Picture) -> Picture:
        faces = finder.find(picture.pixels)
        if len(faces) > MOST_FACES:
            return otherwise(picture)
        whole = picture.pixels
        pixels = _cleaned(whole, _fitted(whole.size, detail))
        across, down = pixels.width / whole.width, pixels.height / whole.height
        scaled = [
            Face(face.x * across, face.y * down, face.width * across, face.height * down, face.score)
            for face in faces
        ]
        return picture._replace(pixels=with_veils(pixels, [_near(face, pixels.size) for face in scaled]))

    return step


def _near(face: Face, size: tuple[int, int]) -> Face:
    """Return as much of a find as lies within half a picture's width and height of it: no veil takes more than that."""
    (left, right), (top, bottom) = (
        (max(at, -side / 2), min(at + length, side * 1.5))
        for at, length, side in ((face.x, face.width, size[0]), (face.y, face.height, size[1]))
    )
    return Face(left, top, right - left, bottom - top, face.score)


def with_veils(pixels: Image.Image, faces: list[Face]) -> Image.Image:
    """Return a copy of ``pixels`` (RGB or RGBA) in which every face is veiled."""
    # The largest last, so that a badge on a cap that was taken for a face is no ball before one. Whatever the
    # order, what an oval's rim lets through of another's core is that other's cells.
    faces = sorted(faces, key=lambda face: face.width * face.height)
    fogs = [_fog(pixels, face) for face in faces]  # all of the picture as it was, none of another's veil
    out = pixels.copy()
    for face, fog in zip(faces, fogs, strict=True):
        region = _region(face, _RIM)
        at = region.within(*pixels.size)
        box = (
            at.left - region.left,
            at.top - region.top,
            at.right - region.left,
            at.bottom - region.top,
        )
        out.paste(fog.crop(box), (at.left, at.top), _oval(face, region).crop(box))
    return out


def _fog(pixels: Image.Image, face: Face) -> Image.Image:
    """Return what is left of a head, its colour, as large as its oval with the rim."""
    core = _region(face, 1.0).within(*pixels.size)
    # Of an RGBA picture Pillow takes the mean of what can be seen.
    mean = pixels.resize((1, 1), Image.Resampling.BOX, core).tobytes()
    ends = bytes(
        table[value] for tables in _shades(pixels.mode) for table, value in zip(tables, mean, strict=True)
    )
    return Image.frombytes(pixels.mode, (1, 2), ends).resize(
        _region(face, _RIM).size, Image.Resampling.BILINEAR
    )


@lru_cache(maxsize=4)
def _shades(mode: str) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return each channel's table that rounds a colour, and makes it that of a veil's top, and of its foot.

    Opacity is rounded and no more.
    """
    top = LEVELS - 1
    rounded = bytes(round(round(value * top / 255) * 255 / top) for value in range(256))
    opacity = (rounded,) if mode == "RGBA" else ()
    darker = bytes(max(0, value - SHADE) for value in rounded)
    lighter = bytes(min(255, value + SHADE) for value in rounded)
    return (darker,) * 3 + opacity, (lighter,) * 3 + opacity


def _oval(face: Face, region: Region) -> Image.Image:
    """Return how much the veil covers: all of the find's own rectangle, whatever the stencil's reduction rounds off."""
    oval = _stencil().resize(region.size, Image.Resampling.BILINEAR)
    own = (
        int(face.x) - region.left - 1,
        int(face.y) - region.top - 1,
        int(face.x + face.width) + 2 - region.left,
        int(face.y + face.height) + 2 - region.top,
    )
    oval.paste(255, own)
    return oval


@lru_cache(maxsize=1)
def _stencil() -> Image.Image:
    """Draw the oval once: opaque in its core, then falling to nothing at the rim, with no edge at either end."""
    values = bytearray()
    for row in range(_STENCIL):
        y = abs((row + 0.5) / _STENCIL * 2 - 1) * _RIM
        for column in range(_STENCIL):
            x = abs((column + 0.5) / _STENCIL * 2 - 1) * _RIM
            beyond = ((x**_ROUND + y**_ROUND) ** (1 / _ROUND) - 1) / (_RIM - 1)
            fallen = min(max(beyond, 0.0), 1.0)
            values.append(round(255 * (1 - fallen * fallen * (3 - 2 * fallen))))
    return Image.frombytes("L", (_STENCIL, _STENCIL), bytes(values))


def _region(face: Face, reach: float) -> Region:
    """Return the rectangle around the core, its distances from the middle times ``reach``."""
    x, y = face.x + face.width / 2, face.y + face.height * (0.5 - _UP)
    across, down = face.width * _HALF_WIDTH * reach, face.height * _HALF_HEIGHT * reach
    left, top = round(x - across), round(y - down)
    return Region(left, top, max(left + 1, round(x + across)), max(top + 1, round(y + down)))


def _fitted(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    longest = max(size)
    if longest <= long_side:
        return size
    return max(1, round(size[0] * long_side / longest)), max(1, round(size[1] * long_side / longest))


def _cleaned(pixels: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return ``pixels`` at ``size``, with no colour where nothing can be seen."""
    if pixels.mode == "RGBA":
        return pixels.convert("RGBa").resize(size, Image.Resampling.HAMMING).convert("RGBA")
    return pixels.resize(size, Image.Resampling.HAMMING, reducing_gap=1.5)
