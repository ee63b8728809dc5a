"""Trailers of the site reach a client that asked for them, behind the site's own bytes and nowhere else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.trailers import may_trail, unannounced, wants_trailers
from tests.asgi.marked import marks
from tests.asgi.proxied import PATIENCE, Asked, proxied
from tests.house import house, person, photo, policy_of, scope_of, tool

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from tests.house import House

ASKS = "TE: trailers\r\nConnection: TE\r\n"
SECTION = b"0\r\nx-sum: 1\r\ncontent-digest: sha-256=:AA==:\r\n\r\n"
#: With a cookie and a date that a reader which merges trailers would act on, and one that Connection takes away.
TRAILERS = (
    b"0\r\nX-Sum: 1\r\nSet-Cookie: a=1\r\nX-Hop: 1\r\nX_Sum: 1\r\nExpires: 0\r\nX-Accel-Redirect: /\r\n"
    b"Content-Digest: sha-256=:AA==:\r\n\r\n"
)
PICTURE = photo()


def chunked(body: bytes, content_type: bytes, *, announced: bool = True) -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\nContent-Type: " + content_type
    )
    told = b"\r\nTrailer: X-Sum, Set-Cookie\r\nTrailer: x-hop, Content-Digest" if announced else b""
    return b"%b%b\r\n\r\n%x\r\n%b\r\n%b" % (head, told, len(body), body, TRAILERS)


ANSWERS = {
    b"/plain": chunked(b"hello", b"text/plain"),
    b"/quiet": chunked(b"hello", b"text/plain", announced=False),
    b"/page": chunked(b"<html><body>hello</body></html>", b"text/html"),
    b"/photos/one.jpg": chunked(PICTURE, b"image/jpeg"),
    b"/get?id=1": chunked(PICTURE, b"image/jpeg"),
    b"/sized": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\nContent-Length: 5\r\n\r\nhello",
    b"/none": b"HTTP/1.1 304 Not Modified\r\nTrailer: X-Sum\r\n\r\n",
}


async def site(asked: Asked) -> None:
    method, path, _ = asked.line.split(b" ")
    whole = ANSWERS[path]
    await asked.reply(whole[: whole.index(b"\r\n\r\n") + 4] if method == b"HEAD" else whole)


async def exchange(port: int, raw: str | bytes) -> tuple[bytes, bytes]:
    """Send a request, and return the head of the answer and what the server wrote behind it up to the connection's end."""
    raw = raw.encode() if isinstance(raw, str) else raw
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    return head.lower(), rest


def asking(path: str, more: str, *, method: str = "GET", version: str = "1.1") -> str:
    return f"{method} {path} HTTP/{version}\r\nHost: site.test\r\n{more}Connection: close\r\n\r\n"


@pytest.mark.security("P0")
@pytest.mark.security("A7")
def test_only_who_asks_gets_them_and_only_what_may_be_one() -> None:
    async def main() -> None:
        async with proxied(site) as setup:
            head, rest = await exchange(setup.port, asking("/plain", ASKS))
            assert b"\r\ntrailer: x-sum, content-digest\r\n" in head + b"\r\n"
            assert rest == b"5\r\nhello\r\n" + SECTION
            assert setup.site.asked[0].all(b"te") == [b"trailers"]
            assert setup.site.asked[0].all(b"connection") == [b"te"]
            head, rest = await exchange(setup.port, asking("/quiet", ASKS))
            assert b"\r\ntrailer:" not in head
            assert rest == b"5\r\nhello\r\n" + SECTION
            for path, more, method, version, body in [
                ("/plain", "", "GET", "1.1", b"5\r\nhello\r\n0\r\n\r\n"),
                ("/plain", "TE: trailers\r\n", "GET", "1.1", b"5\r\nhello\r\n0\r\n\r\n"),
                ("/plain", "TE: gzip\r\nConnection: TE\r\n", "GET", "1.1", b"5\r\nhello\r\n0\r\n\r\n"),
                ("/plain", ASKS, "GET", "1.0", b"5\r\nhello\r\n0\r\n\r\n"),
                ("/plain", ASKS, "HEAD", "1.1", b""),
                ("/sized", ASKS, "GET", "1.1", b"hello"),
                ("/none", ASKS, "GET", "1.1", b""),
            ]:
                head, rest = await exchange(setup.port, asking(path, more, method=method, version=version))
                assert b"\r\ntrailer:" not in head, (path, more, method, version)
                assert rest == body, (path, more, method, version)
            assert [asked.all(b"te") for asked in setup.site.asked[2:6]] == [[], [], [], []]
            # both connections serve on: the client's takes the next answer behind the section, the site's is one
            again = asking("/plain", ASKS).replace("Connection: close\r\n", "")
            _, rest = await exchange(setup.port, again + asking("/sized", ""))
            first, _, second = rest.partition(SECTION)
            assert first == b"5\r\nhello\r\n"
            assert second.startswith(b"HTTP/1.1 200 OK\r\n")
            assert second.endswith(b"\r\n\r\nhello")
            assert setup.site.connections == 1

    asyncio.run(main())


