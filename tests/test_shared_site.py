"""Whole sites that count together: the middleware as an operator mounts it, several times, over a real store."""

from __future__ import annotations

import asyncio
import io
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from antiscrape.app import AntiscrapeMiddleware
from antiscrape.cli import main
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.errors import ConfigurationError
from antiscrape.stores import extras
from tests import valkeys
from tests.house import PATIENCE, SECRET, SPARE, drive, person, policy_of, scope_of
from tests.stores.workers import rests, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from antiscrape.core.rules import Policy
    from antiscrape.stores.courier import Courier
    from tests.valkeys import Server

CLIENT = "203.0.113.7"


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((640, 480), 40).convert("RGB").save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


ORIGINAL = _jpeg()


async def site(scope: Any, receive: Any, send: Any) -> None:
    """A site of pages, thumbnails and photographs."""
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
        return
    page = not scope["path"].startswith("/media/")
    body = b"<html>a page</html>" if page else ORIGINAL
    headers = [(b"content-type", b"text/html" if page else b"image/jpeg")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with valkeys.single() as one:
        yield one


def policy_at(server: Server, **settings: str) -> Policy:
    store = {"URL": server.unix_url, "TIMEOUT": "5s", "INTERVAL": "20ms", "NAMESPACE": "tests", **settings}
    return policy_of({**SPARE, **{f"ANTISCRAPE__STORE__{name}": value for name, value in store.items()}})


@asynccontextmanager
async def mounted(policy: Policy, count: int = 2) -> AsyncIterator[list[AntiscrapeMiddleware]]:
    """So many workers of one site on this loop, each from its start to its end."""
    made = [AntiscrapeMiddleware(site, policy=policy) for _ in range(count)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(2 * PATIENCE))
        for one in made:
            await stack.enter_async_context(living(one))
        yield made


@asynccontextmanager
async def living(app: AntiscrapeMiddleware) -> AsyncIterator[None]:
    """Start an app and end it, as a server does."""
    told: asyncio.Queue[Any] = asyncio.Queue()
    heard: asyncio.Queue[Any] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan", "state": {}}, told.get, heard.put))
    await told.put({"type": "lifespan.startup"})
    assert (await heard.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        await told.put({"type": "lifespan.shutdown"})
        await life


def courier(worker: AntiscrapeMiddleware) -> Courier:
    assert worker.courier is not None
    return worker.courier


def held(worker: AntiscrapeMiddleware) -> float:
    """Return until when the client is banned or cooling at a worker."""
    known = worker.store.find_known(CLIENT)
    return 0.0 if known is None else known.held_until


async def ask(worker: AntiscrapeMiddleware, path: str, kind: str = "image", peer: str = CLIENT) -> bytes:
    """Ask as Firefox does; return the answer's body."""
    answer = await drive(worker, scope_of(path, person(kind=kind), peer=peer))
    assert answer.status in {200, 403, 429}
    return answer.body if answer.status == 200 else b"%d" % answer.status


async def takes(workers: list[AntiscrapeMiddleware], count: int, peer: str = CLIENT) -> int:
    """Visit as a person does, each request at another worker; return how many originals came."""
    had = 0
    for number in range(count):
        worker = workers[number % len(workers)]
        await ask(worker, f"/photo/{number}", "page", peer)
        for beside in range(3):
            await ask(worker, f"/media/thumb/{number}-{beside}.jpg", "image", peer)
        had += await ask(worker, f"/media/{number * 7919 % 10_007}.jpg", "image", peer) == ORIGINAL
    return had


def routes(policy: Policy) -> Policy:
    """Tell thumbnails by their path, and leave it to the budgets: nobody who asks as fast as a test is a person."""
    return replace(
        policy,
        unknown_at=1000,
        bot_at=2000,
        banned_at=3000,
        routes=(
            Route("/media/thumb/**", Kind.IMAGE, Size.THUMBNAIL),
            Route("/media/**", Kind.IMAGE, Size.ORIGINAL),
            *policy.routes,
        ),
    )


def test_a_strict_site_grants_one_budget_to_a_client_that_asks_all_its_workers(server: Server) -> None:
    async def run() -> None:
        async with mounted(routes(policy_at(server, MODE="strict", NAMESPACE="strict")), 3) as workers:
            assert await takes(workers, 60) == 40

    asyncio.run(run())


def test_an_image_that_no_route_names_is_charged_where_all_count_too(server: Server) -> None:
    async def run() -> None:
        policy = policy_at(server, MODE="strict", NAMESPACE="unnamed")
        async with mounted(policy, 2) as workers:
            for number in range(30):
                await ask(workers[0], f"/{number}", "page")
            had = [await ask(workers[n % 2], f"/media/x{n * 7919 % 10_007}") == ORIGINAL for n in range(60)]
            assert sum(had) <= 40
            assert min(courier(one).counts["charged"] for one in workers) > 0

    asyncio.run(run())


def test_a_shared_site_grants_hardly_more_than_one_budget(server: Server) -> None:
    async def run() -> None:
        async with mounted(routes(policy_at(server, NAMESPACE="shared")), 3) as workers:
            had = await takes(workers, 50)
            assert 40 <= had <= 50
            for worker in (
                *workers,
                *workers,
            ):  # the first round tells, the second hears of all that was told
                await ask(worker, "/", "page")
                await until(lambda: all(rests(courier(one)) for one in workers))
            assert await takes([workers[2]], 1) == 1, "what was had is free"
            for worker in workers:
                assert await ask(worker, "/media/99999.jpg") != ORIGINAL

    asyncio.run(run())


@pytest.mark.security("I1")
@pytest.mark.parametrize("mode", ["shared", "strict"])
def test_a_site_whose_store_is_away_serves_on_and_says_so(mode: str) -> None:
    async def run(server: Server) -> None:
        policy = routes(policy_at(server, MODE=mode, TIMEOUT="100ms", WORKERS="4"))
        async with mounted(policy, 1) as (worker,):
            assert await takes([worker], 2) == 2
            server.stop()
            await ask(worker, "/", "page")
            await until(lambda: courier(worker).away)
            assert 8 <= await takes([worker], 30) <= 12, "a quarter of 40, less or more what was had before"
            figures = worker.meter.read()
            assert figures["antiscrape_store_away"][()] == 1
            assert figures["antiscrape_store_breaker_opened"][()] >= 1
            server.go_on()
            await until(lambda: not courier(worker).away)
            assert worker.meter.read()["antiscrape_store_away"][()] == 0

    with valkeys.single() as server:
        asyncio.run(run(server))


def test_a_released_client_is_served_by_all_workers_again(
    server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "antiscrape.toml"
    config.write_text(f'[store]\nurl = "{server.unix_url}"\nnamespace = "tests"\n')
    monkeypatch.setenv("ANTISCRAPE_SECRET", SECRET)

    async def run() -> None:
        async with mounted(policy_at(server)) as (one, two):
            for worker in (one, two):
                await ask(worker, "/", "page")
            await until(lambda: courier(one).listening and courier(two).listening)
            history = one.store.find_known(CLIENT)
            assert history is not None
            one.store.ban(history, time.monotonic() + 600)
            await until(lambda: held(two) > 0)
            assert await ask(two, "/", "page") == b"403"
            assert await asyncio.to_thread(release, CLIENT) == 0
            await until(lambda: not held(one) and not held(two))
            assert await ask(two, "/", "page") != b"403"

    def release(*names: str) -> object:
        return main.main(["release", *names, "--config", str(config)], standalone_mode=False) or 0

    asyncio.run(run())
    assert capsys.readouterr().out == f"released: {CLIENT}\n"


def test_a_store_that_nothing_speaks_to_is_named_at_the_start(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"install antiscrape\[shared\]"):
        AntiscrapeMiddleware(site, policy=policy_at(server))
