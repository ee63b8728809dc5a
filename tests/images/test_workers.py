"""Faults of workers: what dies, hangs, lies or never starts costs one answer and nothing else."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from PIL import Image

from antiscrape import clock
from antiscrape.core.rules import ImageRules
from antiscrape.errors import ConfigurationError
from antiscrape.images import workers
from antiscrape.images.frames import HEAD, LARGEST_REPLY, Order, Outcome, Reply, Task
from antiscrape.images.workers import WorkerPool
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.images.conftest import Encode

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def on_pool(
    job: Callable[[WorkerPool], Coroutine[Any, Any, None]],
    *,
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    **settings: Any,
) -> None:
    """Run ``job`` on a fresh pool in a fresh loop; close both. No fault here is one of the detector's, so none is loaded."""

    async def main() -> None:
        pool = WorkerPool(ImageRules(faces="off", **settings))
        try:
            async with asyncio.timeout(PATIENCE):
                await job(pool)
        finally:
            await pool.aclose()
        assert not pool._living

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def pid_of(pool: WorkerPool, seat: int = -1) -> int:
    worker = pool._seats[seat].worker
    assert worker is not None
    return worker.process.pid


async def until(condition: Callable[[], bool]) -> None:
    """Look a thousand times a second, which leaves the processor to whom is waited for."""
    while not condition():  # noqa: ASYNC110 - the pool has no event for a test to wait for
        await asyncio.sleep(0.001)


async def in_hand(pool: WorkerPool, source: bytes) -> asyncio.Task[Reply]:
    """Stop the only worker, give it a job, and return once the job has been taken."""
    os.kill(pid_of(pool), signal.SIGSTOP)
    job = asyncio.create_task(pool.run(Order(Task.PREVIEW), source))
    await until(lambda: not pool._free)
    return job


@pytest.mark.security("E2")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_killed_in_mid_job_costs_that_job_only(loop: Any, photo: bytes) -> None:
    """Fault 16: the job is answered at once, and the next one by another worker."""

    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        former = pid_of(pool)
        running = await in_hand(pool, photo)
        waiting = asyncio.create_task(pool.run(Order(Task.PREVIEW), photo))
        os.kill(former, signal.SIGKILL)
        assert (await running).outcome is Outcome.LOST
        assert (await waiting).outcome is Outcome.JPEG
        assert pid_of(pool) != former

    on_pool(job, loop=loop, timeout=PATIENCE)


@pytest.mark.security("E2")
def test_a_lost_worker_is_replaced_before_anybody_asks(photo: bytes) -> None:
    """Fault 16: it is back as soon as a process starts, and no later job waits for that."""

    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        former = pid_of(pool)
        running = await in_hand(pool, photo)
        os.kill(former, signal.SIGKILL)
        await running
        await until(lambda: bool(pool._free))
        assert pid_of(pool) != former

    on_pool(job, timeout=PATIENCE)


@pytest.mark.security("E2")
def test_closing_waits_for_no_worker_that_starts(photo: bytes) -> None:
    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        running = await in_hand(pool, photo)
        os.kill(pid_of(pool), signal.SIGKILL)
        await running
        assert pool._refilling

    on_pool(job, timeout=PATIENCE)


@pytest.mark.security("E2")
@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_that_hangs_is_ended_at_its_time(loop: Any, photo: bytes) -> None:
    """Fault 17."""

    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        former = pid_of(pool)
        running = await in_hand(pool, photo)
        assert (await running).outcome is Outcome.LOST
        await until(lambda: bool(pool._free))
        pool._rules = replace(pool._rules, timeout=PATIENCE)
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.JPEG
        assert pid_of(pool) != former

    on_pool(job, loop=loop, timeout=0.3)


@pytest.mark.security("E2")
def test_a_picture_that_needs_too_much_memory_meets_the_limit_in_the_worker(encode: Encode) -> None:
    """Fault 18: 36 million pixels are a file of a hundred kilobytes, and 144 MB decoded."""
    bomb = encode(Image.new("RGB", (6000, 6000)), "PNG")
    small = encode(Image.new("P", (60, 60)), "PNG")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        former = pid_of(pool)
        assert (await pool.run(Order(Task.PREVIEW), bomb)).outcome is Outcome.MEMORY
        assert (await pool.run(Order(Task.PREVIEW), small)).outcome is Outcome.JPEG
        assert pid_of(pool) != former

    on_pool(job, worker_memory=128 * 2**20)
    on_pool(_renders(bomb))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def _renders(source: bytes) -> Callable[[WorkerPool], Coroutine[Any, Any, None]]:
    async def job(pool: WorkerPool) -> None:
        assert (await pool.run(Order(Task.PREVIEW), source)).outcome is Outcome.JPEG

    return job


