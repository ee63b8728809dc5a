"""The demo's site behind antiscrape, on loopback, served by a thread of this process."""

from __future__ import annotations

import contextlib
import secrets
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape import AntiscrapeMiddleware, load_policy
from antiscrape.errors import ConfigurationError
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen, url_of
from antiscrape.serving.server import Server

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send
    from antiscrape.core.rules import Policy

#: Seconds for the server to begin, and to end: it holds no connection that anybody would miss.
_PATIENCE = 20.0


def demo_policy(events: Path) -> Policy:
    """Return the defaults with the site's own routes, a fresh secret, and events written to ``events``.

    The visitors are the demo's own programs on loopback, so their addresses are written plainly.
    """
    environment = {"ANTISCRAPE_SECRET": secrets.token_urlsafe(48)}
    policy = load_policy(Path(__file__).with_name("policy.toml"), environ=environment)
    record = replace(policy.record, events=str(events), addresses="plain", admin="")
    return replace(policy, record=record)


class Witness:
    """Stands between antiscrape and the site and notes whom antiscrape let through, as what.

    Plain allows make no event, so this is where a person's standing is seen: by address, the last.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.standings: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one scope on."""
        passage = scope.get("state", {}).get("antiscrape")
        if passage is not None and scope.get("client"):
            self.standings[scope["client"][0]] = passage.verdict.standing.value
        await self._app(scope, receive, send)


class Served:
    """A context in which ``site`` is served behind antiscrape at ``url`` (with a slash at its end).

    ``other_url`` is the same site at the IPv6 loopback, or ``""`` where there is none: an address that
    no visitor of the demo used before.
    """

    def __init__(self, site: ASGIApp, policy: Policy, *, port: int = 0) -> None:
        self.policy = policy
        self.witness = Witness(site)
        self._app = AntiscrapeMiddleware(self.witness, policy=policy)
        self._sockets = [listen(host="127.0.0.1", port=port)]
        self.url = url_of(self._sockets[0]) + "/"
        self.other_url = ""
        with contextlib.suppress(ConfigurationError):
            self._sockets.append(listen(host="::1", port=self._sockets[0].getsockname()[1]))
            self.other_url = url_of(self._sockets[1]) + "/"
        ready = threading.Event()
        self._ready = ready
        self._server = Server(configure(self._app, timeout_graceful_shutdown=2), ready=ready.set)
        self._thread = threading.Thread(target=self._serve, name="antiscrape-demo-site", daemon=True)

    def __enter__(self) -> Self:
        """Begin to serve; raise ``ConfigurationError`` where the server does not come up."""
        self._thread.start()
        self._ready.wait(_PATIENCE)
        if not self._server.started:
            self._stop()
            raise ConfigurationError("the demo's server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._stop()

    @property
    def cleared(self) -> int:
        """How many browsers the check has found in order."""
        return self._app.checks.get("proven", 0)

    def wait(self) -> None:
        """Wait until the server ends, which it does by itself only when it fails."""
        while self._thread.is_alive():
            self._thread.join(1.0)

    def _serve(self) -> None:
        try:
            self._server.run(sockets=self._sockets)
        finally:
            self._ready.set()

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(_PATIENCE)
        for sock in self._sockets:
            sock.close()