class Late:
    """An application that is named when the server in front of it has started."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def of(fields: list[tuple[bytes, bytes]], path: bytes) -> bytes:
    """Return the request of one of the test's visitors, who asks for trailers."""
    kept = [pair for pair in fields if pair[0] not in {b"connection", b"te", b"host"}]
    lines = [b"GET %b HTTP/1.1" % path, *map(b": ".join, [(b"host", b"site.test"), *kept])]
    return b"\r\n".join([*lines, b"TE: trailers", b"Connection: te, close", b"", b""])


def test_behind_the_middleware_only_the_sites_own_bytes_have_them() -> None:
    async def main() -> None:
        late = Late()
        async with house(late, policy_of({"ANTISCRAPE__TRAPS__INJECT": "true"})) as here:

            def wrap(app: ASGIApp) -> ASGIApp:
                late.app = app
                return here.app

            async with proxied(site, wrap=wrap) as setup:
                for _ in range(3):  # the third is of a known client, and takes the short way
                    head, rest = await exchange(setup.port, of(person(), b"/plain"))
                    assert rest.endswith(SECTION)
                    assert b"\r\ntrailer: x-sum" in head
                    head, rest = await exchange(setup.port, of(person(), b"/photos/one.jpg"))
                    assert PICTURE in rest
                    assert rest.endswith(SECTION)
                    assert b"\r\ntrailer: x-sum" in head
                lesser = [
                    b"/get?id=1",
                    b"/photos/one.jpg",
                    b"/photos/one.jpg",
                ]  # the first tells only by its answer
                for fields, path in [(person(kind="page"), b"/page"), *((tool(), path) for path in lesser)]:
                    head, rest = await exchange(setup.port, of(fields, path))
                    assert head.startswith(b"http/1.1 200")
                    assert b"\r\ntrailer:" not in head
                    assert b"x-sum" not in rest
                    assert PICTURE not in rest

    asyncio.run(main())


def test_a_server_that_keeps_to_the_protocol_is_told_of_none_behind_what_we_made() -> None:
    """Nothing comes after the end of a rendition, nor is the site offered trailers for what cannot have them."""
    offered: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered.append("http.response.trailers" in scope["extensions"])
        fields = [(b"content-type", b"image/jpeg"), (b"trailer", b"x-sum")]
        await send({"type": "http.response.start", "status": 200, "headers": fields, "trailers": True})
        await send({"type": "http.response.body", "body": PICTURE})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    async def told(here: House, path: str, fields: list[tuple[bytes, bytes]]) -> list[Message]:
        said: list[Message] = []

        async def send(message: Message) -> None:
            said.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        await here.app(scope_of(path, fields, extensions={"http.response.trailers": {}}), receive, send)
        return said

    async def main() -> None:
        policy = policy_of({"ANTISCRAPE__STANDING__BROWSER__ORIGINALS": "1/10min, 2/day"})
        async with house(app, policy) as here:
            start, body, end = await told(here, "/photos/one.jpg", person())
            assert (start["trailers"], body["body"], end["headers"]) == (True, PICTURE, [(b"x-sum", b"1")])
            spent = await told(
                here, "/get?id=2", person()
            )  # offered: only the answer tells that it is a picture
            known = await told(here, "/photos/one.jpg", tool())
            assert offered == [True, True, False]
            for start, body in (spent, known):
                assert not start.get("trailers")
                assert b"trailer" not in dict(start["headers"])
                assert body["body"] != PICTURE
        offered.clear()
        async with house(app, marks(), traced=True) as here:
            _, body, *_ = await told(here, "/photos/one.jpg", person())
            assert body["body"] != PICTURE
            assert offered == [False]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "may"),
    [(b"x-sum", True), (b"etag", True), (b"server-timing", True), (b"content-digest", True), (b"grpc-status", True),
     (b"content-type", False), (b"content-length", False), (b"host", False), (b"x-forwarded-for", False),
     (b"cache-control", False), (b"set-cookie", False), (b"www-authenticate", False), (b"if-match", False),
     (b"x.sum", False), (b"", False)],
)  # fmt: skip
def test_what_may_stand_behind_a_body(name: bytes, may: bool) -> None:  # noqa: FBT001  a column of the table
    assert may_trail(name) is may


def test_what_te_says() -> None:
    assert wants_trailers([(b"te", b"gzip;q=0.5, Trailers")])
    assert not wants_trailers([(b"te", b"trailers;q=0"), (b"trailer", b"trailers"), (b"te", b"")])


def test_a_start_whose_body_is_another_announces_nothing() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"trailer", b"a"), (b"b", b"c")]}
    assert unannounced(start) is start
    assert unannounced({**start, "trailers": True}) == {**start, "headers": [(b"b", b"c")], "trailers": False}
