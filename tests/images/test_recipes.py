"""What is left of a picture in each rendition."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops, ImageStat, PngImagePlugin

from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.core.rules import ImageRules
from antiscrape.images.decode import decode
from antiscrape.images.frames import MEDIA_TYPES, Order, Outcome, Task
from antiscrape.images.recipes import LEVELS, preview, recipes

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.images.frames import Reply
    from tests.images.conftest import Encode

# Without a detector, whether there is one or not: what previews are with it, tests/images/faces tells.
_RULES = ImageRules(faces="off")
_UNMARKED = ImageRules(faces="off", mark="")
_MOST = _RULES.max_pixels
MARKED_SIZE = _RULES.renditions.marked_size
SHOWING = (Task.PREVIEW, Task.MARKED)  # the renditions that show something of the picture


def made(source: bytes, task: Task = Task.PREVIEW, rules: ImageRules = _RULES) -> Reply:
    return recipes(rules)[task].make(source, Order(task), max_pixels=_MOST)


def shown(reply: Reply) -> Image.Image:
    with Image.open(io.BytesIO(reply.body)) as opened:
        assert opened.get_format_mimetype() == MEDIA_TYPES[reply.outcome]
        opened.load()
        return opened.copy()


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference of two pictures, in levels of 256."""
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3


def rebuilt(picture: Image.Image, cells: int) -> Image.Image:
    """Return what ``cells`` means along the long side can tell of a picture."""
    scale = cells / max(picture.size)
    small = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BICUBIC)


def test_a_preview_has_no_more_than_its_cells_say(photo: bytes) -> None:
    """Six means along the long side bring all of it back, which they do not of the photograph."""
    picture = shown(made(photo, rules=_UNMARKED))
    with Image.open(io.BytesIO(photo)) as original:
        control = original.convert("RGB").resize(picture.size)
    assert difference(picture, rebuilt(picture, 6)) < 5
    assert difference(control, rebuilt(control, 6)) > 10


def test_detail_within_a_cell_leaves_no_trace(encode: Encode) -> None:
    """Two pictures whose cells have the same means, one flat and one full of contrast, give the same bytes."""
    chance = random.Random(5)
    cells = Image.frombytes("RGB", (6, 6), bytes(chance.randint(60, 195) for _ in range(108)))
    flat = cells.resize((480, 480), Image.Resampling.NEAREST)
    checks = Image.new("L", (2, 2))
    checks.putdata([0, 255, 255, 0])
    pattern = Image.new("L", flat.size)
    for left in range(0, 480, 2):
        for top in range(0, 480, 2):
            pattern.paste(checks, (left, top))
    busy = Image.composite(
        flat.point(lambda value: value + 60), flat.point(lambda value: value - 60), pattern
    )
    assert difference(flat, busy) > 50
    assert made(encode(busy, "PNG")).body == made(encode(flat, "PNG")).body


def test_colours_are_quantised_before_they_are_blown_up(encode: Encode) -> None:
    """All shades within a step of the scale come out as one."""
    bodies = {made(encode(Image.new("RGB", (64, 64), (grey, grey, grey)), "PNG")).body for grey in range(256)}
    assert len(bodies) == LEVELS


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1600, 1200), (480, 360)),
        ((1200, 1600), (360, 480)),
        ((300, 200), (300, 200)),
        ((40, 20), (64, 32)),
        ((16, 9), (16, 9)),
        ((1, 1), (1, 1)),
        ((3000, 2), (480, 1)),
    ],
)
def test_the_shape_is_kept_and_nothing_grows_beyond_the_original(
    size: tuple[int, int], expected: tuple[int, int], encode: Encode
) -> None:
    assert shown(made(encode(Image.new("RGB", size, "teal"), "PNG"))).size == expected


@pytest.mark.parametrize(
    ("size", "cells"), [(2000, 6), (512, 6), (256, 6), (160, 5), (128, 4), (64, 4), (16, 4)]
)
def test_small_pictures_keep_fewer_cells(size: int, cells: int, encode: Encode) -> None:
    """An avatar is all face: its cells are as large as a photograph's, not as many."""
    source = encode(Image.effect_noise((size, size), 90), "PNG")
    reduce = preview(_RULES).steps[0]
    assert reduce(decode(source, max_pixels=_MOST, enough=32)).pixels.size == (cells, cells)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("task", SHOWING)
