"""Bodies go both ways at the pace of the slower side, when they are wanted, and are what they say they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.proxy import ReverseProxy
from antiscrape.upstream import Upstream
from tests.asgi.proxied import Asked, Site, ok, proxied, read_chunks, request

if TYPE_CHECKING:
    from antiscrape.asgi.types import Message, Scope

PATIENCE = 60.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
EXPECTING = request("PUT", "/photo", "Expect: 100-Continue", "Content-Length: 5")


@pytest.mark.security("C8")
def test_a_body_is_not_asked_for_before_the_site_wants_it() -> None:
    async def main() -> None:
        asked_for, wanted = asyncio.Event(), asyncio.Event()
        bodies: list[bytes] = []

        async def site(asked: Asked) -> None:
            assert asked.all(b"expect") == [b"100-continue"]
            asked_for.set()
            await wanted.wait()
            await asked.reply(CONTINUE)
            bodies.append(await asked.body())
            await asked.reply(OK + b"Content-Length: 0\r\n\r\n")

        async with asyncio.timeout(PATIENCE), proxied(site, continue_timeout=PATIENCE) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(EXPECTING)
            await asked_for.wait()
            hint = asyncio.create_task(reader.readexactly(len(CONTINUE)))
            done, _ = await asyncio.wait({hint}, timeout=0.1)
            assert not done
            wanted.set()
            assert await hint == CONTINUE
            writer.write(b"hello")
            assert (await reader.read()).startswith(OK)
            assert bodies == [b"hello"]
            writer.close()

    asyncio.run(main())


@pytest.mark.security("C8")
def test_a_site_that_declines_a_body_never_has_it_sent_and_the_client_is_let_go() -> None:
    async def main() -> None:
        async def site(asked: Asked) -> None:
            await asked.reply(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")

        async with asyncio.timeout(PATIENCE), proxied(site, continue_timeout=PATIENCE) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(EXPECTING.replace(b"Connection: close\r\n", b""))
            answer = await reader.read()  # to the end of the connection, which the proxy says and makes
            assert answer.startswith(b"HTTP/1.1 413")
            assert b"connection: close" in answer.lower()
            assert answer.endswith(b"big")
            writer.close()
            assert (await setup.get("/")).status == 413
            assert setup.site.connections == 2  # the first still waits for a body

    asyncio.run(main())


def test_a_site_that_knows_no_expectations_gets_the_body_after_a_while() -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), proxied(ok(), continue_timeout=0.05) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(EXPECTING)
            assert await reader.readexactly(len(CONTINUE)) == CONTINUE
            writer.write(b"hello")
            assert (await reader.read()).startswith(OK)
            writer.close()

    asyncio.run(main())


def test_a_connection_serves_again_after_a_body() -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), proxied(ok()) as setup:
            for body in (b"one", b"", b"x" * 300_000):
                sent = request("POST", "/", f"Content-Length: {len(body)}", body=body)
                assert (await setup.ask(sent)).status == 200
            chunked = request("POST", "/", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
            assert (await setup.ask(chunked)).status == 200
            assert setup.site.connections == 1

    asyncio.run(main())


def test_both_ways_at_once() -> None:
    """The site answers each piece of a body as it comes: neither side waits for the other's end."""

    async def main() -> None:
        async def site(asked: Asked) -> None:
            await asked.reply(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            while length := int(await asked.reader.readline(), 16):
                piece = await asked.reader.readexactly(length + 2)
                await asked.reply(b"%x\r\n%b" % (length, piece))
            await asked.reader.readline()
            await asked.reply(b"0\r\n\r\n")

        async with asyncio.timeout(PATIENCE), proxied(site) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(request("POST", "/", "Transfer-Encoding: chunked"))
            for word in (b"one", b"three"):
                writer.write(b"%x\r\n%b\r\n" % (len(word), word))
                await reader.readuntil(word)
            writer.write(b"0\r\n\r\n")
            assert (await reader.read()).endswith(b"0\r\n\r\n")
            writer.close()

    asyncio.run(main())


def test_events_may_be_as_far_apart_as_the_setting_says_and_no_further() -> None:
    async def main() -> None:
        async def site(asked: Asked) -> None:
            await asked.reply(OK + b"Content-Type: text/event-stream\r\n\r\n")
            leaving = asyncio.create_task(asked.reader.read())
            for number in range(3):
                await asked.reply(b"data: %d\n\n" % number)
                await asyncio.wait({leaving}, timeout=0.3)
            await leaving

        async with asyncio.timeout(PATIENCE), proxied(site, read_timeout=1.5) as setup:
            got = await setup.get("/events")
            assert got.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
            assert not got.complete

    asyncio.run(main())


@pytest.mark.security("C9")
def test_chunks_with_trailers_arrive_without_them() -> None:
    async def main() -> None:
        async def site(asked: Asked) -> None:
            await asked.reply(OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            await asked.reply(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=1\r\n\r\n")

        async with asyncio.timeout(PATIENCE), proxied(site) as setup:
            for _ in range(2):
                got = await setup.get("/")
                assert (got.body, got.complete) == (b"hello", True)
                assert got.all(b"trailer") == got.all(b"x-sum") == []
            assert setup.site.connections == 1

    asyncio.run(main())


def scope(length: bytes) -> Scope:
    fields = [(b"host", b"site.test"), (b"content-length", length)]
    return {
        "type": "http", "method": "POST", "scheme": "http", "raw_path": b"/", "query_string": b"", "headers": fields,
        "client": ("127.0.0.1", 1),
    }  # fmt: skip


@pytest.mark.security("P0")
@pytest.mark.security("C2")
@pytest.mark.parametrize(
    ("length", "pieces"), [(b"3", [b"toolong"]), (b"6", [b"sh", b"ort"]), (b"2", [b"o", b"k", b"!"])]
)
def test_a_body_that_is_not_as_long_as_it_says_is_none(length: bytes, pieces: list[bytes]) -> None:
    """A server in front that miscounts must not make the site take a body's end for the next request."""

    async def main() -> None:
        site = Site(behaviour=ok())
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
        upstream = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        inbox = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        inbox.append({"type": "http.request", "body": b"", "more_body": False})
        outbox: list[Message] = []

        async def receive() -> Message:
            if inbox:
                return inbox.pop(0)
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never done

        async def send(message: Message) -> None:
            outbox.append(message)

        async with asyncio.timeout(PATIENCE):
            await ReverseProxy(upstream)(scope(length), receive, send)
            assert outbox[0]["status"] in {400, 200}  # 200: the site had its bytes already, and answered
            assert upstream.states()[0].idle == 0  # nothing follows on that connection
            await upstream.aclose()
        server.close()
        await server.wait_closed()
        assert len(site.asked) == 1

    asyncio.run(main())


@pytest.mark.security("C6")
def test_many_answers_at_once_are_each_its_own() -> None:
    async def main() -> None:
        async def site(asked: Asked) -> None:
            if asked.all(b"transfer-encoding"):
                await read_chunks(asked.reader)
            body = asked.line.split(b" ")[1] * 2000
            half = len(body) // 2
            await asked.reply(OK, b"Content-Length: %d\r\n\r\n" % len(body), body[:half])
            await asked.reply(body[half:])

        async with asyncio.timeout(PATIENCE), proxied(site, limit=4) as setup:
            targets = [f"/{number}" for number in range(40)]
            answers = await asyncio.gather(*(setup.get(target) for target in targets))
            for target, got in zip(targets, answers, strict=True):
                assert got.body == target.encode() * 2000
            assert setup.site.connections <= 4

    asyncio.run(main())
