"""The room's face to the rest of the house: digest, cache, queue, worker, in that order.

A picture is rendered once however many ask for it at the same time, and goes on being rendered when
they hang up: otherwise a harvester could have the work done again and again by closing connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING

from antiscrape.core.verdict import Rendition
from antiscrape.images.cache import RenditionCache, digest
from antiscrape.images.formats import SNIFFED, sniff
from antiscrape.images.frames import MEDIA_TYPES, Order, Outcome, Task
from antiscrape.images.placeholder import placeholder_png
from antiscrape.images.workers import WorkerPool
from antiscrape.ports import Rendered

if TYPE_CHECKING:
    from antiscrape.core.rules import ImageRules
    from antiscrape.ports import Wanted

_log = logging.getLogger(__name__)

#: Raised whenever a recipe changes what it makes, so that no browser keeps a picture of the former one.
RECIPES_VERSION = 1

#: Sources from this size on are digested in a thread: a megabyte takes blake2b about a millisecond.
DIGEST_IN_THREAD = 2**20

#: Workers that a picture may cost before it counts as unreadable. Not one, for a worker may also be
#: ended by the system or an operator while it works on an innocent picture.
MOST_LOST = 2
_LOST_REMEMBERED = 1024

_TASKS = {Rendition.PREVIEW: Task.PREVIEW, Rendition.MARKED: Task.MARKED}


class PillowRenderer:
    """A :class:`antiscrape.ports.Renderer` that decodes with Pillow, in processes of their own.

    Raise ``ConfigurationError`` where no worker can ever be started. ``counts`` tells how often
    each way to answer was taken: ``cached``, ``joined``, ``refused`` (not a format that is decoded,
    or too large), and the names of :class:`~antiscrape.images.frames.Outcome` in lower case.
    """

    def __init__(self, rules: ImageRules) -> None:
        self.counts: Counter[str] = Counter()
        self._rules = rules
        self._pool = WorkerPool(rules)
        self._cache = RenditionCache(rules.cache_bytes)
        self._flights: dict[bytes, asyncio.Task[Rendered]] = {}
        self._lost: dict[bytes, int] = {}
        looks = (RECIPES_VERSION, rules.preview_cells, rules.preview_size, rules.mark)
        self._recipe = blake2b(repr(looks).encode(), digest_size=16).digest()
        card = placeholder_png(rules.mark)
        self._placeholders = {
            rendition: Rendered(card, "image/png", self._etag(card, rendition), placeholder=True)
            for rendition in Rendition
        }

    async def prepare(self) -> None:
        """Start one worker ahead of the first request; raise ``ConfigurationError`` where it cannot work."""
        await self._pool.prepare()

    def placeholder(self, rendition: Rendition) -> Rendered:
        """Return at once a picture that shows nothing, for a source that could not be had."""
        return self._placeholders[rendition]

    async def render(self, source: bytes, wanted: Wanted) -> Rendered:
        """Return what is ``wanted`` of the encoded picture ``source``; never raise, never return the original.

        ``ORIGINAL`` and ``REFUSED`` are not made of pixels, and a ``DECOY`` shows nothing yet: all
        three come back as placeholders.
        """
        rendition = wanted.rendition
        task = _TASKS.get(rendition)
        if task is None:
            return self._placeholders[rendition]
        if not 0 < len(source) <= self._rules.max_bytes or sniff(source[:SNIFFED]) is None:
            self.counts["refused"] += 1
            return self._placeholders[rendition]
        large = len(source) >= DIGEST_IN_THREAD
        name = await asyncio.to_thread(digest, source) if large else digest(source)
        key = name + bytes((task,))
        found = self._cache.get(key)
        if found is not None:
            self.counts["cached"] += 1
            return found
        return await asyncio.shield(self._flight(key, task, source, rendition))

    def levels(self) -> dict[str, int]:
        """Tell what is held at this moment: jobs ``queued``, living ``workers``, ``cache_bytes``."""
        queued, workers = self._pool.levels()
        return {"queued": queued, "workers": workers, "cache_bytes": self._cache.held}

    async def aclose(self) -> None:
        """End the workers, and let what is being rendered come to its end without them."""
        await self._pool.aclose()
        loop = asyncio.get_running_loop()
        mine = [flight for flight in self._flights.values() if flight.get_loop() is loop]
        await asyncio.gather(*mine, return_exceptions=True)

    def _flight(self, key: bytes, task: Task, source: bytes, rendition: Rendition) -> asyncio.Task[Rendered]:
        """Return the rendering of ``key`` that is under way, or begin it."""
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is not None and flight.get_loop() is loop and not flight.done():
            self.counts["joined"] += 1
            return flight
        flight = loop.create_task(self._make(key, task, source, rendition))
        self._flights[key] = flight
        flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: bytes, flight: asyncio.Task[Rendered]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _make(self, key: bytes, task: Task, source: bytes, rendition: Rendition) -> Rendered:
        nothing = self._placeholders[rendition]
        try:
            outcome, body = await self._pool.run(Order(task), source)
        except Exception:  # noqa: BLE001 - the promise is a picture whatever happens; the cause goes to the log
            _log.exception("a rendition could not be made")
            return nothing
        self.counts[outcome.name.lower()] += 1
        media_type = MEDIA_TYPES.get(outcome)
        if media_type is not None:
            made = Rendered(body, media_type, self._etag(key, rendition))
            self._cache.put(key, made)
            self._lost.pop(key, None)
            return made
        if outcome in {Outcome.UNREADABLE, Outcome.MEMORY} or (
            outcome is Outcome.LOST and self._is_poison(key)
        ):
            self._cache.put(key, nothing)
        return nothing

    def _is_poison(self, key: bytes) -> bool:
        """Count one more worker lost over ``key``; return whether it is not to be tried again."""
        times = self._lost.pop(key, 0) + 1
        if times >= MOST_LOST:
            return True
        if len(self._lost) >= _LOST_REMEMBERED:
            del self._lost[next(iter(self._lost))]
        self._lost[key] = times
        return False

    def _etag(self, source: bytes, rendition: Rendition) -> str:
        """Return an opaque value that differs with the source, the rendition, the rules and the recipes' version."""
        return blake2b(source + rendition.value.encode(), digest_size=12, key=self._recipe).hexdigest()
