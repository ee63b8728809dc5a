"""Which faces are found: of two people whose portraits packages carry, and of many more where their photographs lie."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageOps

from antiscrape.images.faces.finding import MOST_FACES, Face

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from antiscrape.images.faces.finding import FaceFinder
    from antiscrape.images.faces.parts import Part

Box = tuple[float, float, float, float]

#: The middle of the face, eyes to mouth, in each portrait.
_HOPPER: Box = (205, 170, 325, 310)
_COLLINS: Box = (195, 85, 255, 155)
#: The same in every photograph of the labelled faces, which are aligned: 250 x 250 pixels.
_ALIGNED: Box = (92, 95, 158, 165)


def covers(faces: list[Face], box: Box) -> bool:
    """Return whether one of the finds, a tenth wider and higher all around, holds the whole of a face's middle."""
    left, top, right, bottom = box
    return any(
        x - width / 10 <= left
        and y - height / 10 <= top
        and x + width * 1.1 >= right
        and y + height * 1.1 >= bottom
        for x, y, width, height, _ in faces
    )


def turned(picture: Image.Image, box: Box, degrees: float) -> tuple[Image.Image, Box]:
    """Return the picture turned about the middle of a face, and the square within that face that no turn leaves."""
    x, y, reach = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) * 0.35
    fill = (90, 90, 90)
    pixels = picture.rotate(degrees, Image.Resampling.BICUBIC, center=(x, y), fillcolor=fill)
    return pixels, (x - reach, y - reach, x + reach, y + reach)


_LIGHTS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda picture: picture,
    "grey": lambda picture: picture.convert("L"),
    "palette": lambda picture: picture.convert("P"),
    "opaque": lambda picture: picture.convert("RGBA"),
    "dark": lambda picture: picture.point(lambda value: value * 0.12),
    "bright": lambda picture: picture.point(lambda value: min(255, value * 2.2)),
    "soft": lambda picture: picture.reduce(5).resize(picture.size),
}


@pytest.mark.security("I3")
@pytest.mark.parametrize("light", _LIGHTS.values(), ids=list(_LIGHTS))
def test_a_portrait_in_any_light(
    light: Callable[[Image.Image], Image.Image],
    finder: FaceFinder,
    hopper: Image.Image,
    astronaut: Image.Image,
) -> None:
    assert covers(finder.find(light(hopper)), _HOPPER)
    assert covers(finder.find(light(astronaut)), _COLLINS)
    mirrored = (512 - _HOPPER[2], _HOPPER[1], 512 - _HOPPER[0], _HOPPER[3])
    assert covers(finder.find(ImageOps.mirror(light(hopper))), mirrored)


@pytest.mark.security("I3")
@pytest.mark.parametrize("degrees", [15, -15, 30, -30, 45, -45, 90, -90, 180])
def test_a_portrait_turned(
    degrees: int, finder: FaceFinder, hopper: Image.Image, astronaut: Image.Image
) -> None:
    for picture, box in ((hopper, _HOPPER), (astronaut, _COLLINS)):
        pixels, middle = turned(picture, box, degrees)
        assert covers(finder.find(pixels), middle)


@pytest.mark.security("I3")
@pytest.mark.parametrize(
    "crop",
    [
        pytest.param((265, 60, 512, 400), id="the left half is cut off"),
        pytest.param((0, 60, 265, 400), id="the right half is cut off"),
        pytest.param((60, 190, 460, 600), id="the forehead is cut off"),
        pytest.param((60, 0, 460, 280), id="the chin is cut off"),
        pytest.param((150, 90, 380, 370), id="80 % of the picture"),
        pytest.param((200, 150, 330, 320), id="more than the picture"),
    ],
)
def test_a_portrait_cut_by_its_border(
    crop: tuple[int, int, int, int], finder: FaceFinder, hopper: Image.Image
) -> None:
    left, top, right, bottom = crop
    seen = (
        max(_HOPPER[0] - left, 8),
        max(_HOPPER[1] - top, 8),
        min(_HOPPER[2], right) - left - 8,
        min(_HOPPER[3], bottom) - top - 8,
    )
    assert covers(finder.find(hopper.crop(crop)), seen)


