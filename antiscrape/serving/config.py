"""Uvicorn's configuration with our choices made, in which what its defaults get wrong is not a choice.

Only httptools parses requests: h11 takes Content-Length beside Transfer-Encoding, bare line feeds
and folded lines, and a hop that reads those otherwise is desynchronised (SECURITY C1, C2). The
server never touches the client's address: uvicorn by default lets any peer on loopback choose it
(SECURITY A1). Neither the server's name nor an access log is written; what a client says goes to
the log escaped, or not at all (SECURITY J5).

``PROTOCOL`` is the one place where limits on connections are plugged in: a subclass of uvicorn's.
"""

from __future__ import annotations

import importlib.util
import sys
from email.utils import formatdate
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from antiscrape import clock
from antiscrape.errors import AntiscrapeError, ConfigurationError
from antiscrape.serving.logs import LOGGING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

#: What parses requests and keeps connections.
PROTOCOL: type[HttpToolsProtocol] = HttpToolsProtocol


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

        def dated(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = message.get("headers") or ()
                for pair in headers:
                    if pair[0] == b"date":
                        break
                else:
                    message["headers"] = [*headers, self._now()]
            return send(message)

        await self._app(scope, receive, dated)

    def _now(self) -> tuple[bytes, bytes]:
        second = int(clock.wall())
        if second != self._second:
            self._second = second
            self._date = (b"date", formatdate(second, usegmt=True).encode("ascii"))
        return self._date
