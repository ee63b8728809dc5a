"""Opening strangers' files in a process that can do nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from antiscrape.images.decode import Refused
from antiscrape.images.trace import confined
from antiscrape.images.trace.confined import open_confined

if TYPE_CHECKING:
    from tests.images.conftest import Encode

MOST = 10**6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_every_format_comes_back_as_brightness(kind: str, encode: Encode) -> None:
    card = Image.linear_gradient("L").resize((90, 70))
    options = {"lossless": True} if kind == "WEBP" else {}
    opened = open_confined(encode(card.convert("RGB"), kind, **options), max_pixels=MOST)
    assert (opened.mode, opened.size) == ("L", (90, 70))
    assert max(abs(a - b) for a, b in zip(opened.tobytes(), card.tobytes(), strict=True)) < 8


def test_the_picture_comes_upright(encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_confined(encode(Image.new("RGB", (90, 70)), "JPEG", exif=exif), max_pixels=MOST).size == (
        70,
        90,
    )


@pytest.mark.security("E1")
@pytest.mark.parametrize(
    "source", [b"", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff" + bytes(500)]
)
def test_what_is_no_picture_is_refused(source: bytes) -> None:
    with pytest.raises(Refused):
        open_confined(source, max_pixels=MOST)


@pytest.mark.security("E2")
def test_too_many_pixels_are_refused(encode: Encode) -> None:
    with pytest.raises(Refused):
        open_confined(encode(Image.new("L", (2000, 2000)), "PNG"), max_pixels=MOST)


@pytest.mark.security("E2")
def test_a_decoder_that_takes_too_long_is_ended(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "TIMEOUT", 0.001)
    with pytest.raises(Refused, match="longer"):
        open_confined(encode(Image.new("L", (9, 9)), "PNG"), max_pixels=MOST)


@pytest.mark.security("E1")
def test_hostile_files_raise_nothing_else() -> None:
    """A sample: decoding them all is ``tests/images/test_hostile.py``'s."""
    folder = Path(os.environ.get("ANTISCRAPE_SHARED", "shared")) / "corpora/pillow-bad-images"
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png", ".webp", ".gif"})[:6]
    if not files:
        pytest.skip("the corpus is not here")
    for path in files:
        try:
            opened = open_confined(path.read_bytes(), max_pixels=MOST)
        except Refused:
            continue
        assert opened.mode == "L"
