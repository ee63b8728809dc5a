"""The renderer as the rest of the house sees it."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.errors import ConfigurationError
from antiscrape.images.frames import Outcome, Reply
from antiscrape.images.renderer import PillowRenderer
from antiscrape.ports import Wanted

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


def test_each_client_is_answered_in_a_format_it_takes(using: Using, photo: bytes, encode: Encode) -> None:
    """An AVIF for who names it, a JPEG for the others: each is kept under its own name, and has its own ETag."""
    with Image.open(io.BytesIO(photo)) as opened:
        source = encode(opened, "AVIF")
    named, unnamed = b"image/avif,image/webp,*/*;q=0.8", b"*/*"

    async def job(renderer: PillowRenderer) -> None:
        made = [
            await renderer.render(source, Wanted(PREVIEW, accept)) for accept in (named, unnamed, b"", named)
        ]
        assert [each.content_type for each in made] == [
            "image/avif",
            "image/jpeg",
            "image/jpeg",
            "image/avif",
        ]
        assert (made[0] is made[3], made[1] is made[2]) == (True, True)
        assert made[0].etag != made[1].etag

    using(job)


@pytest.mark.parametrize("setting", ["mark_image", "mark_font", "decoys"])
def test_a_file_that_is_missing_stops_the_start_by_its_name(
    setting: str, using: Using, tmp_path: Path
) -> None:
    async def job(renderer: PillowRenderer) -> None:
        with pytest.raises(ConfigurationError, match=rf"renditions\.{setting}: .*nowhere cannot be read"):
            await renderer.prepare()

    names = ("mark_image", "mark_font", "decoys")
    image, font, decoys = (str(tmp_path / "nowhere") if setting == name else "" for name in names)
    using(job, renditions=RenditionRules(mark_image=image, mark_font=font, decoys=decoys))


def test_marks_of_the_operators_files_are_laid_in_a_worker(
    using: Using, photo: bytes, encode: Encode, tmp_path: Path
) -> None:
    """The files are read before the worker is confined, and are not needed again."""
    logo, folder = tmp_path / "logo.png", tmp_path / "decoys"
    logo.write_bytes(encode(Image.new("RGBA", (80, 40), (255, 0, 0, 255)), "PNG"))
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(Image.new("RGB", (90, 90), "lime"), "PNG"))

    async def job(renderer: PillowRenderer) -> None:
        await renderer.prepare()
        logo.unlink()
        shutil.rmtree(folder)
        marked = await renderer.render(photo, Wanted(MARKED))
        decoy = await renderer.render(photo, Wanted(Rendition.DECOY))
        with Image.open(io.BytesIO(marked.body)) as opened:
            corner = opened.convert("RGB").crop(
                (opened.width - 90, opened.height - 50, opened.width, opened.height)
            )
            data = corner.tobytes()
            reddest = max(
                red - max(rest) for red, *rest in zip(data[::3], data[1::3], data[2::3], strict=True)
            )
        with Image.open(io.BytesIO(decoy.body)) as opened:
            assert opened.convert("RGB").getpixel((100, 100)) == pytest.approx((0, 255, 0), abs=6)
        assert reddest > 150

    using(job, renditions=RenditionRules(mark_image=str(logo), mark_layout="corner", decoys=str(folder)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_confined_worker_writes_every_format(mode: str, using: Using, photo: bytes, encode: Encode) -> None:
    """What a codec loads late it must have loaded before: no module can be opened any more."""
    with Image.open(io.BytesIO(photo)) as opened:
        picture = opened.convert(mode)
    if mode == "RGBA":
        picture.putalpha(90)
    source = encode(picture, "PNG")
    moving = encode(picture, "WEBP", save_all=True, append_images=[picture.rotate(90)], duration=80)
    types = ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"]

    async def job(renderer: PillowRenderer) -> None:
        for rendition in (PREVIEW, MARKED, Rendition.DECOY):
            for name in types:
                made = await renderer.render(source, Wanted(rendition, name.encode()))
                assert (made.content_type, made.placeholder) == (name, False)
        for name in ("image/gif", "image/webp"):
            made = await renderer.render(moving, Wanted(MARKED, name.encode()))
            with Image.open(io.BytesIO(made.body)) as opened:
                assert getattr(opened, "n_frames", 1) == 2

    rights = RightsRules(notice="© Photos e.V.")
    small = {"worker_memory": 2**27, "max_pixels": 2**25}  # the least that settings allow
    using(job, renditions=RenditionRules(frames=5), rights=rights, **small)


@pytest.mark.security("E5")
def test_a_decoy_belongs_to_its_name_and_shows_nothing(using: Using, photo: bytes, encode: Encode) -> None:
    """The same for one name every time, cached or not; the size is the original's, and no pixel."""
    with Image.open(io.BytesIO(photo)) as opened:
        size = opened.size
    other = encode(Image.new("RGB", size, "red"), "JPEG")

    async def job(renderer: PillowRenderer) -> list[bytes]:
        decoys = [
            await renderer.render(source, Wanted(Rendition.DECOY, name=name))
            for source, name in (
                (photo, b"site/a"),
                (photo, b"site/b"),
                (photo, b"site/a"),
                (other, b"site/a"),
            )
        ]
        assert not any(decoy.placeholder for decoy in decoys)
        with Image.open(io.BytesIO(decoys[0].body)) as opened:
            assert opened.size == size
        return [decoy.body for decoy in decoys]

    first, second, again, of_another_picture = using(job)
    assert first == again == of_another_picture
    assert first != second
    assert using(job, cache_bytes=0) == [first, second, again, of_another_picture]


