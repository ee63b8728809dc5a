"""The breaker as a machine of states, on a clock that the test moves."""

from __future__ import annotations

import pytest

from antiscrape.errors import StoreError
from antiscrape.stores.breaker import Breaker, State

GONE = StoreError("the store valkey://store:6379 refuses connections", fault="refused", away=True)
ODD = StoreError("the store valkey://store:6379 answered with an error", fault="error-answered", away=False)


@pytest.mark.security("I1")
def test_one_failure_of_the_whole_store_opens_it() -> None:
    breaker = Breaker()
    assert breaker.allows(0.0)
    breaker.failed(0.0, GONE)
    assert (breaker.state, breaker.opened, breaker.last) == (State.OPEN, 1, str(GONE))
    assert not breaker.allows(0.99)


def test_single_calls_that_fail_open_it_only_in_a_row() -> None:
    breaker = Breaker(errors=3)
    for _ in range(10):
        breaker.failed(0.0, ODD)
        breaker.failed(0.0, ODD)
        breaker.succeeded()
    assert breaker.state is State.CLOSED
    for _ in range(3):
        assert breaker.allows(0.0)
        breaker.failed(0.0, ODD)
    assert not breaker.allows(0.0)


def test_after_the_pause_one_caller_at_a_time_tries() -> None:
    breaker = Breaker()
    breaker.failed(0.0, GONE)
    assert [breaker.allows(1.0), breaker.state.value, breaker.allows(1.0)] == [True, "half-open", False]
    breaker.succeeded()
    assert [breaker.allows(1.0), breaker.state.value, breaker.allows(1.0)] == [True, "closed", True]


def test_a_probe_that_was_cancelled_does_not_keep_it_open_for_ever() -> None:
    breaker = Breaker()
    breaker.failed(0.0, GONE)
    assert breaker.allows(1.0)
    assert not breaker.allows(1.9)
    assert breaker.allows(2.0)


@pytest.mark.security("I1")
def test_the_pause_doubles_but_a_recovery_is_noticed_within_five_seconds() -> None:
    breaker, now, pauses = Breaker(), 0.0, []
    breaker.failed(now, GONE)
    for _ in range(6):
        began = now
        while not breaker.allows(now):
            now += 0.25
        pauses.append(now - began)
        breaker.failed(now, GONE)
    assert pauses == [1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert breaker.opened == 1
    assert breaker.allows(now + 4.75)
    breaker.succeeded()
    breaker.failed(now, GONE)  # what follows a recovery starts with a short pause again
    assert breaker.allows(now + 1.0)
    assert breaker.opened == 2


def test_answers_that_were_under_way_change_nothing_while_it_is_open() -> None:
    breaker = Breaker()
    breaker.failed(0.0, GONE)
    breaker.failed(0.5, GONE)
    breaker.succeeded()
    assert breaker.state is State.OPEN
    assert breaker.allows(1.0)
