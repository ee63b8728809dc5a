"""The load: a closed loop of keep-alive connections in a process of its own.

``wrk`` is used where it is installed; where it is not, this module's own loop over raw sockets does
the same. Both send the same prepared requests, so what a server costs does not depend on which of
them asked (``tests/loadtests`` holds the own one to what it reports).
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, Self

from loadtests.bench.visitors import CLIENTS, request

_SCRIPT = Path(__file__).with_name("wrk.lua")
_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200"
_LENGTH = b"\r\ncontent-length: "
#: Seconds beyond the run's own that a server may take over its last answers (fastapi-guard takes some).
_GRACE = 30.0


class Load(NamedTuple):
    """What came back: answers, those that were not 200, bytes of them, and the seconds it took."""

    answers: int
    failures: int
    bytes: int
    seconds: float


class _Connection:
    """One keep-alive connection that waits for one answer at a time."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = -1
        self._head = b""
        self.failed = False

    def receive(self) -> tuple[int, bool]:
        """Read once; return the bytes read, and whether the answer is complete. Raise where it was cut."""
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionError("the server hung up in the middle of an answer")
        if self._left >= 0:
            self._left -= len(data)
        else:
            self._head += data
            end = self._head.find(_END)
            if end < 0:
                return len(data), False
            head = self._head[:end]
            self.failed = not head.startswith(_OK)
            at = head.lower().find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._left = end + len(_END) + length - len(self._head)
        if self._left > 0:
            return len(data), False
        self._left, self._head = -1, b""
        return len(data), True


def drive(port: int, requests: list[bytes], *, seconds: float, connections: int) -> Load:
    """Ask in a closed loop for ``seconds``, in the order of ``requests``, then wait for what is under way."""
    answers = failures = received = 0
    following = 0
    with selectors.DefaultSelector() as selector:
        open_ones = [_Connection(port) for _ in range(connections)]
        start = time.perf_counter()
        end = start + seconds
        for connection in open_ones:
            selector.register(connection.sock, selectors.EVENT_READ, connection)
            connection.sock.sendall(requests[following % len(requests)])
            following += 1
        waiting = len(open_ones)
        try:
            while waiting:
                ready = selector.select(_GRACE)
                if not ready:
                    raise TimeoutError("the server fell silent")
                for key, _ in ready:
                    connection = key.data
                    size, complete = connection.receive()
                    received += size
                    if not complete:
                        continue
                    answers += 1
                    failures += connection.failed
                    if time.perf_counter() < end:
                        connection.sock.sendall(requests[following % len(requests)])
                        following += 1
                    else:
                        waiting -= 1
            return Load(answers, failures, received, time.perf_counter() - start)
        finally:
            for connection in open_ones:
                connection.sock.close()


class Generator:
    """A process that makes load when it is told to; use it as a context. ``wrk`` names its path, or is ``""``."""

    def __init__(self, *, wrk: str | None = None) -> None:
        self.wrk = (shutil.which("wrk") or "") if wrk is None else wrk
        self._process: subprocess.Popen[str] | None = None
        self._files: dict[str, Path] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="antiscrape-bench-")

    def __enter__(self) -> Self:
        """Start the own process, where there is no wrk."""
        if not self.wrk:
            command = [sys.executable, "-m", "loadtests.bench.generator"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(_GRACE)
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._folder.cleanup()

    def load(self, port: int, target: str, *, seconds: float, connections: int) -> Load:
        """Make load; raise ``OSError`` where the server failed under it."""
        if self.wrk:
            return self._by_wrk(port, target, max(1, round(seconds)), connections)
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the generator was not entered")
        print(json.dumps([port, target, seconds, connections]), file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline() or '"the generator ended"')
        if isinstance(answer, str):
            raise ConnectionError(answer)
        return Load(*answer)

    def _by_wrk(self, port: int, target: str, seconds: int, connections: int) -> Load:
        file = self._files.get(target)
        if file is None:
            file = self._files[target] = Path(self._folder.name, f"{len(self._files)}.requests")
            file.write_bytes(b"".join(request(number, target) for number in range(CLIENTS)))
        command = [self.wrk, "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={_GRACE:.0f}s"]
        command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}/"]
        environment = os.environ | {"BENCH_REQUESTS": str(file)}
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 2 * _GRACE,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
        if done.returncode or not lines:
            raise ConnectionError(f"wrk: {(done.stderr or done.stdout).strip()[-200:]}")
        return Load(*json.loads(lines[-1]))


def main() -> None:
    """Make load for every line of stdin, and write what came back."""
    prepared: dict[str, list[bytes]] = {}
    for line in sys.stdin:
        port, target, seconds, connections = json.loads(line)
        if target not in prepared:
            prepared[target] = [request(number, target) for number in range(CLIENTS)]
        answer: Load | str
        try:
            answer = drive(port, prepared[target], seconds=seconds, connections=connections)
        except OSError as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
