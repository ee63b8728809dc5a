"""What the site receives is what the client sent, less what is not the client's to say."""

from __future__ import annotations

import asyncio
import gzip
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.proxy import ReverseProxy, outgoing, target, travels
from antiscrape.errors import RequestError
from antiscrape.upstream import Upstream
from antiscrape.upstream.head import HOP_BY_HOP
from tests.asgi.proxied import PATIENCE, Asked, Site, ok, proxied, raw, request

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

TARGETS = [
    "/",
    "/a%2Fb",
    "/a;jsessionid=1;v=2/b",
    "/caf%C3%A9/%E2%82%AC",
    "/%zz%",
    "/a//b/./c/../d/",
    "//evil.example/x",
    "/%2e%2e%2f%2e%2e%5c",
    "/IMG/%31.jpg",
    "/nul%00",
    "/[a]|{b}^`\\",
    "/a?x=1;y=2&&=%20+&x=1",
    "/a?b?c=/d/../e",
    "/a?q='\"<>",
    "/?next=http://evil.example/%23",
]


@pytest.mark.security("P0")
@pytest.mark.security("B13")
@pytest.mark.parametrize("wanted", TARGETS)
def test_path_and_query_arrive_byte_for_byte(wanted: str) -> None:
    async def main() -> None:
        async with proxied(ok()) as setup:
            assert (await setup.get(wanted)).status == 200
            assert [asked.line for asked in setup.site.asked] == [f"GET {wanted} HTTP/1.1".encode()]

    asyncio.run(main())


@pytest.mark.security("P0")
@pytest.mark.parametrize("query", [b"\xc3\xa9", b"a b", b"a#b"])
def test_a_target_that_cannot_be_sent_unchanged_is_refused(query: bytes) -> None:
    """Servers differ in what they let through; what reaches the proxy is checked again."""

    async def main() -> None:
        upstream = Upstream("http://127.0.0.1:1")
        with pytest.raises(RequestError):
            await upstream.request("GET", b"/?" + query, [])
        with pytest.raises(RequestError):
            await upstream.request("CONNECT", b"/", [])
        await upstream.aclose()

    asyncio.run(main())


def test_order_and_repetition_of_fields_are_kept() -> None:
    lines = ["Accept: a", "Cookie: one=1", "Accept-Language: de", "Cookie: two=2", "Accept: b", "Zeta: 1"]

    async def main() -> None:
        async with proxied(ok()) as setup:
            await setup.get("/", *lines)
            (asked,) = setup.site.asked
            sent = [line.encode().split(b": ", 1) for line in lines]
            assert asked.fields[: len(lines) + 1] == [
                (b"host", b"site.test"),
                *((name.lower(), value) for name, value in sent),
            ]

    asyncio.run(main())


def test_nothing_is_added_but_what_we_say() -> None:
    """No Accept, User-Agent or Accept-Encoding of the client library's own (they would change the answer)."""

    async def main() -> None:
        async with proxied(ok()) as setup:
            await setup.get("/")
            assert [name for name, _ in setup.site.asked[0].fields] == [
                b"host",
                b"x-forwarded-for",
                b"x-real-ip",
                b"x-forwarded-proto",
                b"x-forwarded-host",
            ]

    asyncio.run(main())


@pytest.mark.security("P0")
def test_values_arrive_byte_for_byte_whatever_they_are_written_in() -> None:
    async def main() -> None:
        async with proxied(ok()) as setup:
            utf8 = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nReferer: /\xc3\xa9\r\n\r\n"
            latin1 = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nReferer: /\xe9\r\n\r\n"
            for one in (utf8, latin1):
                await setup.ask(one)
            assert [asked.all(b"referer") for asked in setup.site.asked] == [[b"/\xc3\xa9"], [b"/\xe9"]]

    asyncio.run(main())


