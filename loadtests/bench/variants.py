"""The same site behind each contender: nothing, antiscrape, and its peers, set up as their own pages say.

Each but the bare one counts requests per client, by the address in X-Forwarded-For, which every
contender is told to believe. ``limit`` is requests per minute. That each of them really does count per
client is checked before anything is measured (``served.counts_per_client``).
"""

from __future__ import annotations

import atexit
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtests.bench.site import make_site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.applications import Starlette

    App = Callable[[Any, Any, Any], Awaitable[None]]

_REFUSAL = [
    {"type": "http.response.start", "status": 429, "headers": [(b"content-length", b"0")]},
    {"type": "http.response.body", "body": b""},
]


#: What ends with this process.
_HELD = ExitStack()
atexit.register(_HELD.close)


class Variant(NamedTuple):
    """One contender: how it is built, the module it needs, and the connections that it is measured with.

    ``heavy`` ones take milliseconds a request and get few requests and few rounds. What one does seconds after a request
    is its cost, too: its runs end when it has had ``settles`` seconds for that.
    """

    name: str
    title: str
    build: Callable[[int], App]
    module: str = ""
    heavy: bool = False
    settles: float = 0.0


def client_of(scope: Any) -> str:
    """Return the address that the proxy in front wrote."""
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            return str(value, "latin-1")
    return str(scope["client"][0])


class Limited:
    """The least middleware that a limiter library can stand in; ``allow`` answers at once."""

    def __init__(self, app: App, allow: Callable[[str], bool]) -> None:
        self._app = app
        self._allow = allow

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        if scope["type"] == "http" and not self._allow(client_of(scope)):
            for message in _REFUSAL:
                await send(message)
            return
        await self._app(scope, receive, send)


class LimitedAsync:
    """The same for a library whose answer is awaited."""

    def __init__(self, app: App, allow: Callable[[str], Awaitable[bool]]) -> None:
        self._app = app
        self._allow = allow

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        if scope["type"] == "http" and not await self._allow(client_of(scope)):
            for message in _REFUSAL:
                await send(message)
            return
        await self._app(scope, receive, send)


def protected(app: App, limit: int | None = None, **settings: str) -> Any:
    """Return ``app`` behind antiscrape with its default policy, which is told only of the proxy in front.

    ``limit`` puts another number of requests per minute in the place of the default's. ``settings``
    are further settings, written as in the environment.
    """
    from antiscrape.app import protect  # noqa: PLC0415  a peer's process must not pay for it
    from antiscrape.settings import load_policy  # noqa: PLC0415  the same

    environment = {
        "ANTISCRAPE_SECRET": secrets.token_urlsafe(48),
        "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]',
        **settings,
    }
    if limit is not None:
        environment["ANTISCRAPE__STANDING__BROWSER__REQUESTS"] = f"{limit}/min"
    return protect(app, load_policy(environ=environment))


def _bare(_limit: int) -> App:
    return make_site()


def _antiscrape(limit: int) -> App:
    app: App = protected(make_site(), None if limit >= 1000 else limit)
    return app


def _shared(mode: str) -> Callable[[int], App]:
    """Return how antiscrape is built with a store that workers share: a Valkey of the process's own, on a unix socket."""

    def build(limit: int) -> App:
        from antiscrape.stores.private import private_store  # noqa: PLC0415  a peer's process must not pay for it

        url = _HELD.enter_context(private_store())
        settings = {"ANTISCRAPE__STORE__URL": url, "ANTISCRAPE__STORE__MODE": mode}
        app: App = protected(
            make_site(), None if limit >= 1000 else limit, **settings, ANTISCRAPE__STORE__NAMESPACE="bench"
        )
        return app

    return build


