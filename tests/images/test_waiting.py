"""Who waits for image workers: whoever gets renditions, in a queue with an end; nobody who gets originals."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.rules import ImageRules
from antiscrape.images.workers import WorkerPool
from tests.house import PATIENCE, answers, house, person, photo, tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.types import Receive, Scope, Send

PHOTOS = {f"/media/{number}.jpg": photo(800, 600, seed=number) for number in range(1, 4)}


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    await answers(PHOTOS[scope["path"]])(scope, receive, send)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the pool has no event for a test to wait for
        await asyncio.sleep(0.001)


@pytest.mark.security("E2")
def test_a_person_never_waits_for_a_worker() -> None:
    """The only one stands still, with a harvester's picture in hand and another waiting; a third is a placeholder at once."""
    first, second, third = PHOTOS

    async def main() -> None:
        pool = WorkerPool(ImageRules(faces="off", workers=1, queue=1, timeout=PATIENCE))
        try:
            async with house(site) as guarded:
                guarded.renderer._pool = pool
                await pool.prepare()
                (worker,) = pool._living
                os.kill(worker.process.pid, signal.SIGSTOP)
                waiting = [asyncio.create_task(guarded.ask(path, tool())) for path in (first, second)]
                await until(lambda: pool.levels()[0] == 1)
                turned_away = await guarded.ask(third, tool())
                assert turned_away.get(b"content-type") == b"image/png"
                for path, picture in PHOTOS.items():
                    assert (await guarded.ask(path, person(), peer="192.0.2.7")).body == picture
                assert not any(task.done() for task in waiting)
                os.kill(worker.process.pid, signal.SIGCONT)
                for answer in await asyncio.gather(*waiting):
                    assert (answer.status, answer.get(b"content-type")) == (200, b"image/jpeg")
                    assert answer.body not in PHOTOS.values()
        finally:
            await pool.aclose()

    asyncio.run(main())
