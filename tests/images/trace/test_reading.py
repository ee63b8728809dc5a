"""Reading: every attack once, on one photograph of 512 x 600 pixels, and what must not be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from antiscrape.core.trace import shorten, unpack
from antiscrape.images.trace.code import encode
from antiscrape.images.trace.embedding import embed
from antiscrape.images.trace.reading import read
from antiscrape.images.trace.words import Word, read_words
from loadtests.trace_attacks import ALONE, TOGETHER, jpeg, resized, turned
from tests.images.trace.conftest import ANOTHER, PAYLOAD

if TYPE_CHECKING:
    from antiscrape.images.trace.reading import Reading


@pytest.fixture(scope="module")
def served(portrait: Image.Image, key: bytes) -> Image.Image:
    return jpeg(embed(portrait, PAYLOAD, key), 88)


@pytest.fixture(scope="module")
def served_to_another(portrait: Image.Image, key: bytes) -> Image.Image:
    return jpeg(embed(portrait, ANOTHER, key), 88)


def payloads(reading: Reading | None) -> list[int]:
    return [word.payload for word in reading.words if not word.short] if reading else []


#: What is promised; the others of the trial are hard for a photograph as small as this.
SURVIVED = [
    "JPEG 30", "size x 0.5, JPEG 85", "height x 0.9", "noise, 8 levels", "mirrored", "screenshot x 0.85, JPEG 80",
    "turned -3 degrees, JPEG 75", "tiles of 128 folded, subtracted", "crop 30 % a side",
]  # fmt: skip


@pytest.mark.parametrize("name", SURVIVED)
def test_a_mark_survives(name: str, served: Image.Image, key: bytes) -> None:
    assert payloads(read(ALONE[name](served), [key])) == [PAYLOAD]


def test_the_mean_of_two_copies_names_their_takers(
    served: Image.Image, served_to_another: Image.Image, key: bytes
) -> None:
    named = payloads(read(TOGETHER["two copies averaged"](served, served_to_another), [key]))
    assert named
    assert set(named) <= {PAYLOAD, ANOTHER}


def test_the_geometry_is_told(served: Image.Image, key: bytes) -> None:
    reading = read(ImageOps.mirror(turned(resized(served, 0.8, 0.72), 2)), [key])
    assert reading is not None
    assert reading.geometry.mirrored
    assert reading.geometry.across == pytest.approx(0.8, abs=0.01)
    assert reading.geometry.down == pytest.approx(0.72, abs=0.01)
    assert abs(reading.geometry.turned) == pytest.approx(2, abs=0.3)


def test_any_of_several_keys_reads(served: Image.Image, key: bytes) -> None:
    reading = read(resized(served, 0.5), [b"a key that is newer", key])
    assert reading is not None
    assert reading.key == 1
    assert payloads(reading) == [PAYLOAD]


def test_another_key_reads_nothing(served: Image.Image) -> None:
    assert read(resized(served, 0.5), [b"a stranger's key"]) is None


def test_nothing_is_read_of_a_picture_without_a_mark(portrait: Image.Image, key: bytes) -> None:
    assert read(ImageOps.mirror(resized(portrait, 0.5)), [key]) is None


def test_a_mark_in_a_jpegs_own_colours_reads_alike(portrait: Image.Image, key: bytes) -> None:
    marked = embed(portrait.convert("YCbCr"), PAYLOAD, key)
    assert payloads(read(jpeg(marked.convert("RGB"), 88), [key])) == [PAYLOAD]


def test_a_preview_says_the_short_form(portrait: Image.Image, key: bytes) -> None:
    small = portrait.copy()
    small.thumbnail((256, 256))
    reading = read(jpeg(embed(small, PAYLOAD, key), 80), [key])
    assert reading is not None
    assert [(word.short, word.payload) for word in reading.words] == [(True, shorten(unpack(PAYLOAD)).pack())]


def test_a_large_picture_is_marked_in_larger_chips_and_read_at_half_its_size(
    portrait: Image.Image, key: bytes
) -> None:
    large = portrait.resize((2200, 2640), Image.Resampling.BICUBIC)
    marked = embed(large, PAYLOAD, key)
    assert payloads(read(marked, [key])) == [PAYLOAD]


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("L", (1, 1)),
        Image.new("RGB", (47, 400)),
        Image.new("RGB", (99, 99), (255, 255, 255)),
        Image.effect_noise((100, 80), 90),
        Image.new("L", (2900, 60), 9),
    ],
)
def test_odd_pictures_read_as_nothing(picture: Image.Image, key: bytes) -> None:
    assert read(picture, [key]) is None


def test_words_are_told_apart_from_noise() -> None:
    """A weak word is found among all values of all symbols; noise holds none."""
    weights = np.random.default_rng(3).normal(size=(15, 256))
    assert read_words(weights) == []
    weights[np.arange(15), list(encode(PAYLOAD))] += 5.5
    weights[np.arange(15), list(encode(12345, short=True))] += 4.5
    found = read_words(weights)
    assert {(word.payload, word.short) for word in found} == {(PAYLOAD, False), (12345, True)}
    assert all(isinstance(word, Word) and word.sure > 7 for word in found)
