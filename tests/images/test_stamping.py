"""Traced copies: one for each taker, none without its trace, and no key where hostile bytes are read."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.core.rules import ImageRules, TraceRules
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import payload_for, trace_keys, unpack
from antiscrape.core.verdict import Rendition
from antiscrape.images.frames import Order, Outcome, Task
from antiscrape.images.metadata import compose
from antiscrape.images.renderer import PillowRenderer
from antiscrape.images.splice import Token, find_tokens
from antiscrape.images.stamping import SMALLEST, Stamp
from antiscrape.ports import Wanted
from tests.house import PATIENCE, SECRET
from tests.pools import LentRenderer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from antiscrape.core.trace import TraceKeys
    from antiscrape.images.workers import WorkerPool
    from tests.images.conftest import Encode

KEYS = trace_keys(KeyRing((SECRET.encode(),)))[0]
NOW = 1_790_000_000.0
PREVIEW, MARKED = Rendition.PREVIEW, Rendition.MARKED


def taken_by(who: str, rendition: Rendition = PREVIEW) -> Wanted:
    return Wanted(rendition, taker=payload_for(KEYS, who, NOW))


def tracing(
    job: Callable[[PillowRenderer], Coroutine[Any, Any, None]],
    trace: TraceRules | None = None,
    *,
    own: bool = False,
    **settings: Any,
) -> None:
    """Run ``job`` on a renderer that puts traces into pictures; ``own``: with workers to be stopped or looked at."""
    kind = PillowRenderer if own else LentRenderer

    async def main() -> None:
        renderer = kind(ImageRules(faces="off", **settings), trace=trace, trace_keys=KEYS)
        try:
            async with asyncio.timeout(PATIENCE):
                await job(renderer)
        finally:
            await renderer.aclose()

    asyncio.run(main())


def stamper_of(renderer: PillowRenderer) -> WorkerPool:
    assert renderer._stamper is not None
    return renderer._stamper


def test_a_picture_is_made_once_and_copied_for_each_who_takes_it(photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        mine, yours = taken_by("203.0.113.7"), taken_by("203.0.113.8")
        made = [await renderer.render(photo, wanted) for wanted in (mine, yours, mine)]
        assert made[0] is made[2]
        assert made[0].body != made[1].body
        assert made[0].etag != made[1].etag
        assert [each.taker for each in made] == [mine.taker, yours.taker, mine.taker]
        plain = await renderer.render(photo, Wanted(PREVIEW))
        assert plain.taker == 0
        assert plain.etag not in {made[0].etag, made[1].etag}
        assert renderer.counts == {"jpeg": 1, "cached": 3}
        assert renderer.traces == {"made": 2, "cached": 1}

    tracing(job)


def test_who_asks_at_one_time_shares_one_copy(photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        mine = taken_by("203.0.113.7")
        made = await asyncio.gather(*(renderer.render(photo, mine) for _ in range(10)))
        assert len({id(each) for each in made}) == 1
        assert renderer.traces == {"made": 1, "joined": 9}

    tracing(job)


@pytest.mark.parametrize("rendition", [PREVIEW, MARKED])
def test_a_copy_names_its_taker(rendition: Rendition, photo: bytes) -> None:
    pytest.importorskip("numpy", reason="reading traces needs numpy")
    from antiscrape.images.trace.reading import read

    async def job(renderer: PillowRenderer) -> None:
        wanted = taken_by("203.0.113.7", rendition)
        made = await renderer.render(photo, wanted)
        with Image.open(io.BytesIO(made.body)) as opened:
            reading = read(opened.convert("RGB"), [KEYS.pattern])
        assert reading is not None
        assert wanted.taker in [word.payload for word in reading.words]

    tracing(job)


def test_only_the_renditions_that_the_policy_names_carry_one(photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        assert (await renderer.render(photo, taken_by("203.0.113.7", MARKED))).taker
        assert not (await renderer.render(photo, taken_by("203.0.113.7", PREVIEW))).taker

    tracing(job, TraceRules(renditions=(MARKED,)))


@pytest.mark.parametrize("keys", [None, KEYS])
def test_where_nothing_carries_a_trace_no_worker_waits_to_put_one(keys: TraceKeys | None) -> None:
    renditions = (MARKED, PREVIEW) if keys is None else ()
    renderer = PillowRenderer(ImageRules(), trace=TraceRules(renditions=renditions), trace_keys=keys)
    assert renderer._stamper is None


@pytest.mark.parametrize("rendition", [PREVIEW, MARKED])
def test_a_copy_names_its_taker_in_its_bytes_too(rendition: Rendition, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        wanted = taken_by("203.0.113.7", rendition)
        made = await renderer.render(photo, wanted)
        assert find_tokens(made.body, [KEYS]) == [Token(unpack(wanted.taker), 0)]
        plain = await renderer.render(photo, Wanted(rendition))
        assert find_tokens(plain.body, [KEYS]) == []

    tracing(job)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "PNG", "GIF"])
def test_what_is_too_small_for_a_trace_in_pixels_has_one_in_its_bytes(kind: str, encode: Encode) -> None:
    """An icon's pixels stay as they are in everybody's copy; its taker and its ETag are its own all the same."""
    icon = encode(Image.new("RGB", (SMALLEST // 4, SMALLEST // 4), "red"), kind)
    mine, yours = (
        taken_by(who)._replace(accept=f"image/{kind.lower()}".encode())
        for who in ("203.0.113.7", "203.0.113.8")
    )

    async def job(renderer: PillowRenderer) -> None:
        made = [await renderer.render(icon, wanted) for wanted in (mine, yours, mine)]
        assert made[0] is made[2]
        plain = await renderer.render(icon, mine._replace(taker=0))
        assert len({made[0].etag, made[1].etag, plain.etag}) == 3
        for each, wanted in zip(made, (mine, yours, mine), strict=True):
            assert (each.taker, each.content_type) == (wanted.taker, plain.content_type)
            assert find_tokens(each.body, [KEYS]) == [Token(unpack(wanted.taker), 0)]
            assert pixels_of(each.body) == pixels_of(plain.body)
        assert renderer.traces == {"bytes": 2, "cached": 1}

    tracing(job)


def pixels_of(body: bytes) -> bytes:
    with Image.open(io.BytesIO(body)) as opened:
        return opened.convert("RGBA").tobytes()


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_what_moves_goes_on_moving_with_a_trace_in_every_frame(kind: str, encode: Encode) -> None:
    shades = [Image.new("RGB", (200, 150), (shade, 60, 20)) for shade in (0, 100, 200)]
    animation = encode(shades[0], kind, save_all=True, append_images=shades[1:], duration=100, loop=0)

    async def job(renderer: PillowRenderer) -> None:
        made = await renderer.render(
            animation, taken_by("203.0.113.7", MARKED)._replace(accept=b"image/webp, image/gif")
        )
        assert made.taker
        with Image.open(io.BytesIO(made.body)) as opened:
            assert (opened.format, getattr(opened, "n_frames", 1)) == (kind, 3)

    tracing(job, renditions=RenditionRules(frames=3))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "PNG", "GIF"])
def test_a_copy_has_the_format_of_its_base_and_says_whose_it_is(kind: str, encode: Encode) -> None:
    base = encode(Image.new("RGB", (300, 200), (200, 60, 20)), kind)
    stamp = Stamp(KEYS.pattern, compose(RightsRules(notice="© Photos e.V.")))
    reply = stamp.make(base, Order(Task.STAMP, payload=payload_for(KEYS, "who", NOW)), max_pixels=10**6)
    assert reply.outcome is Outcome[kind]
    assert "© Photos e.V.".encode() in reply.body
    assert reply.body != base


@pytest.mark.security("E2")
def test_for_want_of_a_worker_nobody_is_given_an_untraced_copy(photo: bytes) -> None:
    """Or a flood would wash the traces off. The worker that stands still is replaced, and all is well again."""

    async def job(renderer: PillowRenderer) -> None:
        await renderer.prepare()
        (worker,) = stamper_of(renderer)._living
        os.kill(worker.process.pid, signal.SIGSTOP)
        pool = stamper_of(renderer)
        pool._rules = replace(pool._rules, timeout=0.3)
        lost = await renderer.render(photo, taken_by("203.0.113.7"))
        assert lost is renderer.placeholder(PREVIEW)
        assert renderer.traces == {"failed": 1}
        while not pool._free:  # noqa: ASYNC110 - the pool has no event for a test to wait for
            await asyncio.sleep(0.001)
        pool._rules = replace(pool._rules, timeout=PATIENCE)
        again = await renderer.render(photo, taken_by("203.0.113.7"))
        assert again.taker
        assert renderer.counts == {"jpeg": 1, "cached": 1}

    tracing(job, own=True, timeout=PATIENCE)


def shown(pid: int) -> list[bytes]:
    """Return what every user of the machine may read of a process, and what its own user may."""
    return [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]


@pytest.mark.security("F10")
def test_no_key_stands_where_another_process_could_read_it(photo: bytes) -> None:
    """Neither in arguments nor in environments; and who reads hostile bytes is not told it at all."""

    async def job(renderer: PillowRenderer) -> None:
        await renderer.render(photo, taken_by("203.0.113.7"))
        pools = renderer._pool, stamper_of(renderer)
        workers = {worker.process.pid for pool in pools for worker in pool._living}
        for told in itertools.chain.from_iterable(map(shown, workers)):
            assert KEYS.pattern not in told
            assert KEYS.pattern.hex().encode() not in told
            assert KEYS.token not in told
        assert KEYS.pattern not in pools[0]._hello
        assert all(KEYS.token not in pool._hello for pool in pools)
        assert KEYS.pattern in pools[1]._hello

    tracing(job, own=True)


def test_many_takers_of_one_picture_drive_no_picture_out(photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        for number in range(12):
            await renderer.render(photo, taken_by(f"203.0.113.{number}"))
        assert renderer.levels()["copies_bytes"] <= 80_000
        assert renderer.counts == {"jpeg": 1, "cached": 11}

    tracing(job, TraceRules(cache_bytes=80_000))
