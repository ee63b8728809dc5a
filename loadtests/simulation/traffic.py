"""What nodes and the store say to each other when a slice of a day is played, and what harvesters get too much."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.identity import Principal
from antiscrape.core.observation import Charge
from antiscrape.core.resource import Kind, Resource, Size
from loadtests.fleet import Fleet, Flight
from loadtests.simulation.population import slice_of

if TYPE_CHECKING:
    from antiscrape.core.rules import Allowance, Policy

#: Seconds to the store and back, in one data centre.
FLIGHT: Final = Flight(0.0005, 0.0005)
#: Bytes of a photo in full.
_PHOTO: Final = 300_000
_PAGE: Final = Resource(Kind.PAGE, "/", 1)


class Traffic(NamedTuple):
    """One slice, counted after its first quarter: ``seconds`` of it, requests, and what was told of them.

    ``lights`` and ``fulls`` are records, ``told`` and ``heard`` bytes at the store, without the protocol's.
    """

    principals: float
    nodes: int
    interval: float
    seconds: float
    requests: int
    refused: int
    exchanges: int
    calls: int
    lights: int
    fulls: int
    told: int
    heard: int

    @property
    def records(self) -> float:
        """Records a request."""
        return (self.lights + self.fulls) / self.requests

    @property
    def full(self) -> float:
        """Full records a request."""
        return self.fulls / self.requests

    @property
    def bytes(self) -> float:
        """Bytes at the store a request, both ways."""
        return (self.told + self.heard) / self.requests

    @property
    def exchanges_a_second(self) -> float:
        """Exchanges of a node a second."""
        return self.exchanges / self.seconds / self.nodes

    @property
    def rate(self) -> float:
        """Requests of a node a second."""
        return self.requests / self.seconds / self.nodes


Call = tuple[list[bytes], list[bytes]]


class Site:
    """A fleet that serves a policy, by its limits for browsers; ``calls`` keeps what the store was told, where asked for."""

    def __init__(
        self, policy: Policy, allowance: Allowance, nodes: int, interval: float, *, keep: bool = False
    ) -> None:
        self.allowance = allowance
        self.fleet = Fleet(
            nodes,
            policy.standings,
            interval=interval,
            flight=lambda _worker, _now: FLIGHT,
            max_principals=policy.store.max_principals,
            rollup_factor=policy.identity.rollup_factor,
        )
        self.start = self.fleet.now
        self.calls: list[Call] = []
        if keep:
            self._listen()

    def _listen(self) -> None:
        paper = self.fleet.paper
        exchange = paper.exchange

        def heard(keys: list[bytes], arguments: list[bytes], now: float) -> bytes:
            self.calls.append((keys, arguments))
            return exchange(keys, arguments, now)

        paper.exchange = heard  # type: ignore[method-assign,assignment]  # to listen, not to change

    def ask(self, node: int, who: str, original: int) -> bool:
        """Let a principal ask a node for a page, or for an original; tell whether it had what it asked for."""
        worker = self.fleet.workers[node]
        now, store = self.fleet.now, worker.store
        history = store.find(Principal(who, f"n{who[:-1]}", who), now)
        if original < 0:
            limit = self.allowance.only
            assert limit is not None  # the default policy's
            return store.charge_request(history, limit, now) is None
        photo = Resource(Kind.IMAGE, "/i", original, Size.ORIGINAL, subject=f"s{original % 1000}")
        usage = store.charge(history, Charge.ORIGINAL, self.allowance, photo, now)
        if usage.exceeded is None:
            store.charge_bytes(history, self.allowance, _PHOTO, now)
        return usage.exceeded is None

    def counts(self) -> list[int]:
        """Return what was told so far: exchanges, calls, light and full records, bytes in and out."""
        told = [worker.told for worker in self.fleet.workers]
        names = ("exchanges", "calls", "lights", "fulls")
        paper = self.fleet.paper
        return [sum(one[name] for one in told) for name in names] + [paper.read, paper.written]


def play(site: Site, principals: float, seconds: float, *, seed: int = 1) -> Traffic:
    """Play a slice of a day, and count all but its first quarter."""
    fleet, asked, refused = site.fleet, 0, 0
    begin, before = seconds / 4, None
    for request in slice_of(principals, len(fleet.workers), seconds, seed=seed):
        if before is None and request.at >= begin:
            before, asked, refused = site.counts(), 0, 0
        fleet.run_until(site.start + request.at)
        asked += 1
        refused += not site.ask(request.node, request.who, request.original)
    fleet.settle()
    after = site.counts()
    counted = [now - then for now, then in zip(after, before or after, strict=True)]
    return Traffic(principals, len(fleet.workers), fleet.interval, seconds - begin, asked, refused, *counted)


class Overshoot(NamedTuple):
    """What one harvester gets beyond its ration when it spreads over nodes: mean and worst of some tries, and the bound."""

    nodes: int
    interval: float
    rate: float
    ration: int
    mean: float
    worst: int
    bound: float


def overshoot(
    policy: Policy, allowance: Allowance, nodes: int, interval: float, rate: float, *, tries: int
) -> Overshoot:
    """Let a harvester ask ``rate`` times a second, each time of any node, until most of what it asks for is refused."""
    ration = int(allowance.originals[0].amount)
    excess, bounds = [], []
    for seed in range(tries):
        site, chance = Site(policy, allowance, nodes, interval), random.Random(seed)
        arrivals: dict[int, list[float]] = {}
        had, at = 0, 0.0
        # Each node may be asked once before it knows, however late: as long as it takes to come to nearly all of them.
        end = min(3.0 * nodes / rate, 500.0) + 2.0 * ration / rate + 4.0 * interval
        while at < end:
            at += chance.expovariate(rate)
            site.fleet.run_until(site.start + at)
            node = chance.randrange(nodes)
            arrivals.setdefault(node, []).append(at)
            had += site.ask(node, "h0", chance.randrange(10**9))
        excess.append(max(0, had - ration))
        span = interval + 2 * (FLIGHT.out + FLIGHT.back)
        most = [_most_within(times, span) for times in arrivals.values()]
        bounds.append(sum(most) - min(most))
    return Overshoot(nodes, interval, rate, ration, sum(excess) / tries, max(excess), max(bounds))


def _most_within(times: list[float], span: float) -> int:
    first = most = 0
    for last, time in enumerate(times):
        while times[first] < time - span:
            first += 1
        most = max(most, last - first + 1)
    return most
