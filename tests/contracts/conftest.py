"""The stores that the contract is held against; each is made anew, and empty, for every example."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from antiscrape.stores.memory import MemoryStore
from tests.contracts.properties import LINE_FACTOR, ROLLUP_FACTOR, STANDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from antiscrape.ports import UsageStore

    MakeStore = Callable[[], AbstractContextManager[UsageStore]]


@contextmanager
def memory() -> Iterator[UsageStore]:
    yield MemoryStore(
        max_principals=1000, rollup_factor=ROLLUP_FACTOR, line_factor=LINE_FACTOR, standings=STANDINGS
    )


@contextmanager
def small_memory() -> Iterator[UsageStore]:
    """Have room for the contract's clients, and to spare for nobody: what is dropped must not be missed."""
    yield MemoryStore(
        max_principals=18,
        max_bytes=2**20,
        rollup_factor=ROLLUP_FACTOR,
        line_factor=LINE_FACTOR,
        standings=STANDINGS,
    )


STORES: dict[str, MakeStore] = {"memory": memory, "memory, full": small_memory}


@pytest.fixture(scope="session", params=STORES)
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Return what makes an empty store, as a context."""
    return STORES[request.param]
