"""What a connection may bring, raw on the wire of the real server: each request has one reading, or is refused."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect

from antiscrape.core.rules import ServeRules
from tests.serving.wire import PATIENCE, Echo, ask, get, run, served, statuses

#: Short enough that a test that waits for the end of a time waits no longer than this.
SHORT = ServeRules(first_byte=0.3, head=0.3, body=0.3, keep_alive=0.3)
HOST = b"Host: site.test\r\n"


def answers(*raws: bytes, rules: ServeRules = SHORT, echo: Echo | None = None) -> tuple[list[bytes], Echo]:
    """Return what each of ``raws`` is answered, each on a connection of its own, and the application."""
    echo = echo or Echo()

    async def main() -> list[bytes]:
        async with served(echo, rules) as (port, _):
            return [await ask(port, raw) for raw in raws]

    return run(main()), echo


def refused(raw: bytes, *, rules: ServeRules = SHORT) -> int:
    """Return the one status that ``raw`` is refused with, nothing of it having reached the application."""
    (got,), echo = answers(raw, rules=rules)
    (status,) = statuses(got)
    assert echo.judged == []
    assert b"connection: close\r\n" in got
    assert b"cache-control: no-store\r\n" in got
    return status


@pytest.mark.security("B12")
def test_one_valid_host_or_none_is_served() -> None:
    long = b"a" * 300
    wrong = [
        b"",
        b"a,b",
        b"good@evil",
        b"a b",
        b"evil/x?",
        b"caf\xc3\xa9",
        b"[::1",
        b"a:b",
        long,
        b"http://a",
    ]
    raws = [b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n" for host in wrong]
    raws += [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ]
    got, echo = answers(*raws)
    assert [statuses(one) for one in got] == [[400]] * len(raws)
    assert echo.judged == []
    got, echo = answers(*(get(host=host) for host in (b"a", b"A.test:8080", b"[2001:db8::1]:443", b"a.")))
    assert [statuses(one) for one in got] == [[200]] * 4


@pytest.mark.security("B12")
def test_a_second_request_of_a_connection_is_held_to_the_same_rule() -> None:
    (got,), echo = answers(get(last=False) + get(b"/2", b"Host: other", last=False))
    assert statuses(got) == [200, 400]
    assert [one.path for one in echo.judged] == [b"/"]


@pytest.mark.security("B2")
@pytest.mark.parametrize(
    ("line", "host", "judged"),
    [
        (b"GET http://site.test/a?b HTTP/1.1", b"site.test", (b"/a", b"b")),
        (b"GET HTTP://Site.Test:80?b HTTP/1.1", b"site.test", (b"/", b"b")),
        (b"GET https://site.test HTTP/1.1", b"site.test:443", (b"/", b"")),
        (b"OPTIONS * HTTP/1.1", b"site.test", (b"*", b"")),
        (b"GET http://evil.test/a HTTP/1.1", b"site.test", None),
        (b"GET http://me@site.test/a HTTP/1.1", b"site.test", None),
        (b"GET ftp://site.test/a HTTP/1.1", b"site.test", None),
        (b"GET * HTTP/1.1", b"site.test", None),
        (b"GET site.test:80 HTTP/1.1", b"site.test", None),
        (b"CONNECT site.test:80 HTTP/1.1", b"site.test:80", None),
    ],
)
def test_a_target_in_absolute_form_names_the_host_that_is_asked(
    line: bytes, host: bytes, judged: tuple[bytes, bytes] | None
) -> None:
    (got,), echo = answers(line + b"\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")
    assert statuses(got) == ([400] if judged is None else [200])
    assert [(one.path, one.query) for one in echo.judged] == ([] if judged is None else [judged])


@pytest.mark.security("B3")
@pytest.mark.parametrize("target", [b"/a#b", b"/#", b"/a?b#c", b"http://site.test/#x"])
def test_a_fragment_is_no_part_of_a_target(target: bytes) -> None:
    assert refused(get(target)) == 400


@pytest.mark.security("C2")
@pytest.mark.security("C3")
@pytest.mark.security("C8")
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + lines + b"\r\n0\r\n\r\n", id=name)
        for name, lines in {
            "CL beside TE": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "TE twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "TE list, waitress CVE-2022-24761": b"Transfer-Encoding: ,chunked\r\n",
            "TE of two codings": b"Transfer-Encoding: gzip, chunked\r\n",
            "TE unknown, gunicorn CVE-2024-1135": b"Transfer-Encoding: xchunked\r\n",
            "CL list, waitress CVE-2019-16786": b"Content-Length: 5, 5\r\n",
            "CL with a sign, aiohttp CVE-2023-47627": b"Content-Length: +5\r\n",
            "CL with a low line": b"Content-Length: 1_0\r\n",
            "CL in hexadecimal": b"Content-Length: 0x5\r\n",
            "CL empty": b"Content-Length:\r\n",
            "a folded line": b"A: b\r\n c\r\n",
            "a bare line feed, waitress CVE-2019-16785": b"A: b\nTransfer-Encoding: chunked\r\n",
            "a bare return, llhttp CVE-2022-32213": b"A: b\rTransfer-Encoding: chunked\r\n",
            "a space before the colon": b"Transfer-Encoding : chunked\r\n",
            "NUL": b"A: b\0\r\n",
        }.items()
    ]
    + [
        b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
        b"OPTIONS / RTSP/1.0\r\n" + HOST + b"\r\n",
        b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n",
        b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
        b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\nHost: site.test\n\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_two_hops_could_read_in_two_ways_is_refused(raw: bytes) -> None:
    assert refused(raw) == 400


@pytest.mark.security("C8")
def test_an_unknown_expectation_fails() -> None:
    assert refused(get(b"/", b"Expect: the-spanish-inquisition")) == 417


@pytest.mark.security("C8")
def test_a_body_is_asked_for_only_when_it_is_read() -> None:
    """And where the answer did not wait for it, nobody can tell whether a body or a request comes next: it ends."""
    raw = b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    (got,), echo = answers(raw + b"abc" + get(b"/2"))
    assert statuses(got) == [100, 200, 200]
    assert [one.body for one in echo.judged] == [b"abc", b""]
    (got,), echo = answers(raw, echo=Echo(unread=True))
    assert statuses(got) == [200]
    old = raw.replace(b"HTTP/1.1", b"HTTP/1.0")
    (got,), echo = answers(old + b"abc")
    assert statuses(got) == [200]


@pytest.mark.security("C8")
@pytest.mark.security("P0")
def test_trailers_change_nothing_that_was_judged() -> None:
    chunked = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    raw = (
        chunked + b"5;ext=1\r\nhello\r\n0\r\nHost: evil\r\nX-Antiscrape-A: 1\r\nExpect: 100-continue\r\n\r\n"
    )
    (got,), echo = answers(raw + get(b"/2"))
    assert statuses(got) == [200, 200]
    first, second = echo.judged
    assert (first.body, first.host) == (b"hello", [b"site.test"])
    assert {name for name, _ in first.fields} == {b"host", b"transfer-encoding"}
    assert (second.path, second.body) == (b"/2", b"")


@pytest.mark.security("P0")
@pytest.mark.security("C8")
def test_however_requests_are_cut_they_are_the_same() -> None:
    """Bodies with lengths and in chunks, on GET too, byte for byte and one behind the other."""
    raw = (
        b"POST /1 HTTP/1.1\r\n" + HOST + b"Content-Length: 6\r\n\r\n\r\n\r\nxy"
        b"\r\nGET /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
        b"PUT /3?q HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n8\r\n\r\n\r\n0\r\n\r\r\n0\r\n\r\n"
        + get(b"/4")
    )
    expected = [(b"/1", b"\r\n\r\nxy"), (b"/2", b"abc"), (b"/3", b"\r\n\r\n0\r\n\r"), (b"/4", b"")]

    async def main() -> None:
        for size in (1, 2, 3, 5, 7, 64, len(raw)):
            echo = Echo()
            async with served(echo) as (port, _):
                pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
                assert statuses(await ask(port, *pieces)) == [200] * 4
            assert [(one.path, one.body) for one in echo.judged] == expected

    run(main())


@pytest.mark.security("C4")
@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",  # with a body, or another method, it is none
        b"Connection: upgrade\r\nupgrade: websocket, h2c\r\nUpgrade: TLS/1.0\r\n",
    ],
)
def test_another_protocol_is_not_spoken_and_its_request_keeps_its_body(lines: bytes) -> None:
    """The parser would end the request at its head, and take the body for the next (AIOHTTP GHSA-mfx4-hv73-q22v)."""
    body = get(b"/smuggled")
    head = b"POST / HTTP/1.1\r\n" + HOST + lines + b"Content-Length: %d\r\n\r\n" % len(body)
    (got,), echo = answers(head + body + get(b"/behind"))
    assert statuses(got) == [200]
    (judged,) = echo.judged
    assert judged.body == body
    assert not {b"upgrade", b"http2-settings"} & {name for name, _ in judged.fields}
    assert b"connection: close\r\n" in got


@pytest.mark.security("C4")
def test_what_asks_for_another_protocol_without_a_connection_line_is_left_out() -> None:
    (got,), echo = answers(get(b"/", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"))
    assert statuses(got) == [200]
    assert [name for name, _ in echo.judged[0].fields] == [b"host", b"connection"]


@pytest.mark.security("C4")
def test_a_websocket_is_spoken() -> None:
    echo = Echo()

    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            served(echo, SHORT) as (port, _),
            connect(f"ws://127.0.0.1:{port}/chat?a=b") as socket,
        ):
            for text in ("one", "x" * 100_000):
                await socket.send(text)
                assert await socket.recv() == text

    run(main())
    assert (echo.judged[0].path, echo.judged[0].query) == (b"/chat", b"a=b")


@pytest.mark.security("C4")
def test_frames_before_the_answer_to_the_handshake_end_it() -> None:
    shake = get(
        b"/", b"Upgrade: websocket", b"Connection: upgrade", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", last=False,
    )  # fmt: skip
    (got,), _ = answers(shake + get(b"/smuggled"))
    assert 200 not in statuses(got)
