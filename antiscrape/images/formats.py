"""Which pictures are decoded at all, told by their first bytes and never by a name or a Content-Type.

Pillow reads some fifty formats, and most of its flaws were in those that no site serves: in 2026
alone FITS, PSD, EPS, PDF and JPEG 2000 (CVE-2026-40192, -25990, -59203, -42310, -59204). The list
here is what browsers draw from ``<img>``, less SVG, which is a program and passes untouched.
"""

from __future__ import annotations

from enum import Enum

#: Bytes from the start of a file that :func:`sniff` wants to see.
SNIFFED = 32


class Format(Enum):
    """The formats that are decoded, by Pillow's names for them."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    AVIF = "AVIF"

    __hash__ = object.__hash__


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
