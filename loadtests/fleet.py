"""A fleet of workers in virtual time: real stores and real exchanges, with the server on paper and the network made up.

What ``stores.courier`` does on an event loop is done here on a heap of events: a worker whose first record is touched tells
what it has ``interval`` seconds later, tells again at once where that is urgent, and takes what failed back. So the properties
of the exchange and the simulator's figures are those of the code that serves requests; only the waiting is left out.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.stores.exchange import Exchange
from antiscrape.stores.lesser import Lesser
from antiscrape.stores.names import Names
from antiscrape.stores.shared import AT_REST, SharedStore
from loadtests.paper import PaperStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.core.rules import Allowance
    from antiscrape.core.verdict import Standing
    from antiscrape.stores.exchange import Telling

#: What the server's clock says when ours says nought: some day in 2027.
_SERVER = 1.8e9
#: Seconds that a worker waits for an answer, as ``stores.connection`` does.
TIMEOUT = 0.25


class Lost(Enum):
    """What became of a call: it was answered, never came to the server, or its answer was lost."""

    NOTHING = "nothing"
    CALL = "call"
    ANSWER = "answer"


class Flight(NamedTuple):
    """The network, for one exchange: seconds to the server and back, and what was lost."""

    out: float = 0.0
    back: float = 0.0
    lost: Lost = Lost.NOTHING


class Fleet:
    """So many workers around one server. ``flight`` tells what becomes of a worker's exchange at that time.

    A worker whose exchange failed tries again after ``pause`` seconds and holds clients to its share meanwhile, as behind the
    breaker. ``share`` false leaves the limits as they are, ``rest`` false tells all with the next exchange.
    """

    def __init__(
        self,
        workers: int,
        standings: Mapping[Standing, Allowance],
        *,
        interval: float = 0.1,
        pause: float = 1.0,
        flight: Callable[[int, float], Flight] = lambda _worker, _now: Flight(),
        share: bool = True,
        rest: bool = True,
        max_principals: int = 100_000,
        rollup_factor: float = 20.0,
        start: float = 1000.0,
    ) -> None:
        self.now = start
        self.paper = PaperStore()
        self.interval = interval
        self.pause = pause
        self.flight = flight
        self.share = share
        self.rest = rest
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._make = partial(
            SharedStore,
            clock=lambda: self.now,
            max_principals=max_principals,
            rollup_factor=rollup_factor,
            standings=standings,
        )
        self.workers: list[Worker] = []
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> Worker:
        """Let one more worker start."""
        number = len(self.workers)
        worker = Worker(self, self._make(origin=number.to_bytes(8, "big")), number)
        self.workers.append(worker)
        for one in self.workers:
            one.store.rests = self.rests
        return worker

    @property
    def rests(self) -> float:
        """What of a limit a worker may have at rest."""
        return AT_REST / len(self.workers) if self.rest else 0.0

    @property
    def server_now(self) -> float:
        """What the server's clock would say now, were it never set."""
        return _SERVER + self.now

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Have something done at that time."""
        self._count += 1
        heappush(self._events, (when, self._count, do))

    def run_until(self, when: float) -> None:
        """Let time pass."""
        events = self._events
        while events and events[0][0] <= when:
            self.now, _, do = heappop(events)
            do()
        self.now = max(self.now, when)

    def settle(self, most: float = 60.0) -> None:
        """Let time pass until nobody has anything to tell; raise where that takes more than ``most`` seconds."""
        end = self.now + most
        while self._events:
            if self._events[0][0] > end:
                raise AssertionError(f"after {most} s there is still something to tell")
            self.run_until(self._events[0][0])


class Worker:
    """One worker. ``told`` counts its exchanges, script calls, and light and full records."""

    def __init__(self, fleet: Fleet, store: SharedStore, number: int) -> None:
        self.fleet = fleet
        self.store = store
        self.number = number
        self.exchange = Exchange(store, Names(b"k" * 32, "site"))
        self.told = {"exchanges": 0, "calls": 0, "lights": 0, "fulls": 0, "failed": 0}
        self._busy = False  # a timer is set, or an exchange is under way
        self.alive = True
        store.wake = self.wake
        store.shout = self._shout

    def wake(self, after: float | None = None) -> None:
        """See to it that what was spent is told within the interval."""
        if not self._busy and self.alive:
            self._busy = True
            self.fleet.at(self.fleet.now + (self.fleet.interval if after is None else after), self._tell)

    def _shout(self, message: bytes) -> None:
        fleet, way = self.fleet, self.fleet.flight(self.number, self.fleet.now)
        if way.lost is Lost.NOTHING:
            for other in fleet.workers:
                if other is not self and fleet.flight(other.number, fleet.now).lost is Lost.NOTHING:
                    fleet.at(fleet.now + way.out + way.back, partial(_hear, other, message))

    def _tell(self) -> None:
        fleet = self.fleet
        if not self.alive:
            return
        sent = fleet.now
        tellings = self.exchange.collect(sent)
        if not tellings:
            self._rest(None)
            return
        told = self.told
        told["exchanges"] += 1
        told["calls"] += len(tellings)
        told["lights"] += sum(len(one.lights) for one in tellings)
        told["fulls"] += sum(len(one.fulls) for one in tellings)
        way = fleet.flight(self.number, sent)
        if way.lost is Lost.CALL:
            fleet.at(sent + TIMEOUT, lambda: self._failed(tellings))
        elif way.out:
            fleet.at(sent + way.out, lambda: self._arrive(tellings, sent, way))
        else:
            self._arrive(tellings, sent, way)

    def _arrive(self, tellings: list[Telling], sent: float, way: Flight) -> None:
        fleet = self.fleet
        blobs = [fleet.paper.exchange(one.keys, one.arguments, fleet.server_now) for one in tellings]
        if way.lost is Lost.ANSWER:
            fleet.at(sent + TIMEOUT, lambda: self._failed(tellings))
        elif way.back:
            fleet.at(fleet.now + way.back, lambda: self._answered(tellings, blobs, sent))
        else:
            self._answered(tellings, blobs, sent)

    def _answered(self, tellings: list[Telling], blobs: list[bytes], sent: float) -> None:
        if not self.alive:
            return
        for telling, blob in zip(tellings, blobs, strict=True):
            self.exchange.apply(telling, blob, sent, self.fleet.now)
        self.store.lesser = None
        self.store.rests = self.fleet.rests
        if self.exchange.urgent:
            self._tell()
        else:
            self._rest(None)

    def _failed(self, tellings: list[Telling]) -> None:
        if not self.alive:
            return
        fleet = self.fleet
        self.told["failed"] += 1
        self.store.rests = 0.0
        if fleet.share and len(fleet.workers) > 1:
            self.store.lesser = self.store.lesser or Lesser(len(fleet.workers))
        self.exchange.failed(tellings)
        self._rest(fleet.pause)

    def _rest(self, after: float | None) -> None:
        self._busy = False
        if not self.exchange.idle:
            self.wake(after)


def _hear(worker: Worker, message: bytes) -> None:
    if worker.alive:
        worker.store.hear(message)
