"""The tree of words says what trying every word says, and who reads is told how near a picture was."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from antiscrape.core.trace import LONG_BYTES, SHORT_BYTES
from antiscrape.images.trace import words
from antiscrape.images.trace.code import SHIFT, SYMBOLS, matrix, multiply
from antiscrape.images.trace.embedding import embed
from antiscrape.images.trace.geometry import Spectrum, frequencies, search
from antiscrape.images.trace.planes import residual
from antiscrape.images.trace.reading import read
from antiscrape.images.trace.words import BELIEVED, Seen
from loadtests.trace_attacks import jpeg, resized
from tests.images.trace.conftest import PAYLOAD

if TYPE_CHECKING:
    from PIL import Image


def word_of(chosen: tuple[int, ...], values: tuple[int, ...], shift: bytes) -> list[int]:
    """Return the word with ``values`` at the ``chosen`` positions, symbol by symbol."""
    word = []
    for at, row in enumerate(matrix(chosen)):
        symbol = 0
        for place, factor, value in zip(chosen, row, values, strict=True):
            symbol ^= multiply(factor, value ^ shift[place])
        word.append(symbol ^ shift[at])
    return word


@pytest.mark.parametrize("short", [False, True])
def test_the_likeliest_word_is_that_of_all_choices(*, short: bool) -> None:
    weights = np.random.default_rng(7).normal(size=(SYMBOLS, 256))
    chosen = (1, 3, 4, 12) if short else (0, 2, 5, 6, 9, 11, 14)
    assert len(chosen) == (SHORT_BYTES if short else LONG_BYTES)
    shift = SHIFT if short else bytes(SYMBOLS)
    likeliest = weights.argsort(1)[:, :-3:-1]
    every = [word_of(chosen, values, shift) for values in product(*likeliest[list(chosen)].tolist())]
    totals = [float(weights[np.arange(SYMBOLS), word].sum()) for word in every]
    best = every[int(np.argmax(totals))]
    found = words._likeliest(weights, likeliest, chosen, short=short)
    assert found.symbols.tolist() == best
    assert found.total == pytest.approx(max(totals))
    others = [weights[at, best[at]] for at in range(SYMBOLS) if at not in chosen]
    assert found.sure == pytest.approx(sum(others) / len(others) ** 0.5)


@pytest.mark.parametrize("factor", [0.4, 1.6])
def test_a_map_is_found_in_small_pictures_and_in_large_ones(
    factor: float, portrait: Image.Image, key: bytes
) -> None:
    """All trials are made in the spectrum of the one; in the other's, those around the best of the coarse ones."""
    shown = resized(jpeg(embed(portrait, PAYLOAD, key), 88), factor).convert("L")
    spectrum = Spectrum(residual(shown))
    assert (max(spectrum.rows, spectrum.columns) > 384) is (factor > 1)
    found = next(search(spectrum, key, most=1))
    assert found.score > 6
    assert np.abs(found.map - factor * np.eye(2)).max() < 0.01
    assert len(frequencies(key)) == 24


def test_who_reads_is_told_how_near_a_picture_was(portrait: Image.Image, key: bytes) -> None:
    marked, unmarked = Seen(), Seen()
    assert read(jpeg(embed(portrait, PAYLOAD, key), 60), [key], seen=marked) is not None
    assert read(jpeg(portrait, 60), [key], seen=unmarked) is None
    assert marked.word > BELIEVED > unmarked.word
    assert marked.shift > 7 > unmarked.shift > 3