def _throttled(limit: int) -> App:
    from throttled.asyncio import MemoryStore, Throttled  # noqa: PLC0415  only its own process has it

    store = MemoryStore(options={"MAX_SIZE": 2_000_000})  # its default forgets after 1,024 clients
    throttle = Throttled(using="gcra", quota=f"{limit}/m burst {limit}", store=store)

    async def allow(client: str) -> bool:
        return not (await throttle.limit(client)).limited

    return LimitedAsync(make_site(), allow)


def _limits(strategy: str) -> Callable[[int], App]:
    def build(limit: int) -> App:
        import limits.strategies  # noqa: PLC0415  only its own process has it
        from limits.storage import MemoryStorage  # noqa: PLC0415  the same

        limiter = getattr(limits.strategies, strategy)(MemoryStorage())
        item = limits.parse(f"{limit}/minute")
        return Limited(make_site(), lambda client: bool(limiter.hit(item, client)))

    return build


def _slowapi(middleware: str) -> Callable[[int], App]:
    def build(limit: int) -> App:
        import slowapi.middleware  # noqa: PLC0415  only its own process has it

        site: Starlette = make_site()
        site.state.limiter = slowapi.Limiter(
            key_func=lambda request: request.headers["x-forwarded-for"], default_limits=[f"{limit}/minute"]
        )
        site.add_middleware(getattr(slowapi.middleware, middleware))
        return site

    return build


def _bot_guard(limit: int) -> App:
    from bot_guard.ddos import DDoSProtector  # noqa: PLC0415  only its own process has it
    from bot_guard.middleware.fastapi import BotGuardMiddleware  # noqa: PLC0415  the same
    from bot_guard.middleware.generic import DDoSProtectionASGI  # noqa: PLC0415  the same

    protector = DDoSProtector(
        per_client_rate=limit / 60, per_client_burst=limit, global_rate=1e7, global_burst=10_000_000
    )
    app: App = DDoSProtectionASGI(BotGuardMiddleware(make_site()), protector, client_id_resolver=client_of)
    return app


def _guard(*, detect: bool) -> Callable[[int], App]:
    def build(limit: int) -> App:
        from guard import SecurityConfig, SecurityMiddleware  # noqa: PLC0415  only its own process has it

        extra: dict[str, Any] = (
            {} if detect else {"enable_ip_banning": False, "security_headers": {"enabled": False}}
        )
        config = SecurityConfig(
            trusted_proxies=("127.0.0.1",),
            rate_limit=limit,
            rate_limit_window=60,
            enable_redis=False,
            enable_penetration_detection=detect,
            **extra,
        )
        site = make_site()
        site.add_middleware(SecurityMiddleware, config=config)
        return site

    return build


#: Of these, antiscrape as it is.
OWN = ("antiscrape", "shared", "strict")
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("bare", "the bare site", _bare),
        Variant("antiscrape", "antiscrape, its whole default policy", _antiscrape),
        Variant(
            "shared",
            "antiscrape, counts shared over a Valkey",
            _shared("shared"),
            "redis",
            settles=5.0,
        ),
        Variant("strict", "antiscrape, every request asks the Valkey", _shared("strict"), "redis"),
        Variant("throttled", "throttled-py, GCRA", _throttled, "throttled"),
        Variant("limits_fixed", "limits, fixed window", _limits("FixedWindowRateLimiter"), "limits"),
        Variant("limits_moving", "limits, moving window", _limits("MovingWindowRateLimiter"), "limits"),
        Variant("slowapi_asgi", "slowapi, ASGI middleware", _slowapi("SlowAPIASGIMiddleware"), "slowapi"),
        Variant("slowapi", "slowapi, its usual middleware", _slowapi("SlowAPIMiddleware"), "slowapi"),
        Variant("bot_guard", "bot-guard-py", _bot_guard, "bot_guard"),
        Variant("guard", "fastapi-guard, rate limit only", _guard(detect=False), "guard"),
        Variant("guard_detect", "fastapi-guard as it comes", _guard(detect=True), "guard", heavy=True),
    )
}
