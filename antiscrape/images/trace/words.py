"""From chips to words: weighing all values of all symbols, and finding the words that fit.

Symbols are not decided one by one. The likeliest few of each are kept, words are made from every choice among the
most reliable positions, and a word is believed for how well it explains the *other* positions, which had no part
in choosing it. In noise that sum is normal; a word counts from seven deviations on (1 in 10^12 trials).

The average of several copies shows the symbols of each, weaker. The strongest word is taken first and its symbols
set aside; what is left then shows the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from antiscrape.core.trace import LONG_BYTES, SHORT_BYTES
from antiscrape.images.trace.code import SHIFT, SYMBOLS, matrix, multiply
from antiscrape.images.trace.pattern import SHEET, SLOTS, VALUES, pattern

Floats = NDArray[np.float64]
Symbols = NDArray[np.uint8]

#: Deviations from which a word is no chance. A reader weighs some 10^5 words in a picture without a mark.
BELIEVED: Final = 7.0
#: Takers that are looked for in one picture.
MOST_TAKERS: Final = 4
#: Words that are made of one choice of positions, at most.
_MOST_WORDS, _HASTY_WORDS = 20_000, 3_000
#: Positions of which choices are made, beyond the fewest; each exchange is another choice.
_SPARE: Final = 2

#: Deviations from which nothing better is to be looked for.
_PLAIN: Final = 14.0

_PRODUCTS = np.array([[multiply(one, other) for other in range(256)] for one in range(256)], np.uint8)
_SHIFT = np.frombuffer(SHIFT, np.uint8)


class Word(NamedTuple):
    """A payload that was read, its form, and the deviations by which it stands out."""

    payload: int
    short: bool
    sure: float


@dataclass(slots=True)
class Seen:
    """The most that anything stood out by, believed or not, in deviations: a shift of a sheet, and a word."""

    shift: float = 0.0
    word: float = 0.0


@lru_cache(maxsize=4)
def _layout(key: bytes) -> tuple[NDArray[np.intp], Floats]:
    drawn = pattern(key)
    return np.array(drawn.slots, np.intp), np.array(drawn.signs_of_chips())


def weigh(chips: Floats, key: bytes) -> Floats:
    """Return 15 x 256 weights, in deviations of noise, of a sheet of chips (256 x 256, summed over all sheets)."""
    slots, signs = _layout(key)
    sums = np.bincount(slots, chips.ravel() * signs, SLOTS).astype(np.float64)
    scores = _hadamard(sums[: SYMBOLS * VALUES].reshape(SYMBOLS, VALUES))
    # The strongest of each symbol may be the mark itself; the rest tell the noise.
    noise = np.sort(scores, axis=1)[:, 8:-8]
    # Cutting the 3 % at either end leaves 0.871 of a normal deviation.
    weights: Floats = scores / (noise.std() / 0.871 + 1e-12)
    return weights


def _hadamard(rows: Floats) -> Floats:
    """Return the fast Walsh and Hadamard transform of each row, in Sylvester's order."""
    out = rows.copy()
    step = 1
    while step < VALUES:
        pairs = out.reshape(len(out), -1, 2, step)
        out = np.stack((pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]), 2).reshape(
            rows.shape
        )
        step *= 2
    return out


def read_words(weights: Floats, *, patient: bool = True, seen: Seen | None = None) -> list[Word]:
    """Return the words that ``weights`` hold, the surest first.

    A ``patient`` reader tries several choices of positions for the word's basis (a twentieth of a second where nothing is found); one
    that is not, the likeliest alone.
    """
    weights = weights.copy()
    words: list[Word] = []
    while len(words) < MOST_TAKERS:
        found = _best(weights, patient=patient, short=False)
        if found.sure < _PLAIN:
            found = max(found, _best(weights, patient=patient, short=True), key=lambda one: one.sure)
        if seen is not None and not words:
            seen.word = max(seen.word, found.sure)
        if found.sure < BELIEVED:
            break
        data = found.symbols ^ _SHIFT if found.short else found.symbols
        length = SHORT_BYTES if found.short else LONG_BYTES
        words.append(Word(int.from_bytes(data[:length].tobytes(), "big"), found.short, found.sure))
        weights[np.arange(SYMBOLS), found.symbols] = 0.0
    return words


class _Candidate(NamedTuple):
    total: float
    sure: float
    symbols: Symbols
    short: bool


def _best(weights: Floats, *, patient: bool, short: bool) -> _Candidate:
    """Return the likeliest word of one form."""
    length = SHORT_BYTES if short else LONG_BYTES
    strongest = weights.max(1).argsort()[::-1]
    likeliest = weights.argsort(1)[:, ::-1]
    best = _Candidate(-1.0, 0.0, np.zeros(SYMBOLS, np.uint8), short)
    for chosen in combinations(strongest[: length + (_SPARE if patient else 0)].tolist(), length):
        wide = int((_MOST_WORDS if patient else _HASTY_WORDS) ** (1 / length))
        found = _likeliest(weights, likeliest[:, :wide], chosen, short=short)
        if found.total > best.total:
            best = found
        if found.sure > _PLAIN:
            break
    return best


def _likeliest(
    weights: Floats, likeliest: NDArray[np.intp], chosen: tuple[int, ...], *, short: bool
) -> _Candidate:
    """Return the best of the words of all choices among the ``likeliest`` values at the ``chosen`` positions.

    A word is a sum over its positions, so words are built as a tree is: each position's values once for all that
    went before. The sums of the positions that had no part in the choice are ``sure``.
    """
    factors, values = np.array(matrix(chosen)), likeliest[list(chosen)].astype(np.uint8)
    if short:
        values = values ^ _SHIFT[list(chosen), None]
    rest = [at for at in range(SYMBOLS) if at not in chosen]
    told = _every_sum(np.add, [weights[at, likeliest[at]] for at in chosen])
    checked = np.zeros(len(told))
    for at in rest:
        symbols = _every_sum(
            np.bitwise_xor, [_PRODUCTS[factor][row] for factor, row in zip(factors[at], values, strict=True)]
        )
        checked += weights[at].take(symbols ^ _SHIFT[at] if short else symbols)
    at = int((told + checked).argmax())
    data = [
        row[place]
        for row, place in zip(values, np.unravel_index(at, (len(values[0]),) * len(chosen)), strict=True)
    ]
    word = np.bitwise_xor.reduce(_PRODUCTS[factors, data], axis=1)
    return _Candidate(
        float(told[at] + checked[at]),
        float(checked[at] / len(rest) ** 0.5),
        word ^ _SHIFT if short else word,
        short,
    )


def _every_sum(add: np.ufunc, lists: list[Any]) -> NDArray[Any]:
    """Return the sums of one value of each list, for every choice; the last list's changes fastest."""
    sums: NDArray[Any] = lists[0]
    for values in lists[1:]:
        sums = add.outer(sums, values).ravel()
    return sums


def fold_chips(plane: NDArray[np.float32]) -> Floats:
    """Return a sheet of chips, 256 x 256, from one of pixels, 1,024 x 1,024."""
    side = plane.shape[0] // SHEET
    chips: Floats = plane.reshape(SHEET, side, SHEET, side).sum((1, 3), dtype=np.float64)
    return chips