@pytest.mark.security("I3")
@pytest.mark.parametrize("look", [192, 256])
def test_a_face_larger_than_the_picture_however_closely_it_is_looked_at(
    look: int, finder: FaceFinder, hopper: Image.Image
) -> None:
    """Eyes, nose and mouth fill it to the border: a close look alone does not see the face for its parts."""
    closely = type(finder)(look=look, score=0.05)  # type: ignore[call-arg]  # as CenterFace is made
    assert covers(closely.find(hopper.crop((215, 165, 315, 300))), (8, 12, 92, 123))


def test_what_a_closer_look_does_not_find_again_is_no_face(finder: FaceFinder, craters: Image.Image) -> None:
    """Shadows on the moon are taken for faces; where a picture has more pixels, these say otherwise."""
    small = craters.resize((192, 128), Image.Resampling.BOX)
    assert max(small.size) < finder.look
    assert finder.find(small)
    assert not finder.find(craters.resize((1024, 683)))


def test_a_find_in_doubt_is_worth_a_closer_look_by_what_its_veil_would_take(finder: FaceFinder) -> None:
    """A doubtful chin on a certain face is under a veil anyway; two doubtful finds of one thing take it once."""
    taken = sys.modules[type(finder).__module__]._taken
    size = (400, 300)
    sure, chin = Face(150, 100, 80, 100, 0.9), Face(180, 160, 30, 40, 0.06)
    leaf, again = Face(20, 30, 50, 60, 0.07), Face(22, 32, 48, 58, 0.06)
    assert taken([], [sure], size) == 0
    assert taken([chin], [sure], size) == 0
    assert taken([chin], [], size) > 0.02
    alone = taken([leaf], [sure], size)
    assert alone == pytest.approx(1.66**2 * 50 * 60 / (400 * 300), rel=0.1)
    assert taken([leaf, again], [sure], size) == pytest.approx(alone, rel=0.05)
    assert taken([Face(-500, -500, 60, 60, 0.06), Face(900, 40, 60, 60, 0.06)], [], size) == 0


@pytest.mark.security("I3")
def test_a_face_that_is_in_doubt_is_found_again(
    finder: FaceFinder,
    craters: Image.Image,
    astronaut: Image.Image,
    parts_of: Callable[[Image.Image], list[Part]],
) -> None:
    """Among the shadows is a face of which the lower half is covered, so that the first look is not sure."""
    moon = craters.resize((1024, 683))
    face = astronaut.crop((170, 40, 290, 190))
    face.paste((90, 110, 140), (0, 93, 120, 150))
    moon.paste(face.resize((140, 175)), (60, 40))
    found = finder.find(moon)
    assert len(found) == 1
    assert covers(found, (75, 75, 150, 150))
    assert 0 < sum(part.cost(32) for part in parts_of(moon)) < 288 * 192 * 0.8


@pytest.fixture
def parts_of(finder: FaceFinder, monkeypatch: pytest.MonkeyPatch) -> Callable[[Image.Image], list[Part]]:
    """Return what tells which parts of a picture are looked at again."""
    looked_at: list[Part] = []
    look = type(finder)._look_at  # type: ignore[attr-defined]  # CenterFace has it

    def seen(self: object, pixels: Image.Image, part: Part, scale: float) -> Any:
        looked_at.append(part)
        return look(self, pixels, part, scale)

    monkeypatch.setattr(type(finder), "_look_at", seen)

    def parts(picture: Image.Image) -> list[Part]:
        looked_at.clear()
        finder.find(picture)
        return looked_at.copy()

    return parts


#: What the network takes least of, and a look's own cost: a ninth of a closer look at 288 x 192 pixels.
_LITTLE = 64 * 64 + 3500


def test_a_broad_find_in_doubt_is_looked_for_from_further_away(
    finder: FaceFinder, moon: Image.Image, parts_of: Callable[[Image.Image], list[Part]]
) -> None:
    """Hills as wide as a fifth of the picture are taken for a face, and are none at six tenths of their size."""
    hills = moon.crop((291, 433, 381, 493))
    hills = hills.resize((480, 320), Image.Resampling.BICUBIC)
    assert not finder.find(hills)
    assert 0 < sum(part.cost(32) for part in parts_of(hills)) <= _LITTLE


