"""Answers a request with the site's text as a writer rewrites it, or with the site's own bytes where that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from antiscrape.asgi.inflating import inflate
from antiscrape.asgi.trailers import unannounced
from antiscrape.asgi.types import TRAILERS

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers, Message, Send

#: Bytes of a body that is looked at as a whole before its header fields are sent; a larger one passes as it is.
MOST_GATHERED: Final = 2**20


class BodyWriter(Protocol):
    """Rewrites one body as it streams by."""

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Take a chunk, return what can be sent."""
        ...


class Chain:
    """Writers, one after the other."""

    def __init__(self, *writers: BodyWriter) -> None:
        self._writers = writers

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Take a chunk, return what can be sent."""
        for writer in self._writers:
            chunk = writer.feed(chunk, last=last)
        return chunk


class Bounded:
    """A writer that reads ``most`` bytes of a body, give or take a chunk, and passes what comes after."""

    def __init__(self, writer: BodyWriter, most: int) -> None:
        self._writer: BodyWriter | None = writer
        self._left = most

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Take a chunk, return what can be sent."""
        if self._writer is None:
            return chunk
        self._left -= len(chunk)
        if self._left >= 0 or last:
            return self._writer.feed(chunk, last=last)
        writer, self._writer = self._writer, None
        return writer.feed(chunk, last=True)


class Plan(NamedTuple):
    """What becomes of one body, and the fields that go with it: rewritten, and where nothing had to be.

    ``gather``: look at the whole body first, because most of its kind need no change, or because it is ``coded``.
    """

    writer: BodyWriter
    changed: Headers
    same: Headers
    gather: bool = False
    coded: bool = False


class TextAnswer:
    """Sends one answer by its plan, without trailers. ``start`` is the site's, with its field names in lower case."""

    __slots__ = ("_gathered", "_plan", "_start", "_started", "_to")

    def __init__(self, plan: Plan, start: Message, to: Send) -> None:
        self._plan, self._start, self._to = plan, start, to
        self._started = False
        self._gathered: bytearray | None = bytearray() if plan.gather else None

    async def take(self, message: Message) -> None:
        """Take one message of the site behind its start."""
        if message["type"] != "http.response.body":
            if message["type"] != TRAILERS:
                await self._to(message)
            return
        body, last = message.get("body", b""), not message.get("more_body", False)
        if self._gathered is not None:
            await self._gather(self._gathered, body, last=last)
        elif self._plan.gather:  # too large
            await self._to(message)
        else:
            written = self._plan.writer.feed(body, last=last)
            if not self._started:
                await self._begin(written, last=last, same=last and written == body)
            await self._send(written, last=last)

    async def _gather(self, gathered: bytearray, body: bytes, *, last: bool) -> None:
        """Collect a body; at its end send it rewritten, or just as it came."""
        gathered += body
        if not last and len(gathered) <= MOST_GATHERED:
            return
        self._gathered = None
        came = bytes(gathered)
        plain = inflate(came) if self._plan.coded else came
        written = plain
        if last and plain is not None and len(came) <= MOST_GATHERED:
            written = self._plan.writer.feed(plain, last=True)
        if written is None or written == plain:
            await self._begin(came, last=last, same=True)
            await self._send(came, last=last)
        else:
            await self._begin(written, last=True, same=False)
            await self._send(written, last=True)

    async def _begin(self, body: bytes, *, last: bool, same: bool) -> None:
        self._started = True
        if same:
            await self._to(unannounced({**self._start, "headers": self._plan.same}))
            return
        dropped = {b"content-length", b"content-encoding"}  # what is signed is not coded
        headers = [pair for pair in self._plan.changed if pair[0] not in dropped]
        if last:  # the whole body is there, so its new length is known
            headers.append((b"content-length", b"%d" % len(body)))
        await self._to(unannounced({**self._start, "headers": headers}))

    async def _send(self, body: bytes, *, last: bool) -> None:
        await self._to({"type": "http.response.body", "body": body, "more_body": not last})