HOPS = [
    pytest.param(["Connection: close, X-Hop", "X-Hop: 1"], b"x-hop", marks=pytest.mark.security("A7")),
    pytest.param(["Keep-Alive: timeout=5"], b"keep-alive"),
    pytest.param(["Proxy-Connection: keep-alive"], b"proxy-connection"),
    pytest.param(["Proxy-Authorization: Basic eA=="], b"proxy-authorization"),
    pytest.param(["TE: trailers"], b"te"),
    pytest.param(["Trailer: X-Sum"], b"trailer"),
    pytest.param(["Upgrade: h2c", "HTTP2-Settings: AAAA"], b"upgrade", marks=pytest.mark.security("C4")),
    pytest.param(["Upgrade: h2c", "HTTP2-Settings: AAAA"], b"http2-settings", marks=pytest.mark.security("C4")),
    pytest.param(["X_Real_IP: 9.9.9.9"], b"x_real_ip", marks=pytest.mark.security("A5")),
    pytest.param(["X-Forwarded_For: 9.9.9.9"], b"x-forwarded_for", marks=pytest.mark.security("A5")),
    pytest.param(["X.Real.IP: 9.9.9.9"], b"x.real.ip", marks=pytest.mark.security("A6")),
    pytest.param(["X-Antiscrape-Standing: member"], b"x-antiscrape-standing", marks=pytest.mark.security("A8")),
    pytest.param(["x-AntiScrape-Bypass: 1"], b"x-antiscrape-bypass", marks=pytest.mark.security("A8")),
    pytest.param(["X_Antiscrape.Bypass: 1"], b"x_antiscrape.bypass", marks=pytest.mark.security("A8")),
    pytest.param(["Forwarded: for=9.9.9.9"], b"forwarded", marks=pytest.mark.security("A2")),
    pytest.param(["CF-Connecting-IP: 9.9.9.9"], b"cf-connecting-ip", marks=pytest.mark.security("A2")),
    pytest.param(["X-Forwarded-Port: 1"], b"x-forwarded-port", marks=pytest.mark.security("A2")),
    pytest.param(["X-Original-URL: /admin"], b"x-original-url", marks=pytest.mark.security("B9")),
    pytest.param(["X-Rewrite-URL: /admin"], b"x-rewrite-url", marks=pytest.mark.security("B9")),
    pytest.param(["X-HTTP-Method-Override: DELETE"], b"x-http-method-override", marks=pytest.mark.security("P0")),
    pytest.param(["X-HTTP-Method: DELETE"], b"x-http-method", marks=pytest.mark.security("P0")),
    pytest.param(["X-Method-Override: DELETE"], b"x-method-override", marks=pytest.mark.security("P0")),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "gone"), HOPS)
def test_what_a_client_may_not_say_never_reaches_the_site(lines: list[str], gone: bytes) -> None:
    async def main() -> None:
        async with proxied(ok()) as setup:
            await setup.get("/", *lines, "X-Stays: 1")
            (asked,) = setup.site.asked
            assert asked.all(gone) == []
            assert asked.all(b"x-stays") == [b"1"]

    asyncio.run(main())


@pytest.mark.security("A2")
@pytest.mark.security("A7")
def test_a_client_can_neither_set_nor_remove_what_the_proxy_says() -> None:
    lines = [
        "X-Forwarded-For: 9.9.9.9",
        "X-Forwarded-For: 8.8.8.8",
        "X-Real-IP: 9.9.9.9",
        "X-Forwarded-Proto: gopher",
        "X-Forwarded-Host: evil.example",
        "Connection: X-Forwarded-For, X-Real-IP, x-forwarded-proto, Host, Cookie",
        "Cookie: a=1",
    ]

    async def main() -> None:
        async with proxied(ok()) as setup:
            await setup.get("/", *lines)
            (asked,) = setup.site.asked
            said = {name: asked.all(name) for name, _ in asked.fields}
            assert said == {
                b"host": [b"site.test"],
                b"cookie": [b"a=1"],
                b"x-forwarded-for": [b"127.0.0.1"],
                b"x-real-ip": [b"127.0.0.1"],
                b"x-forwarded-proto": [b"http"],
                b"x-forwarded-host": [b"site.test"],
            }

    asyncio.run(main())


