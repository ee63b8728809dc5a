"""Our own way to run uvicorn, in which the choices that its defaults get wrong are not choices.

Only httptools parses requests: h11 takes Content-Length beside Transfer-Encoding, bare line feeds
and folded lines, and a hop that reads those otherwise is desynchronised (SECURITY C1, C2). The
server never touches the client's address: uvicorn by default lets any peer on loopback choose it
(SECURITY A1). Neither the server's name nor an access log is written; what a client says goes to
the log escaped, or not at all (SECURITY J5).

``PROTOCOL`` is the one place where limits on connections are plugged in: a subclass of uvicorn's.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import signal
import socket
import stat
import sys
from collections import deque
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from antiscrape import clock
from antiscrape.errors import AntiscrapeError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

#: What parses requests and keeps connections.
PROTOCOL: type[HttpToolsProtocol] = HttpToolsProtocol

#: Older ones are refused at the start (SECURITY C1): h11 below 0.16 takes malformed chunks
#: (CVE-2025-43859), httptools below 0.8 carries an older llhttp. h11 is checked although it parses
#: nothing here, because it comes with uvicorn and somebody may point another server at it.
MINIMUM = {"uvicorn": (0, 51), "httptools": (0, 8), "uvloop": (0, 21), "aiohttp": (3, 14)}
MINIMUM_IF_PRESENT = {"h11": (0, 16), "websockets": (14,)}

#: More workers replaced than this within a minute is a storm, not an accident (fault 19).
MOST_RESTARTS = 5

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "antiscrape.asgi.runner.OneLine"}},
    "filters": {"sound": {"()": "antiscrape.asgi.runner.Sound"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["sound"]}},
    "loggers": {
        # uvicorn's warnings repeat what clients do wrong, once per request: a client could fill the disk
        "uvicorn": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "antiscrape": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


class OneLine(logging.Formatter):
    """Write each record as one line of ASCII, whatever a client or a site put into it (SECURITY J5)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an error that was foreseen shows its cause, any other its traceback."""
        message = record.getMessage().strip()
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, AntiscrapeError):
            message = f"{type(error).__name__}: {error}"
        elif record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        line = message.encode("unicode_escape").decode("ascii")
        return f"antiscrape: {record.levelname.lower()}: {line}"


class Sound(logging.Filter):
    """Leave out what uvicorn calls an error of every websocket that was declined in the way ASGI names for it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is worth a line."""
        return record.msg != "ASGI callable returned without completing handshake."


def run(
    app: ASGIApp | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    uds: str | None = None,
    workers: int = 1,
    factory: bool = False,
    limit_concurrency: int | None = None,
    timeout_keep_alive: int = 65,
    timeout_graceful_shutdown: int = 30,
    backlog: int = 2048,
    protocol: type[HttpToolsProtocol] | None = None,
    ready: Callable[[str], None] | None = None,
    hang_up: Callable[[], None] | None = None,
) -> int:
    """Serve ``app`` until SIGTERM or SIGINT, and return the exit status: 0 after a drain, 3 for a failed start.

    ``app`` is an ASGI application, or the import string of one (of a callable that makes one,
    with ``factory``); several ``workers`` need a string. ``timeout_keep_alive`` (seconds) is
    above the 60 s for which nginx and load balancers keep a connection, so that they close it
    first. ``ready`` is called once with the URL when connections are accepted. Raise
    ``ConfigurationError`` for an address that cannot be had and for parsers too old.

    ``hang_up`` is called at SIGHUP where one process serves. Several workers are replaced then, one after the
    other, and read everything anew.
    """
    check_versions()
    if workers > 1 and not isinstance(app, str):
        raise ConfigurationError("several workers need the application as an import string")
    sock = listen(host=host, port=port, uds=uds)
    url = f"unix:{uds}" if uds else url_of(sock)
    config = configure(
        app,
        workers=workers,
        factory=factory,
        limit_concurrency=limit_concurrency,
        timeout_keep_alive=timeout_keep_alive,
        timeout_graceful_shutdown=timeout_graceful_shutdown,
        backlog=backlog,
        protocol=protocol,
    )

    def announce() -> None:
        if ready is not None:
            ready(url)

    try:
        if workers > 1:
            supervisor = Supervisor(config, sock, ready=announce)
            supervisor.run()
            return supervisor.status
        with _signals_end_it(hang_up):
            return _serve(config, sock, announce)
    finally:
        sock.close()
        if uds:
            Path(uds).unlink(missing_ok=True)


def configure(
    app: ASGIApp | str,
    *,
    workers: int = 1,
    factory: bool = False,
    limit_concurrency: int | None = None,
    timeout_keep_alive: int = 65,
    timeout_graceful_shutdown: int = 30,
    backlog: int = 2048,
    protocol: type[HttpToolsProtocol] | None = None,
) -> Config:
    """Return uvicorn's configuration with our choices made; the settings are those of ``run``."""
    parser = protocol or PROTOCOL
    if not issubclass(parser, HttpToolsProtocol):
        raise ConfigurationError(f"requests are parsed by httptools only, not by {parser.__qualname__}")
    return Config(
        app,
        workers=workers,
        factory=factory,
        loop="uvloop",
        http=parser,
        ws="websockets-sansio" if importlib.util.find_spec("websockets") else "none",
        lifespan="on",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        date_header=False,  # ours leaves the site's own Date alone, uvicorn's would stand beside it
        access_log=False,
        log_config=LOGGING,
        limit_concurrency=limit_concurrency,
        timeout_keep_alive=timeout_keep_alive,
        timeout_graceful_shutdown=timeout_graceful_shutdown,
        backlog=backlog,
    )


