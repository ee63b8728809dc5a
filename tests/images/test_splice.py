"""A comment in a file's bytes: the file stays what it was, and the comment is found again."""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import trace_keys, unpack
from antiscrape.images.splice import LOOKED_AT, Token, find_tokens, splice, token

if TYPE_CHECKING:
    from tests.images.conftest import Encode

KEYS = trace_keys(
    KeyRing([b"an-older-secret-of-the-site-0123456789", b"the-newest-secret-of-the-site-98765432"])
)
PAYLOAD = 0x1F0E2D3C4B5A69
TEXT = token(KEYS[0], PAYLOAD)


def card(mode: str = "RGB") -> Image.Image:
    picture = Image.linear_gradient("L").resize((61, 47)).convert("RGB")
    if mode == "RGBA":
        picture.putalpha(Image.radial_gradient("L").resize((61, 47)))
    return picture if mode in {"RGB", "RGBA"} else picture.convert(mode)


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


KINDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "JPEG": ("JPEG", "RGB", {}),
    "JPEG, Exif": ("JPEG", "RGB", {"exif": exif()}),
    "JPEG, progressive, grey": ("JPEG", "L", {"progressive": True}),
    "PNG": ("PNG", "RGB", {}),
    "PNG, palette": ("PNG", "P", {}),
    "GIF": ("GIF", "P", {}),
    "GIF, animated": ("GIF", "P", {"save_all": True, "append_images": [card("P").rotate(90)], "loop": 0}),
    "WebP": ("WEBP", "RGB", {}),
    "WebP, alpha": ("WEBP", "RGBA", {}),
    "WebP, lossless": ("WEBP", "RGB", {"lossless": True}),
    "WebP, lossless, alpha": ("WEBP", "RGBA", {"lossless": True, "exact": True}),
    "WebP, animated": ("WEBP", "RGB", {"save_all": True, "append_images": [card().rotate(90)]}),
    "WebP, Exif": ("WEBP", "RGB", {"exif": exif()}),
    "AVIF": ("AVIF", "RGB", {}),
}


@pytest.fixture(scope="module")
def sources(encode: Encode) -> dict[str, bytes]:
    return {name: encode(card(mode), kind, **options) for name, (kind, mode, options) in KINDS.items()}


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, sources: dict[str, bytes]) -> bytes:
    return sources[request.param]


def joined(source: bytes, chunk: int) -> tuple[bytes, int]:
    spliced = splice(source[:chunk], TEXT)
    assert spliced is not None
    return spliced.head + source[chunk:] + spliced.tail, spliced.growth


def frames(source: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(source)) as opened:
        return [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(opened)]


@pytest.mark.parametrize("chunk", [1024, LOOKED_AT, 2**20])
def test_the_pixels_stay_and_the_growth_is_as_told(source: bytes, chunk: int) -> None:
    whole, growth = joined(source, chunk)
    assert len(whole) == len(source) + growth
    assert frames(whole) == frames(source)
    with Image.open(io.BytesIO(source)) as before, Image.open(io.BytesIO(whole)) as after:
        assert after.getexif() == before.getexif()
        assert after.info.get("loop") == before.info.get("loop")
        assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)


def test_the_token_is_found_and_says_what_was_said(source: bytes) -> None:
    whole, _ = joined(source, 1024)
    assert find_tokens(whole, KEYS) == [Token(unpack(PAYLOAD), 0)]
    assert find_tokens(source, KEYS) == []


def test_a_token_ends_where_it_ends_whatever_follows(encode: Encode) -> None:
    """A PNG's chunk ends with a CRC, which in one of four begins with a byte that base64 has, too."""
    plain = encode(card(), "PNG")
    for payload in range(64):
        spliced = splice(plain, token(KEYS[0], payload))
        assert spliced is not None
        assert find_tokens(spliced.head, KEYS) == [Token(unpack(payload), 0)]


def test_the_growth_does_not_depend_on_the_chunk(source: bytes) -> None:
    assert len({joined(source, chunk)[1] for chunk in (900, 1500, 2**20)}) == 1


def test_other_programs_read_the_file_as_what_it_is(source: bytes) -> None:
    if shutil.which("file") is None:
        pytest.skip("file(1) is not installed")

    def told(content: bytes) -> str:
        done = subprocess.run(
            ["file", "-b", "--mime-type", "-"], input=content, capture_output=True, timeout=120, check=True
        )
        return done.stdout.decode()

    assert told(joined(source, 1024)[0]) == told(source)


def test_a_webp_says_its_true_length(encode: Encode) -> None:
    """RFC 9649 §2.4: the size in the header is the file's, less eight."""
    for mode in ("RGB", "RGBA"):
        whole, _ = joined(encode(card(mode), "WEBP"), 1024)
        assert int.from_bytes(whole[4:8], "little") == len(whole) - 8
        assert whole[12:16] == b"VP8X"


def test_jfif_and_exif_headers_stay_in_front(encode: Encode) -> None:
    whole, _ = joined(encode(card(), "JPEG", exif=exif()), 1024)
    assert whole[2:4] == b"\xff\xe0"
    at = 4 + int.from_bytes(whole[4:6], "big")
    assert whole[at : at + 2] == b"\xff\xe1"
    assert whole.index(TEXT) > at


@pytest.mark.parametrize(
    "head", [b"", b"<svg/>", b"BM" + bytes(60), b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "]
)
def test_what_is_not_a_beginning_of_ours_is_left_alone(head: bytes) -> None:
    assert splice(head, TEXT) is None


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=60), st.integers(0, 80), st.integers(12, 200))
def test_nonsense_never_raises(
    sources: dict[str, bytes], name: str, noise: bytes, at: int, chunk: int
) -> None:
    head = bytearray(sources[name][:chunk])
    head[at : at + len(noise)] = noise
    spliced = splice(bytes(head), TEXT)
    assert spliced is None or len(spliced.head) + len(spliced.tail) == len(head) + spliced.growth


def test_a_token_that_nobody_signed_is_passed_over() -> None:
    flipped = TEXT[:-3] + bytes((TEXT[-3] ^ 1,)) + TEXT[-2:]
    assert find_tokens(b"\xff\xd8" + flipped, KEYS) == []
    assert find_tokens(flipped + b" " + TEXT + b" " + TEXT, KEYS) == [Token(unpack(PAYLOAD), 0)]
    assert find_tokens(token(KEYS[1], PAYLOAD), KEYS) == [Token(unpack(PAYLOAD), 1)]
    assert find_tokens(TEXT, KEYS[1:]) == []


def test_tokens_are_of_one_length() -> None:
    assert {len(token(KEYS[0], payload)) for payload in (0, 1, 2**56 - 1)} == {len(b"antiscrape-trace:") + 22}
    with pytest.raises(OverflowError):
        token(KEYS[0], 2**56)
