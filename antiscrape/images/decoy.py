"""Pictures for the banned that show nothing: soft colours in the original's size and format, the same for a URL every time.

A decoy is made of the head of the source, from which only the size, the way up and the format are
read: no pixel of a person's picture is in it, altered or not. It looks like what it is, a pattern.

It must cost the site less than the harvester, so a JPEG is not drawn in full. Pillow encodes
sixteen rows of blocks, each behind a restart marker, where prediction starts anew (ISO/IEC 10918-1,
E.1.4); a picture of any height is those rows, each repeated as often as it takes. Formats without
such rows are drawn in full once for each size in a few variants, and remembered.
"""

from __future__ import annotations

import io
import re
from colorsys import hls_to_rgb
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageOps

from antiscrape.errors import ConfigurationError
from antiscrape.images.brand import picture_of
from antiscrape.images.decode import Picture
from antiscrape.images.dimensions import sideways, size
from antiscrape.images.formats import SNIFFED, Format, sniff
from antiscrape.images.frames import DECOY_HEAD, Outcome, Reply, seed_of
from antiscrape.images.metadata import NOTHING_SAID, Notice, inscribed
from antiscrape.images.writers import choose, write

if TYPE_CHECKING:
    from antiscrape.images.frames import Order

#: Where the source does not tell its size.
USUAL = (1200, 900)
#: Pixels of the longest side, by what drawing them costs: a JPEG's come almost free, an AVIF's take 60 ns each.
LARGEST = {Format.JPEG: 4096, Format.PNG: 2048, Format.GIF: 1280, Format.WEBP: 1280, Format.AVIF: 800}
#: Pictures of the operator's that are kept, and their long side: 24 take 30 MB.
MOST_IN_POOL, POOL_SIDE = 24, 640
#: A picture from the pool is enlarged at most to this: it is encoded in full each time.
_LARGEST_FROM_POOL = 1280
#: Different pictures of one size in the formats that are drawn in full.
_VARIANTS = 8
_BANDS = 16
_QUALITY = 60
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_BLOCK = 8
_BICUBIC, _BILINEAR, _NEAREST = (
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.NEAREST,
)


class DecoyRecipe(NamedTuple):
    """Makes decoys: of the operator's ``pool`` where there is one, else patterns."""

    pool: tuple[Image.Image, ...] = ()
    notice: Notice = NOTHING_SAID

    def make(self, source: bytes, order: Order, *, max_pixels: int) -> Reply:
        """Return a decoy for the picture that starts with ``source``; never raise for what the source holds."""
        head = source[:DECOY_HEAD]
        original = sniff(head[:SNIFFED]) or Format.JPEG
        kind = choose(original, order.formats, transparent=False)
        if original in {Format.PNG, Format.GIF} and original.bit & order.formats:
            kind = original  # soft colours are few colours
        width, height = size(head) or USUAL
        if sideways(head):
            width, height = height, width
        if self.pool:
            extent = _capped(width, height, min(_LARGEST_FROM_POOL, LARGEST[kind]), max_pixels)
            chosen = self.pool[int.from_bytes(order.seed, "big") % len(self.pool)]
            fitted = ImageOps.fit(chosen, extent, _BICUBIC)
            return write(Picture(fitted, *extent, 1, kind), 80, kind.bit, notice=self.notice)
        width, height = _capped(width, height, LARGEST[kind], max_pixels)
        if kind is Format.JPEG:
            body = inscribed(_jpeg(width, height, order.seed), kind, self.notice)
            return Reply(Outcome.JPEG, body)
        variant = order.seed[0] % _VARIANTS
        return Reply(Outcome[kind.name], _drawn(kind, width, height, variant, self.notice))