@pytest.mark.security("A2")
def test_the_address_that_was_judged_is_the_one_the_site_is_told() -> None:
    def judged(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope["state"]["antiscrape"] = SimpleNamespace(client="2001:db8::1", scheme="https")
            await app(scope, receive, send)

        return middleware

    async def main() -> None:
        async with proxied(ok(), wrap=judged) as setup:
            await setup.get("/", "X-Forwarded-For: 9.9.9.9")
            (asked,) = setup.site.asked
            assert asked.all(b"x-forwarded-for") == [b"2001:db8::1"]
            assert asked.all(b"x-forwarded-proto") == [b"https"]

    asyncio.run(main())


def scope(*headers: tuple[bytes, bytes], client: tuple[str, int] | None = None) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "raw_path": b"/p",
        "query_string": b"q",
        "headers": list(headers),
        "client": client,
    }


@pytest.mark.security("A14")
def test_a_peer_without_an_address_is_given_none() -> None:
    fields, _ = outgoing(scope((b"host", b"a"), (b"x-forwarded-for", b"1.1.1.1")))
    assert dict(fields) == {b"host": b"a", b"x-forwarded-proto": b"http", b"x-forwarded-host": b"a"}


@pytest.mark.security("C2")
def test_the_body_is_framed_once() -> None:
    two = scope((b"content-length", b"5"), (b"content-length", b"6"))
    with pytest.raises(RequestError):
        outgoing(two)
    fields, has_body = outgoing(scope((b"content-length", b"5"), (b"transfer-encoding", b"chunked")))
    assert has_body
    assert b"content-length" not in dict(fields)
    assert outgoing(scope((b"content-length", b"00")))[1] is False
    assert outgoing(scope())[1] is False


def test_a_scope_without_a_raw_path_is_not_guessed_at() -> None:
    assert target(scope()) == b"/p?q"
    with pytest.raises(RequestError):
        target({"type": "http", "path": "/p", "query_string": b""})


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_no_hop_by_hop_field_travels(name: bytes) -> None:
    assert not travels(name)


def test_host_is_rewritten_only_when_asked_for() -> None:
    async def main() -> None:
        async with proxied(ok(), rewrite_host=True) as setup:
            await setup.get("/")
            (asked,) = setup.site.asked
            assert asked.all(b"host") == [b"127.0.0.1:%d" % setup.site.port]
            assert asked.all(b"x-forwarded-host") == [b"site.test"]

    asyncio.run(main())


