"""The cell rate algorithm against a bucket that leaks drop by drop."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.gcra import spend
from tests.fuzz import times

gaps = st.lists(st.floats(0.0, 30.0, allow_nan=False), min_size=1, max_size=60)


@given(gaps, st.integers(1, 20), st.floats(0.1, 10.0))
def test_it_admits_what_a_leaking_bucket_admits(gaps: list[float], burst: int, interval: float) -> None:
    now, tat, level, last = 0.0, 0.0, 0.0, 0.0
    for gap in gaps:
        now += gap
        level = max(0.0, level - (now - last) / interval)
        last = now
        tat, wait = spend(now, tat, 1.0, interval, burst * interval)
        if math.isclose(level + 1.0, burst, rel_tol=1e-9):
            return  # at the brim, rounding decides
        if level + 1.0 < burst:
            assert wait == 0.0
            level += 1.0
        else:
            assert wait > 0.0


@given(gaps, st.integers(1, 20), st.floats(0.1, 10.0))
def test_no_spacing_takes_more_than_a_burst_and_what_was_earned_back(
    gaps: list[float], burst: int, interval: float
) -> None:
    now, tat, taken = 0.0, 0.0, 0
    for gap in gaps:
        now += gap
        tat, wait = spend(now, tat, 1.0, interval, burst * interval)
        taken += not wait
        assert taken <= burst + now / interval + 1e-6


@settings(max_examples=times(100))
@given(st.integers(1, 60), st.sampled_from(["s", "min", "10min", "day"]), st.floats(0.0, 1e7))
def test_a_whole_burst_fits_at_any_hour_and_the_next_does_not(amount: int, window: str, now: float) -> None:
    """Sums of floats run over by a hair; a limit of seven requests must still admit seven."""
    (limit,) = parse_limits(f"{amount}/{window}")
    tat = 0.0
    for _ in range(amount):
        tat, wait = spend(now, tat, 1.0, limit.interval, limit.window)
        assert not wait
    assert spend(now, tat, 1.0, limit.interval, limit.window)[1] > 0.0


@given(gaps, st.integers(1, 8), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_the_wait_is_honest(gaps: list[float], burst: int, interval: float) -> None:
    """That much later the cost fits; a little earlier it does not; and asking in vain costs nothing."""
    now, tat = 0.0, 0.0
    for gap in gaps:
        now += round(gap) / 16
        before = tat
        tat, wait = spend(now, tat, 1.0, interval, burst * interval)
        if wait:
            assert tat == before
            assert spend(now + wait, tat, 1.0, interval, burst * interval)[1] == 0.0
            assert spend(now + wait * 0.99, tat, 1.0, interval, burst * interval)[1] > 0.0


def test_a_cost_above_the_burst_never_fits() -> None:
    assert spend(5.0, 0.0, 11.0, 1.0, 10.0) == (0.0, math.inf)


def test_a_clock_that_steps_back_earns_nothing() -> None:
    tat = 0.0
    for _ in range(10):
        tat, wait = spend(100.0, tat, 1.0, 1.0, 10.0)
        assert not wait
    assert spend(50.0, tat, 1.0, 1.0, 10.0)[1] > 0.0
