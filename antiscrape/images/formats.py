"""Which pictures are decoded at all, told by their first bytes, and which of them a client takes.

Pillow reads some fifty formats, and most of its flaws were in those that no site serves: in 2026
alone FITS, PSD, EPS, PDF and JPEG 2000 (CVE-2026-40192, -25990, -59203, -42310, -59204). The list
here is what browsers draw from ``<img>``, less SVG, which is a program and is never drawn here. A
name or a Content-Type tells nothing.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Final

from antiscrape.core.accept import media_ranges, weight_of

#: Bytes from the start of a file that :func:`sniff` wants to see.
SNIFFED = 32
#: Bytes of an Accept field that are read: browsers send up to 180.
_LONGEST_ACCEPT: Final = 1024


class Format(Enum):
    """The formats that are decoded and written, by Pillow's names for them. ``bit`` is a format's in a mask."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    AVIF = "AVIF"

    __hash__ = object.__hash__

    bit: int
    media_type: str

    def __init__(self, name: str) -> None:
        self.bit = 1 << len(type(self).__members__)
        self.media_type = f"image/{name.lower()}"


#: What every client that draws pictures has drawn since 1996. Also what ``image/*`` and ``*/*`` stand for:
#: libraries and old browsers send them, and whoever draws AVIF or WebP says so by name.
CLASSIC: Final = Format.JPEG.bit | Format.PNG.bit | Format.GIF.bit
EVERY: Final = sum(kind.bit for kind in Format)


@lru_cache(maxsize=256)
def accepted(accept: bytes) -> int:
    """Return the formats that a client with this Accept field takes, as a mask of their bits; never none at all.

    AVIF and WebP must be named. A field that leaves no format over is disregarded, as RFC 9110
    §12.5.1 allows: an ``<img>`` that shows something is better than a 406.
    """
    ranges = media_ranges(accept[:_LONGEST_ACCEPT])
    taken = 0
    for kind in Format:
        name = kind.media_type.encode()
        weight = weight_of(name, ranges) if kind.bit & CLASSIC else ranges.get(name)
        if weight:
            taken |= kind.bit
    return taken or CLASSIC


def sniff(head: bytes) -> Format | None:
    """Return the format that the first bytes ``head`` announce, or ``None`` where it is not one of ours.

    The patterns are those of the WHATWG MIME Sniffing standard (section 6.1), and for AVIF the major
    and compatible brands of its file type box (AV1 Image File Format, section 6).
    """
    if head.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Format.GIF
    if head.startswith(b"RIFF") and head[8:14] == b"WEBPVP":
        return Format.WEBP
    if head[4:8] == b"ftyp" and _is_avif(head):
        return Format.AVIF
    return None


def _is_avif(head: bytes) -> bool:
    brands = head[8:SNIFFED]
    major, compatible = brands[:4], brands[8:]
    return major in {b"avif", b"avis"} or (
        major in {b"mif1", b"msf1"} and (b"avif" in compatible or b"avis" in compatible)
    )
