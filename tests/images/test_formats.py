"""What is decoded at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from antiscrape.images.formats import CLASSIC, EVERY, Format, accepted, sniff

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.conftest import Encode


@pytest.mark.parametrize("kind", list(Format))
def test_each_format_is_told_by_its_own_first_bytes(kind: Format, encode: Encode) -> None:
    assert sniff(encode(Image.new("RGB", (8, 8)), kind.value)) is kind


@pytest.mark.security("E1")
@pytest.mark.parametrize("kind", ["BMP", "EPS", "ICO", "JPEG2000", "PCX", "PDF", "PPM", "SGI", "TGA", "TIFF"])
def test_no_other_format_is_decoded(kind: str, encode: Encode) -> None:
    assert sniff(encode(Image.new("RGB", (8, 8)), kind)) is None


@pytest.mark.security("E9")
@pytest.mark.parametrize(
    "text", ["<svg xmlns='http://www.w3.org/2000/svg'/>", "<?xml version='1.0'?><svg/>", "<!DOCTYPE html>"]
)
def test_markup_is_no_picture(text: str) -> None:
    assert sniff(text.encode()) is None


@pytest.mark.security("E1")
@pytest.mark.parametrize(
    "head",
    [b"", b"\xff", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypmp42", b"\0\0\0\x18ftypheic"],
)
def test_a_beginning_is_not_enough(head: bytes) -> None:
    assert sniff(head) is None


@pytest.mark.security("E1")
def test_pillows_own_bad_files_are_told_by_content_not_by_suffix(shared: Path) -> None:
    """A suffix says nothing: what passes here is what Pillow itself finds to be of that format, or nonsense in it."""
    seen = dict.fromkeys((*Format, None), 0)
    for path in (shared / "corpora/pillow-bad-images/Tests").rglob("*"):
        if path.is_file():
            seen[sniff(path.read_bytes()[:32])] += 1
    assert seen[Format.PNG] > 50
    assert seen[None] > 80


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        # what browsers send for <img>: Chrome, Firefox, Safari, an older Safari; then curl, and nobody
        (b"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", EVERY),
        (b"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", EVERY),
        (
            b"image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/*;q=0.5",
            EVERY,
        ),
        (b"image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5", CLASSIC),
        (b"*/*", CLASSIC),
        (b"", CLASSIC),
        (b"image/webp", Format.WEBP.bit),
        (b"image/jpeg", Format.JPEG.bit),
        (b"image/*, image/gif;q=0", CLASSIC - Format.GIF.bit),
        (b"image/*, image/webp;q=0", CLASSIC),
        (b"image/avif;q=0.1, */*;q=0", Format.AVIF.bit),
        # nothing that is made here: answered all the same
        (b"text/html", CLASSIC),
        (b"image/svg+xml", CLASSIC),
        (b"*/*;q=0", CLASSIC),
    ],
)
def test_new_formats_are_for_those_who_name_them(accept: bytes, taken: int) -> None:
    assert accepted(accept) == taken


def test_the_bits_of_the_formats_are_apart() -> None:
    assert CLASSIC < EVERY == sum(1 << place for place in range(len(Format)))