@pytest.mark.parametrize("rendition", [Rendition.ORIGINAL, Rendition.REFUSED])
def test_what_is_not_made_of_pixels_is_a_placeholder(
    rendition: Rendition, using: Using, photo: bytes
) -> None:
    async def job(renderer: PillowRenderer) -> None:
        assert await renderer.render(photo, Wanted(rendition)) is renderer.placeholder(rendition)
        assert not renderer._pool._living

    using(job)


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

    using(job)


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
        async with asyncio.timeout(5):
            while len(renderer._pool._waiting) < 2:  # noqa: ASYNC110 - the pool has no event for a test to wait for
                await asyncio.sleep(0)
        assert (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        os.kill(worker.process.pid, signal.SIGCONT)
        assert not any(made.placeholder for made in await asyncio.gather(*held))
        assert not (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        assert renderer.counts == {"busy": 1, "jpeg": 4}

    using(job, queue=2, timeout=20)


def test_a_fault_of_our_own_is_a_placeholder_and_a_line_in_the_log(
    using: Using, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def job(renderer: PillowRenderer) -> None:
        async def run(order: Order, source: bytes) -> Reply:
            raise RuntimeError

        renderer._pool.run = run  # type: ignore[method-assign]  # the fault that nobody foresaw
        assert (await renderer.render(photo, Wanted(PREVIEW))).placeholder
        assert "a rendition could not be made" in caplog.text

    using(job)


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

    using(job)


def test_what_lies_in_the_folder_outlives_the_server(using: Using, photo: bytes, tmp_path: Path) -> None:
    """After a restart nothing is decoded, and no worker starts."""
    kept: list[Rendered] = []

    async def job(renderer: PillowRenderer) -> None:
        kept.append(await renderer.render(photo, Wanted(PREVIEW)))
        if len(kept) == 2:
            assert renderer.counts == {"found": 1}
            assert not renderer._pool._living
            assert await renderer.render(photo, Wanted(PREVIEW)) is kept[1]

    using(job, cache_folder=str(tmp_path))
    using(job, cache_folder=str(tmp_path))
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


@pytest.mark.parametrize("rules", [{"preview_cells": 6}, {"preview_size": 300}, {"mark": "Vorschau"}])
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