@pytest.mark.security("E2")
def test_a_full_queue_answers_at_once_and_the_others_are_served(photo: bytes) -> None:
    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        running = await in_hand(pool, photo)
        waiting = [asyncio.create_task(pool.run(Order(Task.PREVIEW), photo)) for _ in range(2)]
        await until(lambda: len(pool._waiting) == 2)
        assert (
            await pool.run(Order(Task.PREVIEW), photo)
        ).outcome is Outcome.BUSY  # while the worker stands still
        os.kill(pid_of(pool), signal.SIGCONT)
        assert {reply.outcome for reply in await asyncio.gather(running, *waiting)} == {Outcome.JPEG}
        assert pool._waiting_bytes == 0

    on_pool(job, queue=2, timeout=PATIENCE)


@pytest.mark.security("E2")
def test_the_queue_is_bounded_in_bytes_too(photo: bytes) -> None:
    """Sixty-four waiting pictures of 32 MB each would be two gigabytes."""

    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        running = await in_hand(pool, photo)
        waiting = [asyncio.create_task(pool.run(Order(Task.PREVIEW), photo)) for _ in range(4)]
        await until(lambda: len(pool._waiting) == 4)
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.BUSY
        os.kill(pid_of(pool), signal.SIGCONT)
        await asyncio.gather(running, *waiting)

    on_pool(job, queue=64, max_bytes=len(photo) + 1, timeout=PATIENCE)


def test_waiting_too_long_is_answered(photo: bytes) -> None:
    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        running = await in_hand(pool, photo)
        late = asyncio.create_task(pool.run(Order(Task.PREVIEW), photo))
        await until(lambda: len(pool._waiting) == 1)
        assert {(await running).outcome, (await late).outcome} <= {Outcome.LOST, Outcome.BUSY, Outcome.JPEG}
        await until(lambda: bool(pool._free))
        pool._rules = replace(pool._rules, timeout=PATIENCE)
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.JPEG
        assert (pool._waiting_bytes, len(pool._waiting), len(pool._free)) == (0, 0, 1)

    on_pool(job, timeout=0.3)


@pytest.mark.parametrize("loop", LOOPS)
def test_cancelled_jobs_never_mix_up_replies(loop: Any, encode: Encode) -> None:
    """Each source has a size of its own, which its preview must have; every other job is cancelled on its way."""

    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        cancelled = 0
        for size in range(70, 85):
            source = encode(Image.new("RGB", (size, size), "teal"), "PNG")
            if size % 4 == 1:
                made = await in_hand(pool, source)  # its worker stopped, so surely cancelled on its way
            else:
                made = asyncio.create_task(pool.run(Order(Task.PREVIEW), source))
                for _ in range(size - 68):
                    await asyncio.sleep(0)
            if size % 2:
                cancelled += made.cancel()
                await asyncio.gather(made, return_exceptions=True)
            else:
                reply = await made
                assert (reply.outcome, _size(reply.body)) == (Outcome.JPEG, f"{size}x{size}")
        assert cancelled >= 3
        assert (pool._waiting_bytes, len(pool._waiting), len(pool._free)) == (0, 0, 1)

    on_pool(job, loop=loop, timeout=PATIENCE)


def _size(jpeg: bytes) -> str:
    frame = jpeg.index(b"\xff\xc0")
    return f"{int.from_bytes(jpeg[frame + 7 : frame + 9])}x{int.from_bytes(jpeg[frame + 5 : frame + 7])}"


