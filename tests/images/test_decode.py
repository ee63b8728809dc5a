"""What the decoder accepts, and what it hands on."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops

from antiscrape.images.decode import Refused, decode, frames, limit_pixels
from antiscrape.images.formats import Format

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.images.conftest import Encode

_MOST = 50_000_000


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """Set the worker's limits for the test alone."""
    former = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a worker, where no test runner makes warnings errors
        limit_pixels(_MOST)
        yield
    Image.MAX_IMAGE_PIXELS = former


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and has one byte of pixels."""
    parts = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        parts += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return parts


@pytest.mark.security("E2")
@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 1), (7072, 7072), (_MOST + 1, 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises((Refused, Image.DecompressionBombError, Image.DecompressionBombWarning)):
        decode(png_header(*size), max_pixels=_MOST, enough=32)


@pytest.mark.security("E2")
def test_the_limit_itself_holds_without_pillows_help(encode: Encode) -> None:
    source = encode(Image.new("RGB", (100, 101)), "PNG")
    with pytest.raises(Refused, match="100 x 101 pixels"):
        decode(source, max_pixels=10_000, enough=32)
    assert decode(source, max_pixels=10_100, enough=32).pixels.size == (100, 101)


@pytest.mark.security("E2")
def test_pillows_warning_of_a_bomb_is_an_error() -> None:
    """Wherever Pillow finds a size, not only where we ask for one: above the limit, it only warns up to twice of it."""
    with pytest.raises(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(png_header(7100, 7100)))


@pytest.mark.security("E2")
def test_a_gif_frame_beyond_its_screen_is_refused(encode: Encode) -> None:
    """The screen descriptor says 10 x 10; the frame inside says 60,000 x 60,000."""
    gif = bytearray(encode(Image.new("P", (10, 10)), "GIF"))
    frame = gif.index(b"\x2c\0\0\0\0\x0a\0\x0a\0")
    gif[frame + 5 : frame + 9] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises((Refused, Image.DecompressionBombError, Image.DecompressionBombWarning)):
        decode(bytes(gif), max_pixels=_MOST, enough=32)


@pytest.mark.security("E1")
@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PPM", "EPS", "ICO"])
def test_formats_that_are_not_ours_are_never_opened(kind: str, encode: Encode) -> None:
    with pytest.raises(Refused):
        decode(encode(Image.new("RGB", (9, 9)), kind), max_pixels=_MOST, enough=32)


@pytest.mark.security("E1")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_pillow_is_let_loose_on_one_format_only(
    kind: str, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = []
    opener = Image.open

    def spy(source: io.BytesIO, *, formats: tuple[str, ...] | None = None) -> Image.Image:
        allowed.append(formats)
        return opener(source, formats=formats)

    monkeypatch.setattr(Image, "open", spy)
    decode(encode(Image.new("RGB", (9, 9)), kind), max_pixels=_MOST, enough=32)
    assert allowed == [(kind,)]


@pytest.mark.security("E1")
def test_bytes_that_announce_one_format_are_not_tried_as_another(encode: Encode) -> None:
    with pytest.raises(OSError, match="cannot identify"):
        decode(b"\xff\xd8\xff" + encode(Image.new("RGB", (9, 9)), "PNG"), max_pixels=_MOST, enough=32)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF"])
def test_only_the_first_frame_is_read(kind: str, encode: Encode) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    source = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    assert decode(source, max_pixels=_MOST, enough=32).pixels.convert("RGB").getpixel(
        (32, 32)
    ) == pytest.approx((255, 0, 0), abs=6)


def test_a_jpeg_is_decoded_no_larger_than_is_enough(photo: bytes) -> None:
    picture = decode(photo, max_pixels=_MOST, enough=32)
    assert (picture.width, picture.height) == (512, 600)
    assert picture.pixels.size == (64, 75)
    assert decode(photo, max_pixels=_MOST, enough=1200).pixels.size == (512, 600)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "I;16"])
def test_every_mode_without_transparency_becomes_rgb(mode: str, encode: Encode) -> None:
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    source = encode(Image.new("L", (40, 40), 255).convert(mode), kind)
    assert decode(source, max_pixels=_MOST, enough=32).pixels.mode == "RGB"


def test_sixteen_bit_grey_keeps_its_shades(encode: Encode) -> None:
    """A plain conversion would clip all above 255, and so nearly everything, to white."""
    grey = Image.new("I;16", (40, 40), 128 * 257)
    assert decode(encode(grey, "PNG"), max_pixels=_MOST, enough=32).pixels.getpixel((9, 9)) == (128, 128, 128)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGBA", {}),
        ("LA", {}),
        ("P", {"transparency": 0}),
        ("L", {"transparency": 0}),
        ("RGB", {"transparency": (0, 0, 0)}),
    ],
)
def test_transparency_of_every_kind_becomes_alpha(
    mode: str, options: dict[str, object], encode: Encode
) -> None:
    source = encode(Image.new(mode, (40, 40)), "PNG", **options)
    picture = decode(source, max_pixels=_MOST, enough=32)
    assert picture.pixels.mode == "RGBA"
    assert picture.pixels.getchannel("A").getextrema() == (0, 0)


def _large(mode: str) -> Image.Image:
    """Return a picture of five megapixels that darkens from left to right and from top to bottom."""
    shades = Image.linear_gradient("L").resize((2500, 2001))
    across = Image.linear_gradient("L").rotate(90).resize((2500, 2001))
    if mode == "I;16":
        return shades.convert("I").point(lambda value: value * 257).convert("I;16")
    if mode == "P":
        return Image.merge("RGB", (shades, across, shades)).quantize(200)
    if mode == "RGBA":
        return Image.merge("RGBA", (shades, across, Image.new("L", shades.size, 60), across))
    return Image.merge("RGB", (shades, across, Image.new("L", shades.size, 60))).convert(mode)


@pytest.mark.security("E2")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_a_large_picture_is_converted_in_bands_and_reduced(mode: str, encode: Encode) -> None:
    """As means of areas to the last row and column, and as all of it at once would have been."""
    source = encode(_large(mode), "PNG", compress_level=1)
    picture = decode(source, max_pixels=_MOST, enough=300)
    assert (picture.width, picture.height) == (2500, 2001)
    assert picture.pixels.size == (625, 501)
    whole = decode(source, max_pixels=_MOST, enough=2000).pixels
    assert whole.size == (2500, 2001)
    assert picture.pixels.mode == whole.mode
    difference = ImageChops.difference(picture.pixels, whole.reduce(4))
    assert max(high for _, high in difference.getextrema()) <= 1  # type: ignore[misc]  # of several channels


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_a_nonsense_orientation_is_upright(value: int, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    source = encode(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert decode(source, max_pixels=_MOST, enough=32).orientation == 1


@pytest.mark.security("E5")
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 50],
)
def test_broken_exif_does_not_cost_the_picture(exif: bytes, photo: bytes) -> None:
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    picture = decode(photo[:2] + segment + photo[2:], max_pixels=_MOST, enough=32)
    assert (picture.orientation, picture.pixels.info) == (1, {})


def test_every_valid_picture_of_the_png_suite_is_decoded(shared: Path) -> None:
    """Files whose names start with x are broken on purpose (PngSuite); only the sum over pixel data goes unchecked."""
    files = sorted((shared / "corpora/pngsuite/tests/pngsuite").glob("*.png"))
    refused = set()
    for file in files:
        try:
            decode(file.read_bytes(), max_pixels=_MOST, enough=32)
        except (OSError, SyntaxError, ValueError):
            refused.add(file.name)
    assert len(files) > 100
    assert refused == {file.name for file in files if file.name.startswith("x")} - {"xcsn0g01.png"}


@pytest.mark.parametrize("kind", list(Format))
def test_a_picture_knows_its_format(kind: Format, encode: Encode) -> None:
    assert decode(encode(Image.new("RGB", (9, 9)), kind.value), max_pixels=_MOST, enough=32).kind is kind


@pytest.mark.parametrize("adobe", ["with", "without"])
def test_a_cmyk_jpeg_is_read_as_browsers_read_it(adobe: str, encode: Encode) -> None:
    """Photoshop writes inks inverted and an APP14 segment that says so; browsers take every CMYK JPEG for such a one."""
    source = encode(Image.new("CMYK", (40, 40), (0, 200, 200, 20)), "JPEG", quality=95)
    segment = source.index(b"\xff\xee\0\x0eAdobe")
    if adobe == "without":
        source = source[:segment] + source[segment + 16 :]
    picture = decode(source, max_pixels=_MOST, enough=40).pixels
    red, green, blue = picture.getpixel((20, 20))  # type: ignore[misc]  # RGB
    assert red > 200
    assert max(green, blue) < 80


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"progressive": True}), ("JPEG", {"subsampling": 0})])
def test_every_coding_of_a_jpeg_is_read(
    kind: str, options: dict[str, object], photo: bytes, encode: Encode
) -> None:
    with Image.open(io.BytesIO(photo)) as opened:
        expected = opened.convert("RGB")
        found = decode(encode(opened, kind, quality=95, **options), max_pixels=_MOST, enough=600).pixels
    off = [abs(one - other) for one, other in zip(found.tobytes(), expected.tobytes(), strict=True)]
    assert sum(off) / len(off) < 4


def test_a_camera_file_of_two_pictures_is_its_first(encode: Encode) -> None:
    """MPO: what phones write for depth; the second picture is another view of the same person."""
    source = encode(
        Image.new("RGB", (64, 48), "red"),
        "MPO",
        save_all=True,
        append_images=[Image.new("RGB", (64, 48), "blue")],
    )
    picture = decode(source, max_pixels=_MOST, enough=64)
    assert (picture.kind, picture.pixels.size) == (Format.JPEG, (64, 48))
    assert picture.pixels.getpixel((30, 20)) == pytest.approx((254, 0, 0), abs=3)


def test_an_interlaced_picture_is_whole(shared: Path) -> None:
    """PngSuite has each of these twice: basi is Adam7, basn is not."""
    folder = shared / "corpora/pngsuite/tests/pngsuite"
    pairs = [(file, folder / file.name.replace("basi", "basn")) for file in folder.glob("basi*.png")]
    assert len(pairs) > 10
    for pair in pairs:
        one, other = (decode(file.read_bytes(), max_pixels=_MOST, enough=32).pixels for file in pair)
        assert one.tobytes() == other.tobytes(), pair[0].name


def _animation(kind: str, encode: Encode, count: int = 5, **options: object) -> bytes:
    shades = [Image.new("RGB", (64, 48), (shade * 40, 90, 200 - shade * 40)) for shade in range(count)]
    return encode(shades[0], kind, save_all=True, append_images=shades[1:], duration=50, **options)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF"])
def test_the_first_frames_of_an_animation_are_read(kind: str, encode: Encode) -> None:
    found = list(frames(_animation(kind, encode), max_pixels=_MOST, most=3))
    assert [picture.pixels.size for picture, _ in found] == [(64, 48)] * 3
    assert [time for _, time in found] == [50] * 3
    for number, (picture, _) in enumerate(found):
        assert picture.pixels.convert("RGB").getpixel((30, 20)) == pytest.approx(
            (number * 40, 90, 200 - number * 40), abs=12
        )


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF", "JPEG"])
def test_what_stands_still_has_no_frames(kind: str, encode: Encode) -> None:
    assert list(frames(encode(Image.new("RGB", (9, 9)), kind), max_pixels=_MOST, most=9)) == []


@pytest.mark.security("E2")
def test_frames_count_by_their_pixels(encode: Encode) -> None:
    source = _animation("GIF", encode)
    for fitting in (1, 2, 4):
        assert len(list(frames(source, max_pixels=fitting * 64 * 48 + 9, most=60))) == fitting
    assert len(list(frames(source, max_pixels=_MOST, most=60))) == 5
    with pytest.raises(Refused):
        list(frames(source, max_pixels=64 * 47, most=60))


@pytest.mark.security("E2")
def test_a_broken_frame_ends_the_animation(encode: Encode) -> None:
    source = _animation("GIF", encode)
    cut = source[: len(source) * 3 // 4]
    assert 1 < len(list(frames(cut, max_pixels=_MOST, most=60))) < 5


@pytest.mark.parametrize(("duration", "shown"), [(0, 100), (10, 100), (20, 20), (600_000, 60_000)])
def test_a_frames_time_is_within_what_browsers_keep_to(duration: int, shown: int, encode: Encode) -> None:
    shades = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    source = encode(shades[0], "GIF", save_all=True, append_images=shades[1:], duration=duration)
    assert [time for _, time in frames(source, max_pixels=_MOST, most=2)] == [shown, shown]
