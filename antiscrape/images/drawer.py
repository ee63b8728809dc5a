"""The shelf as a server that must not wait for a disk sees it: threads of its own, few jobs, a short patience."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from antiscrape.images.frames import Outcome
    from antiscrape.images.shelf import Shelf
    from antiscrape.ports import Rendered

#: Threads that may hang in the kernel with a disk that does (a network folder whose server is gone).
_THREADS = 2
#: Jobs that may wait for them; what comes beyond is done without the disk.
_MOST = 32
#: Seconds that a picture may take to come from the folder: a worker makes a new one in a fiftieth of them.
PATIENCE = 1.0


class Drawer:
    """Finds and keeps renditions on a :class:`~antiscrape.images.shelf.Shelf` from an event loop."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._work: set[asyncio.Future[Rendered | None]] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    @property
    def counts(self) -> Counter[str]:
        """What became of the files; ``passed`` counts what was done without, because the disk was slow."""
        return self._shelf.counts

    @property
    def held(self) -> int:
        """Bytes in the folder, as far as this process knows."""
        return self._shelf.held

    async def find(self, key: bytes) -> Rendered | None:
        """Return what is stored under ``key``, ``None`` where nothing is or the disk takes longer than ``PATIENCE``."""
        if len(self._work) >= _MOST:
            self.counts["passed"] += 1
            return None
        work = self._begin(lambda: self._shelf.get(key))
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(work)
        except TimeoutError:
            self.counts["passed"] += 1
            return None

    def keep(self, key: bytes, rendered: Rendered, outcome: Outcome) -> None:
        """Have ``rendered`` stored, without waiting for it."""
        if len(self._work) >= _MOST:
            self.counts["passed"] += 1
            return
        self._begin(lambda: self._shelf.put(key, rendered, outcome))

    async def aclose(self) -> None:
        """Let what is being stored come to its end, for ``PATIENCE`` seconds, and let go of the threads."""
        loop = asyncio.get_running_loop()
        mine = [work for work in self._work if work.get_loop() is loop]
        if mine:
            await asyncio.wait(mine, timeout=PATIENCE)
        if self._pool is not None and self._owner == os.getpid():
            self._pool.shutdown(wait=False)
        self._pool = None

    def _begin(self, job: Callable[[], Rendered | None]) -> asyncio.Future[Rendered | None]:
        if self._pool is None or self._owner != os.getpid():  # the second: a fork has no threads
            self._pool, self._owner = ThreadPoolExecutor(_THREADS, "antiscrape-renditions"), os.getpid()
            self._work = set()
        work = asyncio.get_running_loop().run_in_executor(self._pool, job)
        self._work.add(work)
        work.add_done_callback(self._ended)
        return work

    def _ended(self, work: asyncio.Future[Rendered | None]) -> None:
        self._work.discard(work)
        if not work.cancelled():
            work.exception()  # retrieved, so that nobody is told of it twice; the shelf raises nothing it expects
