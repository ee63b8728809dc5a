"""How large a picture says it is, and which way up, read from the first bytes of its file without decoding anything.

The answer classes a picture as an original or a thumbnail, and gives a decoy its size; so it must be
quick and may be ``None``; it bounds nothing. What is decoded is measured again, by the decoder, in a process of its own.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[bytes, int], tuple[int, ...]]
    Pair = Callable[[bytes, int], tuple[int, int]]

#: Width and height in pixels.
Size = tuple[int, int]

_U16: Read = Struct(">H").unpack_from
_U16_PAIR: Pair = Struct(">HH").unpack_from
_U32_PAIR: Pair = Struct(">II").unpack_from
_LE16_PAIR: Pair = Struct("<HH").unpack_from
_LE32: Read = Struct("<I").unpack_from
_LE32_PAIR: Pair = Struct("<ii").unpack_from

#: Segments looked at before a JPEG's frame header. Files hold about ten; an ICC profile has at most
#: 255 (ICC.1:2022 annex B.4), and each of them fills 64 kB, more than any head that is handed in.
MOST_SEGMENTS = 300
#: Size boxes looked at in an AVIF: one for the picture, its alpha and each thumbnail; grids share one.
MOST_SIZE_BOXES = 16

# ISO/IEC 10918-1 table B.1: C0 to CF are frame headers, less DHT (C4), JPG (C8) and DAC (CC).
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM and RST0 to RST7.
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_NONE: Size = (0, 0)

# TIFF 6.0, section 2: the byte order, and 42 in it.
_EXIF_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
_ORIENTATION = 0x0112
#: Exif comes first or after JFIF; a camera's first directory has about fifteen entries.
_EXIF_WITHIN, _MOST_EXIF_ENTRIES = 4096, 64


def long_side(head: bytes) -> int | None:
    """Return the pixels of the long side that the image file starting with ``head`` declares.

    ``None`` where :func:`size` is. Never raise; take time linear in ``head`` at worst.
    """
    return max(_size(head)) or None


def size(head: bytes) -> Size | None:
    """Return the width and height in pixels, as stored, that the image file starting with ``head`` declares.

    Know JPEG, PNG, GIF, WebP, AVIF and BMP. Return ``None`` for anything else, for a size of zero,
    and where the size lies beyond the bytes given (a JPEG with a long Exif segment). Never raise;
    take time linear in ``head`` at worst.
    """
    found = _size(head)
    return found if min(found) else None


def _size(head: bytes) -> Size:
    first = head[:1]
    if first == b"\xff":
        found = _jpeg(head)
    elif len(head) < 26:  # noqa: PLR2004 - the shortest of the headers below, a BMP's with a core header
        found = _gif(head)
    elif first == b"\x89":
        found = _png(head)
    elif first == b"G":
        found = _gif(head)
    elif first == b"R":
        found = _webp(head)
    elif first == b"B":
        found = _bmp(head)
    else:
        found = _avif(head)
    return found


def _jpeg(head: bytes) -> Size:
    """Walk the marker segments up to the frame header (ISO/IEC 10918-1, B.1.1.3, B.1.1.4, B.2.2)."""
    if head[1:3] != b"\xd8\xff":
        return _NONE
    at, last = 2, len(head) - 9  # a frame header's marker, length, precision, height and width
    for _ in range(MOST_SEGMENTS):
        if at > last or head[at] != 0xFF:  # noqa: PLR2004 - every marker starts with FF
            return _NONE
        marker = head[at + 1]
        if marker in _FRAME_HEADERS:
            height, width = _U16_PAIR(head, at + 5)
            return width, height
        if marker == 0xFF:  # noqa: PLR2004 - B.1.1.2: any marker may be preceded by fill bytes FF
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in {_START_OF_SCAN, _END_OF_IMAGE}:
            return _NONE
        else:
            at += 2 + _U16(head, at + 2)[0]
    return _NONE


def _png(head: bytes) -> Size:
    """Read IHDR, which must come first (PNG third edition, 5.6 and 11.2.1)."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return _U32_PAIR(head, 16)
    return _NONE


def _gif(head: bytes) -> Size:
    """Read the logical screen descriptor (GIF89a, section 18)."""
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:  # noqa: PLR2004 - its two numbers end there
        return _LE16_PAIR(head, 6)
    return _NONE


def _webp(head: bytes) -> Size:
    """Read the first chunk: lossy (RFC 6386, 9.1), lossless (RFC 9649, 3.4), extended (RFC 9649, 2.7.1)."""
    if not head.startswith(b"RIFF") or head[8:12] != b"WEBP":
        return _NONE
    chunk = head[12:16]
    if chunk == b"VP8L" and head[20] == 0x2F:  # noqa: PLR2004 - RFC 9649, 3.4: the signature byte
        bits = _LE32(head, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(head) < 30:  # noqa: PLR2004 - the other two end there
        return _NONE
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = _LE16_PAIR(head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return _NONE


def _bmp(head: bytes) -> Size:
    """Read a BITMAPINFOHEADER, whose height is negative for rows from the top, or a BITMAPCOREHEADER."""
    if not head.startswith(b"BM"):
        return _NONE
    if _LE32(head, 14)[0] == 12:  # noqa: PLR2004 - the size that tells a BITMAPCOREHEADER
        return _LE16_PAIR(head, 18)
    width, height = _LE32_PAIR(head, 18)
    return abs(width), abs(height)


def _avif(head: bytes) -> Size:
    """Return the largest of the image spatial extents (ISO/IEC 23008-12, 6.5.3): the picture's own.

    An ``ispe`` box is found by its name and length, not by walking ``meta``, ``iprp`` and ``ipco`` to it.
    """
    if head[4:8] != b"ftyp" or not (b"avi" in head[8:12] or b"avif" in head[16:64]):
        return _NONE
    largest, at = _NONE, 0
    for _ in range(MOST_SIZE_BOXES):
        at = head.find(b"\x00\x00\x00\x14ispe", at)
        if at < 0 or at + 20 > len(head):
            break
        largest = max(largest, _U32_PAIR(head, at + 12), key=max)
        at += 20
    return largest


def sideways(head: bytes) -> bool:
    """Tell whether the JPEG that starts with ``head`` is shown with width and height exchanged, by its Exif.

    Phones store portraits so (Exif 3.0, 4.6.5.1: orientations 5 to 8). Only an orientation in the
    first directory is found, which is where the standard puts it. Never raise.
    """
    start = head.find(b"Exif\0\0", 0, _EXIF_WITHIN) + 6
    order = _EXIF_ORDERS.get(head[start : start + 4])
    if not head.startswith(b"\xff\xd8") or start < 6 or order is None:  # noqa: PLR2004 - 5: not found
        return False
    entries = start + int.from_bytes(head[start + 4 : start + 8], order)
    for number in range(min(int.from_bytes(head[entries : entries + 2], order), _MOST_EXIF_ENTRIES)):
        entry = entries + 2 + 12 * number
        if int.from_bytes(head[entry : entry + 2], order) == _ORIENTATION:
            return 5 <= int.from_bytes(head[entry + 8 : entry + 10], order) <= 8  # noqa: PLR2004 - Exif 3.0, 4.6.5.1
    return False
