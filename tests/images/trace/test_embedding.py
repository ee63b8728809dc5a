"""Laying a mark in: what changes, how far, and what does not."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops, ImageStat

from antiscrape.core.renditions import RightsRules
from antiscrape.images.frames import Order, Task
from antiscrape.images.stamping import stamps
from antiscrape.images.trace import embed
from antiscrape.images.trace.embedding import FINE_UP_TO, chip_side
from antiscrape.images.trace.reading import read
from tests.images.trace.conftest import ANOTHER, PAYLOAD

if TYPE_CHECKING:
    from tests.images.conftest import Encode


def rms(one: Image.Image, other: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).rms)


def extremes(grey: Image.Image) -> tuple[int, int]:
    values = grey.tobytes()
    return min(values), max(values)


def test_size_and_mode_stay(portrait: Image.Image, key: bytes) -> None:
    for mode in ("RGB", "RGBA", "L", "YCbCr"):
        given = portrait.convert(mode)
        marked = embed(given, PAYLOAD, key)
        assert (marked.mode, marked.size) == (given.mode, given.size)
        assert 1.0 < rms(marked, given) < 3.0


def test_the_given_picture_is_left_alone(portrait: Image.Image, key: bytes) -> None:
    before = portrait.tobytes()
    embed(portrait, PAYLOAD, key)
    assert portrait.tobytes() == before


def test_alpha_stays(portrait: Image.Image, key: bytes) -> None:
    given = portrait.convert("RGBA")
    given.putalpha(Image.linear_gradient("L").resize(given.size))
    assert embed(given, PAYLOAD, key).getchannel("A").tobytes() == given.getchannel("A").tobytes()


def test_only_brightness_changes(key: bytes) -> None:
    flat = Image.new("RGB", (256, 256), (90, 130, 170))
    red, green, blue = embed(flat, PAYLOAD, key).split()
    assert ImageChops.subtract(green, red).getextrema() == (40, 40)
    assert ImageChops.subtract(blue, green).getextrema() == (40, 40)


def test_a_flat_place_changes_by_a_few_levels(key: bytes) -> None:
    flat = Image.new("L", (1000, 700), 128)
    low, high = extremes(embed(flat, PAYLOAD, key))
    assert 124 <= low < 128 < high <= 132


def test_black_and_white_do_not_wrap_round(key: bytes) -> None:
    for level in (0, 255):
        low, high = extremes(embed(Image.new("L", (400, 400), level), PAYLOAD, key))
        assert abs(level - low) < 5
        assert abs(level - high) < 5


def test_texture_hides_more_than_a_sky(key: bytes) -> None:
    rough = Image.effect_noise((400, 400), 40)
    flat = Image.new("L", (400, 400), 128)
    assert rms(embed(rough, PAYLOAD, key), rough) > 1.5 * rms(embed(flat, PAYLOAD, key), flat)


def test_a_steep_slope_counts_as_smooth(key: bytes) -> None:
    slope, flat = Image.linear_gradient("L").resize((512, 512)), Image.new("L", (512, 512), 128)
    middle = (64, 64, 448, 448)
    sloped = rms(embed(slope, PAYLOAD, key).crop(middle), slope.crop(middle))
    assert sloped < 1.3 * rms(embed(flat, PAYLOAD, key).crop(middle), flat.crop(middle))


def test_two_takers_get_different_pixels_and_one_always_the_same(portrait: Image.Image, key: bytes) -> None:
    one = embed(portrait, PAYLOAD, key)
    assert embed(portrait, PAYLOAD, key).tobytes() == one.tobytes()
    assert embed(portrait, ANOTHER, key).tobytes() != one.tobytes()


@pytest.mark.parametrize("size", [(48, 48), (49, 400), (401, 399), (1025, 51), (321, 66)])
def test_any_size_can_be_marked(size: tuple[int, int], key: bytes) -> None:
    assert embed(Image.new("RGB", size, (99, 99, 99)), PAYLOAD, key).size == size


def test_a_stamping_worker_marks_what_another_made(portrait: Image.Image, key: bytes, encode: Encode) -> None:
    order = Order(Task.STAMP, payload=PAYLOAD)
    base = encode(portrait, "JPEG", quality=90)
    reply = stamps(key, RightsRules())[Task.STAMP].make(base, order, max_pixels=10**6)
    with Image.open(io.BytesIO(reply.body)) as copy:
        assert copy.size == portrait.size
        assert rms(copy, portrait) > 1.5
        reading = read(copy, [key])
    assert reading is not None
    assert [word.payload for word in reading.words] == [PAYLOAD]


def test_chips_grow_with_pictures() -> None:
    assert [chip_side(side) for side in (1, FINE_UP_TO, FINE_UP_TO + 2, 2 * FINE_UP_TO, 10_000)] == [
        4,
        4,
        8,
        8,
        32,
    ]


def test_what_cannot_be_marked_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="mode P"):
        embed(Image.new("P", (64, 64)), PAYLOAD, key)
    with pytest.raises(ValueError, match="too small"):
        embed(Image.new("RGB", (47, 500)), PAYLOAD, key)
    with pytest.raises(ValueError, match="56 bits"):
        embed(Image.new("RGB", (64, 64)), 2**56, key)
