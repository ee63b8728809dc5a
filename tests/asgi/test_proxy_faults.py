"""A site that fails, lies or hangs: the client gets one well-formed answer or a connection that plainly broke."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.proxy import ReverseProxy
from antiscrape.upstream import Upstream
from tests.asgi.proxied import (
    PATIENCE,
    Asked,
    Setup,
    Site,
    ok,
    proxied,
    raw,
    read_chunks,
    request,
    serving,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.asgi.proxied import Answered

OK = b"HTTP/1.1 200 OK\r\n"

#: What no client may be shown, and why.
NONSENSE = {
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "two equal lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nab",
    "length and chunked": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a lost coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a negative length": OK + b"Content-Length: -1\r\n\r\n",
    "a signed length": OK + b"Content-Length: +1\r\n\r\na",
    "a hexadecimal length": OK + b"Content-Length: 0x2\r\n\r\nab",
    "a space before the colon": OK + b"Content-Length : 2\r\n\r\nab",
    "a bare CR in a value": OK + b"X: a\rSet-Cookie: b=1\r\nContent-Length: 0\r\n\r\n",
    "a NUL in a value": OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "an escape in a value": OK + b"X: \x1b[2J\r\nContent-Length: 0\r\n\r\n",
    "a name that is no token": OK + b"X(Y): a\r\nContent-Length: 0\r\n\r\n",
    "a line without a colon": OK + b"hello\r\n\r\n",
    "a huge field": OK + b"X: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "too many fields": OK + b"X: a\r\n" * 5_000 + b"Content-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "a status out of range": b"HTTP/1.1 999 Whoops\r\nContent-Length: 0\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "a switch nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "half a head": OK + b"Content-Le",
    "nothing": b"",
}


def excused(got: Answered, status: int, words: bytes) -> None:
    """Check that this is the proxy's own page: plain, short, complete, and not for keeping."""
    assert (got.status, got.body, got.complete) == (status, words, True)
    assert got.all(b"cache-control") == [b"no-store"]
    assert got.all(b"content-type") == [b"text/plain; charset=utf-8"]


UNREACHED = b"The site could not be reached.\n"
TOO_SLOW = b"The site took too long to answer.\n"


@pytest.mark.security("C9")
@pytest.mark.security("C7")
@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_becomes_a_502(case: str) -> None:
    async def main() -> None:
        async with proxied(raw(NONSENSE[case])) as setup:
            excused(await setup.ask(request("POST", "/", "Content-Length: 0")), 502, UNREACHED)
            assert len(setup.site.asked) == 1

    asyncio.run(main())


def test_a_site_that_is_down_is_a_502() -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            upstream = Upstream(f"http://127.0.0.1:{free.getsockname()[1]}")
            async with serving(ReverseProxy(upstream)) as port:
                excused(await Setup(Site(), port).get("/"), 502, UNREACHED)

    asyncio.run(main())


@pytest.mark.security("C9")
def test_a_site_that_hangs_is_a_504() -> None:
    async def hang(asked: Asked) -> None:
        await asked.reader.read()

    async def main() -> None:
        async with proxied(hang, read_timeout=0.2, connect_timeout=0.2) as setup:
            excused(await setup.get("/"), 504, TOO_SLOW)
            excused(await setup.ask(request("POST", "/", "Content-Length: 1", body=b"x")), 504, TOO_SLOW)

    asyncio.run(main())


@pytest.mark.security("C9")
@pytest.mark.parametrize("drop", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"X"])
def test_a_head_that_never_ends_is_a_504(drop: bytes) -> None:
    """Each interim response, or each byte, restarts a socket's timer; the head as a whole has one, too."""

    async def trickle(asked: Asked) -> None:
        if drop == b"X":
            await asked.reply(OK + b"X: ")
        while not asked.writer.is_closing():
            await asked.reply(drop)
            try:
                async with asyncio.timeout(0.05):
                    await asked.reader.read(1)
            except TimeoutError:
                continue
            break

    async def main() -> None:
        async with proxied(trickle, read_timeout=0.3, connect_timeout=0.3) as setup:
            excused(await setup.get("/"), 504, TOO_SLOW)

    asyncio.run(main())


BROKEN = {
    "length": OK + b"Content-Length: 10\r\n\r\nhalf",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "mid-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
}


