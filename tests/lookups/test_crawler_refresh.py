"""Published lists, fetched from a server on loopback that does what servers do, and what is kept of them."""

from __future__ import annotations

import asyncio
import gzip
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp.web
import pytest

from antiscrape.core.crawler import Source
from antiscrape.lookups.crawlers import MOST_BYTES, Refreshed, refresh
from tests.house import PATIENCE
from tests.lookups.books import listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Handler = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]

GOOD = listing("66.249.64.0/27", "66.249.64.32/27", "2001:4860:4801:10::/64")
FORMER = listing("66.249.64.0/27", "66.249.64.64/27")
JSON = "application/json"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve every path by ``handler`` on a port of loopback; yield the URL of a list."""
    app = aiohttp.web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = aiohttp.web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/list.json"
    finally:
        await runner.cleanup()


def fetched(handler: Handler, folder: Path, *, total: float = PATIENCE) -> Refreshed:
    """Refresh one list from a server of ``handler``'s."""

    async def run() -> Refreshed:
        async with serving(handler) as url:
            (result,) = await refresh([Source(url, "list.json")], folder, schemes=("http",), total=total)
            return result

    return asyncio.run(asyncio.wait_for(run(), PATIENCE))


def saying(body: str | bytes, content_type: str = JSON, status: int = 200, **headers: str) -> Handler:
    raw = body if isinstance(body, bytes) else body.encode()

    async def handler(_: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return aiohttp.web.Response(body=raw, content_type=content_type, status=status, headers=named)

    return handler


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_good_list_is_kept_whole_and_readable_to_the_server(tmp_path: Path) -> None:
    result = fetched(saying(GOOD), tmp_path)
    assert (result.problem, result.entries) == ("", 3)
    assert files(tmp_path) == {"list.json": GOOD}
    assert stat.S_IMODE((tmp_path / "list.json").stat().st_mode) == 0o644


def test_a_list_in_plain_text_and_a_list_in_chunks_are_lists(tmp_path: Path) -> None:
    async def chunked(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"149.154.160.0/20\n91.108.")
        await response.write(b"4.0/22\n")
        return response

    result = fetched(chunked, tmp_path)
    assert (result.problem, result.entries) == ("", 2)
    assert fetched(saying("149.154.160.0/20\n", "text/plain"), tmp_path).entries == 1


def test_the_same_list_again_is_young_again(tmp_path: Path) -> None:
    assert fetched(saying(GOOD), tmp_path).problem == ""
    before = (tmp_path / "list.json").stat()
    assert fetched(saying(GOOD), tmp_path).problem == ""
    after = (tmp_path / "list.json").stat()
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ino != before.st_ino, "it was written over, and a reader could have seen half of it"


def many(count: int) -> str:
    return listing(*(f"17.{number // 256}.{number % 256}.0/24" for number in range(count)))


@pytest.mark.security("H5")
@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (saying(""), "is empty"),
        (saying(listing()), "is empty"),
        (saying("{}"), "no list"),
        (saying(GOOD[:-20]), "not whole JSON"),
        (saying("<!doctype html>", "text/html"), "web page"),
        (saying("<!doctype html>", JSON), "page of markup"),
        (saying(GOOD, "text/html"), "web page"),
        (saying(listing("0.0.0.0/0")), "wider than"),
        (saying(listing("66.249.64.0/27", "10.0.0.0/8")), "not wholly public"),
        (saying(listing("2600::/16")), "wider than"),
        (saying(listing(*["66.249.64.0/27"] * 4)), "repeats its entries"),
        (saying(many(21)), "from 2 entries to 21"),
        (saying(b"\xff\xfe" + GOOD.encode()), "utf-8"),
        (saying(GOOD, status=404), "answered 404"),
        (saying(GOOD, status=500), "answered 500"),
        (saying(GOOD, status=206), "answered 206"),
        (saying(gzip.compress(GOOD.encode()), Content_Encoding="gzip"), "is encoded"),
        (saying(b" " * (MOST_BYTES + 1) + GOOD.encode()), "longer than"),
        (saying("", status=302, Location="http://other.example/list.json"), "another host, 'other.example'"),
        (saying("", status=301, Location="https://127.0.0.1/list.json"), "another host"),
        (saying("", status=302, Location="/again"), "redirects more than 3 times"),
        (saying("", status=302, Location="file:///etc/passwd"), "another host"),
    ],
)
def test_a_list_that_is_unfit_leaves_the_last_good_one(
    tmp_path: Path, handler: Handler, problem: str
) -> None:
    (tmp_path / "list.json").write_text(FORMER)
    result = fetched(handler, tmp_path)
    assert problem in result.problem
    assert result.entries == 2
    assert files(tmp_path) == {"list.json": FORMER}


