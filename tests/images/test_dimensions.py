"""Reading a picture's size from the first bytes of its file."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Literal

import pytest
from PIL import Image

from antiscrape.images.dimensions import long_side, sideways, size
from tests.costs import ends

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.conftest import Encode


@pytest.mark.parametrize("dimensions", [(1, 1), (640, 3), (3, 640), (1023, 1024)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF"])
def test_the_size_is_what_pillow_reads(kind: str, dimensions: tuple[int, int], encode: Encode) -> None:
    source = encode(Image.new("RGB", dimensions), kind)
    assert long_side(source) == max(dimensions)
    assert size(source) == dimensions


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}]
)
def test_each_kind_of_webp_is_read(options: dict[str, object], encode: Encode) -> None:
    """Lossless, lossy, and extended (which holds Exif)."""
    assert size(encode(Image.new("RGB", (700, 300)), "WEBP", **options)) == (700, 300)


def test_a_progressive_jpeg_is_read(encode: Encode) -> None:
    assert long_side(encode(Image.new("RGB", (700, 300)), "JPEG", progressive=True)) == 700


def test_bitmaps_of_either_header_are_read() -> None:
    """Rows from the top are told by a negative height; the core header has 16-bit sizes."""
    assert long_side(b"BM" + bytes(12) + struct.pack("<Iii", 40, 10, -300) + bytes(28)) == 300
    assert long_side(b"BM" + bytes(12) + struct.pack("<IHH", 12, 10, 300) + bytes(28)) == 300


def test_a_jpeg_with_a_long_exif_is_read_once_enough_of_it_is_there(photo: bytes) -> None:
    exif = b"\xff\xe1" + struct.pack(">H", 60_002) + bytes(60_000)
    long = photo[:2] + exif + photo[2:]
    assert long_side(long[:4096]) is None
    assert long_side(long[:65536]) == 600


def test_fill_bytes_before_a_marker_are_skipped(photo: bytes) -> None:
    """ISO/IEC 10918-1, B.1.1.2."""
    assert long_side(photo[:2] + b"\xff" * 20 + photo[2:]) == 600


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF"])
def test_a_size_that_has_not_come_yet_is_none(kind: str, encode: Encode) -> None:
    """No prefix of a file gives a wrong size."""
    whole = encode(Image.new("RGB", (700, 300)), kind)
    assert {long_side(whole[:length]) for length in range(min(400, len(whole)))} <= {None, 700}


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_portrait_that_is_stored_lying_is_told_by_its_exif(
    orientation: int, order: Literal["little", "big"], encode: Encode
) -> None:
    exif = Image.Exif()
    exif.endian = "<" if order == "little" else ">"
    exif[0x010E], exif[0x010F], exif[0x0112] = "a description", "a maker", orientation
    source = encode(Image.new("RGB", (40, 30)), "JPEG", exif=exif.tobytes())
    assert sideways(source) == (5 <= orientation <= 8)
    assert not any(sideways(source[:length]) for length in range(60))
    assert not sideways(source.replace(b"Exif", b"Exof"))


def test_a_size_of_zero_is_none() -> None:
    assert long_side(b"GIF89a" + bytes(20)) is None


@pytest.mark.security("E2")
def test_hostile_bytes_never_raise(photo: bytes, encode: Encode) -> None:
    seeds = [
        photo,
        *(encode(Image.new("RGB", (9, 9)), kind) for kind in ("PNG", "GIF", "BMP", "WEBP", "AVIF")),
    ]
    chance = random.Random(20)
    for _ in range(3000):
        head = bytearray(chance.choice(seeds)[: chance.randrange(1, 300)])
        for _ in range(chance.randrange(4)):
            head[chance.randrange(len(head))] = chance.randrange(256)
        found = long_side(bytes(head))
        assert found is None or found > 0
        both = size(bytes(head))
        assert both is None or min(both) > 0
        sideways(bytes(head))


@pytest.mark.security("E2")
@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xd8" + b"\xff" * 2**20,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 2**18,
        b"\xff\xd8" + b"\xff\xe0\0\0" * 2**18,
        b"\xff\xd8" + b"\xff\x01" * 2**19,
        b"\0\0\0\x20ftypavif" + b"\0\0\0\x14ispe" * 2**17,
        b"\0\0\0\x20ftypavif" + b"\0\0\0\x14isp" * 2**17,
    ],
)
def test_a_megabyte_of_markers_are_read_once(head: bytes) -> None:
    with ends():
        long_side(head)


def test_the_bad_files_of_the_corpora_never_raise(shared: Path) -> None:
    for name in ("pillow-bad-images", "pngsuite"):
        for path in (shared / "corpora" / name / "Tests", shared / "corpora" / name / "tests"):
            for file in path.rglob("*"):
                if file.is_file():
                    long_side(file.read_bytes())
