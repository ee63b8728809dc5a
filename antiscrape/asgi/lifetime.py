"""An app's lifetime: what starts with it, works beside its traffic and ends with it; and what may be changed meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from antiscrape.asgi.unenforced import warn_of_server
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.ports import Renderer

    #: Works beside the traffic from the app's start to its end, when it is cancelled.
    Keeper = Callable[[], Coroutine[object, object, None]]
    Way = Callable[[Scope, Receive, Send], Awaitable[None]]


class House(Protocol):
    """What requests go to, by its ``way``."""

    way: Way


class Lifetime:
    """Passes a lifespan scope through to ``app``; the renderer's workers and the keepers start and end with it."""

    def __init__(self, app: ASGIApp, renderer: Renderer, keepers: Sequence[Keeper]) -> None:
        self._app = app
        self._renderer = renderer
        self._keepers = tuple(keepers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one lifespan scope, and say what the server does not enforce."""
        warn_of_server()
        tasks: list[asyncio.Task[None]] = []

        async def last(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                try:
                    await self._renderer.prepare()
                except ConfigurationError as error:
                    message = {"type": "lifespan.startup.failed", "message": str(error)}
                else:
                    tasks.extend(asyncio.create_task(keeper()) for keeper in self._keepers)
            elif message["type"].startswith("lifespan.shutdown."):
                # what the server hears last ends its loop, and our workers' with it
                await end(tasks)
                await self._renderer.aclose()
            await send(message)

        # An app that knows no lifespan (Django's) raises here, and is served all the same.
        await self._app(scope, receive, last)


class Changing:
    """An app in whose place another may be put between two requests, with other keepers beside it.

    A request goes to one of them from its head to its end, so none is judged by half of one policy and half of
    another. What it costs is a call.
    """

    def __init__(
        self, house: House, lifetime: Callable[[Sequence[Keeper]], Lifetime], keepers: Iterable[Keeper]
    ) -> None:
        #: What requests go to at this moment.
        self.house = house
        self._keepers = tuple(keepers)
        self._lifetime = lifetime([self._mind])
        self._changed: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection. A coroutine function, by which uvicorn and hypercorn tell ASGI 3 from ASGI 2."""
        if scope["type"] == "lifespan":
            await self._lifetime(scope, receive, send)
        else:  # pass_on, written out: a call costs as much as the rest
            await self.house.way(scope, receive, send)

    def pass_on(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Do what a call does, without a coroutine of its own: for a server that is told what it serves."""
        if scope["type"] == "lifespan":
            return self._lifetime(scope, receive, send)
        return self.house.way(scope, receive, send)

    def _change(self, house: House, keepers: Iterable[Keeper]) -> None:
        """Put ``house`` in the place of the present one, from the next request on."""
        self.house, self._keepers = house, tuple(keepers)
        if self._changed is not None:
            self._changed.set()

    async def _mind(self) -> None:
        """Keep the keepers of the hour going: one that stays is not disturbed by a change."""
        running: dict[Keeper, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        try:
            while True:
                self._changed.clear()
                gone = [running.pop(keeper) for keeper in list(running) if keeper not in self._keepers]
                for keeper in self._keepers:
                    if keeper not in running:
                        running[keeper] = asyncio.create_task(keeper())
                await end(gone)
                await self._changed.wait()
        finally:
            self._changed = None
            await end(running.values())


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait for their end."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
