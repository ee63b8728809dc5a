"""Load L5: ``antiscrape serve`` among 5,000 connections that never finish a head and 1,000 that read nothing.

With the limits that it has by default. Beside them a few people ask for what they ask for: what share of them is served, how long
they wait at the worst over how long before, how much memory all of it takes, and whether every slow one is gone in
the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtests.bench.costs import Cost
from loadtests.bench.figures import peak_mb
from loadtests.bench.peers import ROOT, SECRET
from loadtests.bench.visitors import API, IMAGE, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

#: How many people ask at once, how often each before the crowd comes, and how many seconds each has for an answer.
_PEOPLE: Final = 4
_QUIET: Final = 400
_LONGEST: Final = 30.0
#: Bytes of the picture that nobody reads: more than the kernel and the proxy keep for a connection.
_PICTURE: Final = 8_000_000
#: Seconds until every slow one has to be gone: an answer's rate is taken over half a minute.
_PATIENCE: Final = 180.0
#: Connections that are opened at once (a listener's queue is finite), and descriptors for all else.
_AT_ONCE: Final = 50
_SPARE: Final = 500


class Crowd(NamedTuple):
    """How many send half a head, and how many read nothing (SECURITY L5)."""

    trickling: int = 5_000
    unreading: int = 1_000


def crowded(crowd: Crowd | None = None, **settings: str) -> list[Cost]:
    """Measure, with ``settings`` as the environment names them; raise ``OSError`` where this machine does not let so many connections be opened."""
    crowd = crowd or Crowd()
    wanted, (soft, hard) = sum(crowd) + _SPARE, resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise FileNotFoundError(
                f"{wanted} connections need as many descriptors, and ulimit -Hn is {hard}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return asyncio.run(_measure(crowd, settings))


async def _measure(crowd: Crowd, settings: Mapping[str, str]) -> list[Cost]:
    async with _served(settings) as (port, pid):
        people = People(port)
        await asyncio.gather(*(people.look(_QUIET) for _ in range(_PEOPLE)))
        quiet, people.waits = people.waits, []
        base, slow = peak_mb(pid), list[socket.socket]()
        looking = [asyncio.create_task(people.look()) for _ in range(_PEOPLE)]
        try:
            await _come(port, crowd, slow)
            left = await _until_gone(slow)
        finally:
            for one in slow:
                one.close()
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)
        taken = peak_mb(pid) - base
    good = [wait for wait in people.waits if wait < math.inf]
    ratio = _p99(good) / _p99(quiet) if good else math.inf
    return [
        Cost("crowded_served", f"people served, among {sum(crowd):,} slow connections", len(good) / len(people.waits), f"of {len(people.waits):,}"),
        Cost("crowded_p99_ratio", "how long they wait (p99), over a quiet moment's", ratio, "x"),
        Cost("crowded_mb", "the most memory that all of it took, over a quiet moment's", taken, "MB"),
        Cost("crowded_left", "slow connections that are still open in the end", float(left), ""),
    ]  # fmt: skip


class People:
    """Visitors of the site, each on a connection of their own. ``waits`` are seconds, infinite for no good answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count()
        self.waits: list[float] = []

    async def look(self, times: int | None = None) -> None:
        """Ask so many ``times``, or until cancelled."""
        for _ in count() if times is None else range(times):
            self.waits.append(await self.ask())

    async def ask(self) -> float:
        """Have the next visitor ask once; return how long the whole answer took."""
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(_LONGEST):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    writer.write(request(next(self._numbers), API))
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length:")[2].split()[0])
                    await reader.readexactly(length)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, IndexError):
            return math.inf
        return time.perf_counter() - begun if head.startswith(b"HTTP/1.1 200") else math.inf


async def _come(port: int, crowd: Crowd, slow: list[socket.socket]) -> None:
    """Open the slow connections, those that read nothing among the others."""
    loop, every = asyncio.get_running_loop(), sum(crowd) // crowd.unreading

    async def one(number: int) -> None:
        reads = number % every != 0
        made = socket.socket()
        slow.append(made)
        made.settimeout(0)
        if not reads:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(made, ("127.0.0.1", port))
        whole = request(number, API if reads else IMAGE)
        await loop.sock_sendall(made, whole[:-4] if reads else whole)

    for first in range(0, sum(crowd), _AT_ONCE):
        await asyncio.gather(*map(one, range(first, min(first + _AT_ONCE, sum(crowd)))))


async def _until_gone(slow: list[socket.socket]) -> int:
    """Wait until the server has let go of all of them; return how many it still keeps when nobody waits any longer."""
    end, kept = time.monotonic() + _PATIENCE, slow
    while kept and time.monotonic() < end:
        still = list[socket.socket]()
        for first in range(
            0, len(kept), _AT_ONCE
        ):  # the people, whose waits are measured, run in this very loop
            still += [one for one in kept[first : first + _AT_ONCE] if not _is_gone(one)]
            await asyncio.sleep(0.005)
        kept = still
    return len(kept)


def _is_gone(one: socket.socket) -> bool:
    """Tell whether a connection is closed, from the kernel's own account of it: nothing is read (tcp(7), TCP_INFO)."""
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1


def _p99(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[-1]


@asynccontextmanager
async def _served(settings: Mapping[str, str]) -> AsyncIterator[tuple[int, int]]:
    """Run antiscrape in front of a site; give its port and its process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")} | {
        "ANTISCRAPE_SECRET": SECRET,
        "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]',
        "ANTISCRAPE__RECORD__EVENTS": "off",
        "ANTISCRAPE__RECORD__ADMIN": "",
        "ANTISCRAPE__IMAGES__FACES": "off",
        **settings,
    }
    async with contextlib.AsyncExitStack() as running:
        origin = await _started("-m", "loadtests.bench.origin", str(_PICTURE))
        running.push_async_callback(_end, origin)
        told = await asyncio.wait_for(_line_of(origin.stdout), _LONGEST)
        command = ["-m", "antiscrape", "serve", "--listen", "127.0.0.1:0"]
        served = await _started(*command, "--upstream", f"http://127.0.0.1:{told}", environment=environment)
        running.push_async_callback(_end, served)
        while "ready on" not in (told := await asyncio.wait_for(_line_of(served.stderr), _LONGEST)):
            pass
        drained = asyncio.create_task(_drain(served.stderr))
        running.callback(drained.cancel)
        yield int(told.partition("ready on http://127.0.0.1:")[2].partition(",")[0]), served.pid


async def _started(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    pipe = subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def _line_of(stream: asyncio.StreamReader | None) -> str:
    line = await stream.readline() if stream is not None else b""
    if not line:
        raise ConnectionError("a part of the bench did not start")
    return line.decode().strip()


async def _drain(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(65_536):
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
