"""The steps that recipes are made of: each takes a picture and returns another.

A step that needs settings is made by a function that takes them; everything that can be computed
before a picture is there is computed then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFilter, ImageFont

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
#: Characters of a mark that are drawn: a badge of 40 fills half of a preview's width, and drawing takes time.
LONGEST_MARK = 40
#: Below this the badge's words are a smear.
_SMALLEST_FONT = 9


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
    table = [round(round(value * top / 255) * 255 / top) for value in range(256)]

    def step(picture: Picture) -> Picture:
        return picture._replace(pixels=picture.pixels.point(table * len(picture.pixels.getbands())))

    return step


def blown_up_to(size: int) -> Step:
    """Enlarge cells smoothly to ``size`` pixels on the long side, or to the original's, if that is less.

    Small pictures grow to 64 pixels, to hold a mark; icons and spacers of up to 16 keep their size,
    for pages are laid out around them. A blur of half a cell takes away the grid that bicubic
    interpolation alone leaves, and with it the look of a mosaic laid over somebody.
    """

    def step(picture: Picture) -> Picture:
        cells = max(picture.pixels.size)
        long_side = picture.long_side
        if long_side > LARGEST_ICON:
            long_side = min(size, max(long_side, SMALLEST_MARKED))
        if long_side <= cells:
            return picture
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


def _scaled(picture: Picture, long_side: int) -> tuple[int, int]:
    longest = picture.long_side
    return (
        max(1, round(picture.width * long_side / longest)),
        max(1, round(picture.height * long_side / longest)),
    )


def badged(words: str) -> Step:
    """Set ``words`` on a dark, rounded badge in the lower right corner; do nothing where they do not fit."""
    words = words[:LONGEST_MARK]

    def step(picture: Picture) -> Picture:
        width, height = picture.pixels.size
        badge = _fitting_badge(words, width, height)
        if badge is None:
            return picture
        margin = max(1, badge.height // 3)
        corner = (width - badge.width - margin, height - badge.height - margin)
        return picture._replace(pixels=_laid_over(picture.pixels, badge, corner))

    return step if words else _unchanged


def _fitting_badge(words: str, width: int, height: int) -> Image.Image | None:
    """Return the badge at a thirtieth of the long side, smaller where needed, or none where it cannot be read."""
    for size in (max(width, height) // 30, _SMALLEST_FONT):
        badge = _badge(words, max(size, _SMALLEST_FONT))
        if badge.width + 4 <= width and badge.height + 4 <= height:
            return badge
    return None


@lru_cache(maxsize=64)
def _badge(words: str, size: int) -> Image.Image:
    """Draw ``words`` white on translucent near-black (contrast over 7:1 on anything), four times over and reduced."""
    fine = 4
    font = ImageFont.load_default(size * fine)
    left, top, right, bottom = font.getbbox(words)
    pad_x, pad_y = 0.7 * size * fine, 0.42 * size * fine
    width, height = round(right - left + 2 * pad_x), round(bottom - top + 2 * pad_y)
    badge = Image.new("RGBA", (width, height), (18, 20, 26, 0))
    draw = ImageDraw.Draw(badge)
    box = (0, 0, width - 1, height - 1)
    draw.rounded_rectangle(box, height * 0.45, (18, 20, 26, 176), outline=(255, 255, 255, 80), width=fine)
    draw.text((pad_x - left, pad_y - top), words, font=font, fill=(255, 255, 255, 255))
    return badge.resize((max(1, width // fine), max(1, height // fine)), _BOX)


def _laid_over(pixels: Image.Image, layer: Image.Image, corner: tuple[int, int]) -> Image.Image:
    """Blend ``layer`` onto ``pixels``; the layer is opaque enough to be seen where the picture is transparent."""
    out = pixels.copy()
    if out.mode == "RGBA":
        out.alpha_composite(layer, corner)
    else:
        out.paste(layer, corner, layer)
    return out


def tiled(words: str, *, opacity: float) -> Step:
    """Repeat ``words`` aslant over the whole picture: white at ``opacity`` with a dark edge, seen on anything."""
    words = words[:LONGEST_MARK]

    def step(picture: Picture) -> Picture:
        out = picture.pixels.copy()
        width, height = out.size
        light, shade = _slanted(words, max(_SMALLEST_FONT, max(width, height) // 26), opacity)
        opaque = (255,) if out.mode == "RGBA" else ()
        across, down = light.width * 5 // 4, light.height * 9 // 8
        for row, y in enumerate(range(-down // 3, height, down)):
            for x in range(-across // 3 - (row % 2) * across // 2, width, across):
                out.paste((0, 0, 0, *opaque), (x + 1, y + 1), shade)
                out.paste((255, 255, 255, *opaque), (x, y), light)
        return picture._replace(pixels=out)

    return step if words else _unchanged


@lru_cache(maxsize=64)
def _slanted(words: str, size: int, opacity: float) -> tuple[Image.Image, Image.Image]:
    """Draw ``words`` turned by 30 degrees, as masks of their light and of the shade that sets it off."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(words))
    word = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(word).text((1 - left, 1 - top), words, fill=255, font=font)
    turned = word.rotate(30, _BICUBIC, expand=True)
    light, shade = (
        turned.point([round(value * weight) for value in range(256)]) for weight in (opacity, opacity / 2)
    )
    return light, shade


def _unchanged(picture: Picture) -> Picture:
    return picture
