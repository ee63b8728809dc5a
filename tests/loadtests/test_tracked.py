"""What is weighed in the bench is weighed by doing it, in processes of their own."""

from __future__ import annotations

import asyncio
import sys

import pytest

from loadtests.bench.flat import flatness
from loadtests.bench.peers import Environment
from loadtests.bench.tracked import CONTENDERS, weigh

HERE = Environment(sys.executable)


@pytest.mark.parametrize(
    ("name", "least", "most"), [("bare", 90, 300), ("asked", 250, 700), ("looked", 600, 1500)]
)
def test_a_tracked_client_is_weighed(name: str, least: int, most: int) -> None:
    row = weigh(name, HERE, traced=3000, clients=3000)
    assert least < row.bytes < most
    assert 10 < row.resident_mb < 500
    assert (row.name, row.clients) == (name, 3000)


def test_every_peer_is_in_the_lock() -> None:
    from loadtests.bench.peers import LOCK

    lock = LOCK.read_text().replace("-", "_")
    assert all(f"\n{module}" in lock for _, module, _ in CONTENDERS.values() if module)


def test_a_request_is_timed_with_each_number_of_clients() -> None:
    few, many = asyncio.run(flatness([600, 1000], rounds=2))
    assert (few.clients, many.clients, few.ratio) == (600, 1000, 1.0)
    assert min(few.cost, many.cost, many.ratio, few.lookup, many.lookup) > 0
