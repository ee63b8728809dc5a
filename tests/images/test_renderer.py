"""The renderer as the rest of the house sees it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.frames import Outcome, Reply
from antiscrape.images.renderer import PillowRenderer
from antiscrape.ports import Wanted
from tests.house import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.images.frames import Order
    from antiscrape.ports import Rendered, Renderer
    from tests.images.conftest import Encode, Using

PREVIEW, MARKED = Rendition.PREVIEW, Rendition.MARKED


def test_it_is_a_renderer() -> None:
    renderer: Renderer = PillowRenderer(ImageRules())
    assert renderer.placeholder(PREVIEW).placeholder


def test_a_second_request_is_answered_from_the_cache(using: Using, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        first = await renderer.render(photo, Wanted(PREVIEW))
        assert await renderer.render(photo, Wanted(PREVIEW)) is first
        assert renderer.counts == {"jpeg": 1, "cached": 1}

    using(job)


def test_requests_for_one_picture_at_one_time_render_it_once(using: Using, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        made = await asyncio.gather(*(renderer.render(photo, Wanted(PREVIEW)) for _ in range(20)))
        assert len({id(each) for each in made}) == 1
        assert renderer.counts == {"jpeg": 1, "joined": 19}

    using(job)


@pytest.mark.security("E2")
def test_who_hangs_up_takes_nothing_from_the_others(using: Using, photo: bytes) -> None:
    """Nor is the work thrown away: the next who asks finds it done."""

    async def job(renderer: PillowRenderer) -> None:
        await renderer.prepare()
        callers = [asyncio.create_task(renderer.render(photo, Wanted(PREVIEW))) for _ in range(3)]
        await asyncio.sleep(0)
        callers[0].cancel()
        callers[2].cancel()
        made = await asyncio.gather(*callers, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in made] == [True, False, True]
        alone = asyncio.create_task(renderer.render(photo, Wanted(MARKED)))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)
        assert not (await renderer.render(photo, Wanted(MARKED))).placeholder
        assert renderer.counts["jpeg"] == 2

    using(job)


@pytest.mark.security("E7")
def test_every_rendition_of_every_source_has_an_etag_of_its_own(
    using: Using, photo: bytes, encode: Encode
) -> None:
    other = encode(Image.new("RGB", (99, 99)), "PNG")
    etags: list[str] = []

    async def job(renderer: PillowRenderer) -> None:
        for source, rendition in itertools.product((photo, other), (PREVIEW, MARKED)):
            etags.append((await renderer.render(source, Wanted(rendition))).etag)
        etags.extend(renderer.placeholder(rendition).etag for rendition in Rendition)

    using(job)
    using(job, preview_cells=12)
    using(job, mark="Vorschau")
    assert len(set(etags)) == len(etags) == 27
    assert all(etag.isalnum() for etag in etags)


def test_an_etag_is_the_same_in_every_process(using: Using, photo: bytes) -> None:
    """Two servers behind one balancer must agree, or browsers fetch again for nothing."""

    async def job(renderer: PillowRenderer) -> Rendered:
        return await renderer.render(photo, Wanted(PREVIEW))

    assert using(job) == using(job)


@pytest.mark.parametrize("rendition", [Rendition.ORIGINAL, Rendition.REFUSED])
def test_what_is_not_made_of_pixels_is_a_placeholder(
    rendition: Rendition, using: Using, photo: bytes
) -> None:
    async def job(renderer: PillowRenderer) -> None:
        assert await renderer.render(photo, Wanted(rendition)) is renderer.placeholder(rendition)
        assert not renderer._pool._living

    using(job, own=True, faces="off")


@pytest.mark.security("E6")
@pytest.mark.parametrize("source", [b"", b"<svg/>", b"%PDF-1.7", b"\0" * 100, b"GIF89a"])
def test_what_is_no_picture_is_a_placeholder(source: bytes, using: Using) -> None:
    async def job(renderer: PillowRenderer) -> None:
        made = await renderer.render(source, Wanted(PREVIEW))
        assert made is renderer.placeholder(PREVIEW)
        assert made.placeholder

    using(job)


@pytest.mark.security("E2")
def test_a_source_beyond_the_bytes_allowed_is_not_even_digested(using: Using, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        assert (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        assert renderer.counts == {"refused": 1}

    using(job, max_bytes=len(photo) - 1)


@pytest.mark.security("E2")
def test_a_broken_picture_is_read_once(using: Using, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        for _ in range(5):
            assert (await renderer.render(photo[:3000], Wanted(PREVIEW))).placeholder
        assert renderer.counts == {"unreadable": 1, "cached": 4}

    using(job)


@pytest.mark.security("E2")
def test_a_picture_that_costs_two_workers_gets_no_third(using: Using, photo: bytes) -> None:
    """But one whose worker was ended once, by whatever, is tried again."""

    async def job(renderer: PillowRenderer) -> None:
        outcomes = iter([Outcome.LOST, Outcome.LOST, Outcome.JPEG])

        async def run(order: Order, source: bytes) -> Reply:
            return Reply(next(outcomes), b"made")

        renderer._pool.run = run  # type: ignore[method-assign]  # how a decoder may crash tomorrow is not known today
        for _ in range(4):
            assert (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        assert (await renderer.render(photo, Wanted(MARKED))).body == b"made"
        assert renderer.counts == {"lost": 2, "cached": 2, "jpeg": 1}

    using(job, own=True, faces="off")


@pytest.mark.security("E2")
def test_no_room_is_answered_with_a_placeholder_and_not_remembered(using: Using, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        await renderer.prepare()
        (worker,) = renderer._pool._living
        os.kill(worker.process.pid, signal.SIGSTOP)
        held = [
            asyncio.create_task(renderer.render(photo + bytes([number]), Wanted(PREVIEW)))
            for number in range(3)
        ]
        while len(renderer._pool._waiting) < 2:  # noqa: ASYNC110 - the pool has no event for a test to wait for
            await asyncio.sleep(0)
        assert (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        os.kill(worker.process.pid, signal.SIGCONT)
        assert not any(made.placeholder for made in await asyncio.gather(*held))
        assert not (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        assert renderer.counts == {"busy": 1, "jpeg": 4}

    using(job, own=True, faces="off", queue=2, timeout=PATIENCE)


def test_a_fault_of_our_own_is_a_placeholder_and_a_line_in_the_log(
    using: Using, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def job(renderer: PillowRenderer) -> None:
        async def run(order: Order, source: bytes) -> Reply:
            raise RuntimeError

        renderer._pool.run = run  # type: ignore[method-assign]  # the fault that nobody foresaw
        assert (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        assert "a rendition could not be made" in caplog.text

    using(job, own=True, faces="off")


def test_closing_ends_what_is_under_way(using: Using, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> None:
        await renderer.prepare()
        under_way = asyncio.create_task(renderer.render(photo, Wanted(PREVIEW)))
        await asyncio.sleep(0)
        await renderer.aclose()
        await under_way
        assert not renderer._pool._living
        assert not renderer._flights
        assert (await renderer.render(photo + b"x", Wanted(PREVIEW))).placeholder

    using(job, own=True, faces="off")


def test_what_lies_in_the_folder_outlives_the_server(using: Using, photo: bytes, tmp_path: Path) -> None:
    """After a restart nothing is decoded, and no worker starts."""
    kept: list[Rendered] = []

    async def job(renderer: PillowRenderer) -> None:
        kept.append(await renderer.render(photo, Wanted(PREVIEW)))
        if len(kept) == 2:
            assert renderer.counts == {"found": 1}
            assert not renderer._pool._living
            assert await renderer.render(photo, Wanted(PREVIEW)) is kept[1]

    using(job, own=True, faces="off", cache_folder=str(tmp_path))
    using(job, own=True, faces="off", cache_folder=str(tmp_path))
    assert kept[0] == kept[1]


def test_a_name_of_the_sites_finds_it_too(using: Using, photo: bytes, tmp_path: Path) -> None:
    wanted = Wanted(PREVIEW, source=b"s" * 16)

    async def first(renderer: PillowRenderer) -> None:
        assert await renderer.recall(wanted) is None
        assert not (await renderer.render(photo, wanted)).placeholder

    async def later(renderer: PillowRenderer) -> None:
        assert renderer.held(wanted) is None
        found = await renderer.recall(wanted)
        assert found is not None
        assert renderer.held(wanted) is found
        assert await renderer.recall(wanted._replace(source=b"t" * 16)) is None
        assert await renderer.recall(wanted._replace(rendition=MARKED)) is None
        assert await renderer.recall(wanted._replace(rendition=Rendition.ORIGINAL)) is None
        assert renderer.counts == {"found": 1}

    using(first, cache_folder=str(tmp_path))
    using(later, cache_folder=str(tmp_path))


@pytest.mark.parametrize("rules", [{"preview_cells": 8}, {"preview_size": 300}, {"mark": "Vorschau"}])
def test_a_change_of_rules_is_another_rendition(
    rules: dict[str, Any], using: Using, photo: bytes, tmp_path: Path
) -> None:
    async def job(renderer: PillowRenderer) -> None:
        await renderer.render(photo, Wanted(PREVIEW))
        assert renderer.counts == {"jpeg": 1}

    using(job, cache_folder=str(tmp_path))
    using(job, cache_folder=str(tmp_path), **rules)


def test_bounds_of_the_work_change_nothing_of_what_is_made(
    using: Using, photo: bytes, tmp_path: Path
) -> None:
    async def job(renderer: PillowRenderer) -> None:
        await renderer.render(photo, Wanted(PREVIEW))

    async def later(renderer: PillowRenderer) -> None:
        await job(renderer)
        assert renderer.counts == {"found": 1}

    using(job, cache_folder=str(tmp_path))
    using(later, cache_folder=str(tmp_path), workers=2, queue=3, timeout=9.0, cache_bytes=2**20)


def test_a_folder_that_cannot_be_used_costs_the_folder(using: Using, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no folder")

    async def job(renderer: PillowRenderer) -> None:
        assert not (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        assert not (await renderer.render(photo, Wanted(MARKED))).placeholder

    using(job, cache_folder=str(tmp_path / "file"))


@pytest.mark.security("J1")
def test_who_takes_other_formats_has_an_etag_of_his_own(using: Using, photo: bytes) -> None:
    """Two spellings of one wish are one; the answer to another wish is never mixed with it."""

    async def job(renderer: PillowRenderer) -> None:
        fields = (b"image/webp,*/*", b"image/webp, image/*;q=0.8", b"image/avif,image/webp,*/*", b"*/*", b"")
        made = [await renderer.render(photo, Wanted(PREVIEW, accept=field)) for field in fields]
        assert made[0] is made[1]
        assert made[3] is made[4]
        assert len({each.etag for each in made}) == 3

    using(job)
