"""The site behind the proxies in the bench: an answer of 1 KB and one of 100 KB, from memory, on kept-alive connections.

``python -m loadtests.bench.origin [BYTES]`` listens on a port of the system's choice, which goes to stdout, until stdin
ends; ``BYTES`` take the place of the 100 KB.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, cast

import uvloop

_DATE: Final = b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: origin\r\n"
SMALL, LARGE = 1024, 100_000


def _answer(kind: bytes, size: int) -> bytes:
    head = b"HTTP/1.1 200 OK\r\n" + _DATE
    head += b"Content-Type: %b\r\nContent-Length: %d\r\n" % (kind, size)
    head += b'Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: "6955b900-%x"\r\n' % size
    return head + b"Accept-Ranges: bytes\r\nCache-Control: max-age=60\r\n\r\n" + b"x" * size


_IMAGE: Final = _answer(b"image/jpeg", int(sys.argv[1]) if len(sys.argv) > 1 else LARGE)
_REST: Final = _answer(b"application/json", SMALL)


class Origin(asyncio.Protocol):
    """One connection: every empty line is the end of a request, since nobody sends it a body."""

    def __init__(self) -> None:
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        *heads, self._held = (self._held + data).split(b"\r\n\r\n")
        for head in heads:
            if self._transport is not None:
                self._transport.write(_IMAGE if b" /media/" in head[:64] else _REST)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Origin, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve())
