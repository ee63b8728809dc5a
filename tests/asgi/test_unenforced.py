"""What the log says of the server that antiscrape runs in as middleware, under the real servers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn

from antiscrape.asgi import unenforced
from antiscrape.asgi.unenforced import shortcomings, warn_of_server
from antiscrape.serving.config import Config
from tests.asgi.test_neighbours import called_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from antiscrape.asgi.types import Receive, Scope, Send


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Return what is said from here on, as in a process of its own."""
    warn_of_server.cache_clear()
    with caplog.at_level(logging.WARNING, logger=unenforced._log.name):
        yield lambda: [one.getMessage() for one in caplog.records if one.name == unenforced._log.name]
    warn_of_server.cache_clear()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Look as the middleware does, at the start and at the end."""
    while scope["type"] == "lifespan":
        message = await receive()
        warn_of_server()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def under_uvicorn(kind: type[uvicorn.Config] = uvicorn.Config, **settings: Any) -> None:
    async def main() -> None:
        server = uvicorn.Server(kind(app, port=0, log_config=None, **settings))
        server.should_exit = True
        await server._serve()

    asyncio.run(main())


@pytest.mark.security("C1")
@pytest.mark.security("A1")
def test_uvicorn_as_it_comes(said: Callable[[], list[str]]) -> None:
    under_uvicorn(http="h11")
    (line,) = said()
    assert line.startswith("what uvicorn does not enforce, no middleware can: it bounds neither slow clients")
    assert "h11 parses requests" in line
    assert "whoever connects from 127.0.0.1,::1 may name the client" in line


@pytest.mark.security("C1")
def test_uvicorn_as_it_should_be_still_has_no_limits(said: Callable[[], list[str]]) -> None:
    under_uvicorn(http="httptools", proxy_headers=False)
    (line,) = said()
    assert "it bounds neither" in line
    assert "parse" not in line
    assert "name the client" not in line


def test_our_own_server_has_nothing_to_be_said_of(said: Callable[[], list[str]]) -> None:
    under_uvicorn(Config, http="httptools", proxy_headers=False)
    assert said() == []


@pytest.mark.security("C1")
def test_hypercorn(said: Callable[[], list[str]]) -> None:
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]

    async def at_once() -> None:
        """End the server as soon as it serves."""

    asyncio.run(hypercorn.asyncio.serve(app, config, shutdown_trigger=at_once))  # type: ignore[arg-type]  # its own types of ASGI
    (line,) = said()
    assert line.startswith("what hypercorn does not enforce")
    assert "h11 parses requests" in line


def test_other_servers_by_what_they_call_from() -> None:
    assert shortcomings(called_from("granian.asgi"))[0] == "granian"
    assert shortcomings(called_from("site.pages")) == ("", ())
    assert shortcomings(None) == ("", ())
