"""The in-process bench measures known clients, in place and part by part."""

from __future__ import annotations

import asyncio

from loadtests.bench.inprocess import added
from loadtests.bench.stages import stages
from loadtests.bench.visitors import API, IMAGE


def test_what_is_added_is_told_in_microseconds_and_in_hmacs() -> None:
    found = asyncio.run(added(API, rounds=4, clients=40))
    assert found.bare > 0
    assert found.added.median > 0
    assert found.one_hmac > 0
    assert list(found.stages) == ["head", "judge", "answer", "rest"]
    assert found.requests == 800


def test_an_allowed_request_leaves_nothing_for_the_garbage_collector() -> None:
    for target in (API, IMAGE):
        assert asyncio.run(added(target, rounds=2, clients=40)).cycles == 0


def test_each_part_is_timed() -> None:
    parts = {part.name: part.cost for part in asyncio.run(stages(API, rounds=3, clients=40))}
    assert list(parts)[:2] == ["head", "judge"]
    assert {"principal", "history", "budgets", "verdict", "signals", "answer", "record"} < parts.keys()
    assert parts["judge"] > parts["verdict"] > 0
