"""The admin endpoints: metrics, liveness and readiness, and nothing else.

They are read by machines on the same host or network and change nothing, so there is no login. What
remains is the browser of somebody who works on that host: a page whose name has been pointed at
127.0.0.1 may read whatever answers there (DNS rebinding), and it arrives under that page's name.
So a Host must be an address, a name without a dot, or one that the operator wrote (SECURITY J3).
"""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from antiscrape.core.request import read_fields, read_host
from antiscrape.errors import ConfigurationError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.requests import Request

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.operate.meter import Meter
    from antiscrape.operate.metrics import Metrics

_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_FIELDS = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


class Measured(Protocol):
    """What has figures to tell: the middleware."""

    @property
    def meter(self) -> Meter:
        """Its figures."""
        ...


def admin_app(
    measured: Measured, *, ready: Callable[[], str] = str, hosts: Collection[str] = ()
) -> Starlette:
    """Return the app that serves ``/metrics``, ``/healthz`` and ``/readyz`` of a middleware.

    ``antiscrape serve`` runs it on a socket of its own. Inside another server, mount it where the
    public does not reach::

        site = AntiscrapeMiddleware(app)
        outer = Starlette(routes=[
            Mount("/internal", admin_app(site, hosts=["photos.example"])),
            Mount("/", site),
        ])

    ``ready`` returns why no requests should come now, or ``""``. ``hosts`` are names that are
    answered besides addresses and names without a dot. Raise ``ConfigurationError`` where
    ``prometheus-client`` is not installed.
    """
    if find_spec("prometheus_client") is None:
        raise ConfigurationError("prometheus-client is missing; install antiscrape[serve]")
    from antiscrape.operate.metrics import Metrics  # noqa: PLC0415  an extra, which a middleware does not need

    return app_of(Metrics(measured.meter), ready=ready, hosts=hosts)


def app_of(metrics: Metrics, *, ready: Callable[[], str], hosts: Collection[str] = ()) -> Starlette:
    """Return the same app for figures that may be several workers'."""

    async def tell_metrics(request: Request) -> Response:
        try:
            body, content_type = await metrics.scrape(request.headers.get("accept", ""))
        except OSError:  # without the other workers' figures the counters would go backwards
            return PlainTextResponse("The other workers' figures cannot be read.\n", 503)
        return Response(body, headers={"content-type": content_type})

    async def tell_health(_: Request) -> Response:
        try:
            troubles = await metrics.troubles()
        except OSError:  # alive all the same
            troubles = "the other workers' figures cannot be read\n"
        return PlainTextResponse(f"alive\n{troubles}")

    async def tell_readiness(_: Request) -> Response:
        reason = ready()
        return PlainTextResponse(f"{reason or 'ready'}\n", 503 if reason else 200)

    routes = [
        Route("/metrics", tell_metrics, methods=["GET"]),
        Route("/healthz", tell_health, methods=["GET"]),
        Route("/readyz", tell_readiness, methods=["GET"]),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts)])
    app.router.redirect_slashes = False
    return app


class Guard:
    """Answers known Hosts only, and gives every answer the fields that keep it out of caches and frames."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_FIELDS]
            await send(message)

        answer: ASGIApp = self._app
        try:
            host = read_host(read_fields(scope["headers"])[0].get(b"host"))
            if host not in self._hosts and not is_local(host):
                answer = PlainTextResponse("This Host is not served here.\n", 421)
        except RequestError as error:
            answer = PlainTextResponse(f"{error.public}\n", 400)
        await answer(scope, receive, guarded)


def is_local(host: str) -> bool:
    """Tell whether a Host cannot be a name that a stranger chose: an address, or a name without a dot.

    Names without a dot are those of containers and machines on the same network; no registry of
    public names has such (ICANN's board ruled dotless domains out in 2013).
    """
    if "." not in host and not host.startswith("["):
        return True
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
