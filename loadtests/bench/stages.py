"""Where the microseconds go within a stage: each room's part of a known client's request, in a loop of its own.

Calling something from a loop costs something itself; that floor is measured beside each batch and
taken off. In such a loop the code and the data stay in the processor's caches, so these figures are
for comparing parts and versions with each other; ``inprocess`` tells what they cost in place.
"""

from __future__ import annotations

import gc
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from antiscrape import clock
from antiscrape.asgi.responder import Responder
from antiscrape.core.judge import decide
from antiscrape.core.observation import CLEAN, Charge, Observation
from loadtests.bench.inprocess import BATCH
from loadtests.bench.rooms import Rooms
from loadtests.bench.variants import protected
from loadtests.bench.visitors import CLIENTS, scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from antiscrape.gate import Passage

_HEADERS = [(b"content-length", b"27"), (b"content-type", b"application/json")]


class Stage(NamedTuple):
    """One part: its name, CPU µs per request in a loop of its own, and what it covers."""

    name: str
    cost: float
    covers: str


_COVERS = {
    "head": "HeadReader.read: the scope's fields, host, scheme",
    "judge": "Gate.judge, of a known client",
    "principal": "Identity.find: a chain of addresses that is new; a known one is a look-up of judge's rest",
    "history": "History.note_request",
    "budgets": "MemoryStore.charge: requests of the client and of its network",
    "verdict": "decide: the pure judge; what is usual stands ready and asks nobody",
    "signals": "the rest of Gate.judge: path and profile memos, the visit's review",
    "answer": "Responder: made, and two messages of the site passed on",
    "record": "Recorder.record of a plain allow",
}
_WITHIN = ("history", "budgets")


async def stages(target: str, *, rounds: int, clients: int = CLIENTS) -> list[Stage]:
    """Time each part on ``rounds`` batches of known clients' requests for ``target``; medians."""
    rooms = Rooms(protected(_never).policy)
    for number in range(clients):
        rooms.know(scope(number, target))
    gc.collect()
    gc.freeze()
    try:
        batches = [
            await _one_batch(rooms, target, [(batch * BATCH + place) % clients for place in range(BATCH)])
            for batch in range(rounds)
        ]
    finally:
        gc.unfreeze()
        await rooms.renderer.aclose()
    found = {name: statistics.median([batch[name] for batch in batches]) for name in batches[0]}
    found["signals"] = max(0.0, found["judge"] - sum(found[name] for name in _WITHIN))
    return [Stage(name, found[name], covers) for name, covers in _COVERS.items()]


async def _one_batch(rooms: Rooms, target: str, numbers: Sequence[int]) -> dict[str, float]:
    read, judge, find = rooms.reader.read, rooms.gate.judge, rooms.identity.find
    charge, record = rooms.store.charge, rooms.recorder.record
    policy, now = rooms.policy, clock.monotonic()

    def note(passage: Passage) -> None:
        passage.habits.note_request(passage.resource, passage, now)

    def spend(passage: Passage) -> None:
        allowance = policy.standings[passage.verdict.standing]
        charge(passage.history, Charge.REQUEST, allowance, passage.resource, now)

    costs = {"head": _timed(read, [scope(number, target) for number in numbers])}
    heads = [read(scope(number, target)) for number in numbers]
    costs["principal"] = _timed(lambda head: find(head.peer, head.value(b"x-forwarded-for")), heads)
    costs["judge"] = _timed(judge, [read(scope(number, target)) for number in numbers])
    passages = [judge(head) for head in heads]
    costs["history"] = _timed(note, passages)
    costs["budgets"] = _timed(spend, passages)
    seen = [Observation(passage.resource, CLEAN, CLEAN, banned=False, grant=None) for passage in passages]
    costs["verdict"] = _timed(lambda one: decide(one, policy), seen)
    costs["answer"] = await _timed_answer(rooms, passages)
    costs["record"] = _timed(lambda passage: record(passage, 200), passages)
    return costs


def _timed(call: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return CPU µs per call, without the loop's own."""
    gc.collect()
    gc.disable()
    try:
        start = time.thread_time_ns()
        for item in items:
            call(item)
        middle = time.thread_time_ns()
        for item in items:
            _nothing(item)
        end = time.thread_time_ns()
    finally:
        gc.enable()
    return ((middle - start) - (end - middle)) / len(items) / 1000


async def _timed_answer(rooms: Rooms, passages: Sequence[Passage]) -> float:
    async def send(_message: object) -> None:
        pass

    starts: list[dict[str, Any]] = [
        {"type": "http.response.start", "status": 200, "headers": list(_HEADERS)} for _ in passages
    ]
    body = {"type": "http.response.body", "body": b"x" * 27}
    gc.collect()
    gc.disable()
    try:
        begin = time.thread_time_ns()
        for passage, start in zip(passages, starts, strict=True):
            responder = Responder()
            responder.tools, responder.passage, responder.to = rooms.tools, passage, send
            responder.handle, responder.status, responder.news = None, 0, False
            await responder.send(start)
            await responder.send(body)
        middle = time.thread_time_ns()
        for _passage, start in zip(passages, starts, strict=True):
            await send(start)
            await send(body)
        end = time.thread_time_ns()
    finally:
        gc.enable()
    return ((middle - begin) - (end - middle)) / len(passages) / 1000


def _nothing(_item: object) -> None:
    """Stand for a call."""


async def _never(_scope: object, _receive: object, _send: object) -> None:
    """Stand for a site that is never asked."""
