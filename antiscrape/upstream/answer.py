"""A response of the site: its status, its fields as sent, and its body as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from antiscrape.upstream.connection import Connection

    Headers = list[tuple[bytes, bytes]]


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
