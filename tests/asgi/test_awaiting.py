"""The awaitable that a request is in C keeps to what ``await`` asks of one, whatever the site is and does with it."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.errors import UpstreamError
from tests.asgi.doors import ask, plain, plainly, runner, unheard
from tests.swift import put_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from antiscrape.asgi.types import Message, Receive, Scope, Send
    from tests.asgi.doors import Test
    from tests.house import House


@pytest.fixture(params=["Python alone", "the accelerator"])
def run(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Return what runs a test in a house whose visitor is known, the way that is meant."""
    return runner(request.getfixturevalue("accelerator") if request.param == "the accelerator" else None)


class Bare:
    """An awaitable that is its own iterator, and can neither be thrown at nor closed."""

    def __await__(self) -> Iterator[None]:
        return self

    def __iter__(self) -> Iterator[None]:
        return self

    def __next__(self) -> None:
        """Wait for ever."""


async def within(home: House, send: Send = unheard, path: str = "/api/a") -> None:
    """Await a request as a server does."""
    await ask(home, send, path)


def test_what_runs_cannot_be_closed_under_itself(run: Any) -> None:
    """Its frame would be freed while it runs."""

    async def test(home: House) -> None:
        heard: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            with pytest.raises(ValueError, match="already"):
                asked.close()
            gc.collect()
            heard.append(scope["path"])
            await asyncio.sleep(0)
            heard.append(scope["path"])

        put_inside(home.app, app)
        before = plainly(home)
        asked = ask(home)
        await asked
        assert (heard, plainly(home)) == (["/api/a", "/api/a"], before + 1)

    run(test)


def test_a_bare_iterator_is_cancelled(run: Any) -> None:
    async def test(home: House) -> None:
        put_inside(home.app, lambda *_: Bare())  # type: ignore[arg-type]  # what is awaited need be no coroutine
        before = plainly(home)
        asked = asyncio.ensure_future(within(home))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert plainly(home) == before + 1

    run(test)


def test_a_bare_iterator_is_closed(run: Any) -> None:
    async def test(home: House) -> None:
        put_inside(home.app, lambda *_: Bare())  # type: ignore[arg-type]  # what is awaited need be no coroutine
        before = plainly(home)
        asked = within(home)
        asked.send(None)
        asked.close()
        assert plainly(home) == before + 1

    run(test)


def generator(scope: Scope, receive: Receive, send: Send) -> Iterator[None]:
    """Serve as nobody serves any more."""
    yield


class Wrong:
    """An awaitable that breaks its word."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __await__(self) -> Any:
        return self._found


@pytest.mark.filterwarnings("ignore:coroutine 'plain' was never awaited")
@pytest.mark.parametrize(
    "app", [lambda *_: None, generator, lambda *_: Wrong(3), lambda *asked: Wrong(plain(*asked))]
)
def test_what_cannot_be_awaited_is_told_so(run: Any, app: Any) -> None:
    async def test(home: House) -> None:
        put_inside(home.app, app)
        before = plainly(home)
        with pytest.raises(TypeError, match="await"):
            await within(home)
        assert plainly(home) == before + 1

    run(test)


def test_what_nobody_goes_on_with_is_counted(run: Any) -> None:
    async def test(home: House) -> None:
        closed: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await receive()
            finally:
                closed.append("closed")

        put_inside(home.app, app)
        before = plainly(home)
        asked = ask(home)
        waiter = asked.__await__()
        next(waiter)
        del asked, waiter
        gc.collect()
        assert (closed, plainly(home)) == (["closed"], before + 1)

    run(test)


def test_an_excuse_that_fails_says_what_it_was_for(run: Any) -> None:
    async def test(home: House) -> None:
        for _ in range(3):
            await home.ask("/media/1.jpg")

        async def gone(message: Message) -> None:
            await asyncio.sleep(0)
            raise OSError("the client is gone")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise UpstreamError("the site is gone")

        put_inside(home.app, app)
        with pytest.raises(OSError, match="the client is gone") as raised:
            await within(home, gone, "/media/1.jpg")
        assert isinstance(raised.value.__context__, UpstreamError)

    run(test)


def test_what_cannot_be_counted_says_what_the_site_raised(run: Any) -> None:
    async def test(home: House) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise ZeroDivisionError("of the site")

        put_inside(home.app, app)
        home.recorder.plain.clear()
        with pytest.raises((KeyError, RuntimeError)) as raised:
            await within(home)
        assert isinstance(raised.value.__context__, ZeroDivisionError)

    run(test)
