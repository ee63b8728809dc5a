"""What a remembered client weighs: in antiscrape's memory store, and in the limiters that keep one thing of it.

Every contender is given the same addresses, each once, in a process of its own under the peers' Python. *Bytes* are what
tracemalloc counted per client; *resident* is what the whole process came to with all of them, the interpreter and the
packages included. Of antiscrape's clients about three share a /24, whose record is counted in. ``asked`` is a client that
asked for data once and has been idle since: what the others keep of theirs; ``looked`` saw a page and three originals.
"""

from __future__ import annotations

import gc
import json
import secrets
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtests.bench.figures import resident
from loadtests.bench.peers import ROOT
from loadtests.bench.visitors import address

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.bench.peers import Environment

    Ask = Callable[[str], object]

_LIMIT, _WINDOW = 600, 300


class Weight(NamedTuple):
    """One contender: bytes per client by tracemalloc, and the megabytes that its process has with so many clients."""

    name: str
    title: str
    bytes: float
    clients: int
    resident_mb: float


def _bare() -> Ask:
    """Keep a theoretical arrival time each: the least that a limiter can."""
    tats: dict[str, float] = {}
    interval = _WINDOW / _LIMIT

    def ask(client: str) -> bool:
        now = time.monotonic()
        tats[client] = tat = max(tats.get(client, now), now) + interval
        return tat - now <= _WINDOW

    return ask


def _store() -> tuple[Any, Any, Any]:
    from antiscrape.core.identity import Identity  # noqa: PLC0415  a peer's process must not pay for it
    from antiscrape.core.rules import IdentityRules  # noqa: PLC0415  the same
    from antiscrape.settings import load_policy  # noqa: PLC0415  the same
    from antiscrape.stores.memory import memory_store  # noqa: PLC0415  the same

    environment = {
        "ANTISCRAPE_SECRET": secrets.token_urlsafe(48),
        "ANTISCRAPE__STORE__MAX_PRINCIPALS": "2000000",
        "ANTISCRAPE__STORE__MAX_BYTES": "16GiB",
    }
    policy = load_policy(environ=environment)
    return memory_store(policy), Identity(IdentityRules()).find, policy


def _asked() -> Ask:
    from antiscrape.asgi.head import HeadReader  # noqa: PLC0415  a peer's process must not pay for it
    from antiscrape.core.resource import Kind, Resource  # noqa: PLC0415  the same
    from antiscrape.core.verdict import Standing  # noqa: PLC0415  the same
    from loadtests.bench.visitors import API, scope  # noqa: PLC0415  the same

    store, find, policy = _store()
    head, api = HeadReader().read(scope(1, API)), Resource(Kind.API, API, 1)
    limit = policy.standings[Standing.BROWSER].only

    def ask(client: str) -> object:
        now = time.monotonic()
        history = store.find(find(client), now)
        history.note_request(api, head, now)
        return store.charge_request(history, limit, now)

    return ask


def _looked() -> Ask:
    from antiscrape.asgi.head import HeadReader  # noqa: PLC0415  a peer's process must not pay for it
    from antiscrape.core.observation import Charge  # noqa: PLC0415  the same
    from antiscrape.core.resource import Kind, Resource, Size  # noqa: PLC0415  the same
    from antiscrape.core.verdict import Standing  # noqa: PLC0415  the same
    from loadtests.bench.visitors import IMAGE, PAGE, scope  # noqa: PLC0415  the same

    store, find, policy = _store()
    allowance = policy.standings[Standing.BROWSER]
    heads = {name: HeadReader().read(scope(1, name)) for name in (PAGE, IMAGE)}
    pictures = [
        Resource(Kind.IMAGE, f"/media/{number}.jpg", number << 32 | 1 << 63, Size.ORIGINAL, "", number)
        for number in range(20_000)
    ]
    page, seen = Resource(Kind.PAGE, PAGE, 2), iter(range(1 << 40))

    def ask(client: str) -> None:
        now = time.monotonic()
        history = store.find(find(client), now)
        history.note_request(page, heads[PAGE], now)
        store.charge(history, Charge.REQUEST, allowance, page, now)
        for _ in range(3):
            now = time.monotonic()
            picture = pictures[next(seen) * 7919 % len(pictures)]
            history.note_request(picture, heads[IMAGE], now)
            store.charge(history, Charge.ORIGINAL, allowance, picture, now)

    return ask


def _limits(strategy: str) -> Callable[[], Ask]:
    def build() -> Ask:
        import limits.strategies  # noqa: PLC0415  only its own process has it
        from limits.storage import MemoryStorage  # noqa: PLC0415  the same

        limiter = getattr(limits.strategies, strategy)(MemoryStorage())
        item = limits.parse(f"{_LIMIT}/{_WINDOW} seconds")
        return lambda client: limiter.hit(item, client)

    return build


def _throttled() -> Ask:
    from throttled import MemoryStore, Throttled, rate_limiter  # noqa: PLC0415  only its own process has it

    store = MemoryStore(options={"MAX_SIZE": 2_000_000})  # its default forgets after 1,024 clients
    throttle = Throttled(
        using="gcra", quota=rate_limiter.per_min(_LIMIT * 60 // _WINDOW, burst=_LIMIT), store=store
    )
    allow: Ask = throttle.limit
    return allow


def _pyrate() -> Ask:
    """Keep a bucket each, as its pages do where clients are told apart; without the thread that empties them."""
    from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem  # noqa: PLC0415  only its own process has it

    rates = [Rate(_LIMIT, _WINDOW * Duration.SECOND)]
    buckets: dict[str, InMemoryBucket] = {}

    def ask(client: str) -> bool:
        bucket = buckets.get(client)
        if bucket is None:
            bucket = buckets[client] = InMemoryBucket(rates)
        return bool(bucket.put(RateItem(client, bucket.now())))

    return ask


CONTENDERS: dict[str, tuple[str, str, Callable[[], Ask]]] = {
    "bare": ("a dictionary of GCRA times", "", _bare),
    "asked": ("antiscrape, asked once", "", _asked),
    "looked": ("antiscrape, a page and three originals", "", _looked),
    "limits_fixed": ("limits, fixed window", "limits", _limits("FixedWindowRateLimiter")),
    "limits_moving": ("limits, moving window", "limits", _limits("MovingWindowRateLimiter")),
    "throttled": ("throttled-py, GCRA", "throttled", _throttled),
    "pyrate": ("pyrate-limiter, a bucket each", "pyrate_limiter", _pyrate),
}


def weigh(name: str, environment: Environment, *, traced: int, clients: int) -> Weight:
    """Weigh one contender in new processes; raise ``subprocess.SubprocessError`` where it fails."""
    python = environment.python if CONTENDERS[name][1] else sys.executable
    found = []
    for count, how in ((traced, "traced"), (clients, "resident")):
        command = [python, "-m", "loadtests.bench.tracked", name, str(count), how]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600)
        found.append(json.loads(done.stdout))
    return Weight(name, CONTENDERS[name][0], found[0] / traced, clients, found[1] / 1e6)


def _run(name: str, clients: int, *, traced: bool) -> int:
    ask = CONTENDERS[name][2]()
    for number in range(1 << 23, (1 << 23) + 1000):  # what is made at the first requests is nobody's
        ask(address(number))
    gc.collect()
    if traced:
        tracemalloc.start()
    for number in range(clients):
        ask(address(number))
    gc.collect()
    return tracemalloc.get_traced_memory()[0] if traced else resident()


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], int(sys.argv[2]), traced=sys.argv[3] == "traced")))
