"""One process's server: it says when it is ready, and drains so that nobody's request is lost by it.

A drain begins with the end of accepting. Answers under way go on, and say ``Connection: close``. A connection that
idles may carry a request at this very moment (RFC 9112 §9.3.1 leaves that race to the client), so it is not
closed at once: for ``LINGER`` seconds it may still bring one, whose answer says ``Connection: close``. What is not
done within the drain's limit is cut off.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from antiscrape import clock
from antiscrape.serving.doors import open_doors

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType

    from antiscrape.serving.config import Config, Dated
    from antiscrape.serving.systemd import Notifier

_log = logging.getLogger("antiscrape.runner")

#: Seconds for which idle connections stay open after SIGTERM. Under load the next request of a connection comes
#: within milliseconds; nginx and browsers repeat by themselves what was sent into a connection that closed later.
LINGER = 1.0
#: Seconds between two looks at what is still under way.
_LOOK = 0.05
#: Turns of the event loop in which connections are taken that the kernel has completed already: closing a
#: listening socket resets those.
_LAST_CALLS = 3


class Server(uvicorn.Server):
    """Uvicorn's server behind our doors, with our readiness, our drain and no other end than by a signal or ``should_exit``.

    ``ready`` is called once connections are accepted. At SIGHUP the application's own ``hang_up`` is called, if
    it has one.
    """

    def __init__(
        self, config: Config, *, ready: Callable[[], None], notifier: Notifier | None = None
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._notifier = notifier
        self._linger = 0.0
        #: Whether another process serves in its place, so that the site as a whole goes on.
        self.replaced = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup([])
        if self.started:
            self.servers = await open_doors(self, sockets or [])  # type: ignore[assignment]  # it closes them, and waits
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Tell systemd that this process is alive, and that it ends; return whether it does."""
        ends = await super().on_tick(counter)
        if self._notifier is not None:
            self._notifier.stopping() if ends else self._notifier.beat()
        return ends

    def hang_up(self) -> None:
        """Have the application read anew what it was started with; do nothing for one that does not know how."""
        hang_up = getattr(self._outermost.app, "hang_up", None)
        if hang_up is not None:
            hang_up()

    def drain(self, linger: float) -> None:
        """Begin the drain; idle connections may still bring a request for ``linger`` seconds."""
        self._linger, self.should_exit = linger, True

    def step_aside(self) -> None:
        """Begin the drain: another process serves in its place."""
        self.replaced = True
        self.handle_exit(signal.SIGTERM, None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain; a second SIGINT ends it."""
        if sig == signal.SIGTERM:
            self._linger = LINGER
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM, SIGINT and SIGHUP. Uvicorn raises the former again after its drain: a status of -15 for an orderly end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        theirs = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)
        }
        loop = asyncio.get_running_loop()
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1), and a worker's supervisor
            loop.add_signal_handler(signal.SIGHUP, self.hang_up)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            for number, handler in theirs.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain within ``timeout_graceful_shutdown`` seconds, then end the application."""
        for _ in range(_LAST_CALLS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        self._outermost.closing = True
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._finish(clock.monotonic() + self._linger)
        except TimeoutError:
            await self._cut_off()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _finish(self, idle_until: float) -> None:
        """Wait for what is under way, and let go of the idle in their time."""
        told: set[object] = set()
        state = self.server_state
        while (state.connections or state.tasks) and not self.force_exit:
            late = clock.monotonic() >= idle_until
            for connection in list(state.connections):
                if connection not in told and (late or not _is_idle(connection)):
                    told.add(connection)
                    connection.shutdown()
            await asyncio.sleep(_LOOK)
        for server in self.servers:
            await server.wait_closed()

    async def _cut_off(self) -> None:
        """End what took longer than the drain may."""
        state = self.server_state
        _log.error("the drain's limit has passed; %d answers are cut off", len(state.tasks))
        for task in state.tasks:
            task.cancel()
        for connection in list(state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        if state.tasks:
            await asyncio.wait(set(state.tasks), timeout=1.0)

    @property
    def _outermost(self) -> Dated:
        app: Dated = self.config.loaded_app
        return app


def _is_idle(connection: object) -> bool:
    """Tell whether a connection waits for a request; of a websocket's that is never so."""
    if not hasattr(connection, "cycle"):
        return False
    cycle = connection.cycle
    return cycle is None or cycle.response_complete
