"""The server as it is started: its choices, its readiness, its drain, its workers."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from antiscrape.core.rules import IdentityRules, ServeRules
from antiscrape.errors import ConfigurationError, UpstreamError
from antiscrape.serving.config import PROTOCOL, configure
from antiscrape.serving.listening import listen, url_of
from antiscrape.serving.logs import OneLine
from antiscrape.serving.runner import run
from antiscrape.serving.versions import check_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.asgi.types import Receive, Scope, Send

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0

APP = """
import asyncio, json, os, sys
from antiscrape.errors import ConfigurationError, UpstreamError

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            if os.environ.get("FAIL") == "lifespan":
                raise RuntimeError("no start")
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, headers = b"", [(b"content-type", b"application/json")]
    path = scope["path"]
    if path == "/die":
        os.kill(os.getpid(), 9)
    if path == "/break":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise UpstreamError("the \\x1b[2J site\\nbroke off")
    if path == "/slow":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        print("begun", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await send({"type": "http.response.body", "body": b" and done"})
        return
    if path == "/old":
        headers.append((b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"))
    told = {"client": scope["client"], "pid": os.getpid(), "path": path}
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})

def factory():
    if os.environ.get("FAIL") == "factory":
        raise ConfigurationError("one thing is wrong", "and another")
    return app
"""
MAIN = """
import sys
from ipaddress import IPv4Network
from antiscrape.core.rules import IdentityRules, ServeRules
from antiscrape.serving.runner import run
if __name__ == "__main__":
    sys.exit(run(sys.argv[1], factory=True, ready=lambda url: print(url, flush=True), **eval(sys.argv[2])))
"""


class Running:
    """A server in a process of its own."""

    def __init__(self, folder: Path, settings: dict[str, object], **env: str) -> None:
        (folder / "made.py").write_text(APP)
        (folder / "main.py").write_text(MAIN)
        path = f"{folder}{os.pathsep}{ROOT}"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", folder / "main.py", "made:factory", repr({"port": 0} | settings)],
            env={**os.environ, "PYTHONPATH": path, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Return the next line that the process prints, or "" where it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and return exit status and what was written to stderr."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, stderr


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Running]]:
    running: list[Running] = []
    yield running
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate(timeout=PATIENCE)


def get(url: str, path: str = "/", **headers: str) -> tuple[http.client.HTTPMessage, dict[str, object]]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.headers, json.loads(answer.read())


@pytest.mark.security("A1")
def test_nobody_is_believed_about_the_clients_address(tmp_path: Path, started: list[Running]) -> None:
    """Uvicorn would take this from a peer on 127.0.0.1 by default."""
    started.append(Running(tmp_path, {}, FORWARDED_ALLOW_IPS="*"))
    url = started[0].line()
    headers, told = get(url, "/", **{"X-Forwarded-For": "9.9.9.9", "X-Real-IP": "9.9.9.9"})
    client = told["client"]
    assert isinstance(client, list)
    assert client[0] == "127.0.0.1"
    assert "server" not in headers
    assert len(headers.get_all("date", [])) == 1
    assert get(url, "/old")[0].get_all("date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert started[0].end() == (0, "")


# An interrupt from a terminal reaches every worker too, so it is tried on one process only.
@pytest.mark.parametrize(
    ("workers", "number"), [(1, signal.SIGTERM), (2, signal.SIGTERM), (1, signal.SIGINT)]
)
def test_a_drain_lets_answers_finish(
    tmp_path: Path, started: list[Running], workers: int, number: int
) -> None:
    """Fault 20: running answers finish, new connections are refused, the exit status is 0."""
    server = Running(tmp_path, {"workers": workers})
    started.append(server)
    url = server.line()
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.line() == "begun"
        server.process.send_signal(number)
        deadline = time.monotonic() + PATIENCE
        while _accepts(port):
            assert time.monotonic() < deadline
        assert server.process.stdin is not None
        server.process.stdin.write("go on\n")
        server.process.stdin.flush()
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received.endswith(b" and done\r\n0\r\n\r\n")
    status, stderr = server.ended()
    assert (status, stderr) == (0, "")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != errno.ECONNREFUSED


def test_workers_share_the_port_and_the_dead_are_replaced(tmp_path: Path, started: list[Running]) -> None:
    """Fault 19: the others serve, and the supervisor starts a new one."""
    started.append(Running(tmp_path, {"workers": 2}))
    url = started[0].line()
    pids: set[object] = set()
    deadline = time.monotonic() + PATIENCE
    while len(pids) < 2:
        pids.add(get(url)[1]["pid"])
        assert time.monotonic() < deadline
    with pytest.raises((http.client.HTTPException, OSError)):
        get(url, "/die")
    while len(pids) < 3:
        with contextlib.suppress(OSError):
            pids.add(get(url)[1]["pid"])
        assert time.monotonic() < deadline
    status, stderr = started[0].end()
    assert status == 0
    assert stderr.endswith("ended with status -9; another takes its place\n")


@pytest.mark.security("A3")
def test_every_worker_holds_to_the_rules(tmp_path: Path, started: list[Running]) -> None:
    """Whoever gets the connection reads its PROXY header, and closes it where there is none."""
    identity = IdentityRules(trusted_proxies=(IPv4Network("127.0.0.0/8"),))
    rules = ServeRules(proxy_protocol=True, head_bytes=1024)
    started.append(Running(tmp_path, {"workers": 2, "rules": rules, "identity": identity}))
    port = int(started[0].line().rpartition(":")[2])

    def ask(raw: bytes) -> bytes:
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client,
        ):
            client.sendall(raw)
            return b"".join(iter(lambda: client.recv(65536), b""))
        return b""

    header, request = b"PROXY TCP4 198.51.100.7 203.0.113.1 1 2\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"
    pids: set[int] = set()
    deadline = time.monotonic() + 3 * PATIENCE
    while len(pids) < 2:
        assert ask(request + b"\r\n") == b""
        assert b" 431 " in ask(header + request + b"A: " + b"a" * 1024 + b"\r\n\r\n")
        told = json.loads(
            ask(header + request + b"Connection: close\r\n\r\n").partition(b"\r\n\r\n")[2].split(b"\r\n")[1]
        )
        assert told["client"] == ["198.51.100.7", 1]
        pids.add(told["pid"])
        assert time.monotonic() < deadline
    status, stderr = started[0].end()
    said = stderr.splitlines()  # by each worker that closed such a connection, once
    assert (status, 1 <= len(said) <= 2) == (0, True), stderr
    assert all("no PROXY header" in line for line in said), stderr


@pytest.mark.slow
def test_a_storm_of_restarts_ends_it(tmp_path: Path, started: list[Running]) -> None:
    """Fault 19: more than five restarts in a minute, and the whole stops with status 3."""
    started.append(Running(tmp_path, {"workers": 2}))
    url = started[0].line()
    while started[0].process.poll() is None:
        with contextlib.suppress(http.client.HTTPException, OSError):
            get(url, "/die")
    status, stderr = started[0].ended()
    assert status == 3
    assert "antiscrape: error: workers keep dying; giving up" in stderr.splitlines()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_fails_says_why_and_is_status_3(
    tmp_path: Path, started: list[Running], workers: int
) -> None:
    started.append(Running(tmp_path, {"workers": workers}, FAIL="factory"))
    status, stderr = started[0].ended()
    assert status == 3
    words = ["antiscrape: one thing is wrong", "antiscrape: and another"]
    assert set(words) <= set(
        stderr.splitlines()
    )  # workers speak at the same time, and Python may warn of stdin
    assert "Traceback" not in stderr
    started.append(Running(tmp_path, {"workers": workers}, FAIL="lifespan"))
    status, stderr = started[1].ended()
    assert status == 3
    assert "no start" in stderr


@pytest.mark.security("J5")
def test_an_upstream_that_breaks_off_is_one_line_in_the_log(tmp_path: Path, started: list[Running]) -> None:
    started.append(Running(tmp_path, {}))
    with pytest.raises(http.client.IncompleteRead):
        get(started[0].line(), "/break")
    status, stderr = started[0].end()
    assert (status, stderr) == (0, "antiscrape: error: UpstreamError: the \\x1b[2J site\\nbroke off\n")


def test_a_unix_socket_is_served_and_taken_away(tmp_path: Path, started: list[Running]) -> None:
    """Also over the file that a killed server left behind, but not over a living one's."""
    path = tmp_path / "front.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    started.append(Running(tmp_path, {"uds": str(path)}))
    assert started[0].line() == f"unix:{path}"
    with pytest.raises(ConfigurationError, match=re.escape(f"unix:{path}: Address already in use")):
        listen(host="", port=0, uds=str(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b'"client": null' in b"".join(iter(lambda: client.recv(65536), b""))
    assert started[0].end() == (0, "")
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary")
    with pytest.raises(ConfigurationError, match="in use"):
        listen(host="", port=0, uds=str(tmp_path / "notes.txt"))
    assert (tmp_path / "notes.txt").read_text() == "dear diary"


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"
        ):
            run(_app, port=port)


def test_ipv6_is_served_where_there_is_any() -> None:
    try:
        sock = listen(host="::1", port=0)
    except ConfigurationError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    with sock:
        assert re.fullmatch(r"http://\[::1\]:\d+", url_of(sock))


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError


@pytest.mark.security("C1")
def test_only_httptools_may_parse() -> None:
    with pytest.raises(ConfigurationError, match="httptools only, not by H11Protocol"):
        configure(_app, protocol=H11Protocol)  # type: ignore[arg-type]  # that is the point


@pytest.mark.security("C1")
def test_limits_are_plugged_in_as_a_protocol() -> None:
    class Limited(HttpToolsProtocol):
        pass

    logged = logging.getLogger("antiscrape"), logging.getLogger("uvicorn")
    before = [(log.handlers[:], log.propagate, log.level) for log in logged]
    try:
        assert configure(_app, protocol=Limited).http is Limited
        assert configure(_app).http is PROTOCOL
        assert configure(_app).proxy_headers is False
    finally:
        for log, (handlers, propagate, level) in zip(logged, before, strict=True):
            log.handlers[:], log.propagate = handlers, propagate
            log.setLevel(level)


@pytest.mark.security("C1")
def test_parsers_that_are_too_old_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_versions()
    versions = {
        "uvicorn": "0.54.0",
        "httptools": "0.7.1",
        "uvloop": "0.21.0rc1",
        "h11": "0.14.0",
        "aiohttp": "4.0",
    }
    monkeypatch.setattr("importlib.metadata.version", versions.__getitem__)
    monkeypatch.setattr("importlib.metadata.PackageNotFoundError", KeyError)
    with pytest.raises(ConfigurationError) as caught:
        check_versions()
    assert caught.value.problems == (
        "httptools 0.7.1 is too old; 0.8 or newer is safe",
        "h11 0.14.0 is too old; 0.16 or newer is safe",
    )
    del versions["uvloop"]
    with pytest.raises(ConfigurationError, match=r"uvloop is missing; install antiscrape\[serve\]"):
        check_versions()


def test_several_workers_need_an_import_string() -> None:
    with pytest.raises(ConfigurationError, match="import string"):
        run(_app, workers=2)


@pytest.mark.security("J5")
def test_a_log_record_is_one_line_of_ascii() -> None:
    def record(error: Exception) -> logging.LogRecord:
        about = (type(error), error, None)
        return logging.LogRecord("x", logging.ERROR, "", 0, "m\xe9\r\n%s", ("arg",), about)

    foreseen, other = record(UpstreamError("a\nb\u2028")), record(ValueError("c\x1bd\n"))
    assert OneLine().format(foreseen) == "antiscrape: error: UpstreamError: a\\nb\\u2028"
    line = OneLine().format(other)
    assert line == "antiscrape: error: m\\xe9\\r\\narg\\nValueError: c\\x1bd\\n"
    assert line.isascii()
    assert line.isprintable()