@pytest.mark.security("C9")
@pytest.mark.parametrize("case", BROKEN)
def test_half_an_answer_never_looks_whole(case: str) -> None:
    """Faults 13 and 14: a cut image must not be stored or cached as the image."""

    async def main() -> None:
        async with proxied(raw(BROKEN[case])) as setup:
            got = await setup.get("/photo.jpg")
            assert got.status == 502 or not got.complete  # 502 where the fault came with the head
            assert (got.status == 502) is (case == "bad chunk")

    asyncio.run(main())


def test_a_folded_line_is_unfolded() -> None:
    """RFC 9112 §5.2: a gateway replaces each fold by a space, or refuses."""

    async def main() -> None:
        async with proxied(raw(OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n")) as setup:
            assert (await setup.get("/")).all(b"x") == [b"a b"]

    asyncio.run(main())


def test_a_body_that_stops_is_cut() -> None:
    async def stop(asked: Asked) -> None:
        await asked.reply(OK, b"Content-Length: 10\r\n\r\nhalf")
        await asked.reader.read()

    async def main() -> None:
        async with proxied(stop, read_timeout=1.0) as setup:
            got = await setup.get("/")
            assert (got.body, got.complete) == (b"half", False)

    asyncio.run(main())


@pytest.mark.security("C9")
@pytest.mark.parametrize(
    "surplus",
    [
        OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 204 No Content\r\n\r\n" + OK + b"Content-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 304 Not Modified\r\n\r\npoison",
    ],
)
def test_what_a_site_sends_unasked_answers_nobody(surplus: bytes) -> None:
    """Response splitting: the next client must not get the surplus of the last answer."""

    async def main() -> None:
        first = True

        async def site(asked: Asked) -> None:
            nonlocal first
            if first:
                first = False
                await asked.reply(surplus)
            else:
                await ok(b"right")(asked)

        async with proxied(site) as setup:
            assert b"poison" not in (await setup.get("/")).body
            assert (await setup.get("/")).body == b"right"
            assert setup.site.connections == 2

    asyncio.run(main())


async def after_a_first_answer(
    setup: Setup, then: Callable[[Asked], Awaitable[None]], second: bytes
) -> Answered:
    """Ask once to have a kept-alive connection, then again for the behaviour under test."""
    assert (await setup.get("/")).status == 200
    setup.site.behaviour = then
    return await setup.ask(second)


@pytest.mark.security("C10")
def test_a_get_on_a_connection_that_just_closed_is_asked_again_once() -> None:
    async def main() -> None:
        async def close_then_answer(asked: Asked) -> None:
            setup.site.behaviour = ok(b"second")
            asked.writer.close()

        async with proxied(ok()) as setup:
            got = await after_a_first_answer(setup, close_then_answer, request("GET", "/b"))
            assert got.body == b"second"
            assert [asked.line for asked in setup.site.asked[1:]] == [b"GET /b HTTP/1.1"] * 2

    asyncio.run(main())


@pytest.mark.security("C10")
@pytest.mark.parametrize(
    ("sent", "reply", "times"),
    [
        (request("POST", "/b", "Content-Length: 1", body=b"x"), b"", 1),
        (request("PUT", "/b", "Content-Length: 1", body=b"x"), b"", 1),
        (request("PUT", "/b", "Content-Length: 0"), b"", 1),
        (request("DELETE", "/b"), b"", 1),
        (request("GET", "/b", "Content-Length: 1", body=b"x"), b"", 1),
        (request("GET", "/b"), b"HTTP/1.1 200 O", 1),
        (request("GET", "/b"), b"", 2),
    ],
)
def test_nothing_else_is_asked_again(sent: bytes, reply: bytes, times: int) -> None:
    async def main() -> None:
        async with proxied(ok()) as setup:
            excused(await after_a_first_answer(setup, raw(reply), sent), 502, UNREACHED)
            assert len(setup.site.asked) == 1 + times

    asyncio.run(main())


async def leave(setup: Setup, sent: bytes, until: asyncio.Event) -> None:
    """Send, wait for the site to have noticed, and hang up."""
    _, writer = await asyncio.open_connection("127.0.0.1", setup.port)
    writer.write(sent)
    await until.wait()
    writer.transport.abort()


LEAVING = {
    "before the answer": (request("GET", "/"), b""),
    "in the answer": (request("GET", "/"), OK + b"Content-Length: 10\r\n\r\nhalf"),
    "in its body": (request("POST", "/", "Content-Length: 10", body=b"half"), b""),
    "in both": (request("POST", "/", "Content-Length: 10", body=b"half"), OK + b"Content-Length: 10\r\n\r\nhalf"),
}  # fmt: skip


@pytest.mark.security("C6")
@pytest.mark.parametrize("case", LEAVING)
def test_when_the_client_leaves_the_site_is_let_go(case: str) -> None:
    """Fault 30: the connection to the site closes, and no task is left behind."""
    sent, reply = LEAVING[case]

    async def main() -> None:
        noticed, closed = asyncio.Event(), asyncio.Event()

        async def site(asked: Asked) -> None:
            await asked.reply(reply)
            noticed.set()
            await asked.reader.read()
            closed.set()

        async with asyncio.timeout(PATIENCE), proxied(site) as setup:
            before = asyncio.all_tasks()
            await leave(setup, sent, noticed)
            await closed.wait()
            asked = setup.site.asked[0]
            asked.writer.close()
            left = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task)}
            if left:
                await asyncio.wait(left, timeout=PATIENCE)
            assert not [task for task in left if not task.done()]

    asyncio.run(main())


