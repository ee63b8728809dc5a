"""One client's connection, from the side of the answers: their order, their end, and how long they are waited for.

What was refused is answered behind the answers that are still to come, never among them. How long a client
may take is looked at by ``warden``, for all connections at once.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from antiscrape.core.rules import ServeRules
from antiscrape.serving.framing import answer
from antiscrape.serving.leaving import LINGER_SECONDS, Exit, cut_off, unread_in_kernel, unsent_by_kernel
from antiscrape.serving.warden import warden_of

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

#: Bytes of answers that wait for a client, beyond which it is waited for: asyncio's 64 KB would be four pieces of a picture
#: for each client that reads nothing, where there are many (SECURITY L5).
_HIGH_WATER: Final = 16_384


class Flow(FlowControl):
    """Uvicorn's flow control, in which a full pipeline is not read on from, whoever asks."""

    stopped = False

    def resume_reading(self) -> None:
        """Read on, unless requests wait."""
        if not self.stopped:
            super().resume_reading()


class Answering(HttpToolsProtocol):
    """Answers the requests of one connection in their order, and bears it no longer than ``config.rules`` say."""

    # Beyond thirty attributes in its dictionary CPython gives up the short way to each of them, uvicorn's among them.
    __slots__ = (
        "_body", "_body_then", "_exit", "_fresh", "_held", "_last", "_left", "_lingering", "_mark", "_refusal", "_rules",
        "_running", "_unsent", "_warden", "named",
    )  # fmt: skip
    flow: Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        rules = getattr(config, "rules", None)
        self._rules = rules if isinstance(rules, ServeRules) else ServeRules()
        self._warden = warden_of(server_state, self.loop, self._rules)
        #: Client and server as a PROXY header names them, in place of the socket's.
        self.named: tuple[tuple[str, int], tuple[str, int]] | None = None
        self._mark = self._warden.now  # since when the client owes us something
        self._fresh = True  # no byte came yet
        self._held = b""  # a head that is not whole, or what waits behind a full pipeline
        self._last = False  # no request of this connection is read any more
        self._left = 0  # what is still to come of the body that is read; negative for nobody knows how much
        self._body = self._body_then = 0  # what came of it, and what had come when its rate was last taken
        self._refusal: bytes | None = None  # what is answered when the answers before it are complete
        self._lingering = 0  # bytes read and dropped after a refusal, plus one; 0: not refused yet
        self._exit: Exit | None = None  # what answers are written to
        self._running: RequestResponseCycle | None = None  # what is answered, while others wait behind it
        self._unsent: tuple[float, int] | None = None  # since when so many bytes wait for the client

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to watch."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        if self.named is not None:
            self.client, self.server = self.named
        self._warden.watch(self)
        self._mark = self._warden.now

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and whoever waits behind it."""
        self._warden.forget(self)
        self._last, self._held, self._exit = True, b"", None
        if (running := self._running) is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Go on with what waits, or begin to wait for the next request."""
        self.server_state.total_requests += 1
        self._mark = self._warden.now
        if self.pipeline or self._refusal is not None or self.flow.read_paused or self.cycle.more_body:
            self._go_on()

    def _go_on(self) -> None:
        if self.transport.is_closing() or self._lingering:
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._running = cycle
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._say(self._refusal)
            return
        elif self.cycle.more_body and self.expect_100_continue:
            # RFC 9110 §10.1.1: whether a body or a request comes now, nobody can tell
            self._leave()
            return
        self.flow.stopped = False
        if self._held:
            self.loop.call_soon(self._take_held)
        else:
            self.flow.resume_reading()

    def _take(self, data: bytes) -> None:
        """Read requests; the side of the requests does it."""

    def _take_held(self) -> None:
        if self.flow.stopped or not self._held or self.transport.is_closing():
            return
        held, self._held = self._held, b""
        self._take(held)
        self.flow.resume_reading()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer ``status`` behind what is still to be answered, and read no further request."""
        if self._refusal is not None or self._lingering:
            return
        self._last, self._held = True, b""
        self._refusal = answer(status)
        cycle, broken = self.cycle, self._left != 0  # the last request's own body is what is wrong
        self._left = 0
        if cycle is None or cycle.response_complete:
            self._say(self._refusal)
        elif broken and self.pipeline:
            self.pipeline.popleft()  # it waits, and is never begun
        elif broken:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
            else:
                self._say(self._refusal)

    def _say(self, refusal: bytes) -> None:
        """Write the last answer of the connection, and wait a little for the client to take it."""
        self.transport.write(refusal)
        self._leave()

    # How it ends

    def end(self) -> None:
        """End the connection behind an answer: at once, unless the client may still send, or has much to take."""
        if self.transport.is_closing() or self._lingering:
            return
        transport = self.transport
        sends = (
            self._left or self._held or self.pipeline or self.flow.read_paused or unread_in_kernel(transport)
        )
        if sends or transport.get_write_buffer_size() + unsent_by_kernel(transport) > _HIGH_WATER:
            self._leave()
        else:
            transport.close()

    def _open_exit(self) -> Exit:
        """Return what the answers of this connection are written to."""
        self._exit = made = Exit(self)
        return made

    def _leave(self) -> None:
        """Close our side, and read no more than to hear the client close its own (RFC 9112 §9.6)."""
        self._lingering, self._mark = 1, self._warden.now
        self._last, self._left, self._held = True, 0, b""
        self.pipeline.clear()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.stopped = False
            self.flow.resume_reading()
        else:
            self.transport.close()

    # What takes too long

    def look(self, now: float) -> None:
        """End what takes too long."""
        unsent = self._untaken(now)
        if unsent:
            self._look_at_sending(now, unsent)
            return
        self._unsent = None
        waited, rules = now - self._mark, self._rules
        if self._lingering:
            if waited > LINGER_SECONDS:  # it has taken all, and says no word
                self.transport.abort()
        elif self._left:
            self._look_at_body(now, waited)
        elif self.cycle is not None and not self.cycle.response_complete:
            return  # it is the application's turn
        elif self._held not in {b"", b"\r\n"}:  # old clients end a body with an empty line
            if waited > rules.head:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._look_at_idle(waited)

    def _untaken(self, now: float) -> int:
        """Return how many bytes wait for the client: the kernel's own where we have left, and given it time to take them."""
        unsent = self.transport.get_write_buffer_size()
        if unsent or not self._lingering or now - self._mark <= LINGER_SECONDS:
            return unsent
        return unsent_by_kernel(self.transport)

    def _look_at_idle(self, waited: float) -> None:
        """Leave a client that asks nothing; one whose request waits in the kernel is read in the loop's next turn."""
        silent = self._fresh and self.cycle is None
        if waited > (self._rules.first_byte if silent else self._rules.keep_alive) and not unread_in_kernel(
            self.transport
        ):
            self.transport.close() if silent else self._leave()

    def _look_at_body(self, now: float, waited: float) -> None:
        if self.flow.read_paused:  # it is not the client who keeps us waiting
            self._mark, self._body_then = now, self._body
        elif waited > self._rules.body:
            if self._body - self._body_then < max(1.0, self._rules.rate * waited):
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            self._mark, self._body_then = now, self._body

    def _look_at_sending(self, now: float, unsent: int) -> None:
        """Cut off a client that takes its answer slower than the rate, or not at all (C6)."""
        if self._unsent is None or unsent > self._unsent[1]:
            self._unsent = now, unsent
            return
        since, then = self._unsent
        waited = now - since
        if waited > self._rules.send:
            if then - unsent < max(1.0, self._rules.rate * waited):
                cut_off(self.transport)
            self._unsent = now, unsent
