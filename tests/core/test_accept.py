"""Reading Accept fields."""

from __future__ import annotations

import pytest

from antiscrape.core.accept import MOST_RANGES, media_ranges, weight_of


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"", {}),
        (b"image/avif,image/webp,*/*;q=0.8", {b"image/avif": 1, b"image/webp": 1, b"*/*": 0.8}),
        (b" Image/PNG ; Q=0.500 , image/*;q=0", {b"image/png": 0.5, b"image/*": 0}),
        (b"image/webp;v=2;q=0.2, image/webp;q=0.4", {b"image/webp": 0.4}),
        (b"image/png;q=1.0,image/gif;q=1.", {b"image/png": 1, b"image/gif": 1}),
        (b"png, /, image/, /png, ;q=1, ,", {}),
    ],
)
def test_ranges_and_their_weights_are_read(field: bytes, expected: dict[bytes, float]) -> None:
    assert media_ranges(field) == expected


@pytest.mark.parametrize("weight", [b"", b"2", b"1.001", b"-1", b"0.1234", b"nan", b"1e0", b".5", b"0x1"])
def test_a_weight_that_is_none_takes_its_range_along(weight: bytes) -> None:
    """RFC 9110 §12.4.2: zero to one with at most three decimals."""
    assert b"image/webp" not in media_ranges(b"image/webp;q=" + weight)


def test_the_most_specific_range_tells() -> None:
    """RFC 9110 §12.5.1."""
    ranges = media_ranges(b"*/*;q=0.1, image/*;q=0.5, image/gif;q=0")
    assert weight_of(b"image/gif", ranges) == 0
    assert weight_of(b"image/png", ranges) == 0.5
    assert weight_of(b"text/html", ranges) == 0.1
    assert weight_of(b"text/html", media_ranges(b"image/*")) is None


def test_a_field_of_a_thousand_ranges_is_read_in_part() -> None:
    assert len(media_ranges(b",".join(b"a/%d" % number for number in range(1000)))) == MOST_RANGES


def test_no_bytes_raise() -> None:
    for byte in range(256):
        media_ranges(bytes([byte]) * 3 + b"/a;q=\xff, image/" + bytes([byte]))
