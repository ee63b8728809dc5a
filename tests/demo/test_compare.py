"""What counts as an original is told from pixels."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from antiscrape.core.rules import ImageRules
from antiscrape.demo.compare import SAFE_CELLS, Likeness, compare, detail_left
from antiscrape.images.faces.extra import finds_faces
from antiscrape.images.frames import Order, Task
from antiscrape.images.recipes import marked, preview, unseen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from antiscrape.demo.photos import Library

#: A face, another, an animal, a street of repeating bricks, points of light on black.
PEOPLE = ("eileen-collins", "grace-hopper")
PROFILES = ("eileen-collins", "grace-hopper", "chelsea", "groundwork", "skyward")


def original(library: Library, profile: str) -> Path:
    return library.original(library.of_profile(profile)[1])


def jpeg(picture: Image.Image, quality: int = 80) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def reduced(path: Path, cells: int, size: int = 480) -> Image.Image:
    with Image.open(path) as picture:
        factor = cells / max(picture.size)
        small = picture.resize(
            (max(1, round(picture.width * factor)), max(1, round(picture.height * factor))),
            Image.Resampling.BOX,
        )
        return small.resize(
            (size * picture.width // 1280, size * picture.height // 1280), Image.Resampling.BICUBIC
        )


@pytest.mark.parametrize("profile", PROFILES)
def test_the_originals_bytes_are_the_same(library: Library, profile: str) -> None:
    path = original(library, profile)
    assert compare(path, path.read_bytes()).likeness is Likeness.SAME


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "change",
    [
        lambda picture: jpeg(picture, 60),
        lambda picture: jpeg(picture.resize((640, 640))),
        lambda picture: jpeg(picture.convert("L")),
    ],
    ids=["recompressed", "half the size and squeezed", "grey"],
)
def test_an_original_in_other_bytes_is_near(
    library: Library, profile: str, change: Callable[[Image.Image], bytes]
) -> None:
    path = original(library, profile)
    with Image.open(path) as picture:
        got = compare(path, change(picture))
    assert got.likeness is Likeness.NEAR
    assert got.is_original


@pytest.mark.parametrize("size", [320, 640, 960])
def test_the_sites_own_smaller_sizes_would_count_as_originals(library: Library, size: int) -> None:
    """A face of 100 pixels is enough for a matcher, so a thumbnail is not harmless."""
    photo = library.of_profile("grace-hopper")[0]
    assert compare(library.original(photo), (library.folder / photo.sized(size)).read_bytes()).is_original


@pytest.mark.parametrize("profile", PROFILES)
def test_a_preview_is_reduced(library: Library, profile: str) -> None:
    path = original(library, profile)
    body = unseen(ImageRules()).make(path.read_bytes(), Order(Task.PREVIEW), max_pixels=10**8).body
    got = compare(path, body)
    assert got.likeness is Likeness.REDUCED
    assert 4 <= got.cells <= SAFE_CELLS
    assert not got.is_original


@pytest.mark.parametrize("profile", PROFILES)
def test_a_preview_that_shows_the_scene_shows_no_face(library: Library, profile: str) -> None:
    path = original(library, profile)
    body = preview(ImageRules()).make(path.read_bytes(), Order(Task.PREVIEW), max_pixels=10**8).body
    assert compare(path, body).likeness is Likeness.REDUCED


@pytest.mark.parametrize("profile", PROFILES)
def test_words_laid_over_a_picture_do_not_hide_that_its_detail_is_there(
    library: Library, profile: str
) -> None:
    path = original(library, profile)
    assert compare(
        path, marked(ImageRules()).make(path.read_bytes(), Order(Task.MARKED), max_pixels=10**8).body
    ).is_original


@pytest.mark.parametrize("profile", PROFILES)
def test_twice_the_safe_cells_are_told_from_the_safe_ones(library: Library, profile: str) -> None:
    path = original(library, profile)
    assert not compare(path, jpeg(reduced(path, SAFE_CELLS))).is_original
    # Where the detector sees no face in the photo, twice as much is a small scene; 24 times as much is no preview.
    more = 2 if profile in PEOPLE or not finds_faces(ImageRules()) else 24
    assert compare(path, jpeg(reduced(path, more * SAFE_CELLS))).is_original


def test_words_over_too_fine_a_preview_do_not_pass_it_off_as_safe(library: Library) -> None:
    path = original(library, "eileen-collins")
    picture = reduced(path, 48)
    draw = ImageDraw.Draw(picture)
    for line in range(20, picture.height, 80):
        draw.text((20, line), "Preview Preview Preview", fill=(255, 255, 255), font_size=40)
    assert compare(path, jpeg(picture)).is_original


def test_another_photo_is_nothing_of_this_one(library: Library) -> None:
    face, cat = original(library, "eileen-collins"), original(library, "chelsea")
    assert not compare(face, cat.read_bytes()).is_original


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>no</title>",
        b"\xff\xd8\xff\xe0 cut short",
        jpeg(Image.new("RGB", (480, 480), "grey")),
    ],
    ids=["empty", "a page", "broken", "a grey field"],
)
def test_what_is_no_picture_of_it_is_other(library: Library, body: bytes) -> None:
    got = compare(original(library, "chelsea"), body)
    assert (got.likeness, got.cells) == (Likeness.OTHER, 0)


def test_a_decompression_bomb_is_not_decoded(library: Library) -> None:
    """2 x 10^8 pixels of black are some 200 kB as a PNG."""
    out = BytesIO()
    Image.new("1", (20_000, 10_000)).save(out, "PNG")
    assert compare(original(library, "chelsea"), out.getvalue()).likeness is Likeness.OTHER


def test_detail_grows_with_the_cells_that_are_left(library: Library) -> None:
    path = original(library, "grace-hopper")
    with Image.open(path) as picture:
        left = [
            detail_left(picture.convert("L"), reduced(path, cells).convert("L"))
            for cells in (8, 16, 32, 64, 128)
        ]
    assert left == sorted(left)
    assert left[0] < left[2] < left[4]
