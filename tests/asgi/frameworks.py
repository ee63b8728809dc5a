"""One small photo site, written in each framework, and a real server to put it on."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import uvicorn

from antiscrape import AntiscrapeMiddleware
from antiscrape.core.rules import ImageRules
from tests.house import PATIENCE, SPARE, photo, policy_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import Policy

PICTURE = photo(800, 600)
PAGE = "<!doctype html><title>Album</title><img src=/media/1.jpg>"
CHUNKS = [b"one", b"two", b"three"]


@dataclass
class Site:
    """What the site's code did, and the gate that its stream waits at."""

    log: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the first chunk at once and each other only when the test has seen the one before."""
        for chunk in CHUNKS:
            yield chunk
            await self.gate.wait()
            self.gate.clear()
        self.log.append("streamed")

    async def afterwards(self) -> None:
        self.log.append("background")

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        self.log.append("startup")
        yield
        self.log.append("shutdown")


def in_starlette(site: Site, policy: Policy) -> ASGIApp:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import HTMLResponse, Response, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    async def picture(_request: Request) -> Response:
        return Response(PICTURE, media_type="image/jpeg", background=BackgroundTask(site.afterwards))

    async def page(_request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def stream(_request: Request) -> Response:
        return StreamingResponse(site.stream(), media_type="text/plain")

    async def boom(_request: Request) -> Response:
        raise LookupError("boom")

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    app = Starlette(
        routes=[
            Route("/media/1.jpg", picture),
            Route("/page", page),
            Route("/stream", stream),
            Route("/boom", boom),
            WebSocketRoute("/echo", echo),
        ],
        lifespan=site.lifespan,
    )
    app.add_middleware(AntiscrapeMiddleware, policy=policy)
    return app


def in_fastapi(site: Site, policy: Policy) -> ASGIApp:
    from fastapi import BackgroundTasks, FastAPI, WebSocket
    from fastapi.responses import HTMLResponse, Response, StreamingResponse

    app = FastAPI(lifespan=site.lifespan)
    app.add_middleware(AntiscrapeMiddleware, policy=policy)

    async def picture(tasks: BackgroundTasks) -> Response:
        tasks.add_task(site.afterwards)
        return Response(PICTURE, media_type="image/jpeg", background=tasks)

    async def page() -> Response:
        return HTMLResponse(PAGE)

    async def stream() -> Response:
        return StreamingResponse(site.stream(), media_type="text/plain")

    async def boom() -> None:
        raise LookupError("boom")

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    for path, view in {"/page": page, "/stream": stream, "/boom": boom}.items():
        app.add_api_route(path, view, response_model=None)
    # annotations of this module are strings, whose names FastAPI looks for at module level
    picture.__annotations__["tasks"] = BackgroundTasks
    echo.__annotations__["socket"] = WebSocket
    app.add_api_route("/media/1.jpg", picture, response_model=None)
    app.add_api_websocket_route("/echo", echo)
    return app


def in_litestar(site: Site, policy: Policy) -> ASGIApp:
    from litestar import Litestar, MediaType, WebSocket, get, websocket
    from litestar.background_tasks import BackgroundTask
    from litestar.response import Response, Stream

    async def picture() -> Response[bytes]:
        return Response(PICTURE, media_type="image/jpeg", background=BackgroundTask(site.afterwards))

    async def page() -> str:
        return PAGE

    async def stream() -> Stream:
        return Stream(site.stream(), media_type="text/plain")

    async def boom() -> None:
        raise LookupError("boom")

    async def echo(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    # annotations of this module are strings, whose names Litestar looks for at module level
    picture.__annotations__["return"] = Response[bytes]
    stream.__annotations__["return"] = Stream
    echo.__annotations__["socket"] = WebSocket
    app = Litestar(
        route_handlers=[
            get("/media/1.jpg")(picture),
            get("/page", media_type=MediaType.HTML)(page),
            get("/stream")(stream),
            get("/boom")(boom),
            websocket("/echo")(echo),
        ],
        lifespan=[site.lifespan],
        openapi_config=None,
    )
    return AntiscrapeMiddleware(app, policy=policy)  # type: ignore[arg-type]  # its scope is a TypedDict


def in_quart(site: Site, policy: Policy) -> ASGIApp:
    from quart import Quart, Response, websocket

    app = Quart("site")

    async def picture() -> Response:
        app.add_background_task(site.afterwards)
        return Response(PICTURE, mimetype="image/jpeg")

    async def page() -> Response:
        return Response(PAGE, mimetype="text/html")

    async def stream() -> Response:
        return Response(site.stream(), mimetype="text/plain")

    async def boom() -> Response:
        raise LookupError("boom")

    async def echo() -> None:
        await websocket.send(await websocket.receive())

    for path, view in {"/media/1.jpg": picture, "/page": page, "/stream": stream, "/boom": boom}.items():
        app.add_url_rule(path, view_func=view)
    app.add_websocket("/echo", view_func=echo)

    async def begin() -> None:
        site.log.append("startup")

    async def end() -> None:
        site.log.append("shutdown")

    app.before_serving(begin)
    app.after_serving(end)
    inner: Any = app.asgi_app
    app.asgi_app = AntiscrapeMiddleware(inner, policy=policy)  # type: ignore[method-assign, assignment]  # Quart's own advice
    return cast("ASGIApp", app)


def in_django(site: Site, policy: Policy) -> ASGIApp:
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
    from django.urls import clear_url_caches, path, set_urlconf

    if not settings.configured:
        settings.configure(
            SECRET_KEY="of-a-test",
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=__name__,
            LOGGING_CONFIG=None,
            USE_TZ=True,
        )
        django.setup()

    async def picture(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(PICTURE, content_type="image/jpeg")

    async def page(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(PAGE)

    async def stream(_request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(site.stream(), content_type="text/plain")

    async def boom(_request: HttpRequest) -> HttpResponse:
        raise LookupError("boom")

    views = {"media/1.jpg": picture, "page": page, "stream": stream, "boom": boom}
    vars(sys.modules[__name__])["urlpatterns"] = [path(pattern, view) for pattern, view in views.items()]
    clear_url_caches()
    set_urlconf(None)
    inner: Any = get_asgi_application()
    return AntiscrapeMiddleware(inner, policy=policy)


#: By name: how the site is built, and which of the abilities that not every framework has.
FRAMEWORKS: dict[str, tuple[Callable[[Site, Policy], ASGIApp], frozenset[str]]] = {
    "starlette": (in_starlette, frozenset({"websocket", "lifespan", "background"})),
    "fastapi": (in_fastapi, frozenset({"websocket", "lifespan", "background"})),
    "litestar": (in_litestar, frozenset({"websocket", "lifespan", "background"})),
    "quart": (in_quart, frozenset({"websocket", "lifespan", "background"})),
    "django": (in_django, frozenset()),
}


def site_policy() -> Policy:
    """Return a policy that believes the test's X-Forwarded-For, so that each test client has its own address."""
    return policy_of(
        {**SPARE, "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]'},
        banned_at=120,
        images=ImageRules(faces="off", timeout=PATIENCE),
    )


@asynccontextmanager
async def uvicorned(app: ASGIApp, *, http: Literal["auto", "h11"] = "auto") -> AsyncIterator[int]:
    """Serve ``app`` by uvicorn itself, as a site's own server would, on a free port of loopback."""
    config = uvicorn.Config(
        app,
        http=http,
        host="127.0.0.1",
        port=0,
        log_config=None,
        log_level="critical",
        proxy_headers=False,
        ws="websockets-sansio",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(PATIENCE):
            while not server.started:
                assert not task.done(), "the server ended at its start"
                await asyncio.sleep(0)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task
