"""Strikes and coolings: an episode is one strike, obedience is none, and what was lowered comes back by itself."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.consequences import (
    HAMMERED,
    QUIET,
    CoolingRules,
    ban,
    cool,
    cooling_left,
    note_excess,
    note_subjects,
    strikes_of,
    subjects_spent,
)
from antiscrape.core.history import History
from antiscrape.core.verdict import Budget, Exceeded

RULES = CoolingRules()


def struck(history: History, at: float, wait: float = 1.0, *, told: bool = True) -> int:
    """Let one request be refused; return the level of the cooling that is due, after it was begun."""
    level = note_excess(history, wait, RULES, at, told=told)
    if level:
        cool(history, at + RULES.length(level), level)
    return level


def strikes(history: History, now: float) -> int:
    return strikes_of(history, RULES.within, now)


def test_a_page_with_sixty_pictures_is_one_strike() -> None:
    history = History(0.0)
    for picture in range(60):
        struck(history, 100.0 + picture / 20)
    assert strikes(history, 104.0) == 1


def test_an_episode_ends_with_a_quiet_minute_after_the_wait_that_was_told() -> None:
    history = History(0.0)
    struck(history, 100.0, wait=30.0)
    struck(history, 100.0 + 30.0 + QUIET - 0.1, wait=1.0)
    assert strikes(history, 200.0) == 1
    struck(history, 100.0 + 30.0 + 2 * QUIET + 1.0)
    assert strikes(history, 300.0) == 2


@given(st.floats(0.5, 7200.0), st.integers(1, 400), st.integers(0, 99))
def test_whoever_waits_as_long_as_it_is_told_never_gets_a_second_strike(
    wait: float, times: int, at_once: int
) -> None:
    """However often it is refused again; and what it had under way when it was refused costs nothing."""
    history, now = History(0.0), 1000.0
    for number in range(times):
        assert not struck(history, now, wait)
        if not number:
            for _ in range(at_once):
                assert not struck(history, now, wait)
        now += wait
    trouble = history.trouble
    assert trouble is not None
    assert len(trouble.strikes) == 1


def test_hammering_is_a_strike_for_every_hundred_requests_and_one_a_minute_at_most() -> None:
    slow, fast = History(0.0), History(0.0)
    for number in range(4 * HAMMERED):
        struck(slow, 1.0 + number * 1.5, wait=3600.0)
        struck(fast, 1.0 + number / 1000, wait=3600.0)
    assert strikes(slow, 700.0) == 4  # the first refusal, and at 100, 200 and 300 of those that did not wait
    assert strikes(fast, 700.0) == 1
    struck(fast, 1.0 + QUIET, wait=3600.0)
    assert strikes(fast, 700.0) == 2


def test_in_shadow_nobody_is_told_to_wait_and_nobody_hammers() -> None:
    history = History(0.0)
    for number in range(5000):
        assert not struck(history, 1.0 + number / 10, wait=1.0, told=False)
    assert strikes(history, 500.0) == 1


def test_five_strikes_within_the_hour_begin_a_cooling_and_it_ends_by_itself() -> None:
    history, now = History(0.0), 0.0
    for _ in range(4):
        now += 600.0
        assert struck(history, now) == 0
    now += 600.0
    assert struck(history, now) == 1
    assert (history.held_until, cooling_left(history, now + 1.0)) == (now + 900.0, 899.0)
    assert cooling_left(history, now + 900.0) == 0.0
    assert strikes(history, now) == 0


def test_strikes_that_lie_further_apart_lead_to_nothing() -> None:
    history = History(0.0)
    assert not any(struck(history, number * (RULES.within / 4 + 1.0)) for number in range(100))


def test_what_is_done_during_a_cooling_makes_it_no_longer() -> None:
    history = History(0.0)
    cool(history, 900.0, 1)
    for number in range(8000):
        assert struck(history, number / 10, wait=60.0) == 0
    assert history.held_until == 900.0


def coolings(history: History, now: float) -> tuple[int, float]:
    """Let a principal hammer until it is cooled; return the level, and when the cooling ends."""
    while True:
        now += QUIET + 2.0
        level = struck(history, now)
        if level:
            return level, history.held_until


def test_each_cooling_is_twice_as_long_up_to_a_bound_and_a_quiet_day_forgets() -> None:
    history, end, lengths = History(0.0), 0.0, []
    for expected in range(1, 12):
        level, until = coolings(history, end)
        assert level == expected
        lengths.append(RULES.length(level))
        end = until
    assert lengths == [900.0 * 2**n for n in range(7)] + [86_400.0] * 4
    assert coolings(history, end + RULES.forgets - 3600.0)[0] == 12
    end = history.held_until
    assert coolings(history, end + RULES.forgets + 60.0)[0] == 1


def test_a_ban_and_a_cooling_hold_until_the_later_of_them_and_either_may_be_lifted() -> None:
    for first, second, held in ((100.0, 300.0, 300.0), (300.0, 100.0, 300.0)):
        history = History(0.0)
        ban(history, first)
        cool(history, second, 1)
        assert (history.held_until, history.banned_until) == (held, first)
        cool(history, 0.0, 0)
        assert history.held_until == first
        ban(history, 0.0)
        assert history.held_until == 0.0


def test_who_has_no_trouble_pays_nothing_for_those_who_have() -> None:
    history = History(0.0)
    assert history.trouble is None
    assert (history.banned_until, cooling_left(history, 0.0), strikes(history, 0.0)) == (0.0, 0.0, 0)
    assert subjects_spent(history, 0.0) is None
    assert history.trouble is None


@pytest.mark.security("A13")
def test_a_principals_trouble_has_a_bound() -> None:
    history, rng, now = History(0.0), random.Random(3), 0.0
    for _ in range(20_000):
        now += rng.choice([0.01, 1.0, 61.0, 400.0])
        struck(history, now, rng.choice([0.5, 60.0, 9000.0]))
        assert history.trouble is not None
        assert len(history.trouble.strikes) < RULES.strikes


def test_a_spent_count_of_subjects_is_told_with_the_wait_that_is_left() -> None:
    history, spent = History(0.0), Exceeded(Budget.SUBJECTS, "30/hour", 120.0)
    note_subjects(history, spent, 10.0)
    left = subjects_spent(history, 100.0)
    assert left == spent._replace(wait=30.0)
    assert subjects_spent(history, 130.0) is None
    assert history.held_until == 0.0