def test_exif_orientation_is_applied_and_gone(task: Task, orientation: int, encode: Encode) -> None:
    """A picture that is red above and blue below when held as Exif says is so without Exif."""
    upright = Image.new("RGB", (320, 480), "blue")
    upright.paste("red", (0, 0, 320, 240))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpositions that Pillow numbers so
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = shown(made(encode(stored, "JPEG", exif=exif, quality=95), task, _UNMARKED))
    assert picture.size == (320, 480)
    assert not picture.getexif()
    top, bottom = picture.getpixel((160, 30)), picture.getpixel((160, 450))
    assert top == pytest.approx((254, 0, 0), abs=12)
    assert bottom == pytest.approx((0, 0, 254), abs=12)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("task", SHOWING)
@pytest.mark.parametrize(
    ("stored", "size"), [((1600, 1200), (1600, 1200)), ((300, 200), (300, 200)), ((3000, 1500), (2048, 1024))]
)
def test_a_layout_may_count_on_the_originals_size(
    stored: tuple[int, int], size: tuple[int, int], task: Task, orientation: int, encode: Encode
) -> None:
    """Within ``largest``; as it is held up by whoever looks at it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = encode(Image.linear_gradient("L").resize(stored).convert("RGB"), "JPEG", exif=exif)
    rules = ImageRules(renditions=RenditionRules(keep_size=True, marked_size=200))
    picture = shown(made(source, task, rules))
    assert picture.size == (size if orientation == 1 else size[::-1])
    small = ImageRules(renditions=RenditionRules(marked_size=200))
    assert max(shown(made(source, task, small)).size) == min(
        480 if task is Task.PREVIEW else 200, max(stored)
    )


def test_a_kept_size_brings_no_detail_back(photo: bytes) -> None:
    """What was reduced to 200 pixels and enlarged again holds what 200 pixels hold."""
    rules = ImageRules(mark="", renditions=RenditionRules(keep_size=True, marked_size=200))
    picture = shown(made(photo, Task.MARKED, rules))
    with Image.open(io.BytesIO(photo)) as original:
        assert picture.size == original.size
        control = original.convert("RGB")
    assert difference(picture, rebuilt(picture, 200)) < 2
    assert difference(control, rebuilt(control, 200)) > 3


@pytest.mark.security("E5")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_what_is_said_of_rights_comes_from_the_settings_alone(kind: str, encode: Encode) -> None:
    rules = ImageRules(rights=RightsRules(data_mining="DMI-PROHIBITED", notice="© Photos e.V."))
    source = encode(Image.new("RGB", (200, 100), "teal"), kind, **_metadata(kind))
    assert source.count(b"SECRET") >= 2
    for task in Task.PREVIEW, Task.MARKED, Task.DECOY:
        reply = made(source, task, rules)
        assert b"SECRET" not in reply.body
        assert b"Exif" not in reply.body
        assert b"ldf/vocab/DMI-PROHIBITED" in reply.body


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_as_many_frames_are_kept_as_policy_says(kind: str, encode: Encode) -> None:
    """A preview stands still, and so does a marked picture unless frames are asked for; each frame is marked."""
    shades = [Image.new("RGB", (400, 300), (shade, 90, 90)) for shade in (10, 90, 170)]
    source = encode(shades[0], kind, save_all=True, append_images=shades[1:], duration=100)
    rules = ImageRules(renditions=RenditionRules(frames=2))
    for task, given, expected in (
        (Task.PREVIEW, rules, 1),
        (Task.MARKED, _RULES, 1),
        (Task.MARKED, rules, 2),
    ):
        with Image.open(io.BytesIO(made(source, task, given).body)) as opened:
            assert getattr(opened, "n_frames", 1) == expected
            for frame in range(expected if task is Task.MARKED else 0):
                opened.seek(frame)
                lows, highs = zip(*opened.convert("RGB").getextrema(), strict=True)
                assert max(high - low for low, high in zip(lows, highs, strict=True)) > 60


@pytest.mark.security("E5")
@pytest.mark.parametrize("task", SHOWING)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_no_metadata_is_left(task: Task, kind: str, mode: str, encode: Encode) -> None:
    """Neither Exif, GPS, XMP, ICC, comments nor text, for a picture with and without transparency."""
    if (kind, mode) == ("JPEG", "RGBA"):
        pytest.skip("JPEG has no transparency")
    source = encode(Image.new(mode, (200, 100), (9, 99, 199, 80)[: len(mode)]), kind, **_metadata(kind))
    assert source.count(b"SECRET") >= 2
    reply = made(source, task)
    assert b"SECRET" not in reply.body
    for trace in (b"Exif", b"xpacket", b"ICCP", b"ICC_PROFILE", b"EXIF", b"XMP ", b"\xff\xfe\0"):
        assert trace not in reply.body
    picture = shown(reply)
    assert not picture.getexif()
    assert not {"icc_profile", "exif", "xmp", "comment", "XML:com.adobe.xmp"} & set(picture.info)


def _metadata(kind: str) -> dict[str, object]:
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif.get_ifd(0x8825)[1] = "SECRET GPS"
    found: dict[str, object] = {"exif": exif, "icc_profile": b"SECRET profile" + bytes(200)}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "SECRET text")
        text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>SECRET</x:xmpmeta>")
        return found | {"pnginfo": text}
    xmp = b"<?xpacket begin=''?><x:xmpmeta>SECRET</x:xmpmeta>"
    return found | {"xmp": xmp} | ({"comment": b"SECRET comment"} if kind == "JPEG" else {})


@pytest.mark.parametrize("size", [(1600, 1200), (480, 640), (120, 80), (64, 64)])
@pytest.mark.parametrize("colour", ["black", "white", "gray"])
def test_a_preview_is_visibly_marked_on_any_ground(
    colour: str, size: tuple[int, int], encode: Encode
) -> None:
    """The badge holds near-white on near-black; WCAG 2.2 asks text for a contrast of 4.5:1 (1.4.3)."""
    picture = shown(made(encode(Image.new("RGB", size, colour), "PNG"))).convert("L")
    plain = shown(made(encode(Image.new("RGB", size, colour), "PNG"), rules=_UNMARKED)).convert("L")
    box = ImageChops.difference(picture, plain).point(lambda value: 255 * (value > 40)).getbbox()
    assert box is not None
    assert box[0] > 0 or size == (64, 64)
    assert box[1] > picture.height // 2
    badge = picture.crop(box).tobytes()
    luminance = [((value / 255 + 0.055) / 1.055) ** 2.4 for value in (min(badge), max(badge))]
    assert (luminance[1] + 0.05) / (luminance[0] + 0.05) > 4.5


def test_transparency_stays_in_renditions(encode: Encode) -> None:
    """A round logo stays round, its corners transparent and its colour unmixed with what lies beneath them."""
    logo = Image.new("RGBA", (400, 400), (0, 255, 0, 0))
    logo.paste((255, 0, 0, 255), (67, 67, 333, 333))
    for task in SHOWING:
        reply = made(encode(logo, "PNG"), task, _UNMARKED)
        assert reply.outcome is Outcome.WEBP
        picture = shown(reply)
        assert picture.getchannel("A").getpixel((10, 10)) == pytest.approx(0, abs=10)
        assert picture.getpixel((200, 200)) == pytest.approx((255, 0, 0, 255), abs=12)


def test_alpha_that_hides_nothing_is_written_as_jpeg(encode: Encode) -> None:
    assert made(encode(Image.new("RGBA", (400, 400), (1, 2, 3, 255)), "PNG")).outcome is Outcome.JPEG


def test_a_marked_picture_is_at_screen_size_and_marked_everywhere(encode: Encode) -> None:
    source = encode(Image.new("RGB", (3000, 2000), (90, 120, 90)), "JPEG")
    picture = shown(made(source, Task.MARKED))
    plain = shown(made(source, Task.MARKED, _UNMARKED))
    assert picture.size == plain.size == (MARKED_SIZE, 800)
    marks = ImageChops.difference(picture, plain).convert("L")
    for left in range(0, MARKED_SIZE, 300):
        for top in range(0, 800, 200):
            assert max(marks.crop((left, top, left + 300, top + 200)).tobytes()) > 40


@pytest.mark.security("E5")
@pytest.mark.parametrize("task", SHOWING)
def test_renditions_are_small(task: Task, photo: bytes) -> None:
    body = made(photo, task).body
    assert len(body) < {Task.PREVIEW: 12_000, Task.MARKED: 2 * len(photo)}[task]
    assert photo not in body


@pytest.mark.security("E3")
@pytest.mark.parametrize(
    "rules",
    [
        ImageRules(faces="off", preview_cells=1),
        ImageRules(faces="off", preview_cells=64, preview_size=16),
        ImageRules(preview_size=4000),
        ImageRules(mark="W" * 3000),
        ImageRules(mark="\0\n\u202eيمين"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (700, 500)])
def test_extreme_settings_make_a_picture(rules: ImageRules, size: tuple[int, int], encode: Encode) -> None:
    source = encode(Image.new("RGB", size, "teal"), "PNG")
    for task in SHOWING:
        assert max(shown(made(source, task, rules)).size) <= max(*size, 64)


def test_real_faces_lose_their_detail(shared: Path) -> None:
    """Of every picture with a face in it no more is left than six means along the long side can tell."""
    files = sorted((shared / "faces/azure").rglob("*.jpg"))
    assert len(files) > 20
    for file in files:
        picture = shown(made(file.read_bytes(), rules=_UNMARKED))
        assert difference(picture, rebuilt(picture, 6)) < 5, file.name
