"""The steps that recipes are made of: each takes a picture and returns another.

A step that needs settings is made by a function that takes them; everything that can be computed
before a picture is there is computed then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from PIL import Image, ImageFilter

from antiscrape.images.decode import Picture

Step: TypeAlias = Callable[[Picture], Picture]

_BOX, _BILINEAR, _BICUBIC = Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
# As sharp as bicubic when reducing, at a third of Lanczos' cost (Pillow's handbook, "Filters").
_HAMMING = Image.Resampling.HAMMING

#: What undoes each of Exif's orientations (Exif 3.0, 4.6.5.1: where row 0 and column 0 are).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = 5  # from here on, orientations exchange width and height

#: Cells of the long side that every picture keeps: sky above, ground below.
FEWEST_CELLS = 4
#: A picture of up to this many pixels is an icon or a spacer.
LARGEST_ICON = 16
#: A larger picture is shown at this size at least: a mark needs room.
SMALLEST_MARKED = 64
#: Cells drawn this many pixels wide are seen as cells.
_FEW = 5


def upright(picture: Picture) -> Picture:
    """Turn and mirror the pixels as Exif asks, for the Exif itself will be gone."""
    if picture.orientation == 1:
        return picture
    pixels = picture.pixels.transpose(_UPRIGHT[picture.orientation])
    width, height = picture.width, picture.height
    if picture.orientation >= _SIDEWAYS:
        width, height = height, width
    return picture._replace(pixels=pixels, width=width, height=height, orientation=1)


def reduced_to(cells: int, *, cell: int) -> Step:
    """Average areas until at most ``cells`` of them are left on the long side, each at least ``cell`` pixels wide.

    A mean cannot be undone, which a blur can: that is a sum of neighbours with known weights, and
    Wiener deconvolution brings the picture back. ``cell`` bounds what is left of small pictures,
    for an avatar is all face where a photograph is a third. No picture keeps fewer than four cells.
    Transparent pixels count for nothing in the mean.
    """

    def step(picture: Picture) -> Picture:
        left = min(cells, max(FEWEST_CELLS, picture.long_side // cell))
        if picture.long_side <= left:
            return picture
        return picture._replace(pixels=picture.pixels.resize(_scaled(picture, left), _BOX))

    return step


def quantised(levels: int) -> Step:
    """Round each channel to ``levels`` values, so that re-encodings of one picture cannot be averaged."""
    top = levels - 1
    table = bytes(round(round(value * top / 255) * 255 / top) for value in range(256))

    def step(picture: Picture) -> Picture:
        # A few cells: Pillow's own ``point`` would round each entry of the table anew, which takes a millisecond.
        pixels = picture.pixels
        few = Image.frombytes(pixels.mode, pixels.size, pixels.tobytes().translate(table))
        return picture._replace(pixels=few)

    return step


def blown_up_to(size: int) -> Step:
    """Enlarge cells smoothly to ``size`` pixels on the long side, or to the original's, if that is less.

    Small pictures grow to 64 pixels, to hold a mark; icons and spacers of up to 16 keep their size,
    for pages are laid out around them. A blur of half a cell takes away the grid that bicubic
    interpolation alone leaves, and with it the look of a mosaic laid over somebody; cells so many
    that they are a picture need none.
    """

    def step(picture: Picture) -> Picture:
        cells = max(picture.pixels.size)
        long_side = picture.long_side
        if long_side > LARGEST_ICON:
            long_side = min(size, max(long_side, SMALLEST_MARKED))
        if long_side <= cells:
            return picture
        if long_side < _FEW * cells:
            return picture._replace(pixels=picture.pixels.resize(_scaled(picture, long_side), _BICUBIC))
        # Halfway first: the blur then costs a sixteenth, and what it leaves is too smooth to need cubics.
        middle = picture.pixels.resize(_scaled(picture, max(cells, long_side // 4)), _BICUBIC)
        soft = middle.filter(ImageFilter.GaussianBlur(max(middle.size) / cells / 2))
        return picture._replace(pixels=soft.resize(_scaled(picture, long_side), _BILINEAR))

    return step


def shrunk_to(size: int) -> Step:
    """Reduce to at most ``size`` pixels on the long side, sharply."""

    def step(picture: Picture) -> Picture:
        if max(picture.pixels.size) <= size:
            return picture
        pixels = picture.pixels.resize(_scaled(picture, size), _HAMMING, reducing_gap=2.0)
        return picture._replace(pixels=pixels)

    return step


def enlarged_to(size: int) -> Step:
    """Enlarge smoothly to the original's size, or to ``size`` pixels on the long side where that is less.

    For sites whose layout takes a picture's size from its file: nothing is gained by it but room.
    """

    def step(picture: Picture) -> Picture:
        long_side = min(size, picture.long_side)
        if max(picture.pixels.size) >= long_side:
            return picture
        return picture._replace(pixels=picture.pixels.resize(_scaled(picture, long_side), _BILINEAR))

    return step


def _scaled(picture: Picture, long_side: int) -> tuple[int, int]:
    longest = picture.long_side
    return (
        max(1, round(picture.width * long_side / longest)),
        max(1, round(picture.height * long_side / longest)),
    )
