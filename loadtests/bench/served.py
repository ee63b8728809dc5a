"""What a request costs a server process: A, B, A, C, A ... against the bare site, in CPU time.

The wall clock of a shared machine says little, so a run's figure is the CPU time of the server
process over the requests it answered, and a contender's figure is the ratio to the bare site's runs
right before and right after its own. Of those ratios the median is reported.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import statistics
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from loadtests.bench.figures import Spread, cpu_seconds, spread
from loadtests.bench.peers import ROOT
from loadtests.bench.variants import VARIANTS, Variant
from loadtests.bench.visitors import VISITS, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from loadtests.bench.generator import Generator
    from loadtests.bench.peers import Environment

_UNLIMITED = 1_000_000
_TINY = 3
_CONNECTIONS = 32
_HEAVY_CONNECTIONS = 2
_HEAVY_ROUNDS = 1


class Server:
    """One contender in a process of its own; use it as a context."""

    def __init__(self, variant: Variant, environment: Environment, *, limit: int = _UNLIMITED) -> None:
        self.variant = variant
        command = [environment.python, "-m", "loadtests.bench.serve", variant.name, str(limit)]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.port = 0

    def __enter__(self) -> Self:
        """Wait until it listens; raise ``OSError`` where it ends instead."""
        stdout = self._process.stdout
        line = stdout.readline() if stdout is not None else b""
        if not line.strip().isdigit():
            self._process.wait(10)
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            self._stop()
            raise ConnectionError(
                f"{self.variant.name} did not start: {said[-1] if said else 'no word of why'}"
            )
        self.port = int(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._stop()

    def cpu(self) -> float:
        """Return its CPU seconds so far."""
        return cpu_seconds(self._process.pid)

    def ask(self, client: int, target: str) -> int:
        """Send one request of a client; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
            for name, value in fields(client, target):
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def _stop(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


class Run(NamedTuple):
    """One run of one server: CPU µs per request, requests per second, and answers that were no 200."""

    cpu: float
    rate: float
    failures: int


class Row(NamedTuple):
    """A contender's figures on one target; ``ratio`` is its CPU time over the bare site's beside it."""

    name: str
    target: str
    cpu: float
    added: float
    ratio: Spread
    rate: float
    runs: int
    failures: int


def counts_per_client(variant: Variant, environment: Environment, target: str) -> str:
    """Return ``""`` where a limit of three a minute stops one client and not the next, else what happened."""
    with Server(variant, environment, limit=_TINY) as server:
        one = [server.ask(1, target) for _ in range(6)]
        other = [server.ask(2, target) for _ in range(2)]
    if one[:_TINY] != [200] * _TINY or 200 in one[-1:] or other != [200, 200]:
        return f"does not count per client: {one} for one client, {other} for the next"
    return ""


def measure(server: Server, generator: Generator, target: str, *, seconds: float) -> Run:
    """Load one server once, until it has done all that follows."""
    connections = _HEAVY_CONNECTIONS if server.variant.heavy else _CONNECTIONS
    before = server.cpu()
    load = generator.load(server.port, target, seconds=seconds, connections=connections)
    time.sleep(server.variant.settles)
    spent = server.cpu() - before
    return Run(spent / max(1, load.answers) * 1e6, load.answers / load.seconds, load.failures)


def compare(
    names: Iterable[str],
    environment: Environment,
    generator: Generator,
    target: str,
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> list[Row]:
    """Measure contenders on one target, the bare site between any two; a row for each, the bare one first."""
    with contextlib.ExitStack() as running:
        bare, *servers = [
            running.enter_context(Server(VARIANTS[name], environment)) for name in ("bare", *names)
        ]
        for server in (bare, *servers):
            _warm(server, generator, target, seconds=seconds)
        return _rounds(bare, servers, generator, target, rounds=rounds, seconds=seconds, say=say)


def _warm(server: Server, generator: Generator, target: str, *, seconds: float) -> None:
    """Load a server until the clients that a run reaches are known; each load begins with the first of them."""
    for _ in range(1 if server.variant.heavy else VISITS):
        measure(server, generator, target, seconds=2 * seconds)


def _rounds(
    bare: Server,
    servers: list[Server],
    generator: Generator,
    target: str,
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> list[Row]:
    alone: list[Run] = []
    runs: dict[str, list[tuple[Run, float]]] = {server.variant.name: [] for server in servers}
    dice = random.Random(1)
    before = measure(bare, generator, target, seconds=seconds)
    for number in range(rounds):
        due = [server for server in servers if not server.variant.heavy or number < _HEAVY_ROUNDS]
        dice.shuffle(due)
        for server in due:
            run = measure(server, generator, target, seconds=seconds)
            after = measure(bare, generator, target, seconds=seconds)
            runs[server.variant.name].append((run, (before.cpu + after.cpu) / 2))
            alone.append(after)
            before = after
        say(f"{target}: round {number + 1} of {rounds}")
    base = statistics.median([run.cpu for run in alone])
    rate = statistics.median([run.rate for run in alone])
    failures = sum(run.failures for run in alone)
    first = Row("bare", target, base, 0.0, Spread(1.0, 1.0, 1.0), rate, len(alone), failures)
    return [first, *[_row(name, target, base, found) for name, found in runs.items() if found]]


def _row(name: str, target: str, base: float, found: list[tuple[Run, float]]) -> Row:
    ratio = spread([run.cpu / beside for run, beside in found])
    rate = statistics.median([run.rate for run, _ in found])
    failures = sum(run.failures for run, _ in found)
    cpu = base * ratio.median
    return Row(name, target, cpu, cpu - base, ratio, rate, len(found), failures)
