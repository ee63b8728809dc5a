"""Files that carry a second picture beside the one they show, put together as each standard says; and what a file consists of."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Width and height of the picture that is shown, and of the one beside it.
SIZE, SMALL = (320, 240), (160, 120)
SECRET = b"SECRET of the second picture"


def encoded(colour: str, size: tuple[int, int], kind: str, **options: object) -> bytes:
    """Return a picture of one colour and a shading, as a file."""
    shade = Image.linear_gradient("L").resize(size)
    out = io.BytesIO()
    Image.composite(Image.new("RGB", size, colour), Image.new("RGB", size, "black"), shade).save(
        out, kind, **options
    )
    return out.getvalue()


def shown(kind: str) -> bytes:
    """Return what is shown: a blue picture."""
    return encoded("blue", SIZE, kind)


def second() -> bytes:
    """Return what is beside it: a red picture, as a JPEG with a secret."""
    return encoded("red", SMALL, "JPEG", comment=SECRET)


def _segment(marker: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _behind_jfif(*segments: bytes) -> bytes:
    plain = shown("JPEG")
    return plain[:20] + b"".join(segments) + plain[20:]


def tiff(thumbnail: bytes) -> bytes:
    """Return an Exif block whose second directory is a thumbnail (Exif 3.0, 4.5.5 and 4.8.1)."""
    first = struct.pack("<HHHIII", 1, 0x0112, 3, 1, 1, 26)
    rows = ((0x0103, 6), (0x0201, 68), (0x0202, len(thumbnail)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in rows)
    return b"II*\0\x08\0\0\0" + first + struct.pack("<H", 3) + entries + bytes(4) + thumbnail


def _of_two(*segments: bytes, order: str = ">") -> bytes:
    """Return a JPEG with a second one behind it, both in an index of offsets (CIPA DC-007, 5.2)."""
    size = len(_behind_jfif(*segments, _index(0, 0, 0, order)))
    at = (
        20 + sum(map(len, segments)) + 8
    )  # where the index counts from: behind its own marker, length and name
    return _behind_jfif(*segments, _index(size, size - at, len(second()), order)) + second()


def _index(size: int, offset: int, other: int, order: str) -> bytes:
    head = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HIH", 42, 8, 3)
    rows = struct.pack(f"{order}HHI4sHHIIHHII", 0xB000, 7, 4, b"0100", 0xB001, 4, 1, 2, 0xB002, 7, 32, 50)
    entries = struct.pack(f"{order}IIIHHIIIHH", 0x20030000, size, 0, 0, 0, 0, other, offset, 0, 0)
    return _segment(0xE2, b"MPF\0", head, rows, bytes(4), entries)


def _hdr() -> bytes:
    """Return an Ultra HDR picture: what is bright in it comes from a gain map, which shows the scene (ISO 21496-1)."""
    words = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
        'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><Container:Directory><rdf:Seq>'
        '<rdf:li><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>'
        f'<rdf:li><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="{len(second())}"/>'
        "</rdf:li></rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    return _of_two(
        _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0", words.encode()),
        _segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0", bytes(4)),
    )


def _photoshop() -> bytes:
    """Return a JPEG with a thumbnail among its image resources (Photoshop File Formats, 1036)."""
    inner = second()
    told = struct.pack(">IIIIIIHH", 1, *SMALL, 480, 480 * 120, len(inner), 24, 1) + inner
    return _behind_jfif(
        _segment(0xED, b"Photoshop 3.0\0", b"8BIM\x04\x0c\0\0", struct.pack(">I", len(told)), told)
    )


def _extended_xmp() -> bytes:
    """Return a JPEG whose XMP goes on in a further segment with a picture in it, as depth and cutout photos do."""
    words = b'<rdf:Description GImage:Mime="image/jpeg" GImage:Data="' + base64.b64encode(second()) + b'"/>'
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", len(words), 0)
    return _behind_jfif(_segment(0xE1, head, words))


def _uncompressed() -> bytes:
    """Return a JPEG with a thumbnail in JFIF's own segment (JFIF 1.02, page 5)."""
    thumbnail = (b"\xff\0\0" + SECRET)[:30] * 10
    return b"\xff\xd8" + _segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\x0a\x0a", thumbnail) + shown("JPEG")[20:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(*chunks: bytes, after: bytes = b"") -> bytes:
    plain = shown("PNG")
    return plain[:33] + b"".join(chunks) + plain[33:] + after


