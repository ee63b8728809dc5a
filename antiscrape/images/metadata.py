"""Whose a picture is and what may not be done with it, written into every rendition as XMP and IPTC.

The packet is composed once, from the settings alone: nothing of the source's metadata gets here, so
no place, camera, owner's name or thumbnail can come along. What the tags are called:

* ``plus:DataMining`` (PLUS LDF 2.0.1, taken up by the IPTC Photo Metadata Standard 2023.1), the opt-out;
* ``dc:rights``, ``xmpRights:Marked``, ``xmpRights:WebStatement``, ``xmpRights:UsageTerms``;
* ``photoshop:Credit`` and ``Iptc4xmpCore:CreatorContactInfo``;
* in a JPEG also IPTC-IIM 4.2, which newspapers' systems read: copyright notice 2:116, credit 2:110,
  contact 2:118.

A packet stands in a JPEG's APP1 and APP13 segments, a PNG's iTXt chunk, an application extension of a
GIF (XMP specification, part 3); Pillow writes a WebP's chunk and an AVIF's item.
"""

from __future__ import annotations

import struct
import zlib
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from antiscrape.images.formats import Format

if TYPE_CHECKING:
    from antiscrape.core.renditions import RightsRules

_VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
_SPACES = {
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
}
_HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
)
_TAIL = '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
#: White space that a reader of an attribute takes for a blank (XML 1.0 §3.3.3), unless it is written as a number.
_WHITE = str.maketrans({"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_PNG = b"XML:com.adobe.xmp\0\0\0\0\0"
# A GIF's reader that takes the packet for sub-blocks ends up, wherever it is, in this ramp (part 3, 1.1.2).
_XMP_IN_GIF = b"\x21\xff\x0bXMP DataXMP"
_RAMP = b"\x01" + bytes(range(255, -1, -1)) + b"\0"

# IPTC-IIM 4.2: what 1:90 says for UTF-8, and how many octets each dataset holds at most.
_UTF8 = b"\x1b%G"
_CREDIT, _NOTICE, _CONTACT = (110, 32), (116, 128), (118, 128)


class Notice(NamedTuple):
    """What renditions are to say, composed: an XMP packet and an IPTC record, empty where nothing is said."""

    xmp: bytes = b""
    iptc: bytes = b""


NOTHING_SAID = Notice()


def compose(rights: RightsRules) -> Notice:
    """Return what ``rights`` says, as it is written into files."""
    attributes = _attributes(rights)
    elements = _elements(rights)
    if not attributes and not elements:
        return NOTHING_SAID
    spaces = "".join(f" xmlns:{name}={_quoted(uri)}" for name, uri in _SPACES.items())
    plain = "".join(f" {name}={_quoted(value)}" for name, value in attributes.items())
    packet = f'{_HEAD}<rdf:Description rdf:about=""{spaces}{plain}>{elements}</rdf:Description>{_TAIL}'
    return Notice(packet.encode(), _iptc(rights))


def _quoted(value: str) -> str:
    # not xml.sax.saxutils, which imports urllib.request, http.client and ssl: a twentieth of a worker's start
    return f'"{escape(value).translate(_WHITE)}"'


def _attributes(rights: RightsRules) -> dict[str, str]:
    found = {}
    if rights.data_mining:
        found["plus:DataMining"] = _VOCABULARY + rights.data_mining
    if rights.notice:
        found["xmpRights:Marked"] = "True"
    if rights.url:
        found["xmpRights:WebStatement"] = rights.url
    if rights.credit:
        found["photoshop:Credit"] = rights.credit
    return found


def _elements(rights: RightsRules) -> str:
    text = ""
    for name, value in (("dc:rights", rights.notice), ("xmpRights:UsageTerms", rights.terms)):
        if value:
            item = f'<rdf:li xml:lang="x-default">{escape(value, quote=False)}</rdf:li>'
            text += f"<{name}><rdf:Alt>{item}</rdf:Alt></{name}>"
    contact = {"CiEmailWork": rights.email, "CiUrlWork": rights.url}
    told = "".join(f" Iptc4xmpCore:{name}={_quoted(value)}" for name, value in contact.items() if value)
    return text + (f"<Iptc4xmpCore:CreatorContactInfo{told}/>" if told else "")


def _iptc(rights: RightsRules) -> bytes:
    """Return record 2 of IPTC-IIM within a Photoshop image resource block (8BIM 0x0404)."""
    rows = (
        (_CREDIT, rights.credit),
        (_NOTICE, rights.notice),
        (_CONTACT, rights.email or rights.url),
    )
    sets = b"".join(_dataset(2, number, _cut(text, most)) for (number, most), text in rows if text)
    if not sets:
        return b""
    record = _dataset(1, 90, _UTF8) + _dataset(2, 0, b"\0\4") + sets
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    return block + bytes(len(block) % 2)


def _dataset(record: int, number: int, value: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def _cut(text: str, most: int) -> bytes:
    """Return at most ``most`` octets of ``text`` that end with a whole character."""
    return text.encode()[:most].decode(errors="ignore").encode()


def options(kind: Format, notice: Notice) -> dict[str, Any]:
    """Return what Pillow is told when it writes a ``kind`` whose packet it writes itself."""
    return {"xmp": notice.xmp} if notice.xmp and kind in {Format.WEBP, Format.AVIF} else {}


def inscribed(encoded: bytes, kind: Format, notice: Notice) -> bytes:
    """Return ``encoded``, a file that Pillow has just written, with ``notice`` in it; others return as they are."""
    if not notice.xmp:
        return encoded
    if kind is Format.JPEG:
        return _in_jpeg(encoded, notice)
    if kind is Format.PNG:
        return encoded[:33] + _png_chunk(b"iTXt", _XMP_IN_PNG + notice.xmp) + encoded[33:]  # behind IHDR
    if kind is Format.GIF:
        return encoded[:-1] + _XMP_IN_GIF + notice.xmp + _RAMP + encoded[-1:]  # before the trailer
    return encoded


def _in_jpeg(encoded: bytes, notice: Notice) -> bytes:
    """Put the segments behind SOI and JFIF's APP0, which must come first (JFIF 1.02)."""
    start = 4 + int.from_bytes(encoded[4:6], "big") if encoded[2:4] == b"\xff\xe0" else 2
    segments = _segment(0xE1, _XMP_IN_JPEG + notice.xmp)
    if notice.iptc:
        segments += _segment(0xED, b"Photoshop 3.0\0" + notice.iptc)
    return encoded[:start] + segments + encoded[start:]


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
