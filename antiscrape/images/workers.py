"""A bounded pool of worker processes, in which hostile bytes are decoded.

Not ``multiprocessing`` nor ``ProcessPoolExecutor``: inside somebody else's server those import the
host's ``__main__`` again or fork its threads, and one dead child breaks the whole pool. A worker is
a plain program on a socket. Nothing in here belongs to an event loop while no job runs, so one pool
serves several loops in a row, under asyncio and uvloop alike; it is not for two loops at once.

Every way a job can end is a :class:`Reply`; nothing is raised but ``CancelledError``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import weakref
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape import clock
from antiscrape.errors import ConfigurationError
from antiscrape.images.faces.extra import folders
from antiscrape.images.frames import HEAD, LARGEST_REPLY, Duty, Order, Outcome, Reply

if TYPE_CHECKING:
    from antiscrape.core.rules import ImageRules

_log = logging.getLogger(__name__)

#: Jobs after which a worker is replaced, so that what a decoder leaks or has been made to keep ends with it.
MOST_JOBS = 500
#: Seconds in which a worker must have started: a healthy machine takes 0.7, one with seven times its work ten.
START_TIMEOUT = 30.0
#: Seconds without another attempt after workers failed to start: doubled each time, up to the last.
FIRST_REST, LONGEST_REST = 1.0, 60.0
#: The queue holds this many times ``max_bytes`` of sources at most, however many they are.
QUEUED_SOURCES = 4

# The worker's interpreter is isolated (-I: no PYTHON* variables, no current directory) and reads no .pth
# files (-S). This package, Pillow and the face detector come last on its path, so that nothing lying beside
# them can pass for a module of the standard library.
_BOOTSTRAP = (
    "import sys; sys.path += sys.argv[2:]; from antiscrape.images.worker import main; main(sys.argv[1])"
)


def worker_command(rules: ImageRules) -> list[str]:
    """Return the command that starts a worker; raise ``ConfigurationError`` where there can be none."""
    pillow = importlib.util.find_spec("PIL")  # finds a top-level package without importing it
    if pillow is None or pillow.origin is None:
        msg = "images: Pillow is not installed, so no rendition can be made"
        raise ConfigurationError(msg)
    if not sys.executable:
        msg = "images: sys.executable is not set, so no image worker can be started"
        raise ConfigurationError(msg)
    ours, pillows = Path(__file__).resolve().parents[2], Path(pillow.origin).resolve().parents[1]
    settings = json.dumps(asdict(rules))
    paths = dict.fromkeys(map(str, (ours, pillows, *folders(rules))))
    return [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, settings, *paths]


class Worker:
    """One process and the parent's end of its line."""

    def __init__(self, command: list[str], hello: bytes) -> None:
        self.jobs = 0
        self.line, theirs = socket.socketpair()
        self.line.settimeout(0)
        with theirs:
            try:
                self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell, no client text
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # codecs print what hostile files tell them to
                    cwd="/",
                    env=_environment(),
                )
                self.line.send(hello)  # some dozen bytes: the socket has room for them
            except BaseException:
                self.line.close()
                raise

    async def started(self) -> Reply:
        """Wait for the worker's first word: READY, or UNFIT and why. Raise ``OSError`` where it dies first."""
        return await self._reply(0)

    async def work(self, order: Order, source: bytes) -> Reply:
        """Hand over one job and return its reply; raise ``OSError`` where the worker dies or talks nonsense."""
        self.jobs += 1
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.line, HEAD.pack(len(source), self.jobs, order.task) + order.pack())
        await loop.sock_sendall(self.line, source)
        return await self._reply(self.jobs)

    async def _reply(self, tag: int) -> Reply:
        length, got, outcome = HEAD.unpack(await self._read(HEAD.size))
        if got != tag or length > LARGEST_REPLY or outcome >= Outcome.BUSY:
            msg = "its reply is not one to its job"
            raise ConnectionError(msg)
        try:
            return Reply(Outcome(outcome), await self._read(length))
        except ValueError as error:
            msg = "its reply is of no known kind"
            raise ConnectionError(msg) from error

    async def _read(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        buffer = bytearray(length)
        rest = memoryview(buffer)
        while rest:
            taken = await loop.sock_recv_into(self.line, rest)
            if not taken:
                msg = "it ended"
                raise ConnectionError(msg)
            rest = rest[taken:]
        return bytes(buffer)

    def kill(self) -> None:
        """End the process, whatever it is doing (a stopped one too); reap it later."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


def _environment() -> dict[str, str]:
    """Return the little that a worker may know: the server's environment holds secrets."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    # One arena: glibc reserves 64 MB of address space for each, which RLIMIT_AS counts.
    return {**kept, "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}


class _Seat:
    """A place for one worker, which comes with the first job and is replaced when it is lost."""

    __slots__ = ("worker",)

    def __init__(self) -> None:
        self.worker: Worker | None = None


class WorkerPool:
    """At most ``rules.workers`` processes and ``rules.queue`` jobs waiting for them.

    ``hello`` tells the workers their duty.
    """

    def __init__(self, rules: ImageRules, hello: bytes = Duty.MAKE.hello()) -> None:
        self._rules = rules
        self._hello = hello
        self._command = worker_command(rules)
        self._seats = [_Seat() for _ in range(rules.workers)]
        self._free = list(self._seats)
        self._waiting: deque[asyncio.Future[_Seat | None]] = deque()
        self._waiting_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refilling: set[asyncio.Task[None]] = set()
        self._closed = False
        self._failures = 0
        self._problem = ""
        self._rest_until = 0.0
        # Every worker that is not known to be gone; shared with the finaliser, which must not hold the pool.
        self._living: set[Worker] = set()
        self._finalizer = weakref.finalize(self, _end_all, self._living)
        _pools.add(self)

    async def run(self, order: Order, source: bytes) -> Reply:
        """Return the reply to one job, within about twice ``rules.timeout``: once to wait, once to work."""
        if self._closed or not self._adopt(asyncio.get_running_loop()):
            return Reply(Outcome.CLOSED)
        seat = self._free.pop() if self._free else await self._wait(len(source))
        if seat is None:
            return Reply(Outcome.CLOSED if self._closed else Outcome.BUSY)
        try:
            reply = await self._work(seat, order, source)
        except BaseException:
            self._give_back(seat)
            raise
        if seat.worker is None and reply.outcome is not Outcome.CLOSED and not self._closed:
            self._replace(seat)
        else:
            self._give_back(seat)
        return reply

    async def prepare(self) -> None:
        """Start the first worker now; raise ``ConfigurationError`` with its own words where it cannot work."""
        if not self._adopt(asyncio.get_running_loop()) or not self._free:
            return  # at work already
        seat = self._free.pop()
        try:
            if seat.worker is None and await self._start(seat) is None:
                raise ConfigurationError(f"images: no image worker can be started: {self._problem}")
        finally:
            self._give_back(seat)

    def levels(self) -> tuple[int, int]:
        """Return how many jobs wait for a seat, and how many workers live."""
        return len(self._waiting), len(self._living)

    async def aclose(self) -> None:
        """End every worker; jobs in hand come back lost, those waiting closed."""
        self._closed = True
        while self._waiting:
            _answer(self._waiting.popleft(), None)
        for seat in self._free:
            self._dismiss(seat)
        for task in self._refilling:
            task.cancel()
        for worker in self._living:
            worker.kill()
        for worker in tuple(self._living):
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(worker.process.wait, START_TIMEOUT)
        self._reap()

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Make ``loop`` the one that waits, and leave behind what a former loop had begun; not one that still runs."""
        if loop is self._loop:
            return True
        if self._loop is not None and self._loop.is_running():
            return False
        self._loop = loop
        self._waiting.clear()
        self._waiting_bytes = 0
        for seat in self._seats:
            if seat not in self._free:
                self._dismiss(seat)
        self._seats = [*self._free, *(_Seat() for _ in range(len(self._seats) - len(self._free)))]
        self._free = list(self._seats)
        return True

    def forget(self) -> None:
        """Leave the workers to the process that this one was forked from, and begin anew.

        A copy of a line kept open here would keep its worker alive after its server has gone.
        """
        self._finalizer.detach()
        for worker in self._living:
            worker.line.close()
            worker.process.returncode = 0  # not a child of this process, so never to be waited for
        self._living = set()
        self._finalizer = weakref.finalize(self, _end_all, self._living)
        self._loop = None
        self._waiting.clear()
        self._waiting_bytes = 0
        self._seats = [_Seat() for _ in self._seats]
        self._free = list(self._seats)

    async def _wait(self, size: int) -> _Seat | None:
        """Queue for a seat; return ``None`` at once where the queue is full, and after ``timeout`` where none came."""
        room = QUEUED_SOURCES * self._rules.max_bytes
        if len(self._waiting) >= self._rules.queue or self._waiting_bytes + size > room:
            return None
        place: asyncio.Future[_Seat | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._waiting_bytes += size
        try:
            async with asyncio.timeout(self._rules.timeout):
                return await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                # The seat came in the same turn of the loop as the end of the wait: pass it on.
                seat = place.result()
                if seat is not None:
                    self._give_back(seat)
            if isinstance(error, TimeoutError):
                return None
            raise
        finally:
            self._waiting_bytes -= size
            with contextlib.suppress(ValueError):
                self._waiting.remove(place)

    def _give_back(self, seat: _Seat) -> None:
        if seat not in self._seats:
            return  # the loop it was taken in is gone, and its place filled
        if self._closed:
            self._dismiss(seat)
        while self._waiting:
            if _answer(self._waiting.popleft(), seat):
                return
        self._free.append(seat)

    async def _work(self, seat: _Seat, order: Order, source: bytes) -> Reply:
        """Do one job in ``seat``; whatever interrupts it costs the worker, so no reply is ever left on a line."""
        reply = Reply(Outcome.LOST)
        try:
            worker = seat.worker or await self._start(seat)
            if worker is None:
                return Reply(Outcome.CLOSED)
            async with asyncio.timeout(self._rules.timeout):
                reply = await worker.work(order, source)
        except TimeoutError:
            _log.warning("an image worker took longer than %s s and was ended", self._rules.timeout)
        except OSError as error:
            if not self._closed:
                _log.warning("an image worker was lost: %s", error)
        finally:
            spent = seat.worker is not None and seat.worker.jobs >= MOST_JOBS
            if spent or reply.outcome in {Outcome.LOST, Outcome.MEMORY, Outcome.UNFIT}:
                self._dismiss(seat)
        return reply

    def _replace(self, seat: _Seat) -> None:
        """Have a worker that was ended replaced now, so that no later job pays for its end with the wait for a start."""
        task = asyncio.get_running_loop().create_task(self._refill(seat))
        self._refilling.add(task)
        task.add_done_callback(self._refilling.discard)

    async def _refill(self, seat: _Seat) -> None:
        try:
            await self._start(seat)
        except BaseException:
            self._dismiss(seat)
            raise
        finally:
            self._give_back(seat)

    async def _start(self, seat: _Seat) -> Worker | None:
        """Start a worker for ``seat``; return ``None`` where it cannot, and then rest before the next attempt."""
        if clock.monotonic() < self._rest_until:
            return None
        self._reap()
        try:
            worker = seat.worker = Worker(self._command, self._hello)
            self._living.add(worker)
            async with asyncio.timeout(START_TIMEOUT):
                reply = await worker.started()
            self._problem = (
                "" if reply.outcome is Outcome.READY else reply.body.decode("ascii", "replace")[:200]
            )
        except OSError as error:  # TimeoutError is one
            self._problem = str(error) or "it did not start in time"
        if not self._problem:
            self._failures = 0
            return worker
        self._dismiss(seat)
        rest = min(LONGEST_REST, FIRST_REST * 2**self._failures)
        self._failures += 1
        self._rest_until = clock.monotonic() + rest
        _log.error("no image worker could be started (next attempt in %.0f s): %s", rest, self._problem)
        return None

    def _dismiss(self, seat: _Seat) -> None:
        """End the worker in ``seat``, if there is one. No job may be waiting on its line."""
        worker, seat.worker = seat.worker, None
        if worker is not None:
            worker.kill()
            worker.line.close()

    def _reap(self) -> None:
        for worker in tuple(self._living):
            if worker.process.poll() is not None:
                self._living.discard(worker)


def _answer(place: asyncio.Future[_Seat | None], seat: _Seat | None) -> bool:
    """Give a waiting job its seat; return whether it was still waiting."""
    if place.done():
        return False
    place.set_result(seat)
    return True


def _end_all(living: set[Worker]) -> None:
    """End what is left when the pool is forgotten or the interpreter ends."""
    for worker in living:
        worker.kill()
        worker.line.close()
    for worker in living:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(1.0)


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in _pools:
        pool.forget()


# A server that forks after its first job: the child must neither use nor end its parent's workers.
os.register_at_fork(after_in_child=_forget_all)
