"""What a request costs with a thousand clients remembered, and with a million: it should be the same.

The whole middleware around the same site, one for each number, in one process; their batches take turns, and within a
batch the clients come in random order. A look-up in a dictionary of as many addresses stands beside: what the processor's
caches make of more data nobody can undercut.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from antiscrape.core.identity import Identity
from antiscrape.core.rules import IdentityRules
from loadtests.bench.inprocess import BATCH, Sink, run_batch
from loadtests.bench.site import make_site
from loadtests.bench.variants import protected
from loadtests.bench.visitors import API, LOOKS, address, scope

if TYPE_CHECKING:
    from collections.abc import Sequence

_WARM_UP = 5
#: The gate remembers so many addresses as they are written; of a million, a random one is mostly none of them.
_REMEMBERED = 33_000


class Flatness(NamedTuple):
    """Of so many clients: CPU µs per request, its ratio to the fewest clients', and ns of a dictionary's look-up."""

    clients: int
    cost: float
    ratio: float
    lookup: float


async def flatness(numbers: Sequence[int], *, rounds: int) -> list[Flatness]:
    """Measure each number of remembered clients, the smallest first; medians of ``rounds`` batches."""
    sink = Sink()
    apps = [await _remembering(number, sink) for number in numbers]
    tables = [{address(client): client for client in range(number)} for number in numbers]
    chance = random.Random(1)
    gc.collect()
    gc.freeze()
    costs: list[list[float]] = [[] for _ in numbers]
    lookups: list[list[float]] = [[] for _ in numbers]
    try:
        for round_ in range(_WARM_UP + rounds):
            for place, number in enumerate(numbers):
                some = [chance.randrange(number) for _ in range(BATCH)]
                cost = await run_batch(apps[place], [scope(client, API) for client in some], sink)
                lookup = _lookup(tables[place], [address(client) for client in some])
                if round_ >= _WARM_UP:
                    costs[place].append(cost)
                    lookups[place].append(lookup)
    finally:
        gc.unfreeze()
    if sink.failures:
        raise RuntimeError(f"{sink.failures} requests of people were refused")
    return [
        Flatness(
            number,
            statistics.median(costs[place]),
            statistics.median([cost / least for cost, least in zip(costs[place], costs[0], strict=True)]),
            statistics.median(lookups[place]),
        )
        for place, number in enumerate(numbers)
    ]


async def _remembering(clients: int, sink: Sink) -> Any:
    """Return the site behind a store that knows so many clients, each of which asked before."""
    app = protected(
        make_site(), ANTISCRAPE__STORE__MAX_PRINCIPALS=str(2 * clients), ANTISCRAPE__STORE__MAX_BYTES="16GiB"
    )
    find, store, now = Identity(IdentityRules()).find, app.store, time.monotonic()
    await run_batch(app, [scope(client, API) for client in range(LOOKS)], sink)
    known = [store.find(find(address(client)), now) for client in range(LOOKS)]
    met = app.house.gate.clients.term[0]
    gc.disable()  # nothing here is garbage
    for client in range(LOOKS, clients):  # to let a million in by the door takes minutes
        history, like = store.find(find(address(client)), now), known[client % LOOKS]
        history.face, history.look, history.requests, history.met = like.face, like.look, 1, met
    gc.enable()
    for start in range(0, min(clients, _REMEMBERED), BATCH):
        await run_batch(app, [scope(client, API) for client in range(start, start + BATCH)], sink)
    return app


def _lookup(table: dict[str, int], keys: list[str]) -> float:
    start = time.thread_time_ns()
    for key in keys:
        table[key]
    return (time.thread_time_ns() - start) / len(keys)