HUGE, PIECE = 64 * 2**20, bytes(65_536)
#: Two hops of kernel buffers, which grow to 4 MB out and 6 MB in on each, and not a buffered body.
HELD = 32 * 2**20


async def push(writer: asyncio.StreamWriter, stalled: asyncio.Future[int]) -> None:
    """Write 64 MiB, and tell how much was taken when for the first time nobody took more for a while."""
    for sent in range(0, HUGE, len(PIECE)):
        writer.write(PIECE)
        try:
            async with asyncio.timeout(0.3):
                await writer.drain()
        except TimeoutError:
            if not stalled.done():
                stalled.set_result(sent)
            await writer.drain()


@pytest.mark.slow
@pytest.mark.security("C6")
def test_a_slow_client_holds_back_the_site() -> None:
    async def main() -> None:
        stalled: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def site(asked: Asked) -> None:
            await asked.reply(OK, b"Content-Length: %d\r\n\r\n" % HUGE)
            await push(asked.writer, stalled)

        async with asyncio.timeout(6 * PATIENCE), proxied(site, read_timeout=30) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(request("GET", "/film"))
            assert await stalled < HELD
            await reader.readuntil(b"\r\n\r\n")
            assert len(await reader.read()) == HUGE
            writer.close()

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.security("C6")
@pytest.mark.parametrize("framing", ["Content-Length: 67108864", "Transfer-Encoding: chunked"])
def test_a_slow_site_holds_back_the_client(framing: str) -> None:
    async def main() -> None:
        stalled: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def site(asked: Asked) -> None:
            assert await stalled < HELD
            chunked = asked.all(b"transfer-encoding") != []
            body = await (read_chunks(asked.reader) if chunked else asked.reader.readexactly(HUGE))
            await asked.reply(OK, b"Content-Length: 8\r\n\r\n%d" % len(body))

        async with asyncio.timeout(6 * PATIENCE), proxied(site, read_timeout=30) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(request("POST", "/film", framing))
            if framing.startswith("Transfer"):
                writer.write(b"%x\r\n" % HUGE)
            await push(writer, stalled)
            writer.write(b"\r\n0\r\n\r\n" if framing.startswith("Transfer") else b"")
            assert (await reader.read()).endswith(b"67108864")
            writer.close()

    asyncio.run(main())


@pytest.mark.slow
def test_a_site_that_takes_no_body_is_a_504() -> None:
    """The site accepts, reads nothing, and the client would push for ever."""

    async def main() -> None:
        release = asyncio.Event()

        async def site(asked: Asked) -> None:
            await release.wait()

        async with asyncio.timeout(2 * PATIENCE), proxied(site, read_timeout=0.5) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(request("POST", "/", f"Content-Length: {HUGE}"))
            pushing = asyncio.create_task(push(writer, asyncio.get_running_loop().create_future()))
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 504")
            pushing.cancel()
            writer.transport.abort()
            release.set()

    asyncio.run(main())


def test_an_early_answer_passes_while_the_body_still_goes_out() -> None:
    async def refuse(asked: Asked) -> None:
        await asked.reply(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        asked.writer.close()

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), proxied(refuse) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(request("POST", "/", "Content-Length: 1000000", body=b"x" * 1000))
            assert (await reader.readuntil(b"big")).startswith(b"HTTP/1.1 413")
            writer.close()

    asyncio.run(main())
