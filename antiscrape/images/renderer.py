"""The room's face to the rest of the house: name, memory, folder, queue, worker, and the trace, in that order.

A picture is rendered once however many ask for it at the same time, and goes on being rendered when
they hang up: otherwise a harvester could have the work done again and again by closing connections.

What is made of a picture is kept once, under a name of its bytes: the site's own (a strong ETag, which costs
nothing) or their digest. The trace of whoever takes it is put on last, into a copy; copies have a share of
memory of their own, so that many takers of one picture never drive out the pictures.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.core.rules import TraceRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.cache import RenditionCache, digest
from antiscrape.images.drawer import Drawer
from antiscrape.images.faces.extra import finds_faces
from antiscrape.images.formats import SNIFFED, accepted, sniff
from antiscrape.images.frames import DECOY_HEAD, MEDIA_TYPES, Duty, Order, Outcome, Reply, Task, seed_of
from antiscrape.images.givens import givens_of
from antiscrape.images.placeholder import placeholder_png
from antiscrape.images.shelf import Shelf
from antiscrape.images.splice import mark
from antiscrape.images.workers import WorkerPool
from antiscrape.ports import Rendered
from antiscrape.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from antiscrape.core.rules import ImageRules
    from antiscrape.core.trace import TraceKeys
    from antiscrape.ports import Wanted

_log = logging.getLogger(__name__)

#: Raised whenever a recipe changes what it makes, so that no browser keeps a picture of the former one.
RECIPES_VERSION = 7

#: Sources from this size on are digested in a thread: a megabyte takes SHA-256 about a millisecond.
DIGEST_IN_THREAD = 2**20

#: Workers that a picture may cost before it counts as unreadable. Not one, for a worker may also be
#: ended by the system or an operator while it works on an innocent picture.
MOST_LOST = 2
_LOST_REMEMBERED = 1024

_TASKS = {
    Rendition.PREVIEW: Task.PREVIEW,
    Rendition.MARKED: Task.MARKED,
    Rendition.DECOY: Task.DECOY,
}

#: Rules that bound the work and change nothing of what is made: any other change of rules is another rendition.
_WITHOUT_LOOKS = frozenset({
    "cache_bytes", "cache_folder", "cache_folder_bytes", "max_bytes", "max_pixels", "original_from", "queue", "timeout",
    "worker_memory", "workers",
})  # fmt: skip


class PillowRenderer:
    """A :class:`antiscrape.ports.Renderer` that decodes with Pillow, in processes of their own.

    ``key`` names and seals what lies in the folder of ``rules``; ``trace_keys`` are those of the traces that
    ``trace`` asks for, None where none are put into pictures. The pattern's goes to the workers that lay it, the
    token's stays here: a comment is put into finished bytes, and nothing is decoded for it. Raise
    ``ConfigurationError`` where no worker can ever be started.

    ``counts`` tells how often each way to answer was taken: ``cached``, ``joined``, ``found`` (in the folder),
    ``refused`` (not a format that is decoded, or too large), and the names of
    :class:`~antiscrape.images.frames.Outcome` in lower case; ``traces`` the same of traced copies, ``folder``
    what became of files.
    """

    def __init__(
        self,
        rules: ImageRules,
        *,
        key: bytes = b"",
        trace: TraceRules | None = None,
        trace_keys: TraceKeys | None = None,
    ) -> None:
        trace = trace or TraceRules()
        self.counts: Counter[str] = Counter()
        self.traces: Counter[str] = Counter()
        self._rules = rules
        self._pool = WorkerPool(rules)
        self._cache = RenditionCache(rules.cache_bytes)
        self._drawer: Drawer | None = None
        if rules.cache_folder:
            shelf = Shelf(Path(rules.cache_folder), room=rules.cache_folder_bytes, key=key)
            self._drawer = Drawer(shelf)
        self._trace_keys = trace_keys
        self._traced = frozenset[Rendition]()
        self._stamper: WorkerPool | None = None
        if trace_keys is not None and trace.renditions:
            self._traced = frozenset(trace.renditions)
            self._stamper = WorkerPool(rules, Duty.STAMP.hello(trace_keys.pattern))
        self._copies = RenditionCache(trace.cache_bytes)
        self._flights: dict[bytes, asyncio.Task[Rendered]] = {}
        self._lost: dict[bytes, int] = {}
        looks = {name: value for name, value in asdict(rules).items() if name not in _WITHOUT_LOOKS}
        version = (RECIPES_VERSION, __version__, finds_faces(rules), looks, givens_of(rules))
        self._recipe = blake2b(repr(version).encode(), digest_size=16).digest()
        card = placeholder_png(rules.mark)
        self._placeholders = {
            rendition: Rendered(card, "image/png", self._etag(card, rendition), placeholder=True)
            for rendition in Rendition
        }

    async def prepare(self) -> None:
        """Start one worker of each kind ahead of the first request; raise ``ConfigurationError`` where it cannot work."""
        pools = (self._pool,) if self._stamper is None else (self._pool, self._stamper)
        await asyncio.gather(*(pool.prepare() for pool in pools))

    def placeholder(self, rendition: Rendition) -> Rendered:
        """Return at once a picture that shows nothing, for a source that could not be had."""
        return self._placeholders[rendition]

    async def render(self, source: bytes, wanted: Wanted) -> Rendered:
        """Return what is ``wanted`` of the encoded picture ``source``; never raise, never return the original.

        ``ORIGINAL`` and ``REFUSED`` are not made of pixels: both come back as placeholders.
        """
        rendition = wanted.rendition
        if rendition not in _TASKS:
            return self._placeholders[rendition]
        if not 0 < len(source) <= self._rules.max_bytes or sniff(source[:SNIFFED]) is None:
            self.counts["refused"] += 1
            return self._placeholders[rendition]
        name = wanted.source
        if not name:
            large = len(source) >= DIGEST_IN_THREAD
            name = await asyncio.to_thread(digest, source) if large else digest(source)
        order = self._order(wanted)
        key = self._key(name, order)
        base = self._cache.get(key)
        if base is not None:
            self.counts["cached"] += 1
        else:
            # Who could ask by name has looked in the folder already.
            looked = bool(wanted.source)
            base = await self._shared(
                key, self.counts, lambda: self._make(key, order, source, rendition, looked=looked)
            )
        return await self._finished(base, wanted)

    def held(self, wanted: Wanted) -> Rendered | None:
        """Return at once what is in memory of the picture ``wanted.source``, its trace not yet in it."""
        if wanted.rendition not in _TASKS:
            return None
        return self._cache.get(self._key(wanted.source, self._order(wanted)))

    async def recall(self, wanted: Wanted, base: Rendered | None = None) -> Rendered | None:
        """Return what was made before of the picture ``wanted.source``, or ``None`` where that is gone; never raise."""
        if base is None:
            base = self.held(wanted)
        if base is not None:
            self.counts["cached"] += 1
        elif self._drawer is not None and wanted.rendition in _TASKS:
            base = await self._from_folder(self._drawer, self._key(wanted.source, self._order(wanted)))
        return None if base is None else await self._finished(base, wanted)

    def levels(self) -> dict[str, int]:
        """Tell what is held at this moment: jobs ``queued``, living ``workers``, and bytes in the three places."""
        queued, workers = self._pool.levels()
        more = (0, 0) if self._stamper is None else self._stamper.levels()
        levels = {
            "queued": queued + more[0],
            "workers": workers + more[1],
            "cache_bytes": self._cache.held,
            "copies_bytes": self._copies.held,
        }
        return levels if self._drawer is None else levels | {"folder_bytes": self._drawer.held}

    @property
    def folder(self) -> Counter[str]:
        """What became of files in the folder."""
        return Counter() if self._drawer is None else self._drawer.counts

    async def aclose(self) -> None:
        """End the workers, and let what is being rendered come to its end without them."""
        await self._pool.aclose()
        if self._stamper is not None:
            await self._stamper.aclose()
        loop = asyncio.get_running_loop()
        mine = [flight for flight in self._flights.values() if flight.get_loop() is loop]
        await asyncio.gather(*mine, return_exceptions=True)
        if self._drawer is not None:
            await self._drawer.aclose()

    async def _shared(
        self, key: bytes, counts: Counter[str], make: Callable[[], Coroutine[None, None, Rendered]]
    ) -> Rendered:
        """Wait for the making of ``key`` that is under way, or for one that begins now; who gives up ends neither."""
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is not None and flight.get_loop() is loop and not flight.done():
            counts["joined"] += 1
        else:
            flight = self._flights[key] = loop.create_task(make())
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: bytes, flight: asyncio.Task[Rendered]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _make(
        self, key: bytes, order: Order, source: bytes, rendition: Rendition, *, looked: bool
    ) -> Rendered:
        if self._drawer is not None and not looked:
            found = await self._from_folder(self._drawer, key)
            if found is not None:
                return found
        # Of a picture that is not to be shown, its size and format are asked for.
        seen = source[:DECOY_HEAD] if order.task is Task.DECOY else source
        outcome, body = await self._run(self._pool, order, seen)
        self.counts[outcome.name.lower()] += 1
        media_type = MEDIA_TYPES.get(outcome)
        if media_type is not None:
            made = Rendered(body, media_type, self._etag(key, rendition))
            self._cache.put(key, made)
            self._lost.pop(key, None)
            if self._drawer is not None:
                self._drawer.keep(key, made, outcome)
            return made
        nothing = self._placeholders[rendition]
        if outcome in {Outcome.UNREADABLE, Outcome.MEMORY} or (
            outcome is Outcome.LOST and self._is_poison(key)
        ):
            self._cache.put(key, nothing)
        return nothing

    async def _finished(self, base: Rendered, wanted: Wanted) -> Rendered:
        """Return ``base`` with the trace of its taker, where it is to carry one."""
        if not wanted.taker or base.placeholder or wanted.rendition not in self._traced:
            return base
        key = base.etag.encode("ascii") + wanted.taker.to_bytes(8, "big")
        copy = self._copies.get(key)
        if copy is not None:
            self.traces["cached"] += 1
            return copy
        return await self._shared(key, self.traces, lambda: self._stamp(key, base, wanted))

    async def _stamp(self, key: bytes, base: Rendered, wanted: Wanted) -> Rendered:
        """Return a copy that names its taker, in its pixels and its bytes; what is too small for the former, in these.

        For want of a worker nothing goes.
        """
        if self._stamper is None or self._trace_keys is None:
            return base
        order = Order(Task.STAMP, payload=wanted.taker)
        outcome, body = await self._run(self._stamper, order, base.body)
        media_type, word = MEDIA_TYPES.get(outcome), "made"
        if outcome is Outcome.UNREADABLE:
            media_type, body, word = base.content_type, base.body, "bytes"
        if media_type is None:
            self.traces["failed"] += 1
            return self._placeholders[wanted.rendition]
        spliced = mark(self._trace_keys, body, wanted.taker)
        if spliced is not None:
            body = spliced.head + spliced.tail
        if spliced is not None or word == "made":
            etag = blake2b(key, digest_size=12, key=self._recipe).hexdigest()
            copy = Rendered(body, media_type, etag, taker=wanted.taker)
        else:
            copy, word = base, "without"
        self.traces[word] += 1
        self._copies.put(key, copy)
        return copy

    async def _run(self, pool: WorkerPool, order: Order, source: bytes) -> Reply:
        try:
            return await pool.run(order, source)
        except Exception:  # noqa: BLE001 - the promise is a picture whatever happens; the cause goes to the log
            _log.exception("a rendition could not be made")
            return Reply(Outcome.FAULT)

    async def _from_folder(self, drawer: Drawer, key: bytes) -> Rendered | None:
        found = await drawer.find(key)
        if found is not None:
            self.counts["found"] += 1
            self._cache.put(key, found)
        return found

    def _is_poison(self, key: bytes) -> bool:
        """Count one more worker lost over ``key``; return whether it is not to be tried again."""
        times = self._lost.pop(key, 0) + 1
        if times >= MOST_LOST:
            return True
        if len(self._lost) >= _LOST_REMEMBERED:
            del self._lost[next(iter(self._lost))]
        self._lost[key] = times
        return False

    def _order(self, wanted: Wanted) -> Order:
        """Return what a worker is told: the formats that the client takes, and for a decoy what it is drawn from."""
        task = _TASKS[wanted.rendition]
        seed = seed_of(wanted.name, self._recipe) if task is Task.DECOY else Order._field_defaults["seed"]
        return Order(task, accepted(wanted.accept), seed)

    def _key(self, name: bytes, order: Order) -> bytes:
        """Return what a rendition is kept under: the source's name, and all that decides what is made of it."""
        return name + self._recipe + bytes((order.task, order.formats)) + order.seed

    def _etag(self, source: bytes, rendition: Rendition) -> str:
        """Return an opaque value that differs with the source, the rendition, the rules and the recipes' version."""
        return blake2b(source + rendition.value.encode(), digest_size=12, key=self._recipe).hexdigest()
