"""The code: any few symbols give all others, and nothing short is long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.trace import LONG_BYTES, SHORT_BYTES
from antiscrape.images.trace.code import LOGS, POWERS, SHIFT, SYMBOLS, encode, matrix, multiply

long_payloads = st.integers(0, 2**56 - 1)
symbols = st.integers(0, 255)


def test_the_field_has_a_generator() -> None:
    assert sorted(POWERS) == list(range(1, 256))
    assert all(POWERS[LOGS[value]] == value for value in range(1, 256))


@given(symbols, symbols, symbols)
def test_multiplication_distributes_over_addition(a: int, b: int, c: int) -> None:
    assert multiply(a, b ^ c) == multiply(a, b) ^ multiply(a, c)
    assert multiply(a, multiply(b, c)) == multiply(multiply(a, b), c)
    assert multiply(a, 1) == a


@given(long_payloads)
def test_a_word_begins_with_its_payload(payload: int) -> None:
    assert int.from_bytes(encode(payload)[:LONG_BYTES], "big") == payload


@given(long_payloads, st.permutations(range(SYMBOLS)))
def test_any_seven_symbols_give_the_word(payload: int, order: list[int]) -> None:
    word, known = encode(payload), tuple(order[:LONG_BYTES])
    for at, factors in enumerate(matrix(known)):
        total = 0
        for factor, one in zip(factors, known, strict=True):
            total ^= multiply(factor, word[one])
        assert total == word[at]


@given(long_payloads, long_payloads)
def test_two_words_share_at_most_six_symbols(one: int, other: int) -> None:
    shared = sum(a == b for a, b in zip(encode(one), encode(other), strict=True))
    assert shared == SYMBOLS if one == other else shared < LONG_BYTES


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_two_short_words_share_at_most_three_symbols(one: int, other: int) -> None:
    shared = sum(a == b for a, b in zip(encode(one, short=True), encode(other, short=True), strict=True))
    assert shared == SYMBOLS if one == other else shared < SHORT_BYTES


@given(st.integers(0, 2**32 - 1))
def test_a_short_word_is_no_long_one(payload: int) -> None:
    """A long word that began like it would have another end: short words are shifted off all long ones."""
    word = encode(payload, short=True)
    assert encode(int.from_bytes(word[:LONG_BYTES], "big")) != word
    assert len(SHIFT) == SYMBOLS
