"""The steps that lay a site's mark over a picture: a badge, one mark in the corner, or marks all over.

Whether a mark is light or dark is looked up from the picture beneath it, mark by mark: white words
vanish in a snowfield and black ones in a concert.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.core.renditions import Layout
    from antiscrape.images.brand import Brand, Stamp
    from antiscrape.images.decode import Picture
    from antiscrape.images.steps import Step

#: How opaque a tiled mark is: read at once, and faces are still recognised by friends.
TILED_OPACITY = 0.42
#: How opaque the mark in the corner is: it covers little.
CORNER_OPACITY = 0.9
#: Below this many pixels words are a smear.
SMALLEST_FONT = 9
#: Letters of a mark are this part of the long side: a badge's, a tile's, the corner's.
_BADGE_PART, _TILE_PART, _CORNER_PART = 30, 26, 24
#: The picture beneath is looked at in blocks of this many pixels.
_BLOCK = 16
#: The grey from which on a ground is light: in the middle of what is seen, which lies above the middle of the scale.
_LIGHT_FROM = 140
_BICUBIC, _BOX = Image.Resampling.BICUBIC, Image.Resampling.BOX


def badged(brand: Brand) -> Step:
    """Set the mark on a dark, rounded badge in the lower right corner; do nothing where it does not fit.

    A preview is soft everywhere, so words are read best on a ground of their own. A picture of the
    operator's is its own badge.
    """
    if brand.image is not None:
        return cornered(brand)

    @lru_cache(maxsize=64)
    def drawn(size: int) -> Image.Image:
        return _badge(brand, size)

    def step(picture: Picture) -> Picture:
        width, height = picture.pixels.size
        for size in (_letters(width, height, _BADGE_PART), SMALLEST_FONT):
            badge = drawn(size)
            if badge.width + 4 <= width and badge.height + 4 <= height:
                margin = max(1, badge.height // 3)
                out = picture.pixels.copy()
                corner = (width - badge.width - margin, height - badge.height - margin)
                _paste(out, badge.convert("RGB"), badge.getchannel("A"), corner)
                return picture._replace(pixels=out)
        return picture

    return step if brand.words else _unchanged


def marked_by(brand: Brand, layout: Layout) -> Step:
    """Lay the mark over the picture as ``layout`` says."""
    return tiled(brand) if layout == "tiled" else cornered(brand)


def cornered(brand: Brand) -> Step:
    """Set the mark into the lower right corner, smaller where needed; do nothing where it cannot be read."""

    @lru_cache(maxsize=64)
    def drawn(size: int) -> Stamp | None:
        stamp = brand.stamp(size)
        return stamp and _faded(stamp, CORNER_OPACITY)

    def step(picture: Picture) -> Picture:
        width, height = picture.pixels.size
        size = _letters(width, height, _CORNER_PART)
        for smaller in (size, max(SMALLEST_FONT, size // 2), SMALLEST_FONT):
            stamp = drawn(smaller)
            if stamp and stamp.size[0] + 4 <= width and stamp.size[1] + 4 <= height:
                margin = max(
                    1, min(smaller // 2, (width - stamp.size[0]) // 2, (height - stamp.size[1]) // 2)
                )
                corner = (width - stamp.size[0] - margin, height - stamp.size[1] - margin)
                return _stamped(picture, stamp, (corner,))
        return picture

    return step if brand.words or brand.image else _unchanged


def tiled(brand: Brand) -> Step:
    """Repeat the mark aslant over the whole picture, so that no crop is without one."""

    @lru_cache(maxsize=64)
    def drawn(size: int) -> Stamp | None:
        stamp = brand.stamp(size)
        return stamp and _faded(_slanted(stamp), TILED_OPACITY)

    def step(picture: Picture) -> Picture:
        width, height = picture.pixels.size
        stamp = drawn(_letters(width, height, _TILE_PART))
        if stamp is None:
            return picture
        across, down = stamp.size[0] * 5 // 4, stamp.size[1] * 9 // 8
        places = (
            (x, y)
            for row, y in enumerate(range(-down // 3, height, down))
            for x in range(-across // 3 - (row % 2) * across // 2, width, across)
        )
        return _stamped(picture, stamp, places)

    return step if brand.words or brand.image else _unchanged


def _letters(width: int, height: int, part: int) -> int:
    """Return how high letters are, in pixels, in a picture of this size; a strip has small ones."""
    return max(SMALLEST_FONT, min(max(width, height) // part, min(width, height) // 5))


def _stamped(picture: Picture, stamp: Stamp, places: Iterable[tuple[int, int]]) -> Picture:
    """Set the stamp at ``places``, each in the look that its ground asks for."""
    out = picture.pixels.copy()
    grounds = _grounds(picture.pixels)
    width, height = stamp.size
    for x, y in places:
        colours, mask = stamp.on_light if _is_light(grounds, x, y, width, height) else stamp.on_dark
        _paste(out, colours, mask, (x, y))
    return picture._replace(pixels=out)


def _grounds(pixels: Image.Image) -> Image.Image:
    """Return the mean grey of each block; where a picture is transparent, of a white page."""
    small = pixels.reduce(_BLOCK)
    if small.mode == "RGBA":
        page = Image.new("RGB", small.size, "white")
        page.paste(small, (0, 0), small)
        small = page
    return small.convert("L")


def _is_light(grounds: Image.Image, x: int, y: int, width: int, height: int) -> bool:
    left, top = max(0, x // _BLOCK), max(0, y // _BLOCK)
    box = (left, top, max(left + 1, (x + width) // _BLOCK), max(top + 1, (y + height) // _BLOCK))
    mean = grounds.crop((*box[:2], min(box[2], grounds.width), min(box[3], grounds.height))).resize(
        (1, 1), _BOX
    )
    return mean.tobytes()[0] >= _LIGHT_FROM


def _paste(out: Image.Image, colours: Image.Image, mask: Image.Image, corner: tuple[int, int]) -> None:
    """Lay ``colours`` over ``out``, seen where the picture is transparent, too."""
    out.paste(colours if out.mode == "RGB" else colours.convert(out.mode), corner, mask)


def _faded(stamp: Stamp, opacity: float) -> Stamp:
    table = [round(value * opacity) for value in range(256)]
    (dark, one), (light, other) = stamp
    return type(stamp)((dark, one.point(table)), (light, other.point(table)))


def _slanted(stamp: Stamp) -> Stamp:
    """Turn both looks by 30 degrees; the colours run on beyond their edge, where nothing is opaque."""

    def turned(look: tuple[Image.Image, Image.Image]) -> tuple[Image.Image, Image.Image]:
        colours, mask = look
        return colours.rotate(30, _BICUBIC, expand=True), mask.rotate(30, _BICUBIC, expand=True)

    return type(stamp)(turned(stamp.on_dark), turned(stamp.on_light))


def _badge(brand: Brand, size: int) -> Image.Image:
    """Draw words white on translucent near-black (contrast over 7:1 on anything), four times over and reduced."""
    fine = 4
    font = brand.typeface(size * fine)
    left, top, right, bottom = font.getbbox(brand.words)
    pad_x, pad_y = 0.7 * size * fine, 0.42 * size * fine
    width, height = round(right - left + 2 * pad_x), round(bottom - top + 2 * pad_y)
    badge = Image.new("RGBA", (width, height), (18, 20, 26, 0))
    draw = ImageDraw.Draw(badge)
    box = (0, 0, width - 1, height - 1)
    draw.rounded_rectangle(box, height * 0.45, (18, 20, 26, 176), outline=(255, 255, 255, 80), width=fine)
    draw.text((pad_x - left, pad_y - top), brand.words, font=font, fill=(255, 255, 255, 255))
    return badge.resize((max(1, width // fine), max(1, height // fine)), _BOX)


def _unchanged(picture: Picture) -> Picture:
    return picture
