"""Clients before a fleet of workers in virtual time: what they ask for, and what is admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Principal
from antiscrape.core.observation import Charge
from antiscrape.core.resource import Kind, Resource, Size, subject_identity
from antiscrape.core.rules import Allowance
from antiscrape.core.verdict import Rendition, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.history import History
    from loadtests.fleet import Fleet, Worker

CLIENT = Principal("203.0.113.7", "203.0.113.0/24", "203.0.113.7")
SMALL = Allowance(
    Standing.BROWSER,
    Rendition.ORIGINAL,
    Rendition.PREVIEW,
    requests=parse_limits("60/6s"),
    originals=parse_limits("4/20s"),
    subjects=parse_limits("3/20s"),
)
#: Nothing is refused; a request costs ten seconds, a hundred bytes one.
FREE = Allowance(
    Standing.BROWSER,
    Rendition.ORIGINAL,
    Rendition.PREVIEW,
    requests=parse_limits("1000/10000s"),
    originals=parse_limits("1000/200s"),
    subjects=parse_limits("1000/200s"),
    bytes=parse_limits("1MB/10000s", sizes=True),
)


class Ask(NamedTuple):
    """One request, ``gap`` seconds after the one before it."""

    gap: float
    worker: int
    thing: int


class Admitted(NamedTuple):
    """A request that was admitted, and when."""

    at: float
    worker: int
    thing: int


def image(number: int, subject: str = "") -> Resource:
    return Resource(Kind.IMAGE, f"/i/{number}", number, Size.ORIGINAL, subject=subject)


def page(subject: str = "") -> Resource:
    return Resource(Kind.SUBJECT if subject else Kind.PAGE, "/p", 1, subject=subject)


def charge(
    worker: Worker, resource: Resource, client: Principal = CLIENT, allowance: Allowance = SMALL
) -> bool:
    """Ask for something; tell whether it was admitted, and charged: the same again costs nothing."""
    now, store = worker.fleet.now, worker.store
    history = store.find(client, now)
    if history.banned_until > now:
        return False
    if resource.kind is not Kind.IMAGE:
        if store.charge(history, Charge.REQUEST, allowance, resource, now).exceeded is not None:
            return False
        return not resource.subject or (history.subjects or {}).get(subject_identity(resource.subject)) == now
    usage = store.charge_image(history, Charge.ORIGINAL, allowance, resource, now)
    return usage.exceeded is None and (history.originals or {}).get(resource.identity) == now


MAKE: dict[str, Callable[[int], Resource]] = {
    "requests": lambda _: page(),
    "originals": image,
    "subjects": lambda number: page(f"s{number}"),
}


def play(
    fleet: Fleet, asks: list[Ask], kind: str, allowance: Allowance = SMALL
) -> tuple[list[Admitted], list[Admitted]]:
    """Let a client ask; return what was asked for, and what was admitted and charged."""
    asked, admitted = [], []
    for ask in asks:
        fleet.run_until(fleet.now + ask.gap)
        worker = fleet.workers[ask.worker % len(fleet.workers)]
        asked.append(Admitted(fleet.now, worker.number, ask.thing))
        if charge(worker, MAKE[kind](ask.thing), CLIENT, allowance):
            admitted.append(asked[-1])
    return asked, admitted


def most_within(times: list[float], span: float) -> int:
    """Return how many of ``times``, which are in order, lie within any span of so many seconds."""
    first, most = 0, 0
    for last, time in enumerate(times):
        while times[first] < time - span:
            first += 1
        most = max(most, last - first + 1)
    return most


def excess(asked: list[Admitted], span: float) -> int:
    """Return what all workers but the quietest are asked at most within a span: the bound of the overshoot."""
    workers = {one.worker for one in asked}
    arrivals = [most_within([one.at for one in asked if one.worker == worker], span) for worker in workers]
    return sum(arrivals) - min(arrivals)


def visit(fleet: Fleet, client: Principal = CLIENT) -> list[History]:
    """Let every worker read what is known of a client, which costs nothing; return its records there."""
    histories = [worker.store.find(client, fleet.now) for worker in fleet.workers]
    for worker, history in zip(fleet.workers, histories, strict=True):
        worker.store.journal_of(history).told = True
        if history.rollup is not None:
            worker.store.journal_of(history.rollup).told = True
    fleet.settle()
    return histories
