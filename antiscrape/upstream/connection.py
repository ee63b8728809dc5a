"""One connection to a site, which carries one request and its answer at a time.

No task and no timer belongs to it: the loop calls it when bytes come, the one request that it serves
waits on one future, and its deadline is a number that ``Sites`` looks at a few times a second. After
anything doubtful (bytes that nobody asked for, a body that did not end where it was said to, a request
that was not sent whole) it never serves another request (SECURITY C9).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from antiscrape.errors import AntiscrapeError, UpstreamError
from antiscrape.upstream.chunks import Chunks
from antiscrape.upstream.head import CHUNKED, LONGEST_HEAD, TO_THE_END, Head, all_fields, read_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.upstream.pool import Pool

#: Unread bytes of an answer beyond which the site is held back; with what one read brings, half a megabyte at most.
HIGH_WATER: Final = 262_144
_NOTHING: Final = (b"", False)
_END: Final = b"\r\n\r\n"
#: What every answer starts with; whoever does not speak HTTP is not waited for.
_START: Final = b"HTTP/1."

_IDLE, _AT_HEAD, _AT_BODY, _DONE, _OPAQUE = range(5)


class Lost(Exception):  # noqa: N818  it never leaves this room
    """A connection that had served before ended without a byte of an answer."""


class Question(NamedTuple):
    """One request's head as it goes on the wire.

    ``patience``: the seconds that the site has for each next word. ``if_long`` is called once if the
    exchange is not over at the second look that anyone takes at it.
    """

    head: bytes
    head_only: bool
    patience: float
    if_long: Callable[[], None] | None = None
    switching: bool = False


class Connection(asyncio.Protocol):
    """A connection of one pool. ``deadline``: when the wait for the site is over, in the loop's time."""

    __slots__ = (
        "_chunks", "_drained", "_error", "_full", "_held", "_interim", "_left", "_loop", "_paused", "_pieces",
        "_question", "_size", "_stage", "_taker", "_transport", "_waiter", "begun", "deadline", "go_ahead", "head",
        "if_long", "patience", "pool", "served", "since", "sound", "unsent",
    )  # fmt: skip

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self.pool = pool
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._stage = _IDLE
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._full = False
        self._paused = False
        self._taker: Callable[[bytes | None], None] | None = None
        #: How many requests it has served.
        self.served = 0
        self.deadline = inf
        #: Whether another request may follow.
        self.sound = True
        self._error: AntiscrapeError | None = None
        self._pieces: list[bytes] = []
        self._held = bytearray()
        self.head: Head | None = None
        #: Whether a part of the request is still to be sent, and whether its body was begun.
        self.unsent = self.begun = False
        self.go_ahead: asyncio.Future[None] | None = None
        self.if_long: Callable[[], None] | None = None

    # ------------------------------------------------------------------ the request

    def ask(self, question: Question, *, with_body: bool = False) -> None:
        """Send a request's head; with a body, ``finish`` tells its end."""
        self._stage = _AT_HEAD
        self.head = None
        self._question = question
        self._interim = 0
        self._size = 0
        self._left = 0
        self.unsent = with_body
        self.begun = False
        self.patience = question.patience
        self.if_long = question.if_long
        self.since = now = self._loop.time()
        self.deadline = inf if with_body else now + question.patience
        if self._transport is not None:
            self._transport.write(question.head)

    def write(self, data: bytes) -> None:
        """Send a part of the request's body."""
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self, patience: float) -> None:
        """Wait until the site has taken enough; past ``patience`` seconds the exchange fails."""
        if not self._full or self._error is not None:
            return
        self.deadline = self._loop.time() + patience
        self._drained = self._loop.create_future()
        await self._drained
        if self.unsent or self._stage == _OPAQUE:
            self.deadline = inf

    @property
    def gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._error is not None

    def finish(self) -> None:
        """Note that the request was sent whole: now the site has to answer."""
        self.unsent = False
        if self._stage in {_AT_HEAD, _AT_BODY}:
            self._expect_more()

    # ------------------------------------------------------------------ the answer

    async def answer(self) -> Head:
        """Return the head of the answer; raise ``UpstreamError``, or ``Lost`` where it may be asked for again."""
        while True:
            if self._error is not None:
                raise self._error
            if self.head is not None:
                return self.head
            if self._stage == _DONE:
                raise Lost
            await self.wait()

    def take(self) -> tuple[bytes, bool]:
        """Return the bytes of the body that are there, and whether they are the last; raise where it broke off."""
        pieces = self._pieces
        if not pieces:
            if self._error is not None:
                raise self._error
            return (b"", True) if self._stage == _DONE else _NOTHING
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._paused:
            self._resume()
        self._size = 0
        return piece, self._stage == _DONE and self._error is None

    async def wait(self) -> None:
        """Wait for something to happen."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def over(self) -> bool:
        """Tell whether the exchange is complete and the connection may serve another."""
        if self._stage != _DONE or not self.sound or self.unsent or self._full or self._paused:
            return False
        if self._transport is None or self._transport.is_closing():
            return False
        self._stage = _IDLE
        self._pieces.clear()
        self.if_long = self.go_ahead = None
        self.served += 1
        return True

    def rest(self, seconds: float) -> None:
        """Wait for another request, this long."""
        self.deadline = self._loop.time() + seconds

    def fail(self, error: AntiscrapeError) -> None:
        """End the exchange with ``error``."""
        if self._error is None and self._stage != _IDLE:
            self._error = error
        self.abort()
        self._wake()

    def abort(self) -> None:
        """Drop the connection at once."""
        self.sound = False
        self.deadline = inf
        if self._transport is not None:
            self._transport.abort()

    def look(self, now: float) -> None:
        """Notice a deadline that is past, or an exchange that takes its time."""
        if now > self.deadline:
            self.fail(UpstreamError("the site took too long", HTTPStatus.GATEWAY_TIMEOUT))
        elif self.if_long is not None and now > self.since + self.pool.step:
            if_long, self.if_long = self.if_long, None
            if_long()

    # ------------------------------------------------------------------ after a switch of protocols

    def switch(self, taker: Callable[[bytes | None], None]) -> bytes:
        """Hand all further bytes to ``taker``, None at their end; return those that came with the head."""
        self._taker = taker
        held = bytes(self._held)
        self._held.clear()
        return held

    def hold(self, *, back: bool) -> None:
        """Hold the site back, or let it go on."""
        if self._transport is None or self._transport.is_closing() or back == self._paused:
            return
        self._paused = back
        if back:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def end_writing(self) -> None:
        """Say that nothing more will be sent."""
        if self._transport is not None and not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    # ------------------------------------------------------------------ what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what the site sends."""
        stage = self._stage
        try:
            if stage == _AT_BODY:
                self._read_body(data)
            elif stage == _AT_HEAD:
                self._read_head(data)
            elif stage == _OPAQUE:
                self._read_on(data)
                return
            else:  # nobody asked for it: the next client must not get it (response splitting)
                self.abort()
                return
        except UpstreamError as error:
            self.fail(error)
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is over, and whether the answer was."""
        stage, self._transport = self._stage, None
        self.sound = False
        if stage == _OPAQUE:
            if self._taker is not None:
                self._taker(None)
        elif stage == _AT_BODY and self._left == TO_THE_END and error is None:
            self._stage = _DONE
        elif stage in {_AT_HEAD, _AT_BODY} and self._error is None:
            untouched = stage == _AT_HEAD and not self._held and not self._interim
            self._stage = _DONE
            if not (untouched and self.served):
                where = "before" if untouched else "in the middle of"
                self._error = UpstreamError(f"the site closed the connection {where} its answer")
        self.pool.forget(self)
        self._full = False
        self._wake()

    def pause_writing(self) -> None:
        """Note that the site takes less than it is sent."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that the site has caught up."""
        self._full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # ------------------------------------------------------------------ reading

    def _read_head(self, data: bytes) -> None:
        """Read heads until the one that is final; interim ones are passed over, and one that is not whole is held."""
        held, at = self._held, 0
        if held:
            begin = max(0, len(held) - 3)
            held += data
            if held.find(_END, begin) < 0:
                self._hold(held)
                return
            data = bytes(held)
            held.clear()
        while True:
            end = data.find(_END, at)
            if end < 0:
                held += data[at:]
                self._hold(held)
                return
            if end - at > LONGEST_HEAD:
                raise UpstreamError("the head of the site's answer does not end")
            block, at = data[at:end], end + 4
            head = read_head(block, bodiless=self._question.head_only)
            if head.status >= 200:
                self._begin(head, data[at:])
                return
            if head.status == 101:
                self._switch(block, data[at:])
                return
            self._interrupt(head.status, len(block))

    def _hold(self, held: bytearray) -> None:
        if len(held) > LONGEST_HEAD:
            raise UpstreamError("the head of the site's answer does not end")
        if held and not held.startswith(_START[: len(held)]):
            raise UpstreamError(f"the site does not speak HTTP/1: {bytes(held[:80])!r}")

    def _begin(self, head: Head, rest: bytes) -> None:
        """Take the final head, and what came with it of the body."""
        self.head = head
        self.sound = self.sound and head.keeps
        if self.go_ahead is not None and not self.go_ahead.done():
            self.go_ahead.set_result(None)
        length = head.length
        if not length:
            self._stage = _DONE
            self.deadline = inf
            if rest:
                self.sound = False
            return
        self._stage = _AT_BODY
        self._left = length
        if length == CHUNKED:
            self._chunks = Chunks()
        if rest:
            self._read_body(rest)
        else:
            self._expect_more()

    def _interrupt(self, status: int, size: int) -> None:
        """Take an interim answer: it moves no deadline, and a flood of them is a head that does not end."""
        self._interim += size
        if self._interim > LONGEST_HEAD:
            raise UpstreamError("the site sent a flood of interim answers")
        if status == 100 and self.go_ahead is not None and not self.go_ahead.done():
            self.go_ahead.set_result(None)

    def _switch(self, block: bytes, rest: bytes) -> None:
        if not self._question.switching:
            raise UpstreamError("the site switched protocols, which nobody had asked for")
        self._stage = _OPAQUE
        self.sound = False
        self.deadline = inf
        self.head = Head(101, all_fields(block), 0, keeps=False)
        self._held += rest

    def _read_body(self, data: bytes) -> None:
        left = self._left
        if left >= 0:
            left -= len(data)
            if left < 0:
                self.sound = False
                data = data[:left]
            self._left = left
            self._pieces.append(data)
            complete = left <= 0
        elif left == CHUNKED:
            self._pieces += self._chunks.feed(data)
            complete = self._chunks.ended
            self.sound = self.sound and not self._chunks.surplus
        else:
            self._pieces.append(data)
            complete = False
        if complete:
            self._stage = _DONE
            self.deadline = inf
            return
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._expect_more()

    def _read_on(self, data: bytes) -> None:
        if self._taker is None:
            self._held += data
        else:
            self._taker(data)

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None and self._stage == _AT_BODY:
            self._transport.resume_reading()
            self._expect_more()

    def _expect_more(self) -> None:
        """Give the site its time for the next word, unless it is our client who takes its own."""
        self.deadline = inf if self._paused or self.unsent else self._loop.time() + self.patience

    def _wake(self) -> None:
        for future in (self._waiter, self._drained, self.go_ahead):
            if future is not None and not future.done():
                future.set_result(None)
