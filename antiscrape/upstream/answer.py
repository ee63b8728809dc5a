"""A response of the site: its status, its fields as sent, and its body as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from antiscrape.upstream.head import CHUNKED

if TYPE_CHECKING:
    import asyncio

    from antiscrape.upstream.chunks import Chunks
    from antiscrape.upstream.connection import Connection

    Headers = list[tuple[bytes, bytes]]


class Trailing(NamedTuple):
    """What may follow a body in chunks: the names that its head ``announced``, and the fields once ``chunks`` has ended.

    Of either, nothing that Connection ``named`` (RFC 9110 §7.6.1).
    """

    chunks: Chunks
    announced: tuple[bytes, ...]
    named: frozenset[bytes]

    @property
    def fields(self) -> Headers:
        """The trailers, names in lower case; all of them only when the body has ended."""
        return [pair for pair in self.chunks.trailers if pair[0] not in self.named]


class Answer:
    """One answer. Whoever has it takes the body to its end, or closes it.

    ``headers`` are those that are meant for the client (RFC 9110 §7.6.1), names in lower case.
    """

    __slots__ = ("_connection", "_ended", "_sending", "headers", "status")

    def __init__(
        self, status: int, headers: Headers, connection: Connection, sending: asyncio.Task[None] | None
    ) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._sending = sending
        self._ended = False

    @property
    def uncalled_for(self) -> bool:
        """Whether the site answered without having asked for the request's body, of which nothing was read."""
        return not self._ended and self._connection.unsent and not self._connection.begun

    def trailing(self) -> Trailing | None:
        """Return what holds the trailers when the body has ended, None where none can follow; ask before the body is taken."""
        reader = self._connection.reader
        head = reader.head
        if self._ended or head is None or head.length != CHUNKED:
            return None
        named = head.named or frozenset()
        names = dict.fromkeys(name.strip(b" \t").lower() for name in head.announced.split(b","))
        return Trailing(reader.chunks, tuple(name for name in names if name and name not in named), named)

    def take(self) -> tuple[bytes, bool]:
        """Return what is there of the body, and whether that is its end; raise ``UpstreamError`` where it broke off.

        At the end the connection serves another request.
        """
        if self._ended:
            return b"", True
        piece, ended = self._connection.take()
        if ended:
            self.close()
        return piece, ended

    async def wait(self) -> None:
        """Wait for more of the body, after a ``take`` that gave nothing."""
        await self._connection.wait()

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        """Return the bytes that are there, or wait for the next."""
        while True:
            piece, ended = self.take()
            if piece:
                return piece
            if ended:
                raise StopAsyncIteration
            await self.wait()

    def close(self) -> None:
        """Let go of the connection, which closes unless the exchange is complete; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        if self._sending is not None:
            self._sending.cancel()
        self._connection.pool.give_back(self._connection)
