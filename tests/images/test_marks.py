"""Marks are seen on whatever they lie on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops, ImageDraw

from antiscrape.core.renditions import RenditionRules
from antiscrape.core.rules import ImageRules
from antiscrape.errors import ConfigurationError
from antiscrape.images.brand import LONGEST_MARK, Brand, brand_of
from antiscrape.images.decode import Picture
from antiscrape.images.marks import badged, cornered, marked_by, tiled

if TYPE_CHECKING:
    from antiscrape.images.steps import Step

_WORDS = Brand("photos.example")
_GROUNDS = {"white": 255, "black": 0, "silver": 192, "dimgray": 105, "gray": 128}


def laid(step: Step, ground: Image.Image) -> Image.Image:
    return step(Picture(ground, *ground.size, 1)).pixels


def contrast(one: int, other: int) -> float:
    """Return the contrast of two greys (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((((value / 255 + 0.055) / 1.055) ** 2.4 for value in (one, other)), reverse=True)
    return float((lighter + 0.05) / (darker + 0.05))


@pytest.fixture
def logo() -> Image.Image:
    """A white ring on nothing."""
    picture = Image.new("RGBA", (200, 100), (255, 255, 255, 0))
    ImageDraw.Draw(picture).ellipse((10, 10, 190, 90), outline=(255, 255, 255, 255), width=20)
    return picture


@pytest.mark.parametrize("ground", _GROUNDS)
@pytest.mark.parametrize("size", [(1200, 900), (300, 400), (100, 80)])
def test_a_corner_mark_stands_out_from_any_ground(ground: str, size: tuple[int, int]) -> None:
    """WCAG 2.2 asks large text for a contrast of 3:1 (1.4.3)."""
    plain = Image.new("RGB", size, ground)
    marked = laid(cornered(_WORDS), plain).convert("L")
    box = ImageChops.difference(marked, plain.convert("L")).getbbox()
    assert box is not None
    assert box[0] > size[0] // 4
    assert box[1] > size[1] // 2
    inks = marked.crop(box).tobytes()
    assert max(contrast(ink, _GROUNDS[ground]) for ink in (min(inks), max(inks))) > 3


def test_each_tile_looks_at_its_own_ground() -> None:
    """On the left half, black, words are light; on the right one, white, they are dark."""
    ground = Image.new("RGB", (1200, 800))
    ground.paste("white", (600, 0, 1200, 800))
    marked = laid(tiled(_WORDS), ground).convert("L")
    left, right = marked.crop((0, 0, 480, 800)).tobytes(), marked.crop((720, 0, 1200, 800)).tobytes()
    assert max(left) > 90
    assert min(right) < 160


@pytest.mark.parametrize("size", [(1200, 800), (400, 300), (90, 120)])
def test_tiles_leave_no_part_to_be_cut_out(size: tuple[int, int]) -> None:
    ground = Image.new("RGB", size, "teal")
    marks = ImageChops.difference(laid(tiled(_WORDS), ground), ground).convert("L")
    width, height = size[0] // 3, size[1] // 3
    for left in range(0, 3 * width, width):
        for top in range(0, 3 * height, height):
            part = marks.crop((left, top, left + width, top + height))
            assert max(part.tobytes()) > 20 or size == (90, 120)
    assert max(marks.tobytes()) > 20


def test_a_mark_grows_with_its_picture() -> None:
    boxes = []
    for side in (400, 1600):
        ground = Image.new("RGB", (side, side), "teal")
        marked = laid(marked_by(_WORDS, "corner"), ground)
        box = ImageChops.difference(marked, ground).getbbox()
        assert box is not None
        boxes.append(box[2] - box[0])
    assert boxes[1] > 3 * boxes[0]


@pytest.mark.parametrize("step", [cornered, tiled, badged])
def test_marks_are_seen_where_a_picture_is_transparent(step: type) -> None:
    clear = Image.new("RGBA", (600, 400), (0, 0, 0, 0))
    alpha = laid(step(_WORDS), clear).getchannel("A")
    assert max(alpha.tobytes()) > 90
    assert min(alpha.tobytes()) == 0


@pytest.mark.parametrize(("ground", "look"), [("black", "bare"), ("white", "plated")])
def test_a_light_logo_has_a_plate_on_a_light_ground_only(ground: str, look: str, logo: Image.Image) -> None:
    plain = Image.new("RGB", (800, 600), ground)
    marked = laid(cornered(Brand("", b"", logo)), plain)
    box = ImageChops.difference(marked, plain).getbbox()
    assert box is not None
    middle = marked.getpixel(((box[0] + box[2]) // 2, (box[1] + box[3]) // 2))
    # the ring's middle is transparent: what shows there is the ground, or the plate
    assert (middle != plain.getpixel((0, 0))) == (look == "plated")
    inks = marked.crop(box).convert("L").tobytes()
    assert contrast(min(inks), max(inks)) > 3


def test_a_logo_keeps_its_shape(logo: Image.Image) -> None:
    ground = Image.new("RGB", (1000, 1000))
    box = ImageChops.difference(laid(cornered(Brand("", b"", logo)), ground), ground).getbbox()
    assert box is not None
    # the ring: 180 x 80 of the file's 200 x 100
    assert (box[2] - box[0]) / (box[3] - box[1]) == pytest.approx(180 / 80, rel=0.08)


@pytest.mark.security("E3")
@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (17, 9), (64, 64)])
@pytest.mark.parametrize("words", ["", "W" * LONGEST_MARK, "\u202eيمين", "写真"])
def test_a_mark_that_does_not_fit_leaves_the_size_alone(size: tuple[int, int], words: str) -> None:
    for mode in ("RGB", "RGBA"):
        for step in (cornered, tiled, badged):
            assert laid(step(Brand(words)), Image.new(mode, size)).size == size


def test_the_operators_font_is_used(tmp_path: Path) -> None:
    """Read at the start, and used when the file is gone, as it is for a confined worker."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        pytest.skip("matplotlib, which carries fonts, is not installed")
    font = tmp_path / "font.ttf"
    carried = Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSerif-Bold.ttf"
    font.write_bytes(carried.read_bytes())
    brand = brand_of(ImageRules(mark="Ωδή", renditions=RenditionRules(mark_font=str(font))))
    font.unlink()
    ground = Image.new("RGB", (900, 600), "teal")
    other = laid(cornered(Brand("Ωδή")), ground)
    assert laid(cornered(brand), ground).tobytes() != other.tobytes()


@pytest.mark.security("E3")
@pytest.mark.parametrize("setting", ["mark_font", "mark_image"])
@pytest.mark.parametrize(
    "content", [None, b"", b"neither a font nor a picture", b"\x89PNG\r\n\x1a\n" + bytes(99)]
)
def test_a_file_that_cannot_be_used_is_named(setting: str, content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    font, image = (str(file) if setting == name else "" for name in ("mark_font", "mark_image"))
    rules = ImageRules(renditions=RenditionRules(mark_font=font, mark_image=image))
    with pytest.raises(ConfigurationError, match=f"renditions.{setting}: .*file"):
        brand_of(rules)


def test_a_logo_that_nobody_would_see_is_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (50, 50), (255, 0, 0, 0)).save(tmp_path / "logo.png")
    rules = ImageRules(renditions=RenditionRules(mark_image=str(tmp_path / "logo.png")))
    with pytest.raises(ConfigurationError, match="transparent everywhere"):
        brand_of(rules)
