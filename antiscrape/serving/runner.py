"""Our own way to run uvicorn: one process, or several under a supervisor, until a signal ends them."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.config import STARTUP_FAILURE

from antiscrape.errors import ConfigurationError
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen, url_of
from antiscrape.serving.server import Server
from antiscrape.serving.supervisor import Supervisor
from antiscrape.serving.systemd import Notifier
from antiscrape.serving.versions import check_versions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

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
) -> int:
    """Serve ``app`` until SIGTERM or SIGINT; return the exit status: 0 after a drain, 3 for a failed start.

    ``app`` is an ASGI application, or the import string of one (of a callable that makes one,
    with ``factory``); several ``workers`` need a string. ``rules`` are what is borne from a connection, ``identity``
    tells who may write a PROXY header. ``inherited`` sockets listen already, in place of an address. ``ready`` is
    called once with the URL when connections are accepted. Raise ``ConfigurationError`` for an address or a
    certificate that cannot be had and for parsers too old.

    At SIGHUP the application's ``hang_up`` is called, in each worker; the class that it is an instance of need not have
    one. At SIGUSR1 several workers are replaced, each after its replacement serves; no request is lost by it.
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
    signal.signal(signal.SIGUSR1, _decline)  # whose default would end us
    try:
        server.run(sockets=sockets)
    except SystemExit as failed:
        return failed.code if isinstance(failed.code, int) else STARTUP_FAILURE
    return 0 if server.started else STARTUP_FAILURE


def _decline(*_: object) -> None:
    logging.getLogger("antiscrape.runner").error(
        "SIGUSR1 replaces workers one by one, and there is only this one: SIGHUP reads the policy anew, "
        "and what needs a new start needs --workers 2"
    )
