"""What a site's marks are drawn from: words, a font of the operator's, a picture of the operator's.

Files are read when a worker starts, before it gives up opening any; after that a mark is drawn from
memory, at whatever size a picture asks for. Pillow's own font knows Latin letters only.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from antiscrape.errors import ConfigurationError
from antiscrape.images.decode import decode

if TYPE_CHECKING:
    from antiscrape.core.rules import ImageRules

#: Characters of a mark that are drawn: a badge of 40 fills half of a preview's width, and drawing takes time.
LONGEST_MARK = 40
#: Bytes of a font or a picture that is read. Fonts of all Chinese characters have 20 MB.
LONGEST_FILE = 32 * 2**20
#: Pixels of the long side at which an operator's picture is kept: a quarter of the largest rendition.
LARGEST_IMAGE = 1024
_MOST_PIXELS = 25_000_000
#: How much darker the other side of an edge is, so that words are read on a busy ground.
_EDGE = 0.5
_LIGHT, _DARK = (255, 255, 255), (18, 20, 26)


class Stamp(NamedTuple):
    """A mark at one size: its colours for dark and for light grounds, and for each how opaque each pixel is."""

    on_dark: tuple[Image.Image, Image.Image]
    on_light: tuple[Image.Image, Image.Image]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, of both looks."""
        return self.on_dark[1].size


class Brand(NamedTuple):
    """A site's words, the bytes of their font (empty: Pillow's own), and its picture (RGBA), where it has one."""

    words: str
    font: bytes = b""
    image: Image.Image | None = None

    def typeface(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """Return the font at ``size`` pixels."""
        return ImageFont.truetype(io.BytesIO(self.font), size) if self.font else ImageFont.load_default(size)

    def stamp(self, size: int) -> Stamp | None:
        """Draw the mark for letters of ``size`` pixels, or the picture two and a half times as high; ``None`` if there is no mark."""
        if self.image is not None:
            return _imprint(self.image, size * 5 // 2)
        return _lettering(self.words, self.typeface(size), size) if self.words else None


@lru_cache(maxsize=4)
def brand_of(rules: ImageRules) -> Brand:
    """Read the files that ``rules`` names; raise ``ConfigurationError`` naming the setting and what is wrong with it."""
    looks = rules.renditions
    words, font, image = rules.mark[:LONGEST_MARK], b"", None
    if looks.mark_font:
        font = read("renditions.mark_font", looks.mark_font)
        try:
            ImageFont.truetype(io.BytesIO(font), 12).getbbox(words)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"renditions.mark_font: {looks.mark_font} is no font: {error}"
            ) from error
    if looks.mark_image:
        image = picture_of("renditions.mark_image", looks.mark_image, LARGEST_IMAGE).convert("RGBA")
        if not image.getbbox():
            raise ConfigurationError(f"renditions.mark_image: {looks.mark_image} is transparent everywhere")
    return Brand(words, font, image)


def picture_of(setting: str, path: str, long_side: int) -> Image.Image:
    """Return an operator's picture, reduced to ``long_side`` pixels; raise ``ConfigurationError`` where it cannot be had."""
    source = read(setting, path)
    try:
        pixels = decode(source, max_pixels=_MOST_PIXELS, enough=long_side).pixels
    except (
        Exception
    ) as error:  # decoders raise OSError, SyntaxError, struct.error, ... at what they cannot read
        raise ConfigurationError(f"{setting}: {path} is no picture that is read here: {error}") from error
    pixels.thumbnail((long_side, long_side), Image.Resampling.BICUBIC)
    return pixels


def read(setting: str, path: str) -> bytes:
    """Return a file of at most :data:`LONGEST_FILE` bytes; raise ``ConfigurationError`` with why it cannot be had."""
    try:
        with Path(path).open("rb") as file:
            found = file.read(LONGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{setting}: {path} cannot be read: {why}") from error
    if not 0 < len(found) <= LONGEST_FILE:
        raise ConfigurationError(
            f"{setting}: {path} has {len(found)} bytes or more; 1 to {LONGEST_FILE} are read"
        )
    return found


def _lettering(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, size: int) -> Stamp:
    """Draw ``words`` light with a dark edge, and dark with a light one."""
    edge = max(1, size // 14)
    left, top, right, bottom = (round(place) for place in font.getbbox(words))
    extent = (right - left + 2 * edge + 2, bottom - top + 2 * edge + 2)
    letters, around = Image.new("L", extent), Image.new("L", extent)
    corner = (edge + 1 - left, edge + 1 - top)
    ImageDraw.Draw(letters).text(corner, words, fill=255, font=font)
    wide = edge if isinstance(font, ImageFont.FreeTypeFont) else 0
    ImageDraw.Draw(around).text(corner, words, fill=round(255 * _EDGE), font=font, stroke_width=wide)
    mask = Image.composite(letters, around, letters)

    def look(ink: tuple[int, int, int], edge_ink: tuple[int, int, int]) -> tuple[Image.Image, Image.Image]:
        colours = Image.new("RGB", extent, edge_ink)
        colours.paste(ink, (0, 0), letters)
        return colours, mask

    return Stamp(look(_LIGHT, _DARK), look(_DARK, _LIGHT))


def _imprint(image: Image.Image, height: float) -> Stamp:
    """Scale the picture, and lay it on a plate where it is about as light as its ground."""
    share = min(height / image.height, 3 * height / image.width)
    extent = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    scaled = image.resize(extent, Image.Resampling.BOX if share < 1 else Image.Resampling.BICUBIC)
    light = _is_light(scaled)
    bare, plated = _bare(scaled), _plated(scaled, _DARK if light else _LIGHT)
    return Stamp(bare if light else plated, plated if light else bare)


def _is_light(image: Image.Image) -> bool:
    alpha = image.getchannel("A")
    histogram = image.convert("L").histogram(alpha.point([0] * 128 + [255] * 128))
    total = sum(histogram) or 1
    return sum(value * count for value, count in enumerate(histogram)) > 128 * total


def _bare(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    pad = max(1, image.height // 6)
    extent = (image.width + 2 * pad, image.height + 2 * pad)
    colours, mask = Image.new("RGB", extent), Image.new("L", extent)
    colours.paste(image.convert("RGB"), (pad, pad))
    mask.paste(image.getchannel("A"), (pad, pad))
    return colours, mask


def _plated(image: Image.Image, ground: tuple[int, int, int]) -> tuple[Image.Image, Image.Image]:
    bare, alpha = _bare(image)
    plate = Image.new("L", alpha.size)
    box = (0, 0, plate.width - 1, plate.height - 1)
    ImageDraw.Draw(plate).rounded_rectangle(box, plate.height * 0.18, fill=176)
    colours = Image.new("RGB", alpha.size, ground)
    colours.paste(bare, (0, 0), alpha)
    return colours, Image.composite(alpha, plate, alpha)
