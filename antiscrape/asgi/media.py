"""What a response is, by its Content-Type: never by the suffix of its URL."""

from __future__ import annotations

from enum import Enum
from typing import Final

from antiscrape.core.resource import Kind


class Media(Enum):
    """The classes of response that are treated differently."""

    IMAGE = "image"  # a raster picture, which may show a face
    DRAWING = "drawing"  # SVG: a document, passed as it is or not at all (SECURITY E9)
    HTML = "html"
    JSON = "json"
    ASSET = "asset"
    STYLE = "style"  # CSS
    XML = "xml"  # a sitemap, a feed
    VAGUE = "vague"  # no type, or one that says nothing
    OTHER = "other"

    __hash__ = object.__hash__


#: What a path holds that no route names, by what it answered.
KINDS = {
    Media.IMAGE: Kind.IMAGE,
    Media.DRAWING: Kind.ASSET,
    Media.HTML: Kind.PAGE,
    Media.JSON: Kind.API,
    Media.ASSET: Kind.ASSET,
    Media.STYLE: Kind.ASSET,
}
_ASSETS = frozenset({
    "text/javascript", "application/javascript", "application/x-javascript", "application/wasm",
    "application/manifest+json", "application/font-woff",
})  # fmt: skip
_SAYING_NOTHING = frozenset({
    "", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown", "*/*",
})  # fmt: skip
# WHATWG MIME Sniffing §6.1: what is decoded here, but for AVIF.
_DECODED = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8")
# What is not: BMP, TIFF and BigTIFF, icons, the codestreams of JPEG XL and JPEG 2000, Photoshop, JPEG XR.
_UNREAD = (
    b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\1\0", b"\xff\x0a", b"\xff\x4f\xff\x51", b"8BPS", b"II\xbc\x01",
)  # fmt: skip
_SIGNATURES = _DECODED + _UNREAD
#: First bytes of a body that the longest of these needs.
SNIFFED = 12
#: And to tell an AVIF from other HEIF, by its compatible brands (ISO/IEC 14496-12, 4.3).
BRANDED = 32
_AVIF = frozenset({b"avif", b"avis"})
# HEIF: of HEVC, of sequences of it, and of anything.
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_BRANDS = _AVIF | _HEIF | {b"jxl "}
# Boxes that a JPEG XL (ISO/IEC 18181-2) and a JPEG 2000 (ISO/IEC 15444-1, I.5.1) begin with.
_BOXES = frozenset({b"JXL ", b"jP  "})
#: Sites send a handful of these; what else an app lets its users choose is worked out each time.
_MOST = 512
#: The classes of Content-Type fields that were seen before.
KNOWN: Final[dict[bytes, Media]] = {}

#: For hot paths: the class of a Content-Type field that was seen before, or None.
known_media = KNOWN.get


def read_media(content_type: bytes) -> Media:
    """Return the class of a Content-Type field."""
    essence = content_type.split(b";", 1)[0].strip().lower().decode("latin-1")
    main, _, sub = essence.partition("/")
    if main == "image":
        media = Media.DRAWING if sub in {"svg+xml", "svg"} else Media.IMAGE
    elif essence in {"text/html", "application/xhtml+xml"}:
        media = Media.HTML
    elif essence == "text/css":
        media = Media.STYLE
    elif essence in _ASSETS or main == "font":
        media = Media.ASSET
    elif essence == "application/json" or sub.endswith("+json"):
        media = Media.JSON
    elif sub == "xml" or sub.endswith("+xml"):
        media = Media.XML
    elif essence in _SAYING_NOTHING:
        media = Media.VAGUE
    else:
        media = Media.OTHER
    if len(KNOWN) < _MOST:
        KNOWN[content_type] = media
    return media


def looks_like_image(head: bytes) -> bool:
    """Tell whether the first bytes of a body are those of a raster picture."""
    if head.startswith(_SIGNATURES):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    return head[4:8] in _BOXES or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)


def is_unread(head: bytes) -> bool:
    """Tell whether a body begins as a picture of a format that is certainly not decoded here.

    ``head`` has :data:`BRANDED` bytes or is the whole body; of less nothing is certain.
    """
    if head.startswith(_UNREAD) or head[4:8] in _BOXES:
        return True
    if head[4:8] != b"ftyp":
        return False
    brands = {head[at : at + 4] for at in (8, *range(16, BRANDED, 4))}
    return head[8:12] in _BRANDS and not brands & _AVIF
