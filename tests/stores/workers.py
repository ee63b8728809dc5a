"""Workers of one site for tests: stores that share their counts over a real server."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Principal
from antiscrape.core.observation import Charge
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.store_address import read_store_address
from antiscrape.core.verdict import Standing
from antiscrape.stores.breaker import Breaker
from antiscrape.stores.connection import Connection
from antiscrape.stores.courier import Courier
from antiscrape.stores.exchange import Exchange
from antiscrape.stores.names import Names
from antiscrape.stores.shared import SharedStore
from antiscrape.stores.strict import StrictStore
from tests.house import PATIENCE, policy_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from antiscrape.core.history import History
    from antiscrape.core.observation import Usage
    from antiscrape.core.rules import Allowance

POLICY = policy_of()
BROWSER = POLICY.standings[Standing.BROWSER]
#: What a client may have that comes back until something is known of it: whatever it owes of another limit, no less.
ASKING = replace(BROWSER, requests=parse_limits("100000000/day"))
CLIENT = Principal("192.0.2.7", "192.0.2.0/24", "192.0.2.7")
PAGE = Resource(Kind.PAGE, "/", 1)


def picture(number: int) -> Resource:
    return Resource(Kind.IMAGE, f"/media/{number}.jpg", 2**63 + number, Size.ORIGINAL)


@dataclass
class Worker:
    """One worker: what it stores, what carries it, and what it told the operator."""

    store: SharedStore
    exchange: Exchange
    courier: Courier
    said: list[str] = field(default_factory=list)

    def history(self, client: Principal = CLIENT) -> History:
        return self.store.find(client, time.monotonic())

    def take(self, resource: Resource, allowance: Allowance = BROWSER, client: Principal = CLIENT) -> Usage:
        """Charge one request as the gate does."""
        charge = Charge.ORIGINAL if resource.kind is Kind.IMAGE else Charge.REQUEST
        return self.store.charge(self.history(client), charge, allowance, resource, time.monotonic())

    async def ask(self, resource: Resource, allowance: Allowance = BROWSER) -> bool:
        """Charge one request as a strict gate does; tell whether it was admitted."""
        assert isinstance(self.store, StrictStore)
        if self.take(resource, allowance).exceeded is not None:
            return False
        return await self.store.settle() is None


@asynccontextmanager
async def workers(
    url: str,
    count: int = 2,
    *,
    strict: bool = False,
    interval: float = 0.02,
    timeout: float = PATIENCE,  # noqa: ASYNC109  the store's
    namespace: str = "",
    shards: int | None = None,
) -> AsyncIterator[list[Worker]]:
    """Run so many workers of one site on this loop."""
    names = Names(
        b"k" * 32,
        namespace or os.urandom(8).hex(),
        shards=shards or (64 if "cluster" in url else 1),
    )
    made = [worker_of(url, names, strict=strict, interval=interval, timeout=timeout) for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            await one.courier.aclose()


def worker_of(
    url: str, names: Names, *, strict: bool = False, interval: float = 0.02, timeout: float = PATIENCE
) -> Worker:
    """Build one worker; it takes up its work when it is first asked for something."""
    store = (StrictStore if strict else SharedStore)(
        clock=time.monotonic,
        origin=os.urandom(8),
        max_principals=100_000,
        rollup_factor=20.0,
        standings=POLICY.standings,
    )
    exchange = Exchange(store, names)
    said: list[str] = []
    courier = Courier(
        store,
        exchange,
        lambda: Connection(read_store_address(url), timeout=timeout),
        breaker=Breaker(pause=0.05, longest=0.2),
        clock=time.monotonic,
        tell=said.append,
        interval=interval,
    )
    if isinstance(store, StrictStore):
        store.key_of, store.confirm = exchange.key_of, courier.confirm
    return Worker(store, exchange, courier, said)


def rests(courier: Courier) -> bool:
    """Tell whether it has nothing to tell, and nothing under way."""
    return courier._timer is None and not courier._exchanging


async def until(holds: Callable[[], bool], what: str = "") -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  what is waited for is another process's doing
            await asyncio.sleep(0.005)
    assert holds(), what
