"""The picture that shows nothing."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from antiscrape.images.placeholder import HEIGHT, WIDTH, placeholder_png


def _pixels(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
        opened.load()
        return opened.copy()


def test_it_is_a_small_valid_picture() -> None:
    png = placeholder_png("Preview")
    assert _pixels(png).size == (WIDTH, HEIGHT)
    assert len(png) < 1200


def test_it_is_the_same_every_time() -> None:
    first = placeholder_png("Preview")
    placeholder_png.cache_clear()
    assert placeholder_png("Preview") == first


def test_it_is_marked_in_its_corner() -> None:
    """White words on a dark badge; none where the mark is empty."""
    corner = (WIDTH - 130, HEIGHT - 45, WIDTH, HEIGHT)
    assert _pixels(placeholder_png("Preview")).crop(corner).getextrema() == (0x55, 0xFF)
    assert _pixels(placeholder_png("")).crop(corner).getextrema() == (0xE9, 0xE9)


def test_different_words_look_different() -> None:
    assert placeholder_png("Preview") != placeholder_png("Private")
    assert placeholder_png("Aperçu") == placeholder_png("apercu")


@pytest.mark.security("E3")
@pytest.mark.parametrize("mark", ["x" * 10_000, "\0\n\x1b[31m", "プレビュー", "<script>", " ", "-" * 21])
def test_any_mark_makes_a_picture(mark: str) -> None:
    assert _pixels(placeholder_png(mark)).size == (WIDTH, HEIGHT)
