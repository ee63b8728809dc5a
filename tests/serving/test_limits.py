"""What a connection may cost: time, bytes, counts; each limit small, so that nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from antiscrape.core.rules import ServeRules
from antiscrape.serving.warden import warden_of
from tests.serving.wire import PATIENCE, Echo, ask, get, run, served, statuses, until

RULES = ServeRules(
    first_byte=0.3, head=0.3, head_bytes=4096, fields=20, target_bytes=512, pipelined=4, body=0.3, send=0.3,
    keep_alive=0.3, buffer_bytes=2**16,
)  # fmt: skip
HOST = b"Host: site.test\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def answered(*pieces: bytes, rules: ServeRules = RULES) -> tuple[list[int], Echo]:
    """Return the statuses that ``pieces`` are answered with until the connection is closed, and the application."""
    echo = Echo()

    async def main() -> bytes:
        async with served(echo, rules) as (port, _):
            return await ask(port, *pieces)

    return statuses(run(main())), echo


@pytest.mark.security("C5")
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"", [], id="nothing: closed without a word"),
        pytest.param(b"G", [408], id="one byte"),
        pytest.param(b"GET", [408], id="as many bytes as a search that fails is off"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: site.test\r\n", [408], id="half a head"),
        pytest.param(get(last=False), [200], id="nothing after an answer: closed without a word"),
        pytest.param(get(last=False) + b"\r\n", [200], id="nor after an old client's empty line"),
        pytest.param(get(last=False) + b"GET / HT", [200, 408], id="half of a second head"),
        pytest.param(POST + b"Content-Length: 9\r\n\r\nabc", [408], id="half a body"),
        pytest.param(CHUNKED + b"3\r\nabc\r\n", [408], id="half a body in chunks"),
        pytest.param(CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n", [408], id="trailers without an end"),
    ],
)
def test_whoever_falls_silent_is_let_go(raw: bytes, expected: list[int]) -> None:
    assert answered(raw)[0] == expected


@pytest.mark.security("C5")
@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(get(b"/" + b"a" * 512), 414, id="a long target"),
        pytest.param(b"GET /" + b"a" * 4000, 414, id="a target without an end"),
        pytest.param(get(b"/", b"A: " + b"b" * 4096), 431, id="a long field"),
        pytest.param(get(b"/", *[b"A: b"] * 19), 431, id="many fields"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"b" * 2**20, 431, id="a field without an end"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000, 431, id="fields without an end"),
        pytest.param(CHUNKED + b"1;" + b"e" * 2**18, 431, id="a chunk extension without an end"),
        pytest.param(CHUNKED + b"1;eeeeeeeeeeeeeeee\r\na\r\n" * 10_000, 431, id="chunks that are extensions"),
        pytest.param(CHUNKED + b"0\r\nA: " + b"b" * 2**18, 431, id="a trailer without an end"),
    ],
)
def test_whoever_sends_too_much_is_refused(raw: bytes, status: int) -> None:
    found, echo = answered(raw)
    assert found == [status]
    assert not [one for one in echo.judged if one.complete]


@pytest.mark.security("C5")
def test_a_head_within_the_limits_is_served_however_slowly_its_pieces_come() -> None:
    head = get(b"/" + b"a" * 500, *[b"A: " + b"b" * 100] * 15)
    (found, echo), (again, slow) = answered(head), answered(*[head[at : at + 1] for at in range(len(head))])
    assert found == again == [200]
    assert [one._replace(client=None) for one in echo.judged] == [
        one._replace(client=None) for one in slow.judged
    ]


@pytest.mark.security("C5")
def test_small_chunks_are_no_crime() -> None:
    """A byte a chunk takes five more to say so."""
    found, echo = answered(CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")
    assert found == [200]
    assert len(echo.judged[0].body) == 20_000


@pytest.mark.security("C5")
@pytest.mark.parametrize(("rate", "then"), [(10, [200]), (100, [408]), (0, [200])])
def test_a_slow_body_is_borne_as_long_as_its_rate(rate: int, then: list[int]) -> None:
    """500 bytes in a little more than ten seconds, on the clock that the connection is looked at by."""

    async def main() -> tuple[list[int], Echo]:
        echo = Echo()
        async with served(echo, ServeRules(rate=rate)) as (port, server), asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"Connection: close\r\nContent-Length: 501\r\n\r\n" + b"a" * 500)
            state: Any = server.server_state
            await until(lambda: state.connections and next(iter(state.connections))._body == 500)
            (connection,) = state.connections
            connection.look(connection._mark + 10.1)
            writer.write(b"a")
            got = await reader.read()
            writer.transport.abort()
        return statuses(got), echo

    found, echo = run(main())
    assert found == then
    assert [one.complete for one in echo.judged] == [then == [200]]


@pytest.mark.security("C5")
def test_no_more_requests_wait_than_may_and_all_are_answered_in_order() -> None:
    """Beyond them nothing is read: neither parsed, nor kept beyond what one read had brought."""

    async def main() -> None:
        echo = Echo(hold=asyncio.Event())
        rules = ServeRules(pipelined=4)
        async with served(echo, rules) as (port, server), asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(get(b"/%d" % number, last=False) for number in range(50_000)))
            await until(lambda: echo.began)
            connection: Any = next(iter(server.server_state.connections))
            await until(lambda: len(connection.pipeline) >= 4)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(connection.pipeline) == 4
            assert len(connection._held) <= 2**19
            assert echo.hold is not None
            echo.hold.set()
            for number in range(500):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" 200 " in head
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                assert b'"/%d"' % number in await reader.readexactly(length)
            writer.transport.abort()

    run(main())


@pytest.mark.security("C5")
def test_a_refusal_waits_its_turn() -> None:
    """What came before it is answered first, and what comes after it not at all."""

    async def main(broken: bytes) -> tuple[list[int], Echo]:
        echo = Echo(hold=asyncio.Event())
        async with served(echo) as (port, _), asyncio.timeout(PATIENCE):
            raw = get(b"/1", last=False) + get(b"/2", last=False) + broken + get(b"/4")
            asked = asyncio.create_task(ask(port, raw))
            await until(lambda: echo.began)
            assert echo.hold is not None
            echo.hold.set()
            return statuses(await asked), echo

    for broken in (b"GET / HTTP/1.1\r\n\r\n", CHUNKED + b"zz\r\n", b"\r\n\r\n"):
        found, echo = run(main(broken))
        assert found == [200, 200, 400]
        assert [one.path for one in echo.judged] == [b"/1", b"/2"]


@pytest.mark.security("C6")
def test_an_answer_that_nobody_takes_is_bounded_and_cut_off() -> None:
    """The site answers with 8 MB in one message; little more than the buffer waits, until it is cut off."""

    async def main() -> None:
        echo = Echo(size=2**23)
        rules = ServeRules(send=0.3, buffer_bytes=2**16)
        async with served(echo, rules) as (port, server), asyncio.timeout(PATIENCE):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", port))
                client.sendall(get())
                state, waiting = server.server_state, [0]
                await until(lambda: state.connections)

                def gone() -> bool:
                    waiting.extend(one.transport.get_write_buffer_size() for one in state.connections)
                    return not state.connections

                await until(gone)
                assert 2**14 <= max(waiting) <= 3 * 2**16
            await until(lambda: not state.tasks)  # the application is told, and ends

    run(main())


@pytest.mark.security("C6")
def test_a_finished_answer_that_nobody_takes_is_cut_off_too() -> None:
    async def main() -> None:
        async with served(Echo(size=2**23), ServeRules(send=0.3, keep_alive=0.3)) as (port, server):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", port))
                client.sendall(get())
                await until(lambda: server.server_state.connections)
                await until(lambda: not server.server_state.connections)

    run(main())


@pytest.mark.security("C6")
def test_a_long_answer_arrives_whole_for_whoever_takes_it() -> None:
    async def main() -> bytes:
        async with served(Echo(size=3_000_001), RULES) as (port, _):
            return await ask(port, get())

    raw = run(main())
    assert raw.partition(b"\r\n\r\n")[2] == b"x" * 3_000_001


@pytest.mark.security("C6")
def test_of_an_answer_that_nobody_takes_the_kernel_keeps_nothing() -> None:
    """What is cut off is reset: else the rest of it would wait for as long as the client sips."""

    def drain(slow: socket.socket) -> None:
        while slow.recv(65536):
            pass

    async def main() -> None:
        rules = ServeRules(send=0.2, buffer_bytes=2**16)
        async with served(Echo(size=40_000_000), rules) as (port, server), asyncio.timeout(PATIENCE):
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.settimeout(PATIENCE)
                await asyncio.to_thread(slow.connect, ("127.0.0.1", port))
                slow.send(get())
                while not server.server_state.connections:  # noqa: ASYNC110  nobody tells of it
                    await asyncio.sleep(0)
                while server.server_state.connections:  # noqa: ASYNC110  the same
                    await asyncio.sleep(0)
                with pytest.raises(ConnectionResetError):
                    await asyncio.to_thread(drain, slow)

    run(main())


@pytest.mark.security("C5")
@pytest.mark.security("C6")
def test_a_crowd_of_slow_ones_keeps_nobody_waiting() -> None:
    """Load L5, small: 300 that say half a head, 60 that read nothing; a client beside them is served, and all go."""

    async def main() -> None:
        echo = Echo(size=2**19)
        rules = ServeRules(first_byte=0.5, head=0.5, send=0.5, keep_alive=0.5, buffer_bytes=2**16)
        async with served(echo, rules) as (port, server), asyncio.timeout(PATIENCE):
            with contextlib.ExitStack() as stack:
                for number in range(360):
                    slow = stack.enter_context(socket.socket())
                    if number % 6 == 0:
                        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    slow.settimeout(0)
                    await asyncio.get_running_loop().sock_connect(slow, ("127.0.0.1", port))
                    slow.send(get() if number % 6 == 0 else b"GET / HTTP/1.1\r\nHost: a\r\nX-")
                served_ones = 0
                while len(server.server_state.connections) > 1:  # this client's last may still be closing
                    raw = await ask(port, get())
                    served_ones += raw.endswith(b"x" * 1000) and len(raw) > 2**19
                    assert len(raw) > 2**19
                assert served_ones > 1
                await until(lambda: not server.server_state.connections)
            assert not warden_of(server.server_state, asyncio.get_running_loop(), rules)._watched

    run(main())
