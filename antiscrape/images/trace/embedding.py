"""Laying a mark into a picture's pixels, with Pillow's own operations.

The mark changes brightness alone. How far it goes follows the picture: a little in skies and skin, more where
there is texture to hide it (I. J. Cox et al., "Secure Spread Spectrum Watermarking for Multimedia", 1997). All of
it is computed one value a chip, a sixteenth of the pixels, and only the outcome is enlarged; that is what makes it
cheap.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops, ImageFilter

from antiscrape.core.trace import shorten, unpack
from antiscrape.images.trace.code import encode
from antiscrape.images.trace.pattern import CHIP, SHEET, pattern, word_bits

if TYPE_CHECKING:
    from collections.abc import Callable

_BILINEAR, _NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
_MODES = frozenset({"RGB", "RGBA", "L", "YCbCr"})

#: Pictures up to this long side, in pixels, carry the short form.
SHORT_UP_TO: Final = 320
#: Pixels of the short side that hold enough chips for anything to be read of them.
SMALLEST: Final = 48
#: Chips double with every doubling of the long side beyond this many pixels, for large pictures are shown reduced.
FINE_UP_TO: Final = 2400

# Gray levels that the mark may swing to: in a flat place, for each level of activity there, and at most.
_FLAT, _GAIN, _MOST = 2.4, 1.25, 9.0
# A large picture has more chips to say the same with, so each may say it more softly: the strength is 1 at 0.35
# megapixels and goes with their fourth root.
_PLAIN, _FAINTEST, _STRONGEST = 0.35, 0.75, 1.15


def embed(pixels: Image.Image, payload: int, key: bytes) -> Image.Image:
    """Return ``pixels`` with a mark that says ``payload``, a packed ``core.trace.Payload``.

    The modes are RGB, RGBA, L and YCbCr, in which a JPEG decoder hands pictures over for half of the cost.
    ``key`` is ``TraceKeys.pattern``. A picture whose long side has up to 320 pixels says what
    ``core.trace.shorten`` leaves of it. Raise ``ValueError`` for other modes, for a short side of less
    than 48 pixels, and for payloads of more than 56 bits.
    """
    if pixels.mode not in _MODES:
        raise ValueError(f"a picture of mode {pixels.mode} cannot be marked")
    if min(pixels.size) < SMALLEST:
        raise ValueError("too small for a mark")
    short = max(pixels.size) <= SHORT_UP_TO
    said = unpack(payload)
    word = encode(shorten(said).pack() if short else payload, short=short)
    chip = chip_side(max(pixels.size))
    mark = _modulated(_sheet(key, word), _activity(pixels, chip))
    return _added(pixels, _enlarged(mark, pixels.size, chip))


def chip_side(long_side: int) -> int:
    """Return the pixels of a chip's side in a picture of this long side: 4, 8, 16, ..."""
    side = CHIP
    while long_side > FINE_UP_TO:
        side, long_side = 2 * side, long_side // 2
    return side


@lru_cache(maxsize=8)
def _drawn(key: bytes) -> tuple[Callable[[bytes], tuple[int, ...]], Image.Image, Image.Image]:
    drawn = pattern(key)
    return itemgetter(*drawn.slots), *drawn.chip_sheets()


@lru_cache(maxsize=16)
def _sheet(key: bytes, word: bytes) -> Image.Image:
    """Return the sheet of ``word``: 128 where nothing is to change, up to 127 more or less elsewhere."""
    chosen, zero, one = _drawn(key)
    bits = Image.frombytes("L", (SHEET, SHEET), bytes(chosen(word_bits(word))))
    return Image.composite(one, zero, bits)


def _activity(pixels: Image.Image, chip: int) -> Image.Image:
    """Return how far the mark may go at each chip, in 255ths of its full swing."""
    # Green is most of brightness, and costs half of what a conversion does.
    grey = pixels.getchannel(_BRIGHTEST[pixels.mode]).reduce(chip)
    # Against the nearest chips alone: a slope is smooth, however steep, and shows every grain.
    busy = ImageChops.difference(grey, grey.filter(ImageFilter.BoxBlur(1)))
    megapixels = pixels.width * pixels.height / 1e6
    strength = min(_STRONGEST, max(_FAINTEST, (_PLAIN / megapixels) ** 0.25))
    return busy.point(_EASED).filter(ImageFilter.BoxBlur(2)).point(_amplitudes(round(20 * strength)))


_BRIGHTEST = {"RGB": 1, "RGBA": 1, "L": 0, "YCbCr": 0}
# A lone edge must not count as texture: beyond 32 levels, activity is taken for an outline.
_EASED = [min(255, 8 * level) for level in range(256)]


@lru_cache(maxsize=32)
def _amplitudes(twentieths: int) -> list[int]:
    """Return, for each level of activity, how far the mark may go, in 255ths of its full swing."""
    strength = 255 / _MOST * twentieths / 20
    return [round(strength * min(_MOST / _STRONGEST, _FLAT + _GAIN * level / 8)) for level in range(256)]


def _modulated(sheet: Image.Image, amplitudes: Image.Image) -> Image.Image:
    """Lay ``sheet`` out over ``amplitudes``, and draw it in to no change where they are low."""
    laid = Image.new("L", amplitudes.size)
    for top in range(0, laid.height, SHEET):
        for left in range(0, laid.width, SHEET):
            laid.paste(sheet, (left, top))
    return Image.composite(laid, Image.new("L", laid.size, 128), amplitudes)


def _enlarged(mark: Image.Image, size: tuple[int, int], chip: int) -> Image.Image:
    """Return ``mark`` with ``chip`` pixels for each of its own, in gray levels around 128.

    Smooth up to half of the size and plain from there on: edges between chips are lost to every encoder, and
    smoothing all the way costs as much as the rest together.
    """
    wide, high = (size[0] + 1) // 2, (size[1] + 1) // 2
    half = mark.resize((wide, high), _BILINEAR, box=(0, 0, 2 * wide / chip, 2 * high / chip)).point(_LEVELS)
    return half.resize(size, _NEAREST, box=(0, 0, size[0] / 2, size[1] / 2))


_LEVELS = [128 + round((level - 128) * _MOST / 127) for level in range(256)]


def _added(pixels: Image.Image, mark: Image.Image) -> Image.Image:
    """Add ``mark`` to every colour alike, which changes the brightness alone."""
    if pixels.mode == "L":
        return ImageChops.add(pixels, mark, 1, -128)
    bands = [mark] * 3
    if pixels.mode == "YCbCr":
        light, *colours = pixels.split()
        return Image.merge("YCbCr", (ImageChops.add(light, mark, 1, -128), *colours))
    colours_marked = ImageChops.add(pixels.convert("RGB"), Image.merge("RGB", bands), 1, -128)
    if pixels.mode == "RGBA":
        colours_marked.putalpha(pixels.getchannel("A"))
    return colours_marked
