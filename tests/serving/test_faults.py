"""Faults of a whole process: no descriptor left, clients that vanish at any byte, a supervisor that is killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz import sized
from tests.groups import group
from tests.house import SPARE, photo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
#: Never judged, so that a test may ask as often as it likes.
TASKS = "/.well-known/tasks"
MADE = """
import asyncio, os
from pathlib import Path
from antiscrape import AntiscrapeMiddleware

PHOTO = Path(__file__).with_name("photo.jpg").read_bytes()

async def site(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    told = scope["path"].startswith("/.well-known/")
    body = f"{len(asyncio.all_tasks())} {os.getpid()}".encode() if told else PHOTO
    kind = b"text/plain" if told else b"image/jpeg"
    while not told and scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for at in range(0, len(body), 4096):
        await send({"type": "http.response.body", "body": body[at:at + 4096], "more_body": at + 4096 < len(body)})
        await asyncio.sleep(0)

def factory():
    return AntiscrapeMiddleware(site)
"""
MAIN = """
import sys
from antiscrape.serving.runner import run
if __name__ == "__main__":
    sys.exit(run("made:factory", factory=True, port=0, workers=int(sys.argv[1]), ready=lambda url: print(url, flush=True)))
"""


class Running:
    """The middleware in a server in processes of its own."""

    def __init__(self, folder: Path, workers: int, enter: Sequence[str] = (), **settings: str) -> None:
        (folder / "photo.jpg").write_bytes(photo())
        (folder / "made.py").write_text(MADE)
        (folder / "main.py").write_text(MAIN)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")}
        self.process = subprocess.Popen(
            [*enter, sys.executable, folder / "main.py", str(workers)],
            env={
                **environ,
                "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
                "ANTISCRAPE_SECRET": "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f",
                "ANTISCRAPE__RECORD__EVENTS": "off",
                **SPARE,
                **settings,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that whatever becomes of it, its workers can be ended with it
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def tasks(self) -> tuple[int, int]:
        """Return how many tasks there are in the process that answers, and which it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", TASKS)
            count, pid = connection.getresponse().read().split()
            return int(count), int(pid)

    def end(self) -> None:
        """Have it end as an operator does; ``said`` is then what it wrote to stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, self.said = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, self.said

    def stranger(self) -> tuple[int, str]:
        """Ask for a picture as a tool does; return the status and Retry-After, and see that it is not the original."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/photos/1.jpg", headers={"User-Agent": "curl/8.5.0"})
            answer = connection.getresponse()
            assert answer.read() != photo()
            return answer.status, answer.headers.get("Retry-After", "")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process that serves, for all tests that leave it well."""
    running = Running(tmp_path_factory.mktemp("alone"), 1)
    yield running
    running.process.send_signal(signal.SIGTERM)
    try:
        _, stderr = running.process.communicate(timeout=PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
    assert running.process.returncode == 0, stderr


def test_without_a_descriptor_left_others_are_let_go_and_it_recovers(alone: Running) -> None:
    """Fault 27: who is in goes on being served; who comes too many is let go at once, and not kept waiting."""
    pid = alone.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) + 12
    with alone.connect() as served:
        assert status_of(served) == 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, limits[1]))
        try:
            with contextlib.ExitStack() as stack:
                many = [stack.enter_context(alone.connect()) for _ in range(40)]
                assert any(gone(one) for one in reversed(many))
                assert status_of(served) == 200
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert alone.tasks()[1] == pid


def status_of(connection: socket.socket) -> int:
    """Ask on a connection that is kept, and read the whole answer, in however many pieces it comes."""
    connection.sendall(f"GET {TASKS} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    with contextlib.closing(http.client.HTTPResponse(connection)) as answer:
        answer.begin()
        answer.read()
        return answer.status


def gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_clients_that_vanish_at_any_byte_leave_no_task_behind(alone: Running) -> None:
    """Fault 30: before the head is whole, in a body that they send, and in a picture that they are sent."""
    source = random.Random(30)
    before = alone.tasks()[0]
    requests = [
        b"GET /photos/1.jpg HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
        b"GET /photos/2.jpg HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0\r\n\r\n",
        b"POST /photos/3.jpg HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n" + b"x" * 4000,
    ]
    for turn in range(sized(150, 10_000)):
        request = requests[turn % len(requests)]
        with alone.connect() as client:
            client.sendall(request[: source.randint(0, len(request))] if turn % 2 else request)
            if turn % 4 == 0 and request.startswith(b"GET"):
                client.recv(source.randint(1, 20_000))
            # closed with a reset, as a process that was killed or a network that is gone (socket(7), SO_LINGER)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", source.randint(0, 1), 0))
    deadline = time.monotonic() + PATIENCE
    while (left := alone.tasks()[0]) > before:
        assert time.monotonic() < deadline, f"{left} tasks, and {before} before"


def test_a_log_that_nobody_reads_holds_nobody_up_and_a_full_disk_leaves_a_gap(tmp_path: Path) -> None:
    """Faults 24 and 25: events and the log go to a pipe that is full, then to a disk that is, and everybody is served."""
    piped, filed = tmp_path / "piped", tmp_path / "filed"
    for where in (piped, filed):
        where.mkdir()
    often = {"ANTISCRAPE__STANDING__BOT__REQUESTS": "1000000/min", "ANTISCRAPE__IMAGES__FACES": "off"}
    with ending(Running(piped, 1, ANTISCRAPE__RECORD__EVENTS="stderr", **often)) as running:
        served(running, 400)  # their events are four times what the pipe holds
        running.end()
        assert len(events_in(running.said)) == 400
    path = filed / "events.jsonl"
    with ending(Running(filed, 1, ANTISCRAPE__RECORD__EVENTS=str(path), **often)) as running:
        served(running, 5)
        limits = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size_of(path, 5) + 300, limits[1]))
        served(running, 20)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limits)
        served(running, 5)
        running.end()
    rows = [parsed(line) for line in path.read_text().splitlines()]
    torn = [row for row in rows if row is None]
    lost = sum(row["lost"] for row in rows if row is not None and row["event"] == "events-lost")
    assert len(torn) <= 1
    assert lost > 0
    assert sum(row is not None and row["event"] == "verdict" for row in rows) + lost == 30


def served(running: Running, times: int) -> None:
    for _ in range(times):
        assert running.stranger()[0] == 200


def size_of(path: Path, lines: int) -> int:
    deadline = time.monotonic() + PATIENCE
    while (found := path.read_bytes()).count(b"\n") < lines:
        assert time.monotonic() < deadline
    return len(found)


def events_in(text: str) -> list[dict[str, Any]]:
    found = [parsed(line) for line in text.splitlines() if line.startswith("{")]
    return [row for row in found if row is not None and row["event"] == "verdict"]


def parsed(line: str) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return row


@contextlib.contextmanager
def ending(running: Running) -> Iterator[Running]:
    """See that nothing of a server is left."""
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.communicate()


#: Takes memory until its group is nearly full, and holds it until its input ends.
BALLOON = """
import sys
from antiscrape.operate.memory import memory_share
held = []
while memory_share(0) < 0.96:
    held.append(bytearray(2**20))
