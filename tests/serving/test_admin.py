"""The admin endpoints over a real socket: what they tell, to whom, and that the site never depends on them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from antiscrape import AntiscrapeMiddleware, load_policy
from antiscrape.asgi.admin import admin_app, is_local
from antiscrape.asgi.middleware import Middleware
from antiscrape.errors import ConfigurationError
from antiscrape.evidence.events import NoSink
from antiscrape.images.renderer import PillowRenderer
from antiscrape.operate.meter import Meter
from antiscrape.serving import admin_server
from antiscrape.serving.admin_server import ADMIN, FOLDER, AdminServer, WithAdmin, for_workers
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen
from antiscrape.serving.server import Server
from tests.house import SPARE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from antiscrape.asgi.types import Message, Receive, Scope, Send

PATIENCE = 60.0


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<p>the site"})


class Metered(NamedTuple):
    """A middleware and its figures."""

    middleware: AntiscrapeMiddleware
    meter: Meter


def metered() -> Metered:
    policy = load_policy(environ={"ANTISCRAPE_SECRET": "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f", **SPARE})
    policy = replace(policy, record=replace(policy.record, events="off", admin=""))
    middleware = AntiscrapeMiddleware(site, policy=policy)
    recorder, renderer = middleware._estate.recorder, middleware._estate.renderer
    sink = recorder._sink
    assert isinstance(sink, NoSink)
    assert isinstance(renderer, PillowRenderer)
    meter = Meter(policy, recorder=recorder, sink=sink, store=middleware.store, images=renderer)
    return Metered(middleware, meter)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Uvicorn's configuration takes the loggers for itself; give them back."""
    logs = [logging.getLogger(name) for name in ("antiscrape", "uvicorn")]
    before = [(log.handlers[:], log.propagate, log.level) for log in logs]
    yield
    for log, (handlers, propagate, level) in zip(logs, before, strict=True):
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


class Answer(NamedTuple):
    """A response, read to its end."""

    status: int
    fields: dict[str, str]
    body: str


async def ask(url: str, path: str, *lines: str, method: str = "GET") -> Answer:
    """Ask once over a connection of its own; ``lines`` take the place of the Host field."""
    if url.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(url.removeprefix("unix:"))
        host = "localhost"
    else:
        host = url.removeprefix("http://")
        name, _, port = host.rpartition(":")
        reader, writer = await asyncio.open_connection(name.strip("[]"), int(port))
    head = [f"{method} {path} HTTP/1.1", *(lines or (f"Host: {host}",)), "Connection: close", "", ""]
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write("\r\n".join(head).encode("latin-1"))
            raw = await reader.read()
    finally:
        writer.close()
    top, _, body = raw.partition(b"\r\n\r\n")
    first, *rest = top.decode("latin-1").split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    return Answer(int(first.split()[1]), fields, body.decode())


@contextlib.asynccontextmanager
async def running(address: str = "127.0.0.1:0", folder: Path | None = None) -> AsyncIterator[AdminServer]:
    server = AdminServer(metered().meter, address, folder=folder)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def test_three_endpoints_and_nothing_else() -> None:
    async def check() -> None:
        async with running() as server:
            metrics = await ask(server.url, "/metrics")
            assert metrics.status == 200
            assert metrics.fields["content-type"].startswith("text/plain; version=")
            assert (
                'antiscrape_verdicts_total{action="admit",rendition="original",standing="bot"} 0.0'
                in metrics.body
            )
            assert await statuses(server, "/healthz", "/readyz") == [(200, "alive\n"), (200, "ready\n")]
            nothing = await statuses(
                server, "/", "/metrics/", "/docs", "/openapi.json", "/debug", "/config", "//healthz"
            )
            assert {status for status, _ in nothing} == {404}
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
                assert (await ask(server.url, "/metrics", method=method)).status in {400, 405}
            head = await ask(server.url, "/metrics", method="HEAD")
            assert (head.status, head.body) == (200, "")

    asyncio.run(check())


