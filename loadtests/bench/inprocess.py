"""What antiscrape adds to one request inside the process, and one ``hmac.digest`` beside it as the measure.

The bare site, the protected site and the bare site with three HMACs take turns on batches of 200
requests, in an order that changes from batch to batch, and so do antiscrape's first one, two and
three stages alone: what a stage costs between requests, with the caches as the site leaves them, is
two to three times what it costs in a loop of its own.

Scopes are made outside the timed part, of bytes that nobody has hashed yet, and Python's garbage
collector runs between batches and not within them; what it finds there is reported, for a middleware
that leaves cycles pays for them later.
"""

from __future__ import annotations

import gc
import hmac
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtests.bench.figures import Spread, spread
from loadtests.bench.rooms import Rooms
from loadtests.bench.site import make_site
from loadtests.bench.variants import protected
from loadtests.bench.visitors import CLIENTS, VISITS, scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtests.bench.variants import App

BATCH = 200
_HMACS = 3
_KEY, _MESSAGE = b"k" * 32, b"/media/1001.jpg 1735689600"


class Signing:
    """Compute three HMACs before each request: what three signatures would cost."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        for _ in range(_HMACS):
            hmac.digest(_KEY, _MESSAGE, "sha256")
        await self._app(scope, receive, send)


class InProcess(NamedTuple):
    """CPU µs per request, each a median over batches.

    ``bare`` is the site alone, ``added`` what antiscrape adds, ``one_hmac`` one HMAC in place and
    ``hmacs`` the ratio of the two; ``stages`` are what head, judge, answer and the rest add one after
    the other; ``cycles`` are objects per request that only the garbage collector frees.
    """

    target: str
    bare: float
    added: Spread
    one_hmac: float
    hmacs: float
    stages: dict[str, float]
    cycles: float
    requests: int


class Sink:
    """Takes an app's messages and counts the answers that are not 200."""

    def __init__(self) -> None:
        self.failures = 0
        self.bytes = 0

    async def send(self, message: Any) -> None:
        """Take one message."""
        if message["type"] == "http.response.start":
            self.failures += message["status"] != 200
        elif message["type"] == "http.response.body":
            self.bytes += len(message["body"])

    async def receive(self) -> Any:
        """Give an empty body."""
        return {"type": "http.request", "body": b"", "more_body": False}


async def run_batch(app: App, scopes: Sequence[Any], sink: Sink) -> float:
    """Send ``scopes`` through ``app``, one after the other; return CPU µs per request of this thread."""
    send, receive = sink.send, sink.receive
    gc.collect()
    gc.disable()
    try:
        start = time.thread_time_ns()
        for one in scopes:
            await app(one, receive, send)
        spent = time.thread_time_ns() - start
    finally:
        gc.enable()
    return spent / len(scopes) / 1000


async def added(target: str, *, rounds: int, clients: int = CLIENTS) -> InProcess:
    """Measure what antiscrape adds for known clients; raise ``RuntimeError`` where one was not served."""
    bare, whole = make_site(), protected(make_site())
    rooms = Rooms(whole.policy)
    apps: dict[str, App] = {
        "bare": bare,
        "head": rooms.reading(bare),
        "judge": rooms.judging(bare),
        "answer": rooms.answering(bare),
        "whole": whole,
        "signing": Signing(bare),
    }
    sink = Sink()
    for _ in range(VISITS):
        for number in range(clients):
            await whole(scope(number, target), sink.receive, sink.send)
            rooms.know(scope(number, target))
    gc.collect()
    gc.freeze()
    try:
        costs, cycles = await _take_turns(apps, target, sink, rounds=rounds, clients=clients)
    finally:
        gc.unfreeze()
        await rooms.renderer.aclose()
    if sink.failures:
        raise RuntimeError(f"{sink.failures} requests for {target} were not answered 200")
    return _sum_up(target, costs, cycles=cycles / (rounds * BATCH), requests=rounds * BATCH)


async def _take_turns(
    apps: dict[str, App], target: str, sink: Sink, *, rounds: int, clients: int
) -> tuple[dict[str, list[float]], int]:
    costs: dict[str, list[float]] = {name: [] for name in apps}
    names, cycles = list(apps), 0
    for batch in range(rounds):
        numbers = [(batch * BATCH + place) % clients for place in range(BATCH)]
        turn = batch % len(names)
        order = names[turn:] + names[:turn]
        for name in order if batch // len(names) % 2 else reversed(order):
            scopes = [scope(number, target) for number in numbers]
            costs[name].append(await run_batch(apps[name], scopes, sink))
            scopes.clear()
            found = gc.collect()
            cycles += found if name == "whole" else 0
    return costs, cycles


def _sum_up(target: str, costs: dict[str, list[float]], *, cycles: float, requests: int) -> InProcess:
    def more(name: str, than: str = "bare") -> list[float]:
        return [one - other for one, other in zip(costs[name], costs[than], strict=True)]

    one_hmac = statistics.median(more("signing")) / _HMACS
    added = spread(more("whole"))
    steps = (("head", "bare"), ("judge", "head"), ("answer", "judge"), ("whole", "answer"))
    stages = {name: statistics.median(more(name, than)) for name, than in steps}
    stages["rest"] = stages.pop("whole")
    return InProcess(
        target,
        statistics.median(costs["bare"]),
        added,
        one_hmac,
        added.median / one_hmac,
        stages,
        cycles,
        requests,
    )
