"""A mark in a file's bytes: a comment that names the taker, put into the first bytes on their way out.

Nothing is decoded and no pixel changes, so even an original can say who took it. Whoever saves the picture anew
loses the comment, and whoever knows of it takes it out; it names the careless. It is signed, so nobody makes one
up, but it says nothing of the picture it stands in: a comment can be moved to another file.

::

    JPEG    a COM segment behind the JFIF or Exif header   ISO/IEC 10918-1, B.2.4.5
    PNG     a tEXt chunk behind IHDR                       PNG third edition, 11.3.3.2
    GIF     a comment extension behind the colour table    GIF89a, section 24
    WebP    a chunk of our own behind VP8X                 RFC 9649, 2.7.1.6; VP8X is added where there is none
    AVIF    a box of our own at the end                    ISO/IEC 14496-12, 4.2 (uuid)
"""

from __future__ import annotations

import base64
import hmac
import re
import struct
import zlib
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.trace import LONG_BYTES, Payload, TraceKeys, unpack
from antiscrape.images.formats import Format, sniff
from antiscrape.ports import Spliced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Bytes of the signature: nobody finds 72 bits by asking, for nobody answers.
_SIGNED: Final = 9
_NAME: Final = b"antiscrape-trace:"
# 16 bytes are 22 characters of base64url and no padding. What follows may look like more of them: in a PNG it is a CRC.
_TOKEN: Final = re.compile(_NAME + rb"([A-Za-z0-9_-]{22})")
#: Tokens that are checked in one file: somebody may have filled it with them.
_MOST_TOKENS: Final = 64

#: Bytes from a file's beginning that hold all that :func:`splice` looks at, but of some JPEGs: see :func:`reach`. With
#: fewer, a GIF's comment may come to stand before its loop count.
LOOKED_AT: Final = 4096
#: Bytes that it looks at most: an Exif header and XMP, each as long as a segment may be, and what else comes before
#: an index of several pictures.
LOOKED_AT_MOST: Final = 0x24000

_U16, _U32, _LE16, _LE32 = Struct(">H"), Struct(">I"), Struct("<H"), Struct("<I")
#: An index of several pictures, with the byte order of its numbers, and its tag for where they are (CIPA DC-007, 5.2).
_INDEX: Final = re.compile(rb"\xff\xe2..MPF\0(MM\0\*|II\*\0)", re.DOTALL)
_PICTURES: Final = 0xB002
_APP2: Final = 0xE2
#: Segments among which it is looked for. Behind Exif come XMP, a profile, a gain map's version, and the index.
_MOST_SEGMENTS: Final = 16
#: The identifier of our box, drawn once (RFC 9562, version 4).
_UUID: Final = bytes.fromhex("5b0c7e1f9a734d0e8c3e62d1f4a81b27")
_FOURCC: Final = b"ASTR"


def token(keys: TraceKeys, payload: int) -> bytes:
    """Return the signed text that says ``payload``, 39 characters of ASCII; raise ``OverflowError`` beyond 56 bits."""
    packed = payload.to_bytes(LONG_BYTES, "big")
    signed = packed + hmac.digest(keys.token, packed, "sha256")[:_SIGNED]
    return _NAME + base64.urlsafe_b64encode(signed)[:22]


def splice(head: bytes, text: bytes) -> Spliced | None:
    """Put the token ``text`` into a file that begins with ``head``; return ``None`` where it is none of ours.

    ``head`` is a file's first chunk, whole or not. The growth follows from the first 32 bytes alone for every
    format, so a Content-Length can be corrected before anything is sent. What follows ``head`` stays as it is,
    and then comes ``tail``.
    """
    kind = sniff(head)
    if kind is None:
        return None
    try:
        return _SPLICERS[kind](head, text)
    except (IndexError, ValueError):  # the head ends where its format does not
        return None


def reach(head: bytes) -> int:
    """Return how many bytes of a file's beginning :func:`splice` looks at, as far as the bytes at hand tell.

    Of a JPEG: to the end of its application segments, or of the index of several pictures among them. Who has fewer
    asks again with more. With fewer, the comment may come to stand before an Exif header, and the first picture's size
    in the index is not told anew.
    """
    if head[:2] != b"\xff\xd8":
        return LOOKED_AT
    end = 2
    for at, index in _segments(head, 2):
        if at + 4 > len(head):
            end = at + 4
            break
        end = at + 2 + _U16.unpack_from(head, at + 2)[0]
        if index is not None:
            break
    return min(max(end, LOOKED_AT), LOOKED_AT_MOST)


def mark(keys: TraceKeys, head: bytes, payload: int) -> Spliced | None:
    """Put the token that says ``payload`` into a file that begins with ``head``, or return ``None``: see :func:`splice`."""
    return splice(head, token(keys, payload))


class Token(NamedTuple):
    """What a signed token says, and the place of the keys that signed it among those that were asked."""

    payload: Payload
    key: int


def find_tokens(source: bytes, keys: Sequence[TraceKeys]) -> list[Token]:
    """Return the signed tokens anywhere in a file, each once; those that nobody signed are passed over."""
    found: dict[Token, None] = {}
    for at, match in enumerate(_TOKEN.finditer(source)):
        if at == _MOST_TOKENS:
            break
        whole = base64.urlsafe_b64decode(match[1] + b"==")
        packed, signature = whole[:LONG_BYTES], whole[LONG_BYTES:]
        for place, one in enumerate(keys):
            if hmac.compare_digest(hmac.digest(one.token, packed, "sha256")[:_SIGNED], signature):
                found[Token(unpack(int.from_bytes(packed, "big")), place)] = None
    return list(found)