async def statuses(server: AdminServer, *paths: str) -> list[tuple[int, str]]:
    answers = [await ask(server.url, path) for path in paths]
    return [(answer.status, answer.body) for answer in answers]


@pytest.mark.security("J3")
def test_a_page_whose_name_was_pointed_at_loopback_reads_nothing() -> None:
    """DNS rebinding: the browser sends the name of the page that it has open."""

    async def check() -> None:
        async with running() as server:
            for host in (
                "evil.example",
                "127.0.0.1.evil.example",
                "evil.example:9465",
                "localhost.evil.example",
            ):
                answer = await ask(server.url, "/metrics", f"Host: {host}")
                assert (answer.status, "antiscrape_" in answer.body) == (421, False)
            for lines in (
                ("Host: 127.0.0.1", "Host: evil.example"),
                ("Host: 127.0.0.1@evil.example",),
                ("X: y",),
            ):
                answer = await ask(server.url, "/metrics", *lines)
                assert (answer.status, "antiscrape_" in answer.body) == (400, False)
            for host in ("127.0.0.1", "localhost:9465", "[::1]:9465", "antiscrape", "10.1.2.3:80"):
                assert (await ask(server.url, "/metrics", f"Host: {host}")).status == 200

    asyncio.run(check())


@pytest.mark.security("J3")
def test_every_answer_stays_out_of_caches_and_frames() -> None:
    async def check() -> None:
        async with running() as server:
            for path, host in (("/metrics", "a"), ("/nothing", "a"), ("/metrics", "evil.example")):
                fields = (await ask(server.url, path, f"Host: {host}")).fields
                assert fields["cache-control"] == "no-store"
                assert fields["x-content-type-options"] == "nosniff"
                assert "frame-ancestors 'none'" in fields["content-security-policy"]
                assert "server" not in fields

    asyncio.run(check())


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("prometheus", True), ("[::1]", True), ("192.0.2.1", True), ("a.b", False), ("1.2.3.4.b", False)],
)  # fmt: skip
def test_a_local_host_is_an_address_or_has_no_dot(host: str, local: bool) -> None:  # noqa: FBT001  a table's column
    assert is_local(host) is local


def test_mounted_in_another_server_it_answers_to_the_names_it_is_given() -> None:
    made = metered()
    inner = admin_app(made, hosts=["Photos.example"], ready=lambda: "warming up")
    outer = Starlette(routes=[Mount("/internal", inner), Mount("/", made.middleware)])

    async def check() -> None:
        config = configure(outer)
        config.lifespan = "off"
        sock = listen(host="127.0.0.1", port=0)
        up = asyncio.Event()
        server = Server(config, ready=up.set)
        task = asyncio.create_task(server.serve(sockets=[sock]))
        await asyncio.wait_for(up.wait(), PATIENCE)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        for _ in range(3):
            assert "<p>the site" in (await ask(url, "/page", "Host: photos.example")).body
        told = await ask(url, "/internal/metrics", "Host: photos.example")
        assert 'antiscrape_verdicts_total{action="admit",rendition="preview",standing="bot"} 3.0' in told.body
        assert (await ask(url, "/internal/metrics", "Host: other.example")).status == 421
        ready = await ask(url, "/internal/readyz", "Host: photos.example")
        assert (ready.status, ready.body) == (503, "warming up\n")
        server.should_exit = True
        await asyncio.wait_for(task, PATIENCE)
        await made.middleware._estate.renderer.aclose()

    asyncio.run(check())


def test_without_prometheus_the_app_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiscrape.asgi.admin.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"install antiscrape\[serve\]"):
        admin_app(metered())


