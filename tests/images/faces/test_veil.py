"""Nothing of a face is left under its veil."""

from __future__ import annotations

import itertools

import pytest
from PIL import Image, ImageChops

from antiscrape.images.decode import Picture
from antiscrape.images.faces.finding import MOST_FACES, Face
from antiscrape.images.faces.veil import LEVELS, veiled, with_veils

#: A level in the middle of a rounding step, so that a cell's mean may be off by one and comes to the same.
_EVEN = 133


class Knowing:
    """A finder that has been told."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)
        self.least, self.look = 12 / 192, 192

    def find(self, pixels: Image.Image) -> list[Face]:
        return self.faces


def face(x: float, y: float, width: float, height: float) -> Face:
    return Face(x, y, width, height, 0.9)


def canvas(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """A grey picture whose every pixel is even to the veil's rounding."""
    return Image.new(mode, (width, height), (_EVEN,) * 3 + (255,) * (mode == "RGBA"))


def drawn_on(picture: Image.Image, *faces: Face, depth: int = 90) -> Image.Image:
    """Draw on every face what a mean does not tell: a pattern of single pixels around the same grey."""
    out = picture.copy()
    pixels = out.load()
    assert pixels is not None
    for x, y, width, height, _ in faces:
        columns = range(max(0, int(x)), min(out.width, int(x + width) + 1))
        for column, row in itertools.product(
            columns, range(max(0, int(y)), min(out.height, int(y + height) + 1))
        ):
            level = _EVEN + (depth if (column + row) % 2 else -depth)
            pixels[column, row] = (level,) * 3 + (255,) * (out.mode == "RGBA")
    return out


def highest(picture: Image.Image) -> int:
    """Return the highest value of any band."""
    return max(picture.tobytes())


PLACES = {
    "in the middle": [face(50, 40, 40, 48)],
    "between pixels": [face(50.5, 40.49, 36.6, 44.3)],
    "tiny": [face(80, 60, 4.5, 5.5)],
    "tinier": [face(30.2, 30.7, 1.3, 1.1)],
    "cut by the left border": [face(-20, 30, 44, 52)],
    "cut by a corner": [face(136, 96, 44, 52)],
    "all of the picture": [face(-3, -4, 166, 128)],
    "overlapping": [face(30, 30, 40, 48), face(55, 42, 40, 48), face(64, 20, 20, 24)],
    "one within another": [face(20, 10, 80, 96), face(40, 40, 18, 20)],
    "one on another's rim": [face(40, 30, 40, 48), face(82, 30, 40, 48)],
}


@pytest.mark.security("I3")
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("faces", PLACES.values(), ids=list(PLACES))
def test_no_pixel_of_a_face_has_any_weight(faces: list[Face], mode: str) -> None:
    """A face that differs from another in all but its means leaves the same bytes: within the oval and on its rim."""
    plain = canvas(mode=mode)
    busy = drawn_on(plain, *faces)
    assert busy != plain
    assert with_veils(busy, faces).tobytes() == with_veils(plain, faces).tobytes()


@pytest.mark.security("I3")
def test_no_more_than_one_colour_tells_of_a_face() -> None:
    """Dark hair over a light face, one side of it in shadow, or all of it even: of one mean, they leave the same bytes."""
    place = face(40, 30, 60, 70)
    even = canvas()
    lit, shadowed = even.copy(), even.copy()
    # The core, by its definition 0.72 and 0.76 of the find from a middle that is 0.08 higher: 86 x 106 pixels.
    lit.paste((_EVEN - 60,) * 3, (27, 6, 113, 59))
    lit.paste((_EVEN + 60,) * 3, (27, 59, 113, 112))
    shadowed.paste((_EVEN - 60,) * 3, (27, 6, 70, 112))
    shadowed.paste((_EVEN + 60,) * 3, (70, 6, 113, 112))
    box = (40, 30, 100, 100)
    shown = {with_veils(one, [place]).crop(box).tobytes() for one in (even, lit, shadowed)}
    assert len(shown) == 1


@pytest.mark.security("I3")
def test_the_veils_shading_is_the_same_for_every_head() -> None:
    """Over two colours that rounding leaves apart, what is lighter below is lighter by as much."""
    place, steps = face(40, 30, 60, 70), set()
    for grey in (93, 139, 185):
        veil = with_veils(Image.new("RGB", (160, 120), (grey,) * 3), [place]).convert("L")
        column = veil.crop((70, 30, 71, 100)).tobytes()
        assert column == bytes(sorted(column))
        steps.add(bytes(level - column[0] for level in column))
    assert len(steps) == 1
    assert steps.pop()[-1] > 0