print("full", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_at_the_limit_of_its_group_it_sheds_and_lives_and_recovers(tmp_path: Path) -> None:
    """Fault 29: strangers get 503 with a time to come again, nobody gets an original for it, and nobody is killed."""
    settings = {"ANTISCRAPE__OVERLOAD__CALM": "1s", "ANTISCRAPE__IMAGES__FACES": "off"}
    settings |= {f"ANTISCRAPE__STANDING__{who}__REQUESTS": "1000000/min" for who in ("BOT", "UNKNOWN")}
    with (
        group("antiscrape-full", 640 * 2**20) as enter,
        ending(Running(tmp_path, 1, enter, **settings)) as running,
    ):
        assert running.stranger()[0] == 200
        balloon = subprocess.Popen(
            [*enter, sys.executable, "-c", BALLOON],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert balloon.stdout is not None
            assert balloon.stdout.readline() == "full\n"
            assert until(running.stranger, lambda got: got[0] == 503)[1]
            assert balloon.poll() is None
        finally:
            balloon.communicate()
        until(running.stranger, lambda got: got[0] == 200)
        running.end()


def until(ask: Callable[[], tuple[int, str]], good: Callable[[tuple[int, str]], bool]) -> tuple[int, str]:
    """Ask until the answer is good."""
    deadline = time.monotonic() + PATIENCE
    while not good(got := ask()):
        assert time.monotonic() < deadline, got
    return got


@pytest.mark.slow
def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """Whoever kills it finds the address free again: no worker goes on serving that nobody minds."""
    running = Running(tmp_path, 2)
    pids = {running.tasks()[1]}
    try:
        running.process.kill()
        running.process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while serves(running.port):
            assert time.monotonic() < deadline, f"{pids} still serve"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        running.process.communicate()


def serves(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:  # it was taken, and let go in the same moment
        return True
    return True
