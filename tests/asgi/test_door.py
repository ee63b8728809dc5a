"""The door: a request that goes the swift way ends, fails and is cancelled as one that Python code awaits."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.verdict import Rendition
from antiscrape.errors import UpstreamError
from tests.asgi.checked import checking, cleared
from tests.asgi.doors import OK, ask, plain, plainly, quiet, runner, unheard
from tests.house import house, person, scope_of
from tests.swift import put_inside, using

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.asgi.doors import Test
    from tests.house import House


@pytest.fixture(params=["Python alone", "the accelerator"])
def run(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Return what runs a test in a house whose visitor is known, the way that is meant."""
    return runner(request.getfixturevalue("accelerator") if request.param == "the accelerator" else None)


def test_each_request_is_counted_once(run: Any) -> None:
    async def test(home: House) -> None:
        before = plainly(home)
        for _ in range(5):
            assert (await home.ask("/api/a")).body == b"{}"
        assert plainly(home) == before + 5

    run(test)


def test_it_waits_as_long_as_the_site_does(run: Any) -> None:
    async def test(home: House) -> None:
        gate = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            await gate.wait()
            await plain(scope, receive, send)

        put_inside(home.app, slow)
        before = plainly(home)
        asked = asyncio.ensure_future(home.ask("/api/a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (asked.done(), plainly(home)) == (False, before)
        gate.set()
        assert (await asked).body == b"{}"
        assert plainly(home) == before + 1

    run(test)


@pytest.mark.parametrize("forgives", [False, True])
def test_whoever_leaves_is_counted_and_the_site_hears_of_it(run: Any, *, forgives: bool) -> None:
    async def test(home: House) -> None:
        heard: list[str] = []

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await receive()
            except asyncio.CancelledError:
                heard.append("cancelled")
                if not forgives:
                    raise

        put_inside(home.app, waiting)
        before = plainly(home)
        asked = asyncio.ensure_future(ask(home))
        await asyncio.sleep(0)
        asked.cancel()
        result: object = (await asyncio.gather(asked, return_exceptions=True))[0]
        assert heard == ["cancelled"]
        assert result is None if forgives else isinstance(result, asyncio.CancelledError)
        assert plainly(home) == before + 1

    run(test)


def test_a_site_that_goes_on_after_it_was_cancelled_is_waited_for(run: Any) -> None:
    async def test(home: House) -> None:
        gate = asyncio.Event()

        async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await receive()
            except asyncio.CancelledError:
                await gate.wait()

        put_inside(home.app, stubborn)
        before = plainly(home)
        asked = asyncio.ensure_future(ask(home))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.sleep(0)
        assert (asked.done(), plainly(home)) == (False, before)
        gate.set()
        assert await asked is None
        assert plainly(home) == before + 1

    run(test)


def test_what_the_site_raises_is_raised(run: Any) -> None:
    async def test(home: House) -> None:
        async def failing(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.sleep(0)
            raise ZeroDivisionError("of the site")

        put_inside(home.app, failing)
        before = plainly(home)
        with pytest.raises(ZeroDivisionError, match="of the site") as raised:
            await home.ask("/api/a")
        assert "failing" in str(raised.traceback[-1])
        assert plainly(home) == before + 1

    run(test)


@pytest.mark.parametrize("late", [False, True])
def test_a_site_that_is_gone_when_it_is_called_or_later_is_excused_or_not(run: Any, *, late: bool) -> None:
    async def test(home: House) -> None:
        def gone(scope: Scope, receive: Receive, send: Send) -> Any:
            async def served() -> None:
                await send(OK)
                raise UpstreamError("the site is gone")

            if late:
                return served()
            raise UpstreamError("the site is gone")

        put_inside(home.app, gone)
        before = plainly(home)
        with pytest.raises(UpstreamError, match="the site is gone"):
            await ask(home)
        assert plainly(home) == before + 1

    run(test)


def test_whatever_can_be_awaited_serves(run: Any) -> None:
    async def test(home: House) -> None:
        class Served:
            def __await__(self) -> Generator[Any, None, str]:
                yield from asyncio.sleep(0).__await__()
                return "what nobody asked for"

        def app(scope: Scope, receive: Receive, send: Send) -> Any:
            return Served()

        put_inside(home.app, app)
        before = plainly(home)
        assert await ask(home) is None
        assert plainly(home) == before + 1

    run(test)


def test_what_is_closed_before_its_end_is_counted(run: Any) -> None:
    """A server that ends closes what it never went on with."""

    async def test(home: House) -> None:
        closed: list[str] = []

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await receive()
            finally:
                closed.append("closed")

        put_inside(home.app, waiting)
        before = plainly(home)

        async def outer() -> None:
            await ask(home)

        asked = outer()
        asked.send(None)
        asked.close()
        assert closed == ["closed"]
        assert plainly(home) == before + 1

    run(test)


def test_it_can_be_awaited_once(run: Any) -> None:
    async def test(home: House) -> None:
        asked = ask(home)
        await asked
        with pytest.raises(RuntimeError):
            await asked

    run(test)


def test_a_recorder_that_raises_is_heard(run: Any) -> None:
    async def test(home: House) -> None:
        home.recorder.plain.clear()
        with pytest.raises((KeyError, RuntimeError)):
            await ask(home)

    run(test)


def test_a_verdict_that_changed_on_the_way_is_recorded(run: Any) -> None:
    async def test(home: House) -> None:
        async def convicting(scope: Scope, receive: Receive, send: Send) -> None:
            await plain(scope, receive, send)
            passage = scope["state"]["antiscrape"]
            passage.verdict = passage.verdict._replace(rendition=Rendition.PREVIEW)

        put_inside(home.app, convicting)
        before = plainly(home), sum(home.recorder.verdicts.values())
        await ask(home)
        assert (plainly(home), sum(home.recorder.verdicts.values())) == (before[0], before[1] + 1)

    run(test)


def test_a_request_lets_go_of_all_that_it_held(run: Any) -> None:
    class Held:
        """Something that a scope brings."""

    async def test(home: House) -> None:
        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"]["own"] = scope
            await receive()

        put_inside(home.app, waiting)
        scope, held = scope_of("/api/a", person()), Held()
        scope["held"] = held
        gone = weakref.ref(held)
        asked = asyncio.ensure_future(home.app.way(scope, quiet, unheard))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        del asked, scope, held
        await asyncio.sleep(0)
        gc.collect()
        assert gone() is None

    run(test)


def test_other_scopes_pass(run: Any) -> None:
    async def test(home: House) -> None:
        seen: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])

        put_inside(home.app, app)
        await home.app.way({"type": "something.new"}, quiet, unheard)
        assert seen == ["something.new"]

    run(test)


def test_who_has_a_clearance_and_what_is_for_the_check_go_the_long_way(accelerator: Any) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            with using(accelerator):
                home = await stack.enter_async_context(house(plain, checking()))
            assert home.app._check is not None
            below, _ = home.app._check.signs
            taken: list[bytes] = []
            way: Any = home.app.way
            begin = way.begin

            def watched(scope: Scope, send: Send) -> Any:
                taken.append(scope["raw_path"])
                return begin(scope, send)

            way.begin = watched
            cookie = await cleared(home)
            name = cookie.partition(b"=")[0]
            await home.ask("/api/a", person())
            taken.clear()
            await home.ask("/api/a", person((b"cookie", b"a=1; " + cookie)))
            await home.ask("/api/b", person((b"cookie", b"a=1"), (b"cookie", cookie)))
            await home.ask("/api/c", person((b"cookie", b"x" + name)))
            await home.ask("/api/d", person((b"cookie", b"session=1")))
            await home.ask("/api/e", person((b"x-other", cookie)))
            assert taken == [b"/api/c", b"/api/d", b"/api/e"]
            await home.ask(below + "/start", person())
            assert taken == [b"/api/c", b"/api/d", b"/api/e"]

    asyncio.run(main())


@pytest.mark.parametrize("scope", [[], {}, {"type": "http"}, {"type": "http", "path": 1, "headers": {}}])
def test_a_scope_that_is_none_is_left_to_the_python_code(accelerator: Any, scope: Any) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            with using(accelerator):
                home = await stack.enter_async_context(house(plain, checking()))
            raised = [await error_of(app(scope, quiet, unheard)) for app in (home.app._serve, home.app.way)]
            assert repr(raised[0]) == repr(raised[1])

    asyncio.run(main())


async def error_of(served: Awaitable[None]) -> Exception | None:
    try:
        await served
    except Exception as error:  # noqa: BLE001  any, as long as it is the same
        return error
    return None