@pytest.mark.security("I3")
def test_copies_come_to_the_same_so_there_is_nothing_to_average() -> None:
    """Ten copies with different noise under the veil: one preview, byte for byte."""
    faces = [face(50, 40, 40, 48)]
    base = canvas()
    copies = {with_veils(drawn_on(base, *faces, depth=9 * seed), faces).tobytes() for seed in range(1, 11)}
    assert len(copies) == 1


def test_beyond_the_rim_nothing_changes() -> None:
    noise = Image.effect_noise((160, 120), 90).convert("RGB")
    changed = ImageChops.difference(noise, with_veils(noise, [face(60, 40, 40, 48)])).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert (left >= 60 - 24, top >= 40 - 32, right <= 100 + 24, bottom <= 88 + 24) == (True,) * 4
    # It covers hair, ears and jaw: a seventh and more beyond the find on every side.
    assert (left < 54, top < 30, right > 106, bottom > 95) == (True,) * 4


def test_the_veil_is_smooth() -> None:
    """No block, no edge: on a white picture with a black face neighbours differ by little."""
    picture = Image.new("L", (160, 120), 255)
    picture.paste(0, (60, 40, 100, 88))
    shown = with_veils(picture.convert("RGB"), [face(60, 40, 40, 48)]).convert("L")
    for moved in (ImageChops.offset(shown, 1, 0), ImageChops.offset(shown, 0, 1)):
        assert highest(ImageChops.difference(shown, moved).crop((1, 1, 160, 120))) < 60


def test_colours_are_rounded() -> None:
    greys = {
        with_veils(Image.new("RGB", (60, 60), (grey,) * 3), [face(20, 15, 20, 24)]).getpixel((30, 27))
        for grey in range(256)
    }
    assert len(greys) == LEVELS


@pytest.mark.security("I3")
def test_colours_that_cannot_be_seen_are_not_in_the_preview() -> None:
    """A cut-out portrait whose transparent pixels still hold the background, or the face, as they do in many PNGs."""
    hidden = Image.effect_noise((300, 200), 120).convert("RGB")
    hidden.putalpha(
        Image.linear_gradient("L").resize((300, 200)).point(lambda value: 255 if value > 127 else 0)
    )
    step = veiled(Knowing(), detail=300, otherwise=lambda picture: picture)
    shown = step(Picture(hidden, 300, 200, 1)).pixels
    assert shown.mode == "RGBA"
    unseen = shown.crop((0, 0, 300, 90)).convert("RGB")
    assert unseen.getextrema() == ((0, 0),) * 3


def test_faces_are_found_in_the_whole_picture_and_veiled_in_the_reduced() -> None:
    picture = drawn_on(canvas(1600, 1200), face(600, 400, 300, 360))
    step = veiled(Knowing(face(600, 400, 300, 360)), detail=128, otherwise=lambda _: pytest.fail("no crowd"))
    shown = step(Picture(picture, 1600, 1200, 1))
    assert shown.pixels.size == (128, 96)
    assert (shown.width, shown.height) == (1600, 1200)
    assert shown.pixels.tobytes() == step(Picture(canvas(1600, 1200), 1600, 1200, 1)).pixels.tobytes()


@pytest.mark.security("I3")
@pytest.mark.parametrize("found", [MOST_FACES, MOST_FACES + 1])
def test_a_crowd_is_reduced_as_a_whole(found: int) -> None:
    crowd = Knowing(*(face(1 + 7 * (place % 20), 1 + 9 * (place // 20), 5, 6) for place in range(found)))
    whole: list[Picture] = []

    def otherwise(picture: Picture) -> Picture:
        whole.append(picture)
        return picture

    veiled(crowd, detail=128, otherwise=otherwise)(Picture(canvas(), 160, 120, 1))
    assert len(whole) == (found > MOST_FACES)


def test_a_find_far_larger_than_the_picture_takes_no_more_than_its_surroundings() -> None:
    step = veiled(Knowing(face(-9e5, -9e5, 2e6, 2e6)), detail=128, otherwise=lambda picture: picture)
    shown = step(Picture(drawn_on(canvas(), face(0, 0, 160, 120)), 160, 120, 1)).pixels
    rows = [shown.crop((0, row, shown.width, row + 1)).getcolors() or () for row in range(shown.height)]
    assert {len(colours) for colours in rows} == {1}
