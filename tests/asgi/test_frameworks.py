"""Mounted in each framework, in process and under uvicorn: people see the site, harvesters see previews of it."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import websockets
from PIL import Image
from websockets.asyncio.client import connect

from tests.asgi.frameworks import CHUNKS, FRAMEWORKS, PAGE, PICTURE, Site, site_policy, uvicorned
from tests.house import PATIENCE, changed, person, tool, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.house import Pairs

PERSON, ROBOT, VILLAIN = b"203.0.113.7", b"198.51.100.9", b"192.0.2.66"
names = pytest.mark.parametrize("name", FRAMEWORKS)


def at(address: bytes, headers: Pairs, host: bytes) -> Pairs:
    return changed(headers, (b"host", host), (b"x-forwarded-for", address))


class Client:
    """Sends exactly the fields that it is given."""

    def __init__(self, http: httpx.AsyncClient, base: str) -> None:
        self._http = http
        self._base = base
        self.host = base.removeprefix("http://").encode()

    async def get(self, path: str, headers: Pairs, address: bytes = PERSON) -> httpx.Response:
        return await self._http.send(self.request(path, headers, address))

    def request(self, path: str, headers: Pairs, address: bytes = PERSON) -> httpx.Request:
        return httpx.Request("GET", self._base + path, headers=at(address, headers, self.host))

    async def open(self, path: str, headers: Pairs) -> httpx.Response:
        return await self._http.send(self.request(path, headers), stream=True)


@asynccontextmanager
async def in_process(name: str, site: Site) -> AsyncIterator[Client]:
    app = FRAMEWORKS[name][0](site, site_policy())
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 123), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport) as http, asyncio.timeout(PATIENCE):
        yield Client(http, "http://127.0.0.1")


@asynccontextmanager
async def served(name: str, site: Site) -> AsyncIterator[Client]:
    async with (
        uvicorned(FRAMEWORKS[name][0](site, site_policy())) as port,
        httpx.AsyncClient(timeout=PATIENCE) as http,
        asyncio.timeout(PATIENCE),
    ):
        yield Client(http, f"http://127.0.0.1:{port}")


async def check_renditions(client: Client) -> None:
    """A person has the picture; a robot has a preview of it that no cache keeps and no original's tag names."""
    original = await client.get("/media/1.jpg", person())
    assert original.status_code == 200
    assert original.content == PICTURE
    assert original.headers["content-type"] == "image/jpeg"
    assert "private" in original.headers["cache-control"]
    preview = await client.get("/media/1.jpg", tool(), ROBOT)
    assert preview.status_code == 200
    assert preview.headers["content-type"] == "image/jpeg"
    assert preview.headers["cache-control"] == "private, no-store"
    assert preview.headers["etag"] not in ("", original.headers.get("etag"))
    assert int(preview.headers["content-length"]) == len(preview.content)
    assert preview.content != PICTURE
    with Image.open(io.BytesIO(preview.content)) as shown:
        assert max(shown.size) == 480  # the preview's own size: a placeholder has another type


async def check_pages(client: Client) -> None:
    for headers, address in ((person(kind="page"), PERSON), (visitor("curl page"), ROBOT)):
        page = await client.get("/page", headers, address)
        assert (page.status_code, page.text) == (200, PAGE)


async def check_failure(client: Client) -> None:
    """The framework's own 500, not an answer of ours and not a broken connection."""
    for headers, address in ((person(kind="page"), PERSON), (visitor("curl page"), ROBOT)):
        failed = await client.get("/boom", headers, address)
        assert failed.status_code == 500
        assert b"LookupError" not in failed.content


@names
def test_renditions_pages_and_failures_in_process(name: str) -> None:
    async def main() -> None:
        site = Site()
        async with in_process(name, site) as client:
            await check_renditions(client)
            await check_pages(client)
            await check_failure(client)
        if "background" in FRAMEWORKS[name][1]:
            assert site.log.count("background") == 2  # once for the person's picture, once for the robot's

    asyncio.run(main())


async def check_stream(client: Client, site: Site) -> None:
    """Each chunk arrives while the site still waits to make the next: nothing is held back."""
    response = await client.open("/stream", person(kind="page"))
    pieces = response.aiter_raw()
    for chunk in CHUNKS:
        got = b""
        while len(got) < len(chunk):
            got += await anext(pieces)
        assert got == chunk
        assert "streamed" not in site.log
        site.gate.set()
    assert [piece async for piece in pieces] == []
    await response.aclose()
    assert "streamed" in site.log


async def check_websocket(client: Client) -> None:
    """A person's socket echoes; a banned client's is refused whatever it sends now."""
    uri = f"ws://{client.host.decode()}/echo"

    def fields(address: bytes) -> list[tuple[str, str]]:
        headers = person((b"accept", None), (b"host", None), (b"connection", None), (b"user-agent", None))
        return [(name.decode(), value.decode()) for name, value in [*headers, (b"x-forwarded-for", address)]]

    agent = dict(person())[b"user-agent"].decode()
    async with connect(uri, additional_headers=fields(PERSON), user_agent_header=agent, proxy=None) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
    villain = tool((b"accept", None), (b"x-antiscrape-account", b"root"))
    assert (await client.get("/media/1.jpg", villain, VILLAIN)).status_code == 403
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        async with connect(uri, additional_headers=fields(VILLAIN), user_agent_header=agent, proxy=None):
            pass
    assert refused.value.response.status_code == 403


@names
def test_everything_under_uvicorn(name: str) -> None:
    async def main() -> None:
        site, abilities = Site(), FRAMEWORKS[name][1]
        async with served(name, site) as client:
            if "lifespan" in abilities:
                assert site.log == ["startup"]
            await check_renditions(client)
            await check_pages(client)
            await check_failure(client)
            await check_stream(client, site)
            if "websocket" in abilities:
                await check_websocket(client)
        if "lifespan" in abilities:
            assert site.log.count("startup") == 1
            assert site.log[-1] == "shutdown"

    asyncio.run(main())
