"""Uvicorn's configuration with our choices made, in which what its defaults get wrong is not a choice.

Only httptools parses requests: h11 takes Content-Length beside Transfer-Encoding, bare line feeds
and folded lines, and a hop that reads those otherwise is desynchronised (SECURITY C1, C2). The
server never touches the client's address: uvicorn by default lets any peer on loopback choose it
(SECURITY A1). Neither the server's name nor an access log is written; what a client says goes to
the log escaped, or not at all (SECURITY J5).

``PROTOCOL`` keeps connections, within the limits of a policy's ``serve``.
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
from antiscrape.core.rules import IdentityRules, ServeRules
from antiscrape.errors import AntiscrapeError, ConfigurationError
from antiscrape.serving.logs import LOGGING
from antiscrape.serving.protocol import Protocol
from antiscrape.serving.tls import Certificates

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

#: What parses requests and keeps connections.
PROTOCOL: type[HttpToolsProtocol] = Protocol


def configure(
    app: ASGIApp | str,
    *,
    workers: int = 1,
    factory: bool = False,
    limit_concurrency: int | None = None,
    timeout_graceful_shutdown: int = 30,
    backlog: int = 2048,
    protocol: type[HttpToolsProtocol] | None = None,
    rules: ServeRules | None = None,
    identity: IdentityRules | None = None,
) -> Config:
    """Return uvicorn's configuration with our choices made; the settings are those of ``run``.

    Raise ``ConfigurationError`` for a certificate that cannot be used.
    """
    parser = protocol or PROTOCOL
    if not issubclass(parser, HttpToolsProtocol):
        raise ConfigurationError(f"requests are parsed by httptools only, not by {parser.__qualname__}")
    config = Config(
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
        timeout_graceful_shutdown=timeout_graceful_shutdown,
        backlog=backlog,
    )
    config.rules = rules or ServeRules()
    config.identity = identity or IdentityRules()
    if config.rules.tls_certificate:
        Certificates(config.rules)  # said here, once, and not by every worker
    return config


class Config(uvicorn.Config):
    """Uvicorn's configuration, whose application gives every response a Date and fails in words."""

    rules: ServeRules = ServeRules()
    #: Who may write a PROXY header.
    identity: IdentityRules = IdentityRules()
    #: What TLS is spoken with, in the process that serves; None for plain text.
    certificates: Certificates | None = None

    def load(self) -> None:
        """Load the application; a setting that is wrong ends this process with status 3, not a traceback."""
        try:
            super().load()
        except AntiscrapeError as error:
            for line in str(error).splitlines():
                sys.stderr.write(f"antiscrape: {line}\n")
            sys.exit(STARTUP_FAILURE)
        if self.rules.tls_certificate:
            self.certificates = Certificates(self.rules)
            self.ssl = self.certificates.context
        self.loaded_app = Dated(self.loaded_app, piece=self.rules.buffer_bytes // 4)


class Dated:
    """Add a Date to responses that have none (RFC 9110 §6.6.1), and cut long bodies into pieces.

    uvicorn waits for a slow client between two messages, and takes each of them whole: a picture of 50 MB
    would wait in memory as often as somebody does not read it (SECURITY C6). While it is ``closing``, every
    response ends its connection.
    """

    def __init__(self, app: ASGIApp, *, piece: int) -> None:
        self.app = app
        self.closing = False
        self._piece = piece
        self._second = 0
        self._date = (b"date", b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        def dated(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = message.get("headers") or ()
                for pair in headers:
                    if pair[0] == b"date":
                        break
                else:
                    message["headers"] = headers = [*headers, self._now()]
                if self.closing:
                    message["headers"] = [*headers, (b"connection", b"close")]
            elif len(message.get("body", b"")) > self._piece:
                return self._send_in_pieces(message, send)
            return send(message)

        await self.app(scope, receive, dated)

    async def _send_in_pieces(self, message: Message, send: Send) -> None:
        body = memoryview(message["body"])
        last = (len(body) - 1) // self._piece * self._piece
        for start in range(0, last, self._piece):
            part = {
                "type": message["type"],
                "body": bytes(body[start : start + self._piece]),
                "more_body": True,
            }
            await send(part)
        await send({**message, "body": bytes(body[last:])})

    def _now(self) -> tuple[bytes, bytes]:
        second = int(clock.wall())
        if second != self._second:
            self._second = second
            self._date = (b"date", formatdate(second, usegmt=True).encode("ascii"))
        return self._date
