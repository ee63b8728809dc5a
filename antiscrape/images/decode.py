"""Hostile bytes in, one upright-able picture out, or a refusal: the only place that opens an image file.

Pillow is let loose on one format, the one that the bytes announce; the declared pixels are checked
before any are decoded; warnings of decompression bombs are errors; only the first frame is read.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, NamedTuple

from PIL import (
    AvifImagePlugin,
    Image,
    MpoImagePlugin,
    TiffImagePlugin,
)  # the latter two are imported late by Pillow

from antiscrape.images.colour import to_srgb
from antiscrape.images.formats import SNIFFED, Format, sniff

if TYPE_CHECKING:
    from collections.abc import Iterator

# Both are needed by JPEGs (of two pictures, with Exif), and a confined worker can open no module then.
_PRELOADED = (MpoImagePlugin, TiffImagePlugin)
# dav1d starts a thread for each core, each with an 8 MB stack that counts against RLIMIT_AS.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_ORIENTATION = 0x0112  # Exif 3.0, 4.6.5.1
#: Pixels from which on a picture is converted in bands, each reduced at once: beside the decoder's copy of 24 million,
#: 96 MB, a second one would be more than a worker has.
_MANY = 2**22
#: Pixels of a band.
_BAND = 2**20
_COLOURED = frozenset({"RGB", "RGBA", "P", "PA"})  # a profile of RGB says nothing of the other modes


class Refused(ValueError):  # noqa: N818 - a refusal is an answer, not an error
    """The bytes are no picture that is decoded here, or too large a one."""


class Picture(NamedTuple):
    """Pixels on their way through a recipe, with what the file said of them.

    ``width`` and ``height`` are the original's, in pixels as stored; ``pixels`` may already be
    smaller, by a JPEG decoder's own reduction or for want of memory. ``orientation`` is Exif's, 1 to 8; ``kind`` is the
    file's format.
    """

    pixels: Image.Image
    width: int
    height: int
    orientation: int
    kind: Format = Format.JPEG

    @property
    def long_side(self) -> int:
        """The original's long side, in pixels."""
        return max(self.width, self.height)


def limit_pixels(most: int) -> None:
    """Make Pillow itself refuse pictures of more than ``most`` pixels, wherever a size turns up."""
    Image.MAX_IMAGE_PIXELS = most
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(source: bytes, *, max_pixels: int, enough: int) -> Picture:
    """Decode the first frame of ``source`` to RGB, or to RGBA where it is transparent anywhere, in sRGB.

    ``enough`` is the long side in pixels that the caller has use for; a JPEG is decoded to an
    eighth, a quarter or a half of its size when that leaves as much (ISO/IEC 10918-1 allows it: the
    DC coefficient of a block is the mean of its 64 pixels). Of other large pictures areas are averaged
    until at least twice as much is left. Raise :class:`Refused`, ``MemoryError``,
    or whatever else a decoder raises at nonsense.
    """
    kind = sniff(source[:SNIFFED])
    if kind is None:
        msg = "not a format that is decoded here"
        raise Refused(msg)
    with Image.open(io.BytesIO(source), formats=(kind.value,)) as opened:
        width, height = opened.size
        _check(width, height, max_pixels)
        if kind is Format.JPEG:
            opened.draft(None, _fitted(width, height, enough))
            # In pieces of 64 kB, as Pillow reads files, libjpeg begins some blocks twice: a twelfth of its time.
            opened.decodermaxblock = len(source)
        opened.load()
        # A GIF's first frame may reach beyond the screen that its header declares.
        _check(*opened.size, max_pixels)
        orientation = _orientation(opened)
        profile = _profile(opened)
        return Picture(to_srgb(_reduced(opened, 2 * enough), profile), width, height, orientation, kind)


def frames(source: bytes, *, max_pixels: int, most: int) -> Iterator[tuple[Picture, int]]:
    """Yield the first ``most`` frames of an animation and the milliseconds that each is shown; of anything else, none.

    No more than have ``max_pixels`` together: a GIF of 10 kB may hold thousands. Where a later
    frame is broken, those before it are the animation. Raise as :func:`decode` does.
    """
    kind = sniff(source[:SNIFFED])
    if kind is None:
        msg = "not a format that is decoded here"
        raise Refused(msg)
    with Image.open(io.BytesIO(source), formats=(kind.value,)) as opened:
        width, height = opened.size
        _check(width, height, max_pixels)
        orientation = _orientation(opened)
        fitting = min(most, max_pixels // (width * height))
        for number in range(fitting if getattr(opened, "is_animated", False) else 0):
            try:
                opened.seek(number)
                opened.load()
            except (EOFError, OSError, SyntaxError, ValueError):
                if number:
                    return
                raise
            _check(*opened.size, max_pixels)
            shown = opened.info.get("duration", 0)
            pixels = to_srgb(_plain(opened.copy()), _profile(opened))
            yield Picture(pixels, width, height, orientation, kind), _milliseconds(shown)


def _milliseconds(shown: object) -> int:
    """Return a frame's time within bounds: browsers show what asks for less than 20 ms for 100 ms."""
    if not isinstance(shown, float | int) or not shown >= 20:  # noqa: PLR2004 - see above; "not" for NaN
        return 100
    return int(min(shown, 60_000))


def _profile(opened: Image.Image) -> bytes:
    found = opened.info.get("icc_profile", b"") if opened.mode in _COLOURED else b""
    return found if isinstance(found, bytes) else b""


def _check(width: int, height: int, max_pixels: int) -> None:
    if not 0 < width * height <= max_pixels:
        raise Refused(f"{width} x {height} pixels, more than the {max_pixels} allowed")


def _fitted(width: int, height: int, long_side: int) -> tuple[int, int]:
    longest = max(width, height)
    return max(1, width * long_side // longest), max(1, height * long_side // longest)


def _reduced(opened: Image.Image, enough: int) -> Image.Image:
    """Return what :func:`_plain` makes of a picture; of a large one, means of areas, ``enough`` of them on the long side."""
    width, height = opened.size
    times = max(width, height) // enough
    if width * height < _MANY or times < 2:  # noqa: PLR2004 - nothing can be left out
        return _plain(opened)
    rows = times * max(1, _BAND // (width * times))
    reduced = None
    for top in range(0, height, rows):
        band = _plain(opened.crop((0, top, width, min(top + rows, height)))).reduce(times)
        if reduced is None:
            reduced = Image.new(band.mode, (band.width, -(-height // times)))
        reduced.paste(band, (0, top // times))
    return reduced or _plain(opened)


def _plain(opened: Image.Image) -> Image.Image:
    """Return a picture of mode RGB or RGBA with none of the file's ``info`` (ICC, Exif, comments, XMP)."""
    mode = "RGBA" if opened.has_transparency_data else "RGB"
    if opened.mode.startswith("I"):
        # 16-bit grey; a plain conversion would clip everything above 255 to white.
        opened = opened.convert("I").point(lambda value: value / 257).convert("L")
    plain = opened if opened.mode == mode else opened.convert(mode)
    plain.info = {}
    return plain


def _orientation(opened: Image.Image) -> int:
    """Return Exif's orientation, or 1 where it is absent or nonsense: a picture is not refused for its Exif."""
    try:
        value = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow's TIFF reader raises a dozen types at hostile Exif
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004 - Exif 3.0, 4.6.5.1
