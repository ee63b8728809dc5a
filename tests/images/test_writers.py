"""Which format a rendition comes in, and that it is never too large to travel."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from antiscrape.images import writers
from antiscrape.images.decode import Picture, Refused
from antiscrape.images.formats import CLASSIC, EVERY, Format
from antiscrape.images.frames import MEDIA_TYPES, Outcome, Reply
from antiscrape.images.writers import Animation, choose, write, write_animation

if TYPE_CHECKING:
    from collections.abc import Callable

JPEG, PNG, GIF, WEBP, AVIF = Format


def photograph(mode: str = "RGB") -> Image.Image:
    grey = Image.linear_gradient("L").resize((160, 120))
    mixed = Image.merge("RGB", (grey, grey.transpose(Image.Transpose.FLIP_TOP_BOTTOM), grey.rotate(90)))
    if mode == "RGBA":
        mixed.putalpha(Image.radial_gradient("L").resize(mixed.size))
    return mixed


def drawing() -> Image.Image:
    picture = Image.new("RGB", (160, 120), "teal")
    ImageDraw.Draw(picture).rectangle((20, 20, 90, 60), fill="orange", outline="black")
    return picture


def shown(reply: Reply) -> Image.Image:
    with Image.open(io.BytesIO(reply.body)) as opened:
        assert opened.get_format_mimetype() == MEDIA_TYPES[reply.outcome]
        opened.load()
        return opened.copy()


def outcome_of(pixels: Image.Image, kind: Format, formats: int) -> Outcome:
    reply = write(Picture(pixels, *pixels.size, 1, kind), 80, formats)
    assert shown(reply).size == pixels.size
    return reply.outcome


@pytest.mark.parametrize(
    ("kind", "formats", "expected"),
    [
        (JPEG, EVERY, Outcome.JPEG),
        (PNG, EVERY, Outcome.JPEG),
        (GIF, CLASSIC, Outcome.JPEG),
        (WEBP, EVERY, Outcome.WEBP),
        (WEBP, CLASSIC, Outcome.JPEG),
        (AVIF, EVERY, Outcome.AVIF),
        (AVIF, WEBP.bit | CLASSIC, Outcome.WEBP),
        (AVIF, CLASSIC, Outcome.JPEG),
        (JPEG, WEBP.bit, Outcome.WEBP),
        (JPEG, AVIF.bit, Outcome.AVIF),
        (JPEG, PNG.bit | GIF.bit, Outcome.PNG),
        (JPEG, GIF.bit, Outcome.GIF),
        (JPEG, 0, Outcome.JPEG),
    ],
)
def test_a_photograph_keeps_its_format_or_becomes_a_jpeg(
    kind: Format, formats: int, expected: Outcome
) -> None:
    assert outcome_of(photograph(), kind, formats) is expected


@pytest.mark.parametrize("kind", [PNG, GIF])
def test_a_drawing_keeps_its_format_and_every_colour(kind: Format) -> None:
    reply = write(Picture(drawing(), 160, 120, 1, kind), 80, EVERY)
    assert reply.outcome is Outcome[kind.name]
    assert shown(reply).convert("RGB").tobytes() == drawing().tobytes()


@pytest.mark.parametrize(
    ("kind", "formats", "expected"),
    [
        (PNG, EVERY, Outcome.WEBP),
        (PNG, CLASSIC, Outcome.PNG),
        (GIF, CLASSIC, Outcome.PNG),
        (WEBP, EVERY, Outcome.WEBP),
        (WEBP, CLASSIC, Outcome.PNG),
        (AVIF, EVERY, Outcome.AVIF),
        (PNG, GIF.bit, Outcome.GIF),
    ],
)
def test_transparency_goes_where_it_can_be_kept(kind: Format, formats: int, expected: Outcome) -> None:
    assert outcome_of(photograph("RGBA"), kind, formats) is expected
    reply = write(Picture(photograph("RGBA"), 160, 120, 1, kind), 80, formats)
    alpha = shown(reply).convert("RGBA").getchannel("A").tobytes()
    assert min(alpha) < 30
    assert max(alpha) > 220


def test_a_soft_transparent_png_takes_few_bytes() -> None:
    """A preview for a program that names no WebP; a marked picture, of higher quality, keeps its shades."""
    picture = Picture(photograph("RGBA"), 160, 120, 1, PNG)
    soft, fine = (write(picture, quality, CLASSIC) for quality in (72, 84))
    assert soft.outcome is fine.outcome is Outcome.PNG
    assert 3 * len(soft.body) < 2 * len(fine.body)
    assert shown(fine).tobytes() == picture.pixels.tobytes()
    off = zip(shown(soft).convert("RGBA").tobytes(), picture.pixels.tobytes(), strict=True)
    assert sum(abs(one - other) for one, other in off) / len(picture.pixels.tobytes()) < 20


def test_where_only_jpeg_is_taken_a_transparent_picture_lies_on_white() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    found = shown(write(Picture(clear, 40, 40, 1, PNG), 80, JPEG.bit)).getpixel((20, 20))
    assert found == pytest.approx((255, 255, 255), abs=3)


def test_every_client_is_answered_in_a_format_it_takes() -> None:
    for kind in Format:
        for formats in range(EVERY + 1):
            for transparent in (False, True):
                assert choose(kind, formats, transparent=transparent).bit & (formats or CLASSIC)


@pytest.mark.security("E5")
@pytest.mark.parametrize(("kind", "most"), [(JPEG, 20_000), (PNG, 50_000), (WEBP, 20_000)])
def test_a_file_is_made_small_enough_to_travel(
    kind: Format, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that answered with more would be taken for one that talks nonsense, and ended."""
    noise = Image.frombytes("RGB", (200, 200), random.Random(3).randbytes(200 * 200 * 3))
    picture = Picture(noise, 200, 200, 1, kind)
    assert len(write(picture, 95, kind.bit).body) > most
    monkeypatch.setattr(writers, "LARGEST_REPLY", most)
    reply = write(picture, 95, kind.bit)
    assert most / 4 < len(reply.body) <= most
    assert shown(reply).size == noise.size
    monkeypatch.setattr(writers, "LARGEST_REPLY", 1000)
    with pytest.raises(Refused):
        write(picture, 95, kind.bit)


