"""Opening the store that a policy names: in memory only, or together with other workers."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.core.store_address import Kind
from antiscrape.stores.extras import need_client
from antiscrape.stores.memory import MemoryStore, bounds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.rules import Policy
    from antiscrape.stores.courier import Courier
    from antiscrape.stores.strict import StrictStore

#: Over how many slots a cluster's records are spread: enough to be even on a dozen nodes, and of a batch few calls.
_SHARDS = 64


class Opened(NamedTuple):
    """A store, and where there are others: who carries their news, and who has to be asked before a request is admitted."""

    store: MemoryStore
    courier: Courier | None = None
    strict: StrictStore | None = None

    async def keep(self) -> None:
        """Wait for the end; then tell the others what is left to tell, and let go."""
        try:
            await asyncio.Event().wait()
        finally:
            if self.courier is not None:
                await self.courier.aclose()


def open_store(
    policy: Policy, key: bytes, *, clock: Callable[[], float], tell: Callable[[str], None]
) -> Opened:
    """Return the store that ``policy`` names. ``key`` hides clients' names, ``tell`` takes a sentence for the log.

    Raise ``ConfigurationError`` where what speaks to it is not installed.
    """
    rules = policy.store
    bounds = bounds_of(policy)
    address = rules.address
    if address is None:
        return Opened(MemoryStore(**bounds))
    need_client()
    from antiscrape.stores.breaker import Breaker  # noqa: PLC0415  redis-py is an extra
    from antiscrape.stores.connection import Connection  # noqa: PLC0415
    from antiscrape.stores.courier import Courier  # noqa: PLC0415
    from antiscrape.stores.exchange import Exchange  # noqa: PLC0415
    from antiscrape.stores.names import Names  # noqa: PLC0415
    from antiscrape.stores.shared import SharedStore  # noqa: PLC0415
    from antiscrape.stores.strict import StrictStore  # noqa: PLC0415

    strict = rules.mode == "strict"
    store = (StrictStore if strict else SharedStore)(clock=clock, origin=os.urandom(8), **bounds)
    names = Names(key, rules.namespace or policy.site, shards=_SHARDS if address.kind is Kind.CLUSTER else 1)
    exchange = Exchange(store, names)
    courier = Courier(
        store,
        exchange,
        lambda: Connection(address, timeout=rules.timeout),
        breaker=Breaker(),
        clock=clock,
        tell=tell,
        interval=rules.interval,
        workers=rules.workers,
    )
    if not isinstance(store, StrictStore):
        return Opened(store, courier)
    store.key_of, store.confirm = exchange.key_of, courier.confirm
    return Opened(store, courier, store)
