"""Decoys: of the right size and format, always the same, and nothing of anybody in them."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops, ImageStat

from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.core.rules import ImageRules
from antiscrape.errors import ConfigurationError
from antiscrape.images.decoy import LARGEST, MOST_IN_POOL, USUAL, DecoyRecipe, open_pool
from antiscrape.images.formats import CLASSIC, EVERY, Format
from antiscrape.images.frames import DECOY_HEAD, MEDIA_TYPES, Order, Outcome, Reply, Task, seed_of
from antiscrape.images.recipes import decoy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.conftest import Encode

_MOST = ImageRules().max_pixels


def made(source: bytes, name: bytes = b"a", formats: int = EVERY, recipe: DecoyRecipe | None = None) -> Reply:
    order = Order(Task.DECOY, formats, seed_of(name))
    return (recipe or DecoyRecipe()).make(source, order, max_pixels=_MOST)


def shown(reply: Reply) -> Image.Image:
    with Image.open(io.BytesIO(reply.body)) as opened:
        assert opened.get_format_mimetype() == MEDIA_TYPES[reply.outcome]
        opened.load()
        return opened.convert("RGB")


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (7, 300), (641, 479), (640, 160), (333, 2000)])
@pytest.mark.parametrize("kind", [Format.JPEG, Format.PNG])
def test_a_decoy_has_the_originals_size_and_format(
    kind: Format, size: tuple[int, int], encode: Encode
) -> None:
    reply = made(encode(Image.new("RGB", size), kind.value))
    assert reply.outcome.name == kind.name
    assert shown(reply).size == size


@pytest.mark.parametrize("kind", list(Format))
def test_every_format_has_its_decoy(kind: Format, encode: Encode) -> None:
    reply = made(encode(Image.new("RGB", (300, 200)), kind.value))
    assert reply.outcome.name == kind.name
    assert shown(reply).size == (300, 200)


@pytest.mark.parametrize("kind", [Format.WEBP, Format.AVIF])
def test_a_client_that_does_not_take_the_format_gets_a_jpeg(kind: Format, encode: Encode) -> None:
    reply = made(encode(Image.new("RGB", (300, 200)), kind.value), formats=CLASSIC)
    assert reply.outcome is Outcome.JPEG


@pytest.mark.security("E2")
@pytest.mark.parametrize("kind", list(Format))
def test_a_huge_original_has_a_smaller_decoy_of_its_shape(kind: Format, encode: Encode) -> None:
    """Nothing of 12,000 x 9,000 pixels is drawn; of the file no more than the head is read."""
    if kind is Format.AVIF:  # which takes its time to be encoded
        small = encode(Image.new("RGB", (60, 45)), "AVIF")
        source = small.replace(struct.pack(">II", 60, 45), struct.pack(">II", 12_000, 9000))
    else:
        source = encode(Image.new("RGB", (LARGEST[kind] * 2, LARGEST[kind] * 3 // 2)), kind.value)
    picture = shown(made(source[:DECOY_HEAD]))
    assert picture.size == (LARGEST[kind], LARGEST[kind] * 3 // 4)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_portrait_that_is_stored_lying_has_a_standing_decoy(orientation: int, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = encode(Image.new("RGB", (400, 300)), "JPEG", exif=exif)
    assert shown(made(source)).size == ((400, 300) if orientation == 1 else (300, 400))


def test_one_name_has_one_decoy_and_another_another(encode: Encode) -> None:
    source = encode(Image.new("RGB", (300, 200)), "JPEG")
    bodies = {name: made(source, name).body for name in (b"site/1.jpg", b"site/2.jpg", b"site/3.jpg")}
    assert {name: made(source, name).body for name in bodies} == bodies
    assert len(set(bodies.values())) == 3
    assert seed_of(b"site/1.jpg") != seed_of(b"site/1.jpg", b"of another site")


@pytest.mark.security("E5")
def test_nothing_of_the_picture_is_in_its_decoy(photo: bytes, encode: Encode) -> None:
    """Two pictures of one size and name have one decoy."""
    with Image.open(io.BytesIO(photo)) as opened:
        empty = encode(Image.new("RGB", opened.size, "red"), "JPEG")
    assert made(photo).body == made(empty).body


def test_a_decoy_is_soft_and_plainly_no_photograph(encode: Encode) -> None:
    """No two neighbours in a row differ by more than a few levels, and no part is a flat grey."""
    source = encode(Image.new("RGB", (800, 600)), "JPEG")
    for number in range(20):
        picture = shown(made(source, b"%d" % number))
        moved = ImageChops.offset(picture, 1, 0)
        steps = ImageChops.difference(picture, moved).crop((1, 0, 800, 600))
        assert max(top for _, top in steps.getextrema()) < 16  # type: ignore[misc]  # RGB: a pair for each channel
        assert max(ImageStat.Stat(picture).stddev) > 4


@pytest.mark.security("E2")
def test_a_source_that_tells_nothing_has_a_decoy_all_the_same() -> None:
    for source in (b"", b"GIF89a", b"\xff\xd8\xff", b"nonsense", bytes(500)):
        assert shown(made(source)).size in {USUAL, (LARGEST[Format.GIF], 960)}


def test_of_a_tall_jpeg_a_few_rows_are_encoded(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    source = encode(Image.new("RGB", (800, 4000)), "JPEG")
    encoded: list[int] = []
    save = Image.Image.save

    def counting(picture: Image.Image, *rest: object, **options: object) -> None:
        encoded.append(picture.width * picture.height)
        save(picture, *rest, **options)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(Image.Image, "save", counting)
    reply = made(source)
    assert shown(reply).size == (800, 4000)
    assert sum(encoded) <= 800 * 4000 / 20


def test_decoys_say_whose_site_they_are_of(encode: Encode) -> None:
    recipe = decoy(ImageRules(rights=RightsRules(notice="© Photos e.V.")))
    for kind in Format:
        reply = made(encode(Image.new("RGB", (60, 40)), kind.value), recipe=recipe)
        assert "© Photos e.V.".encode() in reply.body
        assert shown(reply).size == (60, 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, colour in enumerate(("red", "lime", "blue")):
        Image.new("RGB", (900, 500), colour).save(tmp_path / f"{number}.png")
    (tmp_path / ".hidden").write_bytes(b"no picture")
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_a_pool_of_the_operators_pictures_is_served_from(folder: Path, encode: Encode) -> None:
    recipe = decoy(ImageRules(renditions=RenditionRules(decoys=str(folder))))
    source = encode(Image.new("RGB", (600, 800)), "JPEG")
    found = {}
    for number in range(30):
        picture = shown(made(source, b"%d" % number, recipe=recipe))
        assert picture.size == (600, 800)
        found[number] = tuple(round(value / 255) for value in ImageStat.Stat(picture).mean)
    assert set(found.values()) == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}
    again = shown(made(source, b"7", recipe=recipe))
    assert tuple(round(value / 255) for value in ImageStat.Stat(again).mean) == found[7]


@pytest.mark.security("E2")
def test_a_pool_is_bounded(folder: Path) -> None:
    for number in range(MOST_IN_POOL + 5):
        Image.new("RGB", (700, 400)).save(folder / f"more{number}.png")
    pool = open_pool("renditions.decoys", str(folder))
    assert len(pool) == MOST_IN_POOL
    assert max(max(picture.size) for picture in pool) == 640


@pytest.mark.security("E2")
@pytest.mark.parametrize("case", ["absent", "empty", "broken"])
def test_a_pool_that_cannot_be_used_is_said(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "decoys"
    if case != "absent":
        folder.mkdir()
    if case == "broken":
        (folder / "a.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    with pytest.raises(ConfigurationError, match=r"renditions\.decoys: .*decoys"):
        open_pool("renditions.decoys", str(folder))