@pytest.mark.parametrize("order", [(0, 1, 0), (1, 0, 1)])
def test_one_pool_serves_loop_after_loop(order: tuple[int, ...], photo: bytes) -> None:
    """The same process works on, for a server that reloads or a test client that makes a loop a request."""
    pool = WorkerPool(ImageRules(faces="off"))
    pids = set()
    for kind in order:
        with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
            assert runner.run(pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.JPEG
            pids.add(pid_of(pool))
    asyncio.run(pool.aclose())
    assert len(pids) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_ends_in_mid_job_leaves_the_pool_whole(loop: Any, photo: bytes) -> None:
    pool = WorkerPool(ImageRules(faces="off", timeout=PATIENCE))

    async def abandon() -> None:
        await pool.prepare()
        await in_hand(pool, photo)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(abandon())
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.JPEG
        runner.run(pool.aclose())
    assert not pool._living


def test_a_worker_is_replaced_after_its_jobs(photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MOST_JOBS", 3)

    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        former = pid_of(pool)
        for turn in range(3):
            assert pid_of(pool) == former, turn
            assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.JPEG
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.JPEG
        assert pid_of(pool) != former

    on_pool(job)


def test_no_more_workers_start_than_there_is_work_for(photo: bytes) -> None:
    async def job(pool: WorkerPool) -> None:
        assert not pool._living
        for _ in range(3):
            await pool.run(Order(Task.PREVIEW), photo)
        assert len(pool._living) == 1
        await asyncio.gather(*(pool.run(Order(Task.PREVIEW), photo) for _ in range(12)))
        assert len(pool._living) == 3

    on_pool(job, workers=3)


READY = HEAD.pack(0, 0, Outcome.READY)
LIES = {
    "another job's tag": HEAD.pack(0, 99, Outcome.JPEG),
    "no known outcome": HEAD.pack(0, 1, 9),
    "an outcome of the pool's": HEAD.pack(0, 1, Outcome.BUSY),
    "a reply too large": HEAD.pack(LARGEST_REPLY + 1, 1, Outcome.JPEG),
    "half a head": HEAD.pack(0, 1, Outcome.JPEG)[:5],
    "half a body": HEAD.pack(100, 1, Outcome.JPEG) + b"half",
}


@pytest.mark.security("E2")
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_worker_that_lies_is_ended(lie: bytes) -> None:
    """A decoder that was broken into may say anything; nothing of it is believed."""

    async def job(pool: WorkerPool) -> None:
        pool._command = _speaking(READY, lie)
        assert await pool.run(Order(Task.PREVIEW), b"source") == Reply(Outcome.LOST)
        assert pool._seats[0].worker is None

    on_pool(job)


def _speaking(*words: bytes) -> list[str]:
    """Return the command of a program that says ``words``, one after each thing it hears."""
    script = (
        "import socket\n"
        "line = socket.socket(fileno=0)\n"
        f"first, *rest = {list(words)!r}\n"
        "line.sendall(first)\n"
        "for word in rest:\n"
        "    line.recv(4096)\n"
        "    line.sendall(word)\n"
    )
    return [sys.executable, "-I", "-S", "-c", script]


def test_a_worker_that_cannot_start_is_told_and_not_started_again_and_again(
    photo: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Decoders too old (E4), an interpreter gone: one line in the log, one attempt, then a rest that doubles."""

    async def job(pool: WorkerPool) -> None:
        now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: now)
        pool._command, good = _speaking(HEAD.pack(15, 0, Outcome.UNFIT) + b"Pillow 9 is old"), pool._command
        with pytest.raises(ConfigurationError, match="Pillow 9 is old"):
            await pool.prepare()
        pool._command = good
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.CLOSED
        now += 1.01
        pool._command = ["/nonexistent/python"]
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.CLOSED
        pool._command = good
        now += 1.01
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.CLOSED
        now += 1.0
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.JPEG
        assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]

    on_pool(job)


def test_a_closed_pool_answers_and_starts_nothing(photo: bytes) -> None:
    async def job(pool: WorkerPool) -> None:
        await pool.prepare()
        running = await in_hand(pool, photo)
        waiting = asyncio.create_task(pool.run(Order(Task.PREVIEW), photo))
        await until(lambda: len(pool._waiting) == 1)
        await pool.aclose()
        assert (await running).outcome is Outcome.LOST
        assert (await waiting).outcome is Outcome.CLOSED
        assert (await pool.run(Order(Task.PREVIEW), photo)).outcome is Outcome.CLOSED
        assert not pool._living

    on_pool(job, timeout=PATIENCE)
