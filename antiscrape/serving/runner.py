"""Our own way to run uvicorn: one process, or several under a supervisor, until a signal ends them."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.config import STARTUP_FAILURE

from antiscrape.errors import ConfigurationError
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen, url_of
from antiscrape.serving.supervisor import Server, Supervisor
from antiscrape.serving.systemd import Notifier
from antiscrape.serving.versions import check_versions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import IdentityRules, ServeRules
    from antiscrape.serving.config import Config


def run(
    app: ASGIApp | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    uds: str | None = None,
    workers: int = 1,
    factory: bool = False,
    limit_concurrency: int | None = None,
    timeout_graceful_shutdown: int = 30,
    backlog: int = 2048,
    protocol: type[HttpToolsProtocol] | None = None,
    rules: ServeRules | None = None,
    identity: IdentityRules | None = None,
    inherited: Sequence[socket.socket] = (),
    ready: Callable[[str], None] | None = None,
    hang_up: Callable[[], None] | None = None,
) -> int:
    """Serve ``app`` until SIGTERM or SIGINT; return the exit status: 0 after a drain, 3 for a failed start.

    ``app`` is an ASGI application, or the import string of one (of a callable that makes one,
    with ``factory``); several ``workers`` need a string. ``rules`` are what is borne from a connection, ``identity``
    tells who may write a PROXY header. ``inherited`` sockets listen already, in place of an address. ``ready`` is
    called once with the URL when connections are accepted. Raise ``ConfigurationError`` for an address or a
    certificate that cannot be had and for parsers too old.

    ``hang_up`` is called at SIGHUP where one process serves. Several workers are replaced then, one by one.
    """
    check_versions()
    if workers > 1 and not isinstance(app, str):
        raise ConfigurationError("several workers need the application as an import string")
    config = configure(
        app,
        workers=workers,
        factory=factory,
        limit_concurrency=limit_concurrency,
        timeout_graceful_shutdown=timeout_graceful_shutdown,
        backlog=backlog,
        protocol=protocol,
        rules=rules,
        identity=identity,
    )
    sockets = list(inherited) or [listen(host=host, port=port, uds=uds)]
    notifier = Notifier()

    def announce() -> None:
        notifier.ready()
        if ready is not None:
            ready(", ".join(url_of(sock, tls=bool(config.rules.tls_certificate)) for sock in sockets))

    try:
        if workers > 1:
            return _supervise(config, sockets, announce, notifier)
        with _signals_end_it(hang_up):
            return _serve(config, sockets, announce, notifier)
    finally:
        for sock in sockets:
            sock.close()
        if uds and not inherited:
            Path(uds).unlink(missing_ok=True)


def _supervise(
    config: Config, sockets: list[socket.socket], ready: Callable[[], None], notifier: Notifier
) -> int:
    supervisor = Supervisor(config, sockets, ready=ready, notifier=notifier)
    supervisor.run()
    return supervisor.status


def _serve(
    config: Config, sockets: list[socket.socket], ready: Callable[[], None], notifier: Notifier
) -> int:
    """Serve in this process; uvicorn ends it with SystemExit where the application fails to start."""
    server = Server(config, ready=ready, notifier=notifier)
    try:
        server.run(sockets=sockets)
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
