"""Stores that count in a real server, as the contract asks them: at once, and at the time that the trace says.

The scripts are the product's, but for the one line that reads the server's clock: it reads a key in its place.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from antiscrape.stores.exchange import Exchange
from antiscrape.stores.names import Names, epoch_of
from antiscrape.stores.shared import SharedStore
from antiscrape.stores.strict import StrictStore
from antiscrape.stores.wire import EXCHANGE, SPEND, pack_spend, unpack_spend
from tests.contracts.properties import LINE_FACTOR, ROLLUP_FACTOR, STANDINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

    from antiscrape.core.history import History
    from antiscrape.core.identity import Principal
    from antiscrape.core.observation import Charge, Usage
    from antiscrape.core.resource import Resource
    from antiscrape.core.rules import Allowance
    from antiscrape.stores.wire import Charging, Outcome

    Client = redis.Redis | redis.RedisCluster

_CLOCK: Final = b"redis.call('TIME')"
_TOLD: Final = b"struct.pack and {redis.call('GET', KEYS[1] .. ':s'), redis.call('GET', KEYS[1] .. ':us')}"
_SITES = itertools.count()


def told_time(script: bytes) -> bytes:
    """Return a script that takes the time from two keys beside the epoch."""
    assert script.count(_CLOCK) == 1
    return script.replace(_CLOCK, _TOLD)


class Counted:
    """What several workers of one site count together in one server, asked in turns."""

    def __init__(self, server: Client, *, workers: int, strict: bool, shards: int) -> None:
        self._server = server
        self._names = Names(b"k" * 32, f"contract {next(_SITES)}", shards=shards)
        self._spend = server.register_script(told_time(SPEND))
        self._exchange = server.register_script(told_time(EXCHANGE))
        self.now = 0.0
        self._workers = [self._worker(number, strict=strict) for number in range(workers)]
        self._turns = itertools.cycle(self._workers)
        self._of: dict[int, tuple[SharedStore, Exchange]] = {}

    def _worker(self, number: int, *, strict: bool) -> tuple[SharedStore, Exchange]:
        settings: dict[str, Any] = {
            "clock": lambda: self.now,
            "origin": number.to_bytes(8, "big"),
            "max_principals": 1000,
            "rollup_factor": ROLLUP_FACTOR,
            "line_factor": LINE_FACTOR,
            "standings": STANDINGS,
        }
        store = StrictStore(**settings) if strict else SharedStore(**settings)
        exchange = Exchange(store, self._names)
        if isinstance(store, StrictStore):
            store.key_of, store.confirm = exchange.key_of, self._confirm
        store.shout = self._shout
        return store, exchange

    def _run(self, script: Any, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        seconds, rest = divmod(self.now, 1.0)
        self._server.set(epoch_of(keys[0]) + b":s", int(seconds))
        self._server.set(epoch_of(keys[0]) + b":us", int(rest * 1e6))
        found: bytes = script(keys=keys, args=arguments)
        return found

    def _shout(self, message: bytes) -> None:
        for store, _ in self._workers:
            store.hear(message)

    async def _confirm(self, charging: Charging) -> Outcome | None:
        (outcome,) = unpack_spend(self._run(self._spend, *pack_spend([charging])), [charging])
        return outcome

    def find(self, principal: Principal, now: float) -> History:
        """Return the history that the worker has whose turn it is."""
        self.now = now
        store, exchange = next(self._turns)
        history = store.find(principal, now)
        self._of[id(history)] = (store, exchange)
        return history

    def charge(
        self, history: History, charge: Charge, allowance: Allowance, resource: Resource, now: float
    ) -> Usage:
        """Charge one request, and have it counted by all."""
        self.now = now
        store, exchange = self._of[id(history)]
        usage = store.charge(history, charge, allowance, resource, now)
        return self._settled(store, exchange, usage)

    def _settled(self, store: SharedStore, exchange: Exchange, usage: Usage) -> Usage:
        if isinstance(store, StrictStore):
            waiting = store.settle()
            try:
                waiting.send(None)
            except StopIteration as answer:
                return usage if answer.value is None else usage._replace(exceeded=answer.value)
            raise AssertionError("the answer was awaited")
        self._tell(exchange)
        return usage

    def _tell(self, exchange: Exchange) -> None:
        while exchange.waiting:
            for telling in exchange.collect(self.now):
                answer = self._run(self._exchange, telling.keys, telling.arguments)
                exchange.apply(telling, answer, self.now, self.now)

    def __getattr__(self, name: str) -> Any:
        """Let a charge of another kind through to the worker."""

        def call(history: History, *rest: Any) -> Any:
            self.now = rest[-1]
            store, exchange = self._of[id(history)]
            answer = getattr(store, name)(history, *rest)
            if answer is not None:
                return self._settled(store, exchange, answer)
            self._tell(exchange)
            return None

        return call
