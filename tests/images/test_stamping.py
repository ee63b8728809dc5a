"""Copies with a trace: as their base in everything but the trace."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops

from antiscrape.core.renditions import RightsRules
from antiscrape.images.frames import Order, Outcome, Task
from antiscrape.images.metadata import compose
from antiscrape.images.stamping import Stamp

if TYPE_CHECKING:
    from tests.images.conftest import Encode


def inverted(pixels: Image.Image, payload: int, key: bytes) -> Image.Image:
    """Stand for a trace that nobody could miss."""
    assert (payload, key) == (77, b"key")
    return ImageChops.invert(pixels.convert("RGB"))


_STAMP = Stamp(b"key", inverted, compose(RightsRules(notice="© Photos e.V.")))
_ORDER = Order(Task.STAMP, payload=77)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "PNG", "GIF"])
def test_a_copy_has_the_format_of_its_base_and_says_whose_it_is(kind: str, encode: Encode) -> None:
    base = encode(Image.new("RGB", (60, 40), (200, 60, 20)), kind)
    reply = _STAMP.make(base, _ORDER, max_pixels=10**6)
    assert reply.outcome is Outcome[kind]
    assert "© Photos e.V.".encode() in reply.body
    with Image.open(io.BytesIO(reply.body)) as opened:
        assert opened.convert("RGB").getpixel((30, 20)) == pytest.approx((55, 195, 235), abs=8)


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_an_animation_goes_on_moving_with_a_trace_in_every_frame(kind: str, encode: Encode) -> None:
    shades = [Image.new("RGB", (60, 40), (shade, 60, 20)) for shade in (0, 100, 200)]
    base = encode(shades[0], kind, save_all=True, append_images=shades[1:], duration=80)
    reply = _STAMP.make(base, _ORDER, max_pixels=10**6)
    assert reply.outcome is Outcome[kind]
    with Image.open(io.BytesIO(reply.body)) as opened:
        for number in range(3):
            opened.seek(number)
            assert opened.convert("RGB").getpixel((30, 20)) == pytest.approx(
                (255 - 100 * number, 195, 235), abs=8
            )