@pytest.mark.parametrize(
    ("kind", "formats", "expected"),
    [
        (GIF, CLASSIC, Outcome.GIF),
        (GIF, EVERY, Outcome.GIF),
        (WEBP, EVERY, Outcome.WEBP),
        (WEBP, CLASSIC, Outcome.GIF),
        (PNG, EVERY, Outcome.WEBP),
        (GIF, JPEG.bit, Outcome.JPEG),
    ],
)
def test_an_animation_moves_where_the_client_can_show_it(
    kind: Format, formats: int, expected: Outcome
) -> None:
    shades = [Image.new("RGB", (40, 30), (shade, 90, 90)) for shade in (10, 90, 170)]
    reply = write_animation(
        Picture(shades[0], 40, 30, 1, kind), Animation(shades[1:], (100, 200, 300)), 80, formats
    )
    assert reply.outcome is expected
    with Image.open(io.BytesIO(reply.body)) as opened:
        assert getattr(opened, "n_frames", 1) == (1 if expected is Outcome.JPEG else 3)


#: How many codes of each length the usual table of DC differences has (ISO/IEC 10918-1, table K.3).
_USUAL = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("picture", "quality", "usual"), [(photograph, 72, True), (photograph, 84, False), (drawing, 72, False)]
)
def test_soft_photographs_are_written_with_the_usual_tables(
    picture: Callable[[], Image.Image],
    quality: int,
    usual: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    """Their own take as long as all the rest; fine pictures and drawings have them."""
    pixels = picture()
    assert (_USUAL in write(Picture(pixels, *pixels.size, 1), quality, CLASSIC).body) is usual
