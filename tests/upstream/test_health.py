"""A site that fails is left alone for a while, longer each time, and one request tries whether it is back."""

from __future__ import annotations

import pytest

from antiscrape.upstream.health import Health


def record(failures: int, *, now: float = 0.0) -> Health:
    health = Health(after=3, least=1.0, most=10.0)
    for _ in range(failures):
        health.note(good=False, now=now)
    return health


def test_it_takes_several_failures_in_a_row() -> None:
    health = record(2)
    assert health.admits(0.0)
    health.note(good=True, now=0.0)
    health.note(good=False, now=0.0)
    assert health.well
    assert health.admits(0.0)


@pytest.mark.parametrize(("failures", "pause"), [(3, 1.0), (4, 2.0), (5, 4.0), (7, 10.0), (5000, 10.0)])
def test_the_pause_doubles_up_to_a_bound(failures: int, pause: float) -> None:
    health = record(failures, now=100.0)
    assert not health.well
    assert not health.admits(100.0 + pause - 0.01)
    assert health.admits(100.0 + pause)


def test_one_request_tries_and_the_others_wait_for_how_it_ends() -> None:
    health = record(3)
    assert health.admits(1.0)
    assert not health.admits(1.0)
    assert not health.admits(1.9)
    health.note(good=True, now=1.95)
    assert health.admits(1.95)


def test_the_active_check_goes_before() -> None:
    health = record(0)
    health.up = False
    assert not health.admits(1e9)
    assert not health.well
