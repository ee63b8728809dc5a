"""A neutral picture that shows nothing of any source, for when a source cannot be read or there is no time to.

It is drawn at start, without Pillow (which the server's process never imports): a grey card with
the outline of a picture and the site's mark, as a PNG of a few hundred bytes.
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from functools import lru_cache
from math import hypot

WIDTH, HEIGHT = 320, 240

_CARD, _ICON, _BADGE, _WORDS = 0xE9, 0xC2, 0x55, 0xFF  # greys

# Capitals, digits and a little more on a 5 x 7 grid: a glyph is its character ("_" for the space)
# and its rows from the top, each the base-32 digit of its five dots.
_ROWS = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
_FONT = (
    "AEHHVHHH BUHHUHHU CEHGGGHE DUHHHHHU EVGGUGGV FVGGUGGG GEHGNHHE HHHHVHHH IE44444E J72222IC KHIKOKIH "
    "LGGGGGGV MHRLLHHH NHPPLJJH OEHHHHHE PUHHUGGG QEHHHLID RUHHUKIH SEHGE1HE TV444444 UHHHHHHE VHHHHAA4 "
    "WHHHLLRH XHHA4AHH YHHA4444 ZV1248GV 0EJLLLPE 14C4444E 2EH1248V 3EH161HE 426AIV22 5VGU11HE 6EGGUHHE "
    "7V122444 8EHHEHHE 9EHHF11E _0000000 -000E000 .00000CC"
)
_GLYPHS = {name[0].replace("_", " "): [_ROWS.index(row) for row in name[1:]] for name in _FONT.split()}
_ADVANCE, _GLYPH_HEIGHT, _DOT = 6, 7, 2  # dots, dots, pixels
_LONGEST_MARK = 20  # characters: what fits on the card


@lru_cache(maxsize=8)
def placeholder_png(mark: str) -> bytes:
    """Return the placeholder with ``mark`` in its corner, as far as capitals and digits can say it."""
    rows = [bytearray([_CARD]) * WIDTH for _ in range(HEIGHT)]
    _draw_icon(rows)
    words = _sayable(mark)
    if words:
        _draw_badge(rows, words)
    return _png(rows)


def _sayable(mark: str) -> str:
    """Return what the small font has of ``mark``: capitals, accents dropped."""
    plain = unicodedata.normalize("NFKD", mark).upper()
    return "".join(character for character in plain if character in _GLYPHS).strip()[:_LONGEST_MARK]


def _draw_icon(rows: list[bytearray]) -> None:
    """Draw a frame with two hills and a sun, smooth-edged: each pixel is as dark as the shape covers it."""
    middle_x, middle_y = WIDTH / 2, HEIGHT / 2 - 8
    for y in range(int(middle_y) - 40, int(middle_y) + 41):
        for x in range(int(middle_x) - 52, int(middle_x) + 53):
            distance = _icon_distance(x + 0.5 - middle_x, y + 0.5 - middle_y)
            covered = min(1.0, max(0.0, 0.5 - distance))
            rows[y][x] = round(_CARD + (_ICON - _CARD) * covered)


def _icon_distance(x: float, y: float) -> float:
    """Return the signed distance in pixels to the icon's edge, negative within, from its middle."""
    outer = _rounded_box(x, y, 48, 36, 9)
    frame = max(outer, -_rounded_box(x, y, 43, 31, 5))
    sun = hypot(x + 20, y + 12) - 7.5
    hills = min(_hill(x, y, -14, 2), _hill(x, y, 14, -12))
    ground = max(hills, y - 24, abs(x) - 36)
    return min(frame, sun, ground)


def _rounded_box(x: float, y: float, half_width: float, half_height: float, radius: float) -> float:
    beyond_x, beyond_y = abs(x) - half_width + radius, abs(y) - half_height + radius
    return hypot(max(beyond_x, 0), max(beyond_y, 0)) + min(max(beyond_x, beyond_y), 0) - radius


def _hill(x: float, y: float, top_x: float, top_y: float) -> float:
    """Return the distance to two slopes of 45 degrees that meet in (``top_x``, ``top_y``)."""
    return (abs(x - top_x) - (y - top_y)) / 2**0.5


def _draw_badge(rows: list[bytearray], words: str) -> None:
    text_width = (len(words) * _ADVANCE - 1) * _DOT
    width, height = text_width + 24, _GLYPH_HEIGHT * _DOT + 14
    left, top = WIDTH - width - 12, HEIGHT - height - 12
    for y in range(height):
        for x in range(width):
            distance = _rounded_box(x + 0.5 - width / 2, y + 0.5 - height / 2, width / 2, height / 2, 9)
            covered = min(1.0, max(0.0, 0.5 - distance))
            rows[top + y][left + x] = round(_CARD + (_BADGE - _CARD) * covered)
    for place, character in enumerate(words):
        _draw_glyph(rows, left + 12 + place * _ADVANCE * _DOT, top + 7, _GLYPHS[character])


def _draw_glyph(rows: list[bytearray], left: int, top: int, glyph: list[int]) -> None:
    for y, dots in enumerate(glyph):
        for x in range(5):
            if dots >> (4 - x) & 1:
                for row in rows[top + y * _DOT : top + (y + 1) * _DOT]:
                    row[left + x * _DOT : left + (x + 1) * _DOT] = bytes([_WORDS]) * _DOT


def _png(rows: list[bytearray]) -> bytes:
    """Encode rows of 8-bit grey (PNG third edition: 5.2 signature, 5.3 chunks, 11.2.1 IHDR, 9.2 filter 0)."""
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