def _webp() -> bytes:
    """Return a WebP with Exif, XMP and a chunk that nobody knows (RFC 9649, 2.7)."""
    width, height = ((side - 1).to_bytes(3, "little") for side in SIZE)
    words = b"<xmp:Thumbnails>" + base64.b64encode(second()) + b"</xmp:Thumbnails>"
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
        for name, body in (
            (b"VP8X", bytes((0x0C, 0, 0, 0)) + width + height),
            (b"THMB", second()),
        )
    )
    tail = b"".join(
        name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
        for name, body in ((b"EXIF", tiff(second())), (b"XMP ", words))
    )
    body = b"WEBP" + chunks + shown("WEBP")[12:] + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _gif() -> bytes:
    """Return a GIF with a picture in a comment and in an application's extension (GIF89a, sections 24 and 26)."""
    plain, inner = shown("GIF"), second()
    blocks = b"".join(
        bytes((len(part),)) + part for part in (inner[at : at + 255] for at in range(0, len(inner), 255))
    )
    return plain[:-1] + b"\x21\xfe" + blocks + b"\0\x21\xff\x0bPREVIEW 1.0" + blocks + b"\0" + plain[-1:]


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def _full(name: bytes, *parts: bytes, flags: int = 0, version: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), *parts)


def _property(source: bytes, name: bytes) -> bytes:
    at = source.index(name) - 4
    return source[at : at + int.from_bytes(source[at : at + 4], "big")]


def _avif() -> bytes:
    """Return an AVIF with a gain map, a thumbnail, and Exif with another (AV1 Image File Format 1.2, 4.2.2; ISO/IEC 23008-12)."""
    one, other = shown("AVIF"), encoded("red", SMALL, "AVIF")
    names = (b"av1C", b"ispe", b"pixi")
    gain = struct.pack(">BHHB", 0, 0, 0, 0x40) + struct.pack(">14I", 1, 1, 2, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1)
    items = [
        (b"av01", one[one.index(b"mdat") + 4 :], 0, (0x81, 2, 3)),
        (b"av01", other[other.index(b"mdat") + 4 :], 1, (0x84, 5, 6)),
        (b"tmap", gain, 0, (2, 3)),
        (b"av01", other[other.index(b"mdat") + 4 :], 1, (0x84, 5, 6)),
        (b"Exif", bytes(4) + tiff(second()), 1, ()),
    ]
    meta = _items(items, [_property(source, name) for source in (one, other) for name in names], 0)
    head = _box(b"ftyp", b"avif", bytes(4), b"avif", b"mif1", b"miaf", b"tmap", b"MA1B")
    meta = _items(
        items,
        [_property(source, name) for source in (one, other) for name in names],
        len(head) + len(meta) + 8,
    )
    return head + meta + _box(b"mdat", *(data for _, data, _, _ in items))


def _items(
    items: list[tuple[bytes, bytes, int, tuple[int, ...]]], properties: list[bytes], start: int
) -> bytes:
    entries, places, ties = [], [], []
    for number, (kind, data, hidden, tied) in enumerate(items, 1):
        entries.append(_full(b"infe", struct.pack(">HH", number, 0), kind, b"\0", flags=hidden, version=2))
        places.append(struct.pack(">HHHII", number, 0, 1, start, len(data)))
        ties.append(struct.pack(">HB", number, len(tied)) + bytes(tied))
        start += len(data)
    return _full(
        b"meta",
        _full(b"hdlr", bytes(4), b"pict", bytes(13)),
        _full(b"pitm", struct.pack(">H", 1)),
        _full(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *places),
        _full(b"iinf", struct.pack(">H", len(items)), *entries),
        _full(
            b"iref",
            _box(b"dimg", struct.pack(">HHHH", 3, 2, 1, 2)),
            _box(b"thmb", struct.pack(">HHH", 4, 1, 1)),
            _box(b"cdsc", struct.pack(">HHH", 5, 1, 1)),
        ),
        _box(b"iprp", _box(b"ipco", *properties), _full(b"ipma", struct.pack(">I", len(items)), *ties)),
        _box(b"grpl", _full(b"altr", struct.pack(">IIII", 100, 2, 3, 1))),
    )


