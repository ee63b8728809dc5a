"""What it costs to stand in front of a site: proxies side by side, in one run, interleaved, before the same site.

Where there are two cores, the proxy that is measured has one, and the site and the load the other.
A figure is the CPU time of the proxy's process over the requests that it answered; of a contender's runs
the median is reported. The site's own time is not counted.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from loadtests.bench.figures import Spread, cpu_seconds, spread
from loadtests.bench.forwarders import FORWARDERS, Forwarder, command_of
from loadtests.bench.peers import ROOT
from loadtests.bench.visitors import API, IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from loadtests.bench.generator import Generator

_CONNECTIONS = 32
_PATIENCE = 30.0
#: What is asked for: the small answer and the large one.
TARGETS = {API: "1 KB", IMAGE: "100 KB"}


class Row(NamedTuple):
    """A contender's CPU µs per request on one target, and requests per second as they came."""

    name: str
    target: str
    cpu: Spread
    rate: float
    failures: int


class _Process:
    """A server in a process of its own, ended with the context."""

    def __init__(self, command: list[str], *, port: int = 0) -> None:
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.pid = self._process.pid
        self.port = port

    def __enter__(self) -> Self:
        """Wait until it listens; raise ``OSError`` where it does not."""
        stdout = self._process.stdout
        if not self.port and stdout is not None:
            line = stdout.readline()
            if not line.strip().isdigit():
                raise ConnectionError(f"{self._process.args!r} did not start")
            self.port = int(line)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        if self.port and self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def forward(
    generator: Generator,
    *,
    rounds: int,
    seconds: float,
    skipped: dict[str, str],
    say: Callable[[str], None],
    names: Sequence[str] = tuple(FORWARDERS),
) -> list[Row]:
    """Measure every proxy that is to be had; a row for each and each target. ``skipped`` learns of the others."""
    with contextlib.ExitStack() as running:
        cores = running.enter_context(apart())
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="antiscrape-proxies-"))
        site = running.enter_context(_Process([sys.executable, "-m", "loadtests.bench.origin"]))
        servers: dict[str, _Process] = {}
        for name in names:
            try:
                servers[name] = running.enter_context(_start(FORWARDERS[name], site.port, folder))
            except OSError as error:
                skipped[name] = str(error)
        for server in servers.values():
            if cores:
                os.sched_setaffinity(server.pid, cores)
        for target in TARGETS:  # so that no measured run meets a client for the first time
            for server in servers.values():
                generator.load(server.port, target, seconds=seconds, connections=_CONNECTIONS)
        return list(_measure(servers, generator, rounds=rounds, seconds=seconds, say=say))


@contextlib.contextmanager
def apart() -> Iterator[set[int]]:
    """Keep this process, and with it the site and the load, to all cores but one; give that one, for the proxies."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        yield set()
        return
    os.sched_setaffinity(0, cores[1:])
    try:
        yield {cores[0]}
    finally:
        os.sched_setaffinity(0, cores)


def _start(forwarder: Forwarder, site: int, folder: str) -> _Process:
    if forwarder.build is not None:
        command = [sys.executable, "-m", "loadtests.bench.forwarders", forwarder.name, str(site)]
        return _Process(command)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return _Process(command_of(forwarder, site, port, folder), port=port)


def _measure(
    servers: dict[str, _Process],
    generator: Generator,
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> Iterator[Row]:
    dice = random.Random(1)
    for target in TARGETS:
        found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in servers}
        for number in range(rounds):
            order = list(servers)
            dice.shuffle(order)
            for name in order:
                before = cpu_seconds(servers[name].pid)
                load = generator.load(servers[name].port, target, seconds=seconds, connections=_CONNECTIONS)
                spent = cpu_seconds(servers[name].pid) - before
                answers = max(1, load.answers)
                found[name].append((spent / answers * 1e6, answers / load.seconds, load.failures))
            say(f"{target}: round {number + 1} of {rounds}")
        for name, runs in found.items():
            rate = spread(run[1] for run in runs).median
            yield Row(name, target, spread(run[0] for run in runs), rate, sum(run[2] for run in runs))


def faster(rows: list[Row], target: str) -> float | None:
    """Return how many times the requests per CPU second of the best rival ours answers; None without a rival."""
    costs = {row.name: row.cpu.median for row in rows if row.target == target}
    rivals = [cost for name, cost in costs.items() if FORWARDERS[name].rival]
    return min(rivals) / costs["ours"] if rivals and "ours" in costs else None