BODIES = [
    ("POST", ["Content-Length: 5"], b"hello", b"hello"),
    ("PUT", ["Content-Length: 0"], b"", b""),
    ("DELETE", ["Content-Length: 2"], b"{}", b"{}"),
    ("GET", ["Content-Length: 3"], b"why", b"why"),
    ("POST", ["Transfer-Encoding: chunked"], b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n", b"abcde"),
    ("POST", [], b"", b""),
]


@pytest.mark.security("P0")
@pytest.mark.security("C8")
@pytest.mark.parametrize(("method", "lines", "sent", "body"), BODIES)
def test_bodies_arrive_whole(method: str, lines: list[str], sent: bytes, body: bytes) -> None:
    async def main() -> None:
        got: list[bytes] = []

        async def site(asked: Asked) -> None:
            got.append(await asked.body())
            await asked.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        async with proxied(site) as setup:
            whole = await setup.ask(request(method, "/", *lines, body=sent))
            assert whole.status == 200
            assert got == [body]
            (asked,) = setup.site.asked
            assert asked.line == f"{method} / HTTP/1.1".encode()
            assert asked.all(b"expect") == []

    asyncio.run(main())


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\nok", 200, b"ok"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n", 200, b"ok"),
    (b"HTTP/1.0 200 OK\r\nUpgrade: h2c\r\n\r\nuntil the end", 200, b"until the end"),
    (b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab", 206, b"ab"),
    (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 302, b""),
    (b"HTTP/1.1 404 Gone fishing\r\nContent-Length: 1\r\n\r\nx", 404, b"x"),
    (b"HTTP/1.1 204 No\r\n\r\n", 204, b""),
    (b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", 204, b""),
    (b'HTTP/1.1 304 Not\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n', 304, b""),
    (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", 200, b"1"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "body"), ANSWERS)
def test_answers_come_back_whole_and_free_of_hop_by_hop_fields(sent: bytes, status: int, body: bytes) -> None:
    async def main() -> None:
        async with proxied(raw(sent)) as setup:
            got = await setup.get("/")
            assert (got.status, got.body, got.complete) == (status, body, True)
            ours = {b"transfer-encoding", b"connection"}  # the server's, towards the client
            assert not {name for name, _ in got.fields} & ((HOP_BY_HOP | {b"x-hop"}) - ours)
            assert len(got.all(b"date")) == 1
            assert len(setup.site.asked) == 1

    asyncio.run(main())


def test_the_sites_own_fields_come_back_as_they_are() -> None:
    """Cookies are not folded into one, nor kept; the Date is the site's; encodings stay."""
    packed = gzip.compress(b"hello" * 100)
    lines = [
        b"Set-Cookie: a=1; Path=/",
        b"Set-Cookie: b=2",
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
        b"Content-Encoding: gzip",
        b"X-Latin: \xe9",
    ]

    async def main() -> None:
        async with proxied(ok(packed, *lines)) as setup:
            got = await setup.get("/")
            assert got.body == packed
            assert got.all(b"set-cookie") == [b"a=1; Path=/", b"b=2"]
            assert got.all(b"date") == [b"Thu, 01 Jan 1970 00:00:00 GMT"]
            assert got.all(b"content-encoding") == [b"gzip"]
            assert got.all(b"x-latin") == [b"\xe9"]
            await setup.get("/")
            assert setup.site.asked[1].all(b"cookie") == []

    asyncio.run(main())


def test_head_keeps_the_length_and_the_connection() -> None:
    async def main() -> None:
        async with proxied(ok(b"x" * 1000)) as setup:
            got = await setup.ask(request("HEAD", "/"))
            assert (got.all(b"content-length"), got.body) == ([b"1000"], b"")
            assert (await setup.get("/")).body == b"x" * 1000
            assert setup.site.connections == 1

    asyncio.run(main())


def test_a_stream_arrives_piece_by_piece() -> None:
    """The site sends an event only when the client has the one before: what is held back never comes."""

    async def main() -> None:
        arrived = asyncio.Event()

        async def site(asked: Asked) -> None:
            await asked.reply(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            for number in range(5):
                await asked.reply(b"data: %d\n\n" % number)
                await arrived.wait()
                arrived.clear()
            asked.writer.close()

        async with proxied(site) as setup, asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
            writer.write(request("GET", "/events"))
            for number in range(5):
                await reader.readuntil(b"data: %d\n\n" % number)
                arrived.set()
            assert (await reader.read()).endswith(b"0\r\n\r\n")
            writer.close()

    asyncio.run(main())


def test_the_lifespan_closes_the_upstream() -> None:
    async def main() -> None:
        inbox: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        outbox: list[str] = []

        async def receive() -> Message:
            return inbox.pop(0)

        async def send(message: Message) -> None:
            outbox.append(message["type"])

        site = Site(behaviour=ok())
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
        upstream = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert b"".join([piece async for piece in await upstream.request("GET", b"/", [])]) == b"ok"
        assert upstream.states()[0].idle == 1
        await ReverseProxy(upstream)({"type": "lifespan"}, receive, send)
        assert upstream.states()[0].idle == 0
        server.close()
        await server.wait_closed()
        assert outbox == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    asyncio.run(main())