def _jpeg(head: bytes, text: bytes) -> Spliced:
    # JFIF's APP0 and Exif's APP1 each want to be the first segment, and stand in this order. The places in an index of
    # several pictures (CIPA DC-007) count from its own segment, further down, so nothing behind it may move against it.
    at = 2
    for marker in (b"\xff\xe0", b"\xff\xe1"):
        if head[at : at + 2] == marker and len(head) >= at + 4:
            end = at + 2 + _U16.unpack_from(head, at + 2)[0]
            at = end if end <= len(head) else at
    comment = b"\xff\xfe" + _U16.pack(2 + len(text)) + text
    return _inserted(_remeasured(head, at, len(comment)), at, comment)


def _remeasured(head: bytes, start: int, growth: int) -> bytes:
    """Return ``head`` with its first picture's size raised by ``growth`` in the index of several, behind ``start``.

    Who cuts that picture out by its size would else lose its last rows. Where the index is not all in ``head``, or not
    as CIPA DC-007, 5.2.3 has it, nothing changes.
    """
    found = _index_of(head, start)
    if found is None:
        return head
    index = found.start(1)
    u16, u32 = (_U16, _U32) if found[1] == b"MM\0*" else (_LE16, _LE32)
    try:
        entries = index + u32.unpack_from(head, index + 4)[0]
        for entry in range(entries + 2, entries + 2 + 12 * min(u16.unpack_from(head, entries)[0], 8), 12):
            if u16.unpack_from(head, entry)[0] == _PICTURES:
                size = index + u32.unpack_from(head, entry + 8)[0] + 4
                length, place = u32.unpack_from(head, size)[0], u32.unpack_from(head, size + 4)[0]
                if length and not place:  # the first picture's, whose place is told as 0
                    return head[:size] + u32.pack(length + growth & 0xFFFFFFFF) + head[size + 4 :]
    except struct.error:
        pass
    return head


def _index_of(head: bytes, at: int) -> re.Match[bytes] | None:
    """Return the segment with the index, of the application segments from ``at`` on."""
    return next((index for _, index in _segments(head, at) if index is not None), None)


def _segments(head: bytes, at: int) -> Iterator[tuple[int, re.Match[bytes] | None]]:
    """Yield where each application segment from ``at`` on begins, the last perhaps beyond ``head``; and the index in it."""
    for _ in range(_MOST_SEGMENTS):
        if at + 4 > len(head):
            yield at, None
            return
        if head[at] != 0xFF or head[at + 1] & 0xF0 != 0xE0:  # noqa: PLR2004 - APP0 to APP15
            return
        yield at, _INDEX.match(head, at) if head[at + 1] == _APP2 else None
        at += 2 + _U16.unpack_from(head, at + 2)[0]


def _png(head: bytes, text: bytes) -> Spliced:
    if head[12:16] != b"IHDR" or len(head) < 33:  # noqa: PLR2004 - where IHDR ends
        raise ValueError("no IHDR")
    body = b"tEXtComment\0" + text
    return _inserted(head, 33, _U32.pack(len(body) - 4) + body + _U32.pack(zlib.crc32(body)))


def _gif(head: bytes, text: bytes) -> Spliced:
    at = 13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0)
    if at > len(head):
        raise ValueError("the colour table goes on")
    if head[at : at + 14] == b"\x21\xff\x0bNETSCAPE2.0" and len(head) >= at + 19:
        at += 19  # a loop count is looked for right behind the colour table
    comment = b"\x21\xfe" + bytes((len(text),)) + text + b"\0"
    # An extension makes it a GIF89a, whatever it called itself.
    return _inserted(b"GIF89a" + head[6:], at, comment)


def _webp(head: bytes, text: bytes) -> Spliced:
    chunk = _FOURCC + _LE32.pack(len(text)) + text + bytes(len(text) % 2)
    if head[12:16] != b"VP8X":
        chunk = _extended(head) + chunk
        at = 12
    else:
        at = 20 + _LE32.unpack(head[16:20])[0]
        if at != 30:  # noqa: PLR2004 - RFC 9649, 2.7.1: ten bytes
            raise ValueError("an odd VP8X")
    size = _LE32.unpack(head[4:8])[0] + len(chunk)
    return _inserted(head[:4] + _LE32.pack(size) + head[8:], at, chunk)


def _extended(head: bytes) -> bytes:
    """Return the VP8X chunk of a simple file, for chunks beside the picture belong to extended files."""
    if head[12:16] == b"VP8 " and head[23:26] == b"\x9d\x01\x2a" and len(head) >= 30:  # noqa: PLR2004 - RFC 6386, 9.1
        width = int.from_bytes(head[26:28], "little") & 0x3FFF
        height = int.from_bytes(head[28:30], "little") & 0x3FFF
        flags = 0
    elif head[12:16] == b"VP8L" and head[20] == 0x2F and len(head) >= 25:  # noqa: PLR2004 - RFC 9649, 3.4
        bits = _LE32.unpack(head[21:25])[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = 0x10 * (bits >> 28 & 1)
    else:
        raise ValueError("no VP8 or VP8L")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + _LE32.pack(10) + bytes((flags, 0, 0, 0)) + sides


def _avif(head: bytes, text: bytes) -> Spliced:
    # Items are found by offsets from the file's beginning, so nothing may come before them.
    box = _U32.pack(24 + len(text)) + b"uuid" + _UUID + text
    return Spliced(head, box, len(box))


def _inserted(head: bytes, at: int, piece: bytes) -> Spliced:
    return Spliced(head[:at] + piece + head[at:], b"", len(piece))


_SPLICERS: Final[dict[Format, Callable[[bytes, bytes], Spliced]]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.GIF: _gif,
    Format.WEBP: _webp,
    Format.AVIF: _avif,
}