def open_pool(setting: str, folder: str) -> tuple[Image.Image, ...]:
    """Return the first pictures of ``folder`` by name, reduced; raise ``ConfigurationError`` where one cannot be read."""
    if not folder:
        return ()
    try:
        files = sorted(entry for entry in Path(folder).iterdir() if entry.is_file() and entry.name[0] != ".")
    except OSError as error:
        raise ConfigurationError(f"{setting}: {folder} cannot be read: {error.strerror}") from error
    if not files:
        raise ConfigurationError(f"{setting}: {folder} holds no picture")
    return tuple(picture_of(setting, str(file), POOL_SIDE).convert("RGB") for file in files[:MOST_IN_POOL])


def _capped(width: int, height: int, long_side: int, max_pixels: int) -> tuple[int, int]:
    """Return the size, reduced in its own aspect to what may be drawn."""
    share = min(1.0, long_side / max(width, height), (max_pixels / (width * height)) ** 0.5)
    return max(1, int(width * share)), max(1, int(height * share))


def _field(seed: bytes, width: int, height: int) -> Image.Image:
    """Return soft colours of two neighbouring hues: four by three points of them, interpolated."""
    hue, turn = seed[0] / 256, (seed[1] - 128) / 800
    points = bytearray()
    for place in range(12):
        byte = seed[2 + place]
        red, green, blue = hls_to_rgb(
            (hue + turn * (byte & 15) / 8) % 1, 0.45 + (byte >> 4) / 40, 0.3 + place / 50
        )
        points += bytes((round(red * 255), round(green * 255), round(blue * 255)))
    return Image.frombytes("RGB", (4, 3), bytes(points)).resize((width, height), _BICUBIC)


def _jpeg(width: int, height: int, seed: bytes) -> bytes:
    """Return a JPEG of any height, of which a few rows of blocks were encoded."""
    rows = -(-height // _BLOCK)
    bands = min(_BANDS, rows)
    strip = _field(seed, min(width, 32), bands).resize((width, bands), _BILINEAR)
    strip = strip.resize((width, bands * _BLOCK), _NEAREST)
    out = io.BytesIO()
    strip.save(out, "JPEG", quality=_QUALITY, subsampling="4:2:2", restart_marker_rows=1)
    encoded = out.getvalue()
    scan = encoded.index(b"\xff\xda")
    scan += 2 + int.from_bytes(encoded[scan + 2 : scan + 4], "big")
    coded = _RESTART.split(encoded[scan:-2])
    body = bytearray(encoded[:scan])
    frame = body.index(b"\xff\xc0") + 5  # marker, length, precision; then the height (ISO/IEC 10918-1, B.2.2)
    body[frame : frame + 2] = height.to_bytes(2, "big")
    for row in range(rows):
        if row:
            body += bytes((0xFF, 0xD0 + (row - 1) % 8))
        body += coded[row * bands // rows]
    return bytes(body) + b"\xff\xd9"


@lru_cache(maxsize=64)
def _drawn(kind: Format, width: int, height: int, variant: int, notice: Notice) -> bytes:
    """Return one of the few pictures that there are of this format and size."""
    seed = seed_of(b"%d" % variant)
    out = io.BytesIO()
    if kind in {Format.PNG, Format.GIF}:
        _ramp(seed, width, height).save(
            out, kind.value, **({"compress_level": 1} if kind is Format.PNG else {})
        )
        return inscribed(out.getvalue(), kind, notice)
    picture = Picture(_field(seed, width, height), width, height, 1, kind)
    return write(picture, _QUALITY, kind.bit, notice=notice).body


def _ramp(seed: bytes, width: int, height: int) -> Image.Image:
    """Return the soft colours as one number for each pixel and a palette of 64, from one corner of hues to the other."""
    few = 64
    ends = _field(seed, 4, 3)
    ramp = Image.frombytes(
        "RGB", (2, 1), ends.crop((0, 0, 1, 1)).tobytes() + ends.crop((3, 2, 4, 3)).tobytes()
    )
    colours = ramp.resize((few, 1), _BILINEAR).tobytes()
    greys = Image.frombytes("L", (4, 3), bytes(byte >> 2 for byte in seed[4:16]))
    picture = greys.resize((width, height), _BICUBIC).point([min(value, few - 1) for value in range(256)])
    picture.putpalette(colours)
    return picture