@pytest.mark.security("H5")
def test_half_a_list_is_noticed_where_it_would_read_as_a_whole_one(tmp_path: Path) -> None:
    """A connection that breaks behind a whole line: by its length, by its chunks, or with neither."""
    (tmp_path / "list.json").write_text(FORMER)
    heads = (b"Content-Length: 400\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n10\r\n", b"\r\n")

    async def run(head: bytes) -> Refreshed:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + head + b"66.249.64.0/27\n\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/list.txt"
        async with server:
            (result,) = await refresh([Source(url, "list.json")], tmp_path, schemes=("http",))
        return result

    for head in heads:
        result = asyncio.run(asyncio.wait_for(run(head), PATIENCE))
        assert result.problem
        assert result.entries == 2
    assert files(tmp_path) == {"list.json": FORMER}


def test_a_redirect_on_the_same_host_is_followed(tmp_path: Path) -> None:
    async def moved(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        if request.path == "/list.json":
            raise aiohttp.web.HTTPFound("/now/here.json")
        return aiohttp.web.Response(text=GOOD, content_type=JSON)

    assert fetched(moved, tmp_path).problem == ""


@pytest.mark.security("H5")
def test_a_body_without_end_is_left_at_its_bound(tmp_path: Path) -> None:
    async def endless(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            await response.write(b"# \n" * 20_000)

    assert "longer than" in fetched(endless, tmp_path).problem
    assert files(tmp_path) == {}


@pytest.mark.security("H5")
def test_a_server_that_never_answers_is_left(tmp_path: Path) -> None:
    async def endless(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await asyncio.Event().wait()
        return aiohttp.web.Response()

    (tmp_path / "list.json").write_text(FORMER)
    assert fetched(endless, tmp_path, total=0.2).problem == "did not answer in time"
    assert files(tmp_path) == {"list.json": FORMER}


@pytest.mark.security("H5")
def test_only_https_is_spoken_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    asked = []

    async def handler(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        asked.append(request.path)
        return aiohttp.web.Response(text=GOOD, content_type=JSON)

    async def run() -> Refreshed:
        async with serving(handler) as url:
            (result,) = await refresh([Source(url, "list.json")], tmp_path)
            return result

    assert asyncio.run(run()).problem == "is not to be fetched over http"
    assert asked == []
    assert files(tmp_path) == {}


def test_one_list_that_cannot_be_had_costs_the_others_nothing(tmp_path: Path) -> None:
    async def run() -> tuple[Refreshed, ...]:
        async with serving(saying(GOOD)) as url:
            dead = Source("http://127.0.0.1:1/list.json", "dead.json")
            return await refresh([dead, Source(url, "list.json")], tmp_path, schemes=("http",))

    dead, good = asyncio.run(asyncio.wait_for(run(), PATIENCE))
    assert dead.problem
    assert dead.entries == 0
    assert (good.problem, good.entries) == ("", 3)
    assert files(tmp_path) == {"list.json": GOOD}


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    result = fetched(saying(GOOD), tmp_path / "missing")
    assert "No such file" in result.problem


def test_a_damaged_file_is_no_measure_for_the_next_list(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("<html>")
    assert fetched(saying(many(50)), tmp_path).entries == 50
