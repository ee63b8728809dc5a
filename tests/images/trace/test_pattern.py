"""What a key draws."""

from __future__ import annotations

from collections import Counter

import pytest

from antiscrape.images.trace.pattern import BLOCK, SHEET, SLOTS, VALUES, WAVES, pattern, word_bits


def test_a_key_always_draws_the_same_and_another_key_something_else(key: bytes) -> None:
    drawn = pattern(key)
    pattern.cache_clear()
    assert pattern(key) == drawn
    other = pattern(key + b"!")
    assert sum(a == b for a, b in zip(drawn.slots, other.slots, strict=True)) < 100
    assert abs(sum(a == b for a, b in zip(drawn.signs, other.signs, strict=True)) - SHEET**2 / 2) < 1000
    assert not set(drawn.waves) & set(other.waves)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 3), (3, 2)])
def test_every_block_holds_every_slot_once(key: bytes, row: int, column: int) -> None:
    slots = pattern(key).slots
    block = [
        slots[(row * BLOCK + y) * SHEET + column * BLOCK + x] for y in range(BLOCK) for x in range(BLOCK)
    ]
    assert Counter(block) == Counter(range(SLOTS))


def test_no_two_blocks_are_alike(key: bytes) -> None:
    """Nothing repeats within a sheet, so folding a picture at any smaller period finds nothing."""
    drawn = pattern(key)
    for step in (BLOCK, 2 * BLOCK):
        same = sum(
            drawn.signs[y * SHEET + x] == drawn.signs[y * SHEET + (x + step) % SHEET]
            for y in range(SHEET)
            for x in range(SHEET)
        )
        assert abs(same - SHEET**2 / 2) < 1000


def test_waves_keep_off_the_axes_and_each_other(key: bytes) -> None:
    waves = pattern(key).waves
    assert len({(wave.across, wave.down) for wave in waves}) == WAVES
    assert all(abs(wave.across) >= 10 and wave.down >= 10 for wave in waves)


def test_rows_of_two_values_are_orthogonal() -> None:
    rows = [word_bits(bytes((value,)) * 15)[:VALUES] for value in (0, 1, 77, 128, 255)]
    for at, one in enumerate(rows):
        for other in rows[at + 1 :]:
            assert sum(a == b for a, b in zip(one, other, strict=True)) == VALUES // 2


def test_the_last_slots_never_change() -> None:
    assert word_bits(bytes(range(15)))[-VALUES:] == bytes(VALUES)
    assert len(word_bits(bytes(15))) == SLOTS


def test_the_sheets_stay_within_what_a_byte_holds(key: bytes) -> None:
    """Where chip and waves add up beyond it, they are cut there."""
    zero, one = pattern(key).chip_sheets()
    for sheet in (zero, one):
        histogram = sheet.histogram()
        assert sum(histogram[:1] + histogram[255:]) < SHEET**2 / 10
