"""The renderer's answers in every format, and what it makes of the operator's files, in real workers."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.core.verdict import Rendition
from antiscrape.errors import ConfigurationError
from antiscrape.ports import Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.images.renderer import PillowRenderer
    from tests.images.conftest import Encode, Using

PREVIEW, MARKED = Rendition.PREVIEW, Rendition.MARKED


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
        opened.thumbnail((256, 256))
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
    # the least that settings allow
    using(job, renditions=RenditionRules(frames=5), rights=rights, worker_memory=2**27, max_pixels=2**25)


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