def test_a_taken_port_costs_one_line_and_is_had_when_it_comes_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The site runs all the same, and nobody has to restart it for its metrics."""
    monkeypatch.setattr(admin_server, "TICK", 0.01)

    async def check() -> None:
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with running(f"127.0.0.1:{port}") as server:
            assert server.url == ""
            for _ in range(20):
                await asyncio.sleep(0)
            taken.close()
            async with asyncio.timeout(PATIENCE):
                while not server.url:  # noqa: ASYNC110  what is waited for is another task's tick
                    await asyncio.sleep(0.01)
            assert (await ask(server.url, "/healthz")).status == 200

    asyncio.run(check())
    (record,) = caplog.records
    assert "the site runs without its admin socket: cannot listen on 127.0.0.1:" in record.getMessage()
    assert "Address already in use" in record.getMessage()


def test_a_unix_socket_is_for_its_group_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    async def check() -> None:
        async with running(f"unix:{path}") as server:
            assert server.url == f"unix:{path}"
            assert (await ask(server.url, "/readyz")).body == "ready\n"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660

    asyncio.run(check())
    assert not path.exists()


def test_no_address_no_socket() -> None:
    async def check() -> None:
        async with running("") as server:
            assert server.url == ""

    asyncio.run(check())


def test_workers_of_one_server_share_address_and_figures() -> None:
    """Two in one process here; each is asked by name of its socket, and both tell the sum."""

    async def check() -> None:
        with for_workers("127.0.0.1:0") as told:
            folder, address = Path(told[FOLDER]), told[ADMIN]
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700  # noqa: ASYNC240  a test's own folder
            async with running(address, folder) as one, running(address, folder) as two:
                assert one.url == two.url == f"http://{address}"
                bodies = [(await ask(one.url, "/metrics")).body for _ in range(8)]
        assert not folder.exists()  # noqa: ASYNC240  a test's own folder
        assert all("\nantiscrape_workers 2.0\n" in body for body in bodies)

    asyncio.run(check())


def test_a_second_site_does_not_creep_into_the_firsts_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Sockets of one user may share a port by SO_REUSEPORT: two sites would answer for each other."""
    for address in ("127.0.0.1:0", f"unix:{tmp_path}/admin.sock"):
        with for_workers(address) as first:
            assert not caplog.records

            async def check(address: str = first[ADMIN], folder: str = first[FOLDER]) -> None:
                async with running(address, Path(folder)):
                    logging.getLogger("antiscrape").addHandler(caplog.handler)
                    with for_workers(address) as second:
                        assert second == {ADMIN: ""}

            asyncio.run(check())
        (told,) = caplog.messages
        assert told.startswith("the site runs without its admin socket: cannot listen on ")
        assert told.endswith("Address already in use")
        assert caplog.records[0].levelname == "ERROR"
        caplog.clear()
    with for_workers("") as nothing:
        assert nothing == {ADMIN: ""}


def test_a_lifespan_starts_and_stops_it_around_the_site() -> None:
    made = metered()
    server = AdminServer(made.meter, "127.0.0.1:0")
    app = WithAdmin(made.middleware, server)
    seen: list[tuple[str, bool]] = []

    async def check() -> None:
        events = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> Message:
            return {"type": next(events)}

        async def send(message: Message) -> None:
            seen.append((message["type"], bool(server.url)))

        await app({"type": "lifespan"}, receive, send)

    asyncio.run(check())
    assert seen == [("lifespan.startup.complete", True), ("lifespan.shutdown.complete", False)]


def test_a_request_costs_no_coroutine_of_its_own() -> None:
    made = metered()
    app = WithAdmin(made.middleware.pass_on, AdminServer(made.meter, ""))

    async def nothing() -> Message:
        return {}

    async def nowhere(message: Message) -> None:
        pass

    given = app({"type": "http"}, nothing, nowhere)
    assert asyncio.iscoroutine(given)
    assert given.cr_code is Middleware._serve.__code__  # type: ignore[attr-defined]  # a coroutine's
    given.close()
