"""The stores that the contract is held against; each is made anew, and empty, for every example."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

from antiscrape.stores.memory import MemoryStore
from tests import valkeys
from tests.contracts.properties import LINE_FACTOR, ROLLUP_FACTOR, STANDINGS
from tests.contracts.served import Counted

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
#: Over a real server, and over a cluster of three: two workers that ask it for every charge, and one that exchanges.
SERVED: dict[str, dict[str, Any]] = {
    "strict": {"workers": 2, "strict": True},
    "strict, cluster": {"workers": 2, "strict": True, "shards": 16},
    "shared": {"workers": 1, "strict": False},
    "shared, cluster": {"workers": 1, "strict": False, "shards": 16},
}


@pytest.fixture(scope="session")
def server() -> Iterator[redis.Redis]:
    with valkeys.single() as one:
        yield one.client()


@pytest.fixture(scope="session")
def cluster() -> Iterator[redis.RedisCluster]:
    with valkeys.cluster() as nodes:
        host, _, port = nodes.url.partition("//")[2].partition(",")[0].rpartition(":")
        yield redis.RedisCluster(host=host, port=int(port))


@pytest.fixture(scope="session", params=[*STORES, *SERVED])
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    """Return what makes an empty store, as a context."""
    if request.param in STORES:
        return STORES[request.param]
    settings = {"shards": 1, **SERVED[request.param]}
    client = request.getfixturevalue("cluster" if "cluster" in request.param else "server")

    @contextmanager
    def served() -> Iterator[UsageStore]:
        yield cast("UsageStore", Counted(client, **settings))

    return served
