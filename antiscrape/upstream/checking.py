"""The active check: each site is asked for a path every so often, and left alone while it does not answer well."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from antiscrape.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from antiscrape.core.forwarding import UpstreamRules
    from antiscrape.upstream.pool import Pool

_log = logging.getLogger("antiscrape.upstream")


class Checker:
    """Asks ``pools`` for ``rules.check_path`` by ``ask``, which returns a status."""

    def __init__(
        self,
        pools: Sequence[Pool],
        rules: UpstreamRules,
        ask: Callable[[Pool, bytes], Awaitable[int]],
    ) -> None:
        self._pools = pools
        self._ask = ask
        self._path = rules.check_path.encode("ascii")
        self._interval = rules.check_interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it has."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_on())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        """Ask each site once."""
        await asyncio.gather(*(self._check(pool) for pool in self._pools))

    async def _keep_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._interval)

    async def _check(self, pool: Pool) -> None:
        try:
            status = await self._ask(pool, self._path)
            up, words = 200 <= status < 400, f"status {status}"
        except UpstreamError as error:
            up, words = False, str(error)
        if up is not pool.health.up:
            _log.warning("%s is %s (%s)", pool.address.url, "back" if up else "left alone", words)
        pool.health.up = up
