"""The admin socket of ``antiscrape serve``: a second server in the site's own event loop.

It starts before the site says that it is ready and ends after the site has drained, so that a load
balancer sees the drain as long as there is one. It is never a reason for the site not to run: an
address that is taken costs one line in the log, and is tried again every second. Several workers accept from one
socket, which the process that starts them has bound, so whoever is free answers for all.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.asgi.admin import app_of
from antiscrape.asgi.lifetime import end
from antiscrape.core.rules import ServeRules
from antiscrape.errors import ConfigurationError
from antiscrape.operate.ledger import Ledger
from antiscrape.operate.metrics import Metrics
from antiscrape.serving import inheritance
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen, url_of
from antiscrape.serving.server import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.operate.meter import Meter
    from antiscrape.serving.reload import Reloader

_log = logging.getLogger("antiscrape.admin")

#: The setting ``[record] admin``, as the environment says it.
ADMIN = "ANTISCRAPE__RECORD__ADMIN"
#: Where the workers of one server find each other's figures; ``for_workers`` sets it.
FOLDER = "ANTISCRAPE_METRICS_FOLDER"
#: What the socket is called among those that workers inherit.
SOCKET = "admin"
#: Seconds between two looks at whether there is something to publish, or a socket to be had.
TICK = 1.0
#: Seconds in which who has just connected may still ask, when the socket goes: a sibling need not have been free.
_LINGER = 0.5
#: Scrapers and load balancers keep a few connections; more are somebody's mistake.
MOST_CONNECTIONS = 64


class AdminServer:
    """Serves the admin endpoints of one process at ``address``: ``host:port``, ``unix:/path`` or ``""`` for nowhere.

    With a ``folder`` this process is one of several workers that share the address. ``url`` is
    where it is reached, ``""`` while it is not.
    """

    def __init__(self, meter: Meter, address: str, *, folder: Path | None = None) -> None:
        self.url = ""
        self._address = address
        self._meter = meter
        self._told = False
        self._ledger = _join(folder) if folder is not None and address else None
        self._metrics = Metrics(meter, self._ledger)
        self._app = app_of(self._metrics, ready=self._why_not)
        self._file: Path | None = None  # that is ours to take away
        self._started = False
        self._server: Server | None = None
        self._running: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve, or to try; never raise for want of a socket."""
        self._started = True
        if self._address:
            await self._publish()
            await self._open()
            self._ticking = asyncio.create_task(self._tick(), name="antiscrape-admin-tick")

    async def stop(self) -> None:
        """End serving, and leave the last figures to the siblings."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})
        if self._server is not None and self._running is not None:
            self._server.drain(_LINGER)
            await asyncio.wait({self._running})
            self._server, self.url = None, ""
            if self._file:
                self._file.unlink(missing_ok=True)
        await self._publish()
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _why_not(self) -> str:
        if not self._started:
            return "starting"
        server = _site_server()
        # One that is replaced drains, too, but the site is as ready as ever.
        if server is not None and server.should_exit and not server.replaced:
            return "draining"
        return self._meter.unwell()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self._publish()
                if self._server is None:
                    await self._open()
            except Exception:  # noqa: BLE001  the next tick may do better, and the site has no part in this
                _log.exception("the admin socket's tick failed")

    async def _publish(self) -> None:
        if self._ledger is not None:
            await self._metrics.publish()

    async def _open(self) -> None:
        try:
            sock = inheritance.inherited(SOCKET) or self._bind()
        except (ConfigurationError, OSError) as error:
            self._tell(error)
            return
        served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        config = configure(
            self._app,
            timeout_graceful_shutdown=1,
            limit_concurrency=MOST_CONNECTIONS,
            rules=ServeRules(keep_alive=75.0),
        )
        config.lifespan = "off"
        server = _Second(config, ready=lambda: served.set_result(None))
        running = asyncio.create_task(server.serve(sockets=[sock]), name="antiscrape-admin")
        await asyncio.wait({served, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            sock.close()
            self._tell(running.exception() or "it ended at once")
            return
        self._server, self._running, self._told = server, running, False
        self.url = self._address if sock.family == socket.AF_UNIX else url_of(sock)

    def _bind(self) -> socket.socket:
        sock = _bind(self._address)
        if sock.family == socket.AF_UNIX:
            self._file = Path(sock.getsockname())
        return sock

    def _tell(self, problem: object) -> None:
        """Log once why there is no admin socket."""
        if not self._told:
            _log.error("the site runs without its admin socket: %s", problem)
        self._told = True


class _Second(Server):
    """A server beside the one that the process is about, which alone minds the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


class WithAdmin:
    """An application whose admin server starts and ends with it, and what reads its policy anew, at SIGHUP too."""

    def __init__(self, app: ASGIApp, server: AdminServer, *, reloader: Reloader | None = None) -> None:
        self._app = app
        self._server = server
        self._reloader = reloader
        self.hang_up = None if reloader is None else reloader.ask

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one scope; a request costs one call more, and no coroutine."""
        if scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        return self._app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        reloading: list[asyncio.Task[None]] = []

        async def attended(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._server.start()
                if self._reloader is not None:
                    reloading.append(asyncio.create_task(self._reloader.keep(), name="antiscrape-reload"))
            elif message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await end(reloading)
                await self._server.stop()
            await send(message)

        await self._app(scope, receive, attended)


@contextmanager
def for_workers(address: str) -> Iterator[dict[str, str]]:
    """Prepare what several workers share; yield the environment variables that tell them.

    The address is bound here, once, for all workers to accept from; a port 0 becomes a real one. It and the
    folder for their figures go when the block ends.
    """
    if not address:
        yield {ADMIN: ""}
        return
    try:
        sock = _bind(address)
        folder = tempfile.mkdtemp(prefix="antiscrape-")  # mode 0700
    except (ConfigurationError, OSError) as error:
        _log.error("the site runs without its admin socket: %s", error)
        yield {ADMIN: ""}
        return
    told = address if sock.family == socket.AF_UNIX else url_of(sock).removeprefix("http://")
    # tmpfiles.d(5): what lies in a directory that somebody holds a lock of is not cleaned up for its age.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_SH)
    inheritance.leave(SOCKET, sock)
    with sock:
        try:
            yield {ADMIN: told, FOLDER: folder}
        finally:
            inheritance.forget(SOCKET)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
            if sock.family == socket.AF_UNIX:
                Path(sock.getsockname()).unlink(missing_ok=True)


def _bind(address: str) -> socket.socket:
    host, port, path = _read(address)
    sock = listen(host=host, port=port, uds=path)
    if path is not None:
        Path(path).chmod(0o660)  # unlike the site's own socket, this is not for everybody
    return sock


def _read(address: str) -> tuple[str, int, str | None]:
    """Split an address that the settings have checked; raise ``ConfigurationError`` for any other."""
    if address.startswith("unix:/"):
        return "", 0, address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not port.isascii():
        raise ConfigurationError(f"record.admin: {address!r} is not an address")
    return host.removeprefix("[").removesuffix("]"), int(port), None


def _join(folder: Path) -> Ledger | None:
    try:
        return Ledger(folder)
    except OSError as error:
        _log.error("the metrics are those of one worker at a time: %s", error)
        return None


def _site_server() -> Server | None:
    """Return the server that this process is about, which minds its signals, or None where none does.

    It alone knows that the drain has begun: ASGI's lifespan is told only when the drain is over.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, Server) else None
