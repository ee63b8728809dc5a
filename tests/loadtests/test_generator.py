"""The own load generator reports what happened, with a server of a few lines on the other side."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from loadtests.bench.generator import Generator, drive
from loadtests.bench.visitors import API

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUESTS = [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /fail HTTP/1.1\r\nhost: a\r\n\r\n"]


class _Server:
    """Answers each request with ``pieces``, sent one by one; a path that fails gets a 500."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self.pieces = pieces
        self.seen: list[bytes] = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.sock.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):
            held = b""
            while data := connection.recv(65536):
                held += data
                while b"\r\n\r\n" in held:
                    head, _, held = held.partition(b"\r\n\r\n")
                    self.seen.append(head)
                    failing = head.startswith(b"GET /fail")
                    for piece in self.pieces:
                        connection.sendall(piece.replace(b"200 OK", b"500 No") if failing else piece)


@contextlib.contextmanager
def _serving(*pieces: bytes) -> Iterator[_Server]:
    server = _Server(pieces)
    thread = threading.Thread(target=server.accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.sock.shutdown(socket.SHUT_RDWR)
        server.sock.close()
        thread.join(5)


def test_every_answer_is_counted_once_and_those_that_are_not_200_as_failures() -> None:
    with _serving(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as server:
        load = drive(server.port, _REQUESTS, seconds=0.1, connections=2)
    assert load.answers == len(server.seen) >= 2
    assert load.failures == sum(head.startswith(b"GET /fail") for head in server.seen)
    assert load.bytes == load.answers * len(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def test_an_answer_in_pieces_is_one_answer() -> None:
    pieces = (b"HTTP/1.1 200 OK\r\ncont", b"ent-length: 6\r\n\r\nabc", b"def")
    with _serving(*pieces) as server:
        load = drive(server.port, _REQUESTS[:1], seconds=0.1, connections=1)
    assert load.answers == len(server.seen) >= 1
    assert not load.failures


def test_a_server_that_hangs_up_is_an_error_and_not_a_figure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        with pytest.raises(ConnectionError):
            drive(port, _REQUESTS, seconds=0.1, connections=1)
        thread.join(5)


def test_the_generator_s_own_process_sends_the_visitors_and_tells_of_a_dead_port() -> None:
    with Generator(wrk="") as generator:
        with _serving(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as server:
            load = generator.load(server.port, API, seconds=0.1, connections=2)
            port = server.port
        assert load.answers == len(server.seen) >= 2
        assert server.seen[0].startswith(b"GET /api/photos HTTP/1.1\r\nhost: photos.example")
        with pytest.raises(ConnectionError):
            generator.load(port, API, seconds=0.1, connections=1)