@pytest.mark.security("I3")
@pytest.mark.parametrize("hard", ["aslant", "upside down and soft"])
def test_a_broad_face_in_doubt_is_found_from_further_away(
    hard: str, finder: FaceFinder, astronaut: Image.Image, parts_of: Callable[[Image.Image], list[Part]]
) -> None:
    head = astronaut.crop((130, 10, 320, 220))
    if hard == "aslant":
        head = head.rotate(135, fillcolor=(140, 150, 160))
    else:
        head = head.reduce(9).resize(head.size).rotate(180)
    scene = Image.new("RGB", (512, 384), (140, 150, 160))
    scene.paste(head.resize((225, 249)), (60, 20))
    assert covers(finder.find(scene), (150, 110, 200, 170))
    assert 0 < sum(part.cost(32) for part in parts_of(scene)) <= _LITTLE


def test_who_looks_closely_looks_once(finder: FaceFinder, astronaut: Image.Image) -> None:
    once = type(finder)(look=512, score=0.05)  # type: ignore[call-arg]  # as CenterFace is made
    assert once.look == 512
    assert covers(once.find(astronaut), _COLLINS)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.15])
def test_small_faces_down_to_what_it_is_relied_on_for(
    share: float, finder: FaceFinder, astronaut: Image.Image
) -> None:
    """A portrait within a wide, quiet scene; at 0.4 her face would be ``least`` of it, or smaller."""
    width = 88 * share * 1.3
    side = int(width / finder.least)
    scene = Image.new("RGB", (max(side, 512), max(side, 512) * 3 // 4), (140, 150, 160))
    small = astronaut.resize((round(512 * share), round(512 * share)), Image.Resampling.LANCZOS)
    scene.paste(small, (30, 40))
    middle = tuple(at * share + offset for at, offset in zip(_COLLINS, (30, 40, 30, 40), strict=True))
    assert covers(finder.find(scene), middle)  # type: ignore[arg-type]  # four of them


@pytest.mark.security("E3")
@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 3), (3000, 40)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
def test_pictures_of_any_shape(size: tuple[int, int], mode: str, finder: FaceFinder) -> None:
    assert finder.find(Image.new(mode, size)) == []


@pytest.mark.security("E3")
def test_noise_and_patterns_make_no_crowd(finder: FaceFinder) -> None:
    for size in ((640, 480), (2000, 300)):
        for sigma in (20, 120):
            assert len(finder.find(Image.effect_noise(size, sigma))) <= MOST_FACES + 1
    assert len(finder.find(Image.radial_gradient("L").resize((800, 600)))) < 10


@pytest.mark.security("E3")
def test_a_wall_of_faces_is_told_as_one_too_many(finder: FaceFinder, astronaut: Image.Image) -> None:
    wall = Image.new("RGB", (3200, 3200))
    head = astronaut.crop((150, 20, 310, 180))
    for place in range(400):
        wall.paste(head, (160 * (place % 20), 160 * (place // 20)))
    assert len(finder.find(wall)) <= MOST_FACES + 1


@pytest.mark.security("I3")
def test_faces_in_transparent_pictures(finder: FaceFinder, hopper: Image.Image) -> None:
    """One that nobody sees but whose colours are in the file, and one that is drawn in transparency alone."""
    hidden = hopper.copy()
    hidden.putalpha(0)
    assert covers(finder.find(hidden), _HOPPER)
    stencil = Image.new("RGBA", hopper.size, "black")
    stencil.putalpha(ImageOps.invert(hopper.convert("L")))
    assert covers(finder.find(stencil), _HOPPER)


def test_one_face_is_one_find(finder: FaceFinder, hopper: Image.Image) -> None:
    sure = [find for find in finder.find(hopper) if find.score > 0.2]
    assert len(sure) == 1
    scores = [find.score for find in finder.find(hopper)]
    assert all(0 < score <= 1 for score in scores)


@pytest.mark.slow
@pytest.mark.security("I3")
@pytest.mark.parametrize("degrees", [0, 45, 90, 180])
def test_people_of_labelled_photographs(degrees: int, finder: FaceFinder, shared: Path) -> None:
    """One photograph of each of 60 people: 99 of 100 are found, whichever way up."""
    files = sorted((shared / "faces/lfw60").rglob("*.jpg"))[::3]
    assert len(files) >= 60
    found = []
    for file in files:
        with Image.open(file) as opened:
            pixels, middle = turned(opened.convert("RGB"), _ALIGNED, degrees)
        found.append(covers(finder.find(pixels), middle))
    assert statistics.mean(found) >= 0.99
