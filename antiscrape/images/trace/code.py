"""The error-correcting code of a trace: Reed and Solomon's, over bytes, 15 symbols of which any few give all others.

A word is a polynomial over GF(2^8), taken at 15 points (I. S. Reed, G. Solomon, "Polynomial Codes over Certain
Finite Fields", 1960). Its first ``k`` symbols are the payload's bytes: 7 of a long trace, 4 of a short one. Any
``k`` right symbols give the word. Two words differ in all but ``k - 1`` symbols at least, and that is what lets a
reader take the average of two copies apart: each symbol then shows two values, and of all ways to choose among
them only the two that were written are words.

Short words are shifted by a constant word, so that none is a long one as well.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from antiscrape.core.trace import LONG_BYTES, SHORT_BYTES

#: Symbols of a word, each a byte.
SYMBOLS: Final = 15

# x^8 + x^4 + x^3 + x^2 + 1, of which 2 is a primitive element.
_POLYNOMIAL: Final = 0x11D
_ORDER: Final = 255


def _powers() -> tuple[int, ...]:
    values, value = [], 1
    for _ in range(_ORDER):
        values.append(value)
        value = value << 1 ^ (_POLYNOMIAL if value & 0x80 else 0)
    return tuple(values)


#: 2 to the power of each number below 255, and what undoes it (of 0 there is none).
POWERS: Final = _powers()
LOGS: Final = tuple(POWERS.index(value) if value else -1 for value in range(256))

#: What short words are shifted by, for each of the symbols: any word that no long one is near would do.
SHIFT: Final = bytes((7 * at * at + 101 * at + 43) % 256 for at in range(SYMBOLS))


def multiply(left: int, right: int) -> int:
    """Return a product in GF(2^8)."""
    return POWERS[(LOGS[left] + LOGS[right]) % _ORDER] if left and right else 0


@cache
def matrix(known: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return, for each of the 15 symbols, the factors by which the symbols at ``known`` add up to it.

    These are Lagrange's polynomials at the 15 points; adding is ``^``.
    """
    rows = []
    for at in range(SYMBOLS):
        row = []
        for one in known:
            # A product of quotients is a sum of logarithms; where a numerator is zero, so is all of it.
            if at in known:
                row.append(int(at == one))
                continue
            log = sum(
                LOGS[POWERS[at] ^ POWERS[other]] - LOGS[POWERS[one] ^ POWERS[other]]
                for other in known
                if other != one
            )
            row.append(POWERS[log % _ORDER])
        rows.append(tuple(row))
    return tuple(rows)


def encode(payload: int, *, short: bool = False) -> bytes:
    """Return the word of a packed payload of 56 bits, or 32 where it is ``short``; raise ``OverflowError`` beyond."""
    data = payload.to_bytes(SHORT_BYTES if short else LONG_BYTES, "big")
    word = []
    for row in matrix(tuple(range(len(data)))):
        symbol = 0
        for factor, value in zip(row, data, strict=True):
            symbol ^= multiply(factor, value)
        word.append(symbol)
    return bytes(a ^ b for a, b in zip(word, SHIFT, strict=True)) if short else bytes(word)
