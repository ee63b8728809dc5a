"""The admin socket of a whole server: its workers tell one sum, and its drain is told before it ends."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.neighbours import KNOWN
from tests.fuzz import sized
from tests.house import SPARE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
#: A path that is never limited, so that these tests may ask as often as they like.
PAGE = "/robots.txt"
MADE = """
import asyncio, os, sys
from dataclasses import replace
from pathlib import Path
from antiscrape import AntiscrapeMiddleware, load_policy
from antiscrape.serving.admin_server import FOLDER, AdminServer, WithAdmin
from antiscrape.operate.meter import Meter

async def site(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/die":
        os.kill(os.getpid(), 9)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.to_thread(sys.stdin.readline)
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

def factory():
    policy = load_policy()
    policy = replace(policy, record=replace(policy.record, events="off"))
    made = AntiscrapeMiddleware(site, policy=policy)
    recorder = made._estate.recorder
    meter = Meter(policy, recorder=recorder, sink=recorder._sink, store=made.store, images=made._estate.renderer)
    folder = os.environ.get(FOLDER)
    return WithAdmin(made, AdminServer(meter, policy.record.admin, folder=Path(folder) if folder else None))
"""
MAIN = """
import os, sys
from antiscrape.serving.admin_server import ADMIN, FOLDER, for_workers
from antiscrape.serving.runner import run
if __name__ == "__main__":
    workers = int(sys.argv[1])
    with for_workers(sys.argv[2]) as told:
        os.environ.update(told)
        print(told[ADMIN], told[FOLDER], flush=True)
        status = run("made:factory", factory=True, workers=workers, port=0, ready=lambda url: print(url, flush=True))
    sys.exit(status)
"""


class Running:
    """A server in processes of its own: ``url`` is the site's, ``admin`` the admin socket's."""

    def __init__(self, folder: Path, workers: int, admin: str = "127.0.0.1:0") -> None:
        (folder / "made.py").write_text(MADE)
        (folder / "main.py").write_text(MAIN)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", folder / "main.py", str(workers), admin],
            env={
                **os.environ,
                KNOWN: "1",  # that each counts for itself is no news here
                "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
                "ANTISCRAPE_SECRET": "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f",
                **SPARE,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that whatever becomes of it, its workers can be ended with it
        )
        self.admin, _, figures = self.line().partition(" ")
        self.figures = Path(figures)
        self.url = self.line().removeprefix("http://")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ended(self) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, stderr


@pytest.fixture
def started() -> Iterator[list[Running]]:
    running: list[Running] = []
    yield running
    for one in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate(timeout=PATIENCE)


def get(where: str, path: str) -> tuple[int, str]:
    unix = where.startswith("unix:")
    connection = http.client.HTTPConnection("localhost" if unix else where, timeout=PATIENCE)
    with contextlib.closing(connection):
        if unix:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(where.removeprefix("unix:"))
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def judged(where: str) -> int:
    """Return the verdicts that a scrape tells of, of any kind."""
    status, body = get(where, "/metrics")
    assert status == 200
    return int(
        sum(float(value) for value in re.findall(r"(?m)^antiscrape_verdicts_total\{.*\} (\S+)$", body))
    )


@pytest.mark.slow
def test_any_worker_tells_the_sum_and_no_counter_goes_backwards(
    tmp_path: Path, started: list[Running]
) -> None:
    """Fault 19 among it: a worker that is killed takes nothing along that was ever told."""
    server = Running(tmp_path, 2)
    started.append(server)
    pids: set[str] = set()
    told = [0]
    for _ in range(60):
        pids.add(get(server.url, PAGE)[1])
        told.append(judged(server.admin))
    deadline = time.monotonic() + PATIENCE
    while told[-1] < 60:  # what another worker counted is told within its tick
        assert time.monotonic() < deadline
        told.append(judged(server.admin))
    assert len(pids) == 2
    assert told == sorted(told)
    assert told[-1] == 60
    with pytest.raises((http.client.HTTPException, OSError)):
        get(server.url, "/die")
    while len(pids) < 3:
        assert time.monotonic() < deadline
        with contextlib.suppress(OSError, http.client.HTTPException):
            pids.add(get(server.url, PAGE)[1])
            told.append(judged(server.admin))
    assert told == sorted(told)
    assert told[-1] >= 61
    assert "\nantiscrape_workers 2.0\n" in get(server.admin, "/metrics")[1]
    server.process.send_signal(signal.SIGTERM)
    status, stderr = server.ended()
    assert status == 0
    assert re.fullmatch(
        r"antiscrape: warning: worker \d+ ended with status -9; another takes its place\n", stderr
    )
    assert not server.figures.exists()


def ask_on(url: str, enough: threading.Event, answers: list[str], failures: list[Exception]) -> None:
    """Ask a hundred times a second on a connection that is kept, and repeat nothing that fails."""
    connection = http.client.HTTPConnection(url, timeout=PATIENCE)
    with contextlib.closing(connection):
        while not enough.wait(0.01):
            try:
                connection.request("GET", PAGE)
                answers.append(connection.getresponse().read().decode())
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
                connection.close()


@pytest.mark.slow
def test_a_rolling_restart_loses_no_request_and_no_look_at_its_health(
    tmp_path: Path, started: list[Running]
) -> None:
    """Fault 21: a worker goes when another serves in its place; the admin socket is there all the time, and ready."""
    server = Running(tmp_path, 2, f"unix:{tmp_path}/a.sock")
    started.append(server)
    made = 20
    seen = {get(server.url, PAGE)[1] for _ in range(made)}
    answers: list[str] = []
    failures: list[Exception] = []
    enough = threading.Event()
    clients = [
        threading.Thread(target=ask_on, args=(server.url, enough, answers, failures)) for _ in range(2)
    ]
    for client in clients:
        client.start()
    looks: set[tuple[int, str]] = set()
    for _ in range(sized(1, 20)):
        server.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 2 * PATIENCE
        before = set(seen)
        # a connection that is kept stays with its worker, so whoever wants to see both new ones connects anew
        while len(seen - before) < 2:
            assert time.monotonic() < deadline
            enough.wait(0.01)  # what asks without a pause takes the processor that new workers start on
            looks.add(get(server.admin, "/readyz"))
            seen.add(get(server.url, PAGE)[1])
            made += 1
    enough.set()
    for client in clients:
        client.join()
    assert failures == []
    assert looks <= {(200, "ready\n"), (503, "stalled\n")}  # the machine may be, but nobody drains
    while judged(server.admin) < made + len(answers):  # those of the workers that went are among them
        assert time.monotonic() < deadline
    server.process.send_signal(signal.SIGTERM)
    status, stderr = server.ended()
    stalls = [line for line in stderr.splitlines() if "the event loop has not turned" in line]
    assert (status, stderr.splitlines()) == (
        0,
        stalls,
    )  # the machine may be slow, but nobody has anything else to say
    assert not (tmp_path / "a.sock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_readiness_ends_with_the_drain_and_health_does_not(
    tmp_path: Path, started: list[Running], workers: int
) -> None:
    """Fault 20: a load balancer sees that no request should come, while those that run finish."""
    server = Running(tmp_path, workers)
    started.append(server)
    assert get(server.admin, "/readyz") == (200, "ready\n")
    host, _, port = server.url.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = client.recv(65536)
        while b"begun" not in received:
            received += client.recv(65536)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while get_or_none(server.admin, "/readyz") != (503, "draining\n"):
            assert time.monotonic() < deadline
        assert get(server.admin, "/healthz") == (200, "alive\n")
        assert server.process.stdin is not None
        server.process.stdin.write("go on\n")
        server.process.stdin.flush()
        while client.recv(65536):
            pass
    assert server.ended() == (0, "")


def get_or_none(where: str, path: str) -> tuple[int, str] | None:
    """Ask a socket that an idle worker may be closing at this moment."""
    try:
        return get(where, path)
    except (OSError, http.client.HTTPException):
        return None
