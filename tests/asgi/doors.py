"""Requests at a middleware's door, where a test awaits them itself."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from antiscrape.core.verdict import Standing
from tests.house import house, person, scope_of
from tests.swift import using

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from antiscrape.asgi.types import Message, Receive, Scope, Send
    from tests.house import House

    Test = Callable[[House], Coroutine[Any, Any, None]]

OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
END = {"type": "http.response.body", "body": b"{}"}


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as an API would."""
    await send(OK)
    await send(END)


async def unheard(message: Message) -> None:
    """Take what is sent to nobody."""


async def quiet() -> Message:
    """Say nothing, as a client that waits."""
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it never has a result


def runner(module: Any) -> Callable[[Test], None]:
    """Return what runs a test in a house whose visitor is known, by ``module`` or, where that is None, by Python alone."""

    def run(test: Test) -> None:
        async def main() -> None:
            async with AsyncExitStack() as stack:
                with using(module):
                    home = await stack.enter_async_context(house(plain))
                way: Any = home.app.way
                assert hasattr(way, "begin") is (module is not None)
                for _ in range(3):
                    await home.ask("/api/a")
                await test(home)

        asyncio.run(main())

    return run


def ask(home: House, send: Send = unheard, path: str = "/api/a") -> Any:
    """Return what serves one request of the known visitor, not yet awaited."""
    return home.app.way(scope_of(path, person()), quiet, send)


def plainly(home: House) -> int:
    """Return how many requests were counted and no more."""
    return home.recorder.plain[Standing.BROWSER]