class Config(uvicorn.Config):
    """Uvicorn's configuration, whose application gives every response a Date and fails in words."""

    def load(self) -> None:
        """Load the application; a setting that is wrong ends this process with status 3, not a traceback."""
        try:
            super().load()
        except AntiscrapeError as error:
            for line in str(error).splitlines():
                sys.stderr.write(f"antiscrape: {line}\n")
            sys.exit(STARTUP_FAILURE)
        self.loaded_app = Dated(self.loaded_app)


class Dated:
    """Add a Date to responses that have none (RFC 9110 §6.6.1), and never a second one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._second = 0
        self._date = (b"date", b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers") or ()
                if not any(name == b"date" for name, _ in headers):
                    message["headers"] = [*headers, self._now()]
            await send(message)

        await self._app(scope, receive, dated)

    def _now(self) -> tuple[bytes, bytes]:
        second = int(clock.wall())
        if second != self._second:
            self._second = second
            self._date = (b"date", formatdate(second, usegmt=True).encode("ascii"))
        return self._date


class Server(uvicorn.Server):
    """Uvicorn's server, which says when it is ready."""

    def __init__(self, config: Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        if self.started:
            self._ready()


class Supervisor(Multiprocess):
    """Uvicorn's supervisor of workers, which says when all are ready and gives up in a storm of restarts.

    ``status`` is the exit status: 0, or 3 where the workers could not start or kept dying.
    """

    def __init__(self, config: Config, sock: socket.socket, *, ready: Callable[[], None]) -> None:
        super().__init__(config, sockets=[sock])
        self.status = 0
        self._ready = ready
        self._announced = False
        self._restarts: deque[float] = deque()

    def terminate_all(self) -> None:
        """Ask the workers to drain; and let go of the socket, in whose backlog new connections would wait for nobody."""
        for sock in self.sockets:
            sock.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, up to ``MOST_RESTARTS`` in a minute."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        now = clock.monotonic()
        self._restarts.extend(now for process in self.processes if process.pid not in before)
        while self._restarts and self._restarts[0] < now - 60:
            self._restarts.popleft()
        if any(process.exitcode == STARTUP_FAILURE for process in self.processes):
            self.status = STARTUP_FAILURE  # uvicorn has set should_exit: it would fail the same way again
        elif len(self._restarts) > MOST_RESTARTS:
            logging.getLogger("antiscrape.runner").error("workers keep dying; giving up")
            self.status = STARTUP_FAILURE
            self.should_exit.set()
        elif not self._announced and all(process.is_ready() for process in self.processes):
            self._announced = True
            self._ready()


def _serve(config: Config, sock: socket.socket, ready: Callable[[], None]) -> int:
    """Serve in this process; uvicorn ends it with SystemExit where the application fails to start."""
    server = Server(config, ready=ready)
    try:
        server.run(sockets=[sock])
    except SystemExit as failed:
        return failed.code if isinstance(failed.code, int) else STARTUP_FAILURE
    return 0 if server.started else STARTUP_FAILURE


@contextmanager
def _signals_end_it(hang_up: Callable[[], None] | None = None) -> Iterator[None]:
    """Take the signals that uvicorn raises again after its drain, which would end us with status -15; and SIGHUP."""
    ours = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    if hang_up is not None:
        ours[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: hang_up())
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def check_versions() -> None:
    """Raise ``ConfigurationError`` naming every package that is missing or older than we trust."""
    problems = []
    for wanted, needed in ((MINIMUM, True), (MINIMUM_IF_PRESENT, False)):
        for name, least in wanted.items():
            version = _installed(name)
            if version is None and needed:
                problems.append(f"{name} is missing; install antiscrape[serve]")
            elif version is not None and version < least:
                oldest = ".".join(map(str, least))
                problems.append(f"{name} {'.'.join(map(str, version))} is too old; {oldest} or newer is safe")
    if problems:
        raise ConfigurationError(*problems)


def _installed(name: str) -> tuple[int, ...] | None:
    """Return the leading numbers of a distribution's version, or None where it is not installed."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def listen(*, host: str, port: int, uds: str | None = None) -> socket.socket:
    """Return a bound socket; raise ``ConfigurationError`` that says what stands in the way."""
    if uds is not None:
        return _listen_unix(uds)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, for asyncio's own loop takes TCP_NODELAY from it: without, a body waits 40 ms behind its head (RFC 896).
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        shown = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        raise ConfigurationError(f"cannot listen on {shown}: {os.strerror(error.errno or 0)}") from error
    sock.set_inheritable(True)
    return sock


def _listen_unix(path: str) -> socket.socket:
    """Bind a unix socket, over a file that a killed server left behind but not over a living one's."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(Path(path).stat().st_mode) and _is_dead(path):
                Path(path).unlink()
        sock.bind(path)
        Path(path).chmod(0o666)  # as uvicorn does: who may connect is the folder's to say
    except OSError as error:
        sock.close()
        raise ConfigurationError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    sock.set_inheritable(True)
    return sock


def _is_dead(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False


def url_of(sock: socket.socket) -> str:
    """Return the URL that a bound TCP socket is reached at."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if sock.family == socket.AF_INET6 else f"http://{host}:{port}"
