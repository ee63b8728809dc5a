"""One connection to a site, which carries one request and its answer at a time.

No task and no timer belongs to it: the loop calls it when bytes come, the one request that it serves
waits on one future, and its deadline is a number that ``Upstream`` looks at a few times a second. After
anything doubtful (bytes that nobody asked for, a body that did not end where it was said to, a request
that was not sent whole) it never serves another request (SECURITY C9).
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from antiscrape.errors import AntiscrapeError, UpstreamError
from antiscrape.upstream.reading import AT_BODY, AT_HEAD, DONE, OPAQUE, Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.upstream.head import Head
    from antiscrape.upstream.pool import Pool

#: Unread bytes of an answer beyond which the site is held back: asyncio's own. Four times as much was no faster: large
#: pictures cost a quarter more CPU time, for what waited had left the processor's cache.
HIGH_WATER: Final = 65_536
#: The most that waits to be taken, what one read brings included: uvloop's own reads are as long.
_MOST: Final = 262_144
#: What all those share whose clients do not take what has come (SECURITY L5): where they are many, the site is read from
#: in pieces as small as that makes them, though not below ``_LEAST``. A client that takes nothing keeps three: one of which
#: the kernel has taken a part, one behind it, and one whose turn has not come.
_SHARED: Final = 4 * 2**20
_LEAST: Final = 16_384
_NOTHING: Final = (b"", False)
#: What sockets are read into, one after the other: what came is copied out before the loop reads again.
_ROOM: Final = memoryview(bytearray(_MOST))


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


class Connection(asyncio.BufferedProtocol):
    """A connection of one pool.

    ``deadline``: when the wait for the site is over, in the loop's time. ``sound``: whether another
    request may follow, and ``served``: how many have been. ``unsent``: whether a part of the request is
    still to come, and ``begun``: whether its body was. ``go_ahead`` is done when the site asks for that
    body, or answers without it.
    """

    __slots__ = (
        "_drained", "_error", "_full", "_loop", "_over", "_paused", "_size", "_taker", "_transport", "_waiter", "begun",
        "deadline", "go_ahead", "if_long", "patience", "pool", "reader", "served", "since", "sound", "unsent",
    )  # fmt: skip

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self.pool = pool
        self.reader = Reader()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._error: AntiscrapeError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._taker: Callable[[bytes | None], None] | None = None
        self._full = self._paused = False
        self._over = True  # no exchange is going on
        self._size = 0
        self.deadline = inf
        self.sound = True
        self.served = 0
        self.unsent = self.begun = False
        self.go_ahead: asyncio.Future[None] | None = None
        self.if_long: Callable[[], None] | None = None

    # ------------------------------------------------------------------ the request

    def ask(self, question: Question, *, with_body: bool = False) -> None:
        """Send a request's head; with a body, ``finish`` tells its end."""
        self.reader.begin(head_only=question.head_only, switching=question.switching)
        self._over = False
        self._size = 0
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
        if not self._full or self.gone:
            return
        self.deadline = self._loop.time() + patience
        self._drained = self._loop.create_future()
        await self._drained
        if self.unsent or self.reader.stage == OPAQUE:
            self.deadline = inf

    @property
    def gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._error is not None

    def finish(self) -> None:
        """Note that the request was sent whole: now the site has to answer."""
        self.unsent = False
        if self.reader.stage in {AT_HEAD, AT_BODY}:
            self._expect_more()

    # ------------------------------------------------------------------ the answer

    async def answer(self) -> Head:
        """Return the head of the answer; raise ``UpstreamError``, or ``Lost`` where it may be asked for again."""
        while True:
            if self._error is not None:
                raise self._error
            head = self.reader.head
            if head is not None:
                return head
            if self._transport is None:
                raise Lost
            self._waiter = self._loop.create_future()
            await self._waiter

    def take(self) -> tuple[bytes, bool]:
        """Return the bytes of the body that are there, and whether they are the last; raise where it broke off."""
        pieces = self.reader.pieces
        if not pieces:
            if self._error is not None:
                raise self._error
            # Not before: what was taken first may still wait for a client that does not read.
            if self._paused:
                self.hold(back=False)
                self._expect_more()
            return (b"", True) if self.reader.stage == DONE else _NOTHING
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        return piece, self.reader.stage == DONE and self._error is None

    async def wait(self) -> None:
        """Wait for something to happen."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def over(self) -> bool:
        """End the exchange; return whether it is complete and the connection may serve another."""
        self._over = True
        self.if_long = self.go_ahead = None
        if self.reader.stage != DONE or not self.sound or self.unsent or self._full or self._paused:
            return False
        if self._transport is None or self._transport.is_closing():
            return False
        self.reader.pieces.clear()
        self.served += 1
        return True

    # ------------------------------------------------------------------ its end, before its time or not

    def rest(self, seconds: float) -> None:
        """Wait for another request, this long."""
        self.deadline = self._loop.time() + seconds

    def fail(self, error: AntiscrapeError) -> None:
        """End the exchange with ``error``."""
        if self._error is None and not self._over:
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
        return self.reader.beyond()

    def hold(self, *, back: bool) -> None:
        """Hold the site back, or let it go on."""
        if self._transport is None or self._transport.is_closing() or back == self._paused:
            return
        self._paused = back
        if back:
            self.pool.held[self] = self._loop.time()
            self._transport.pause_reading()
        else:
            self.pool.held.pop(self, None)
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

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the loop's protocol; it knows no better
        """Return where the next bytes go: less, the more clients there are that do not take theirs."""
        if not self._size and not self.pool.held:
            return _ROOM
        return _ROOM[: max(_LEAST, min(_MOST - self._size, self._share()))]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what the site sends."""
        self.data_received(bytes(_ROOM[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take what the site sends."""
        reader = self.reader
        if self._taker is not None:
            self._taker(data)
            return
        try:
            reader.feed(data)
        except UpstreamError as error:
            self.fail(error)
            return
        if reader.surplus:  # nobody asked for it, and the next client must not get it (response splitting)
            self.abort()
        stage = reader.stage
        if stage == AT_BODY:
            self._size += len(data)
            if self._size > HIGH_WATER or self._size >= self._share():
                self.hold(back=True)
            self._expect_more()
        elif stage != AT_HEAD:
            self.deadline = inf
        head = reader.head
        if head is not None and not head.keeps:
            self.sound = False
        if self.go_ahead is not None and (reader.invited or head is not None) and not self.go_ahead.done():
            self.go_ahead.set_result(None)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is over, and whether the answer was."""
        reader, self._transport = self.reader, None
        self.pool.held.pop(self, None)
        self.sound = self._full = False
        if self._taker is not None:
            self._taker(None)
        elif not self._over and self._error is None:
            untouched = reader.untouched
            whole = reader.stage == DONE or (error is None and reader.end())
            if not whole and not (untouched and self.served):
                where = "before" if untouched else "in the middle of"
                self._error = UpstreamError(f"the site closed the connection {where} its answer")
        self.pool.forget(self)
        self._wake()

    def pause_writing(self) -> None:
        """Note that the site takes less than it is sent."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that the site has caught up."""
        self._full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _share(self) -> int:
        """Return how many bytes may wait for each client that does not take them, and for one more."""
        return _SHARED // (len(self.pool.held) + 1)

    def _expect_more(self) -> None:
        """Give the site its time for the next word, unless it is our client who takes its own."""
        self.deadline = inf if self._paused or self.unsent else self._loop.time() + self.patience

    def _wake(self) -> None:
        for future in (self._waiter, self._drained, self.go_ahead):
            if future is not None and not future.done():
                future.set_result(None)