def carriers() -> dict[str, bytes]:
    """Return every file, by what it carries and how."""
    inner = second()
    heic = _box(b"ftyp", b"heic", bytes(4), b"mif1heic") + _box(b"mdat", SECRET * 20)
    raw = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n" + tiff(inner).hex().encode())
    words = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<xmp:Thumbnails>" + base64.b64encode(inner))
    return {
        "JPEG, Exif's thumbnail": _behind_jfif(_segment(0xE1, b"Exif\0\0", tiff(inner))),
        "JPEG, a HEIC in Exif": _behind_jfif(_segment(0xE1, b"Exif\0\0", tiff(heic))),
        "JPEG, two pictures": _of_two(),
        "JPEG, two pictures, little-endian": _of_two(order="<"),
        "JPEG, Exif and two pictures": _of_two(_segment(0xE1, b"Exif\0\0", tiff(inner))),
        "JPEG, a long Exif and two pictures": _of_two(
            _segment(0xE1, b"Exif\0\0", tiff(inner + bytes(50_000))),
            _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0", b" " * 60_000),
        ),
        "JPEG, gain map": _hdr(),
        "JPEG, Photoshop's thumbnail": _photoshop(),
        "JPEG, JFIF's thumbnail": _uncompressed(),
        "JPEG, JFXX' thumbnail": _behind_jfif(_segment(0xE0, b"JFXX\0\x10", inner)),
        "JPEG, extended XMP": _extended_xmp(),
        "JPEG, behind its end": shown("JPEG") + inner + heic,
        "PNG, eXIf": _png(_chunk(b"eXIf", tiff(inner))),
        "PNG, compressed texts": _png(_chunk(b"zTXt", raw), _chunk(b"iTXt", words)),
        "PNG, a private chunk and behind its end": _png(_chunk(b"prVw", inner), after=inner),
        "WebP": _webp(),
        "GIF": _gif(),
        "AVIF": _avif(),
    }


def parts(body: bytes) -> list[str]:
    """Return the names of all that a JPEG, PNG, WebP, GIF or AVIF consists of; what comes after its end is ``"rest"``."""
    walk = {b"\xff\xd8": _jpeg_parts, b"\x89P": _png_parts, b"RI": _webp_parts, b"GI": _gif_parts}
    return list(walk.get(body[:2], _avif_parts)(body))


def _jpeg_parts(body: bytes) -> Iterator[str]:
    at = 2
    while body[at + 1] != 0xD9:
        marker, length = body[at + 1], int.from_bytes(body[at + 2 : at + 4], "big")
        name = body[at + 4 : at + 9].decode("latin-1") if 0xE0 <= marker < 0xF0 else ""
        yield f"{marker:02X}" + (f" {name} {length}" if name else "")
        at += 2 + length
        while marker == 0xDA and (body[at] != 0xFF or body[at + 1] in {0, *range(0xD0, 0xD8)}):
            at += 1
    if at + 2 < len(body):
        yield "rest"


def _png_parts(body: bytes) -> Iterator[str]:
    at, name = 8, ""
    while name != "IEND":
        name = body[at + 4 : at + 8].decode("latin-1")
        yield name
        at += 12 + int.from_bytes(body[at : at + 4], "big")
    if at < len(body):
        yield "rest"


def _webp_parts(body: bytes) -> Iterator[str]:
    at, end = 12, 8 + int.from_bytes(body[4:8], "little")
    while at < end:
        yield body[at : at + 4].decode("latin-1")
        length = int.from_bytes(body[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    if end < len(body):
        yield "rest"


def _gif_parts(body: bytes) -> Iterator[str]:
    at = 13 + (3 << (body[10] & 7) + 1 if body[10] & 0x80 else 0)
    while body[at] != 0x3B:
        if body[at] == 0x21:
            name = body[at + 3 : at + 14].decode("latin-1") if body[at + 1] == 0xFF else ""
            yield f"{body[at + 1]:02X} {name}".strip()
            at += 2
        else:
            yield "picture"
            flags = body[at + 9]
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        while body[at]:
            at += 1 + body[at]
        at += 1
    if at + 1 < len(body):
        yield "rest"


def _avif_parts(body: bytes) -> Iterator[str]:
    at = 0
    while at < len(body):
        length, name = int.from_bytes(body[at : at + 4], "big"), body[at + 4 : at + 8]
        yield name.decode("latin-1")
        if name == b"meta":
            inner = body[at : at + length]
            yield from (part[8:12].decode("latin-1") for part in inner.split(b"infe")[1:])
        at += length
