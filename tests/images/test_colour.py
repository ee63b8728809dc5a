"""Wide-gamut pictures in sRGB."""

from __future__ import annotations

import io
import random
import struct
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageCms

from antiscrape.images.colour import LONGEST_PROFILE, read_profile, to_srgb
from antiscrape.images.decode import decode
from tests.costs import ends

if TYPE_CHECKING:
    from tests.images.conftest import Encode

Primaries = tuple[tuple[float, float, float], ...]

# Primaries in XYZ of D50, as the profiles of phones and cameras have them: columns red, green, blue.
_P3: Primaries = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
_ADOBE: Primaries = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
_SRGB: Primaries = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
_D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _parametric(kind: int, *values: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*values)


_SRGB_CURVE = _parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_GAMMA = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)
_SAMPLES = b"curv\0\0\0\0" + struct.pack(
    ">I256H", 256, *(round(65535 * (i / 255) ** 2.2) for i in range(256))
)


def profile_of(primaries: Primaries, curve: bytes, space: bytes = b"RGB ") -> bytes:
    """Return an ICC profile of three primaries and one curve for all of them."""
    points = zip((b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt"), (*primaries, _D50), strict=True)
    tags = [(name, b"XYZ \0\0\0\0" + _fixed(*point)) for name, point in points]
    tags += [(name, curve + bytes(-len(curve) % 4)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags:
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"test", 0x02400000, b"mntr", space, b"XYZ ")
    head = (head + bytes(12) + b"acsp" + bytes(28) + _fixed(*_D50)).ljust(128, b"\0")
    return head + struct.pack(">I", len(tags)) + table + body


@pytest.fixture(scope="module")
def colours() -> Image.Image:
    chance = random.Random(5)
    return Image.frombytes("RGB", (100, 100), chance.randbytes(30_000)).resize((60, 60), Image.Resampling.BOX)


@pytest.mark.parametrize("curve", [_SRGB_CURVE, _GAMMA, _SAMPLES, _parametric(0, 2.2)])
@pytest.mark.parametrize("primaries", [_P3, _ADOBE])
def test_wide_colours_come_out_as_littlecms_has_them(
    primaries: Primaries, curve: bytes, colours: Image.Image
) -> None:
    profile = profile_of(primaries, curve)
    reference = ImageCms.profileToProfile(
        colours,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert reference is not None
    off, before = (
        [abs(one - other) for one, other in zip(picture.tobytes(), reference.tobytes(), strict=True)]
        for picture in (to_srgb(colours, profile), colours)
    )
    assert sum(off) / len(off) < 1
    assert sum(before) > 6 * sum(off)


def test_srgbs_own_profiles_change_nothing(colours: Image.Image) -> None:
    """LittleCMS' and one with the curve as a function: a picture that is not converted is the same object."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (made, profile_of(_SRGB, _SRGB_CURVE)):
        assert read_profile(profile) is not None
        assert to_srgb(colours, profile) is colours


def test_transparency_is_no_colour() -> None:
    picture = Image.new("RGBA", (4, 4), (180, 110, 60, 77))
    converted = to_srgb(picture, profile_of(_P3, _SRGB_CURVE))
    assert converted.getpixel((0, 0)) == pytest.approx((191, 106, 47, 77), abs=3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_photograph_of_a_phone_is_decoded_to_srgb(kind: str, encode: Encode) -> None:
    """Display P3's (180, 110, 60) is what sRGB calls (191, 106, 47)."""
    source = encode(
        Image.new("RGB", (40, 40), (180, 110, 60)), kind, icc_profile=profile_of(_P3, _SRGB_CURVE), quality=95
    )
    found = decode(source, max_pixels=10**6, enough=40).pixels.getpixel((20, 20))
    assert found == pytest.approx((191, 106, 47), abs=6)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_profiles_of_other_spaces_are_left_out(mode: str, encode: Encode) -> None:
    source = encode(Image.new(mode, (40, 40), 99), "JPEG", icc_profile=profile_of(_P3, _GAMMA))
    plain = encode(Image.new(mode, (40, 40), 99), "JPEG")
    one, other = (decode(body, max_pixels=10**6, enough=40).pixels for body in (source, plain))
    assert one.tobytes() == other.tobytes()


@pytest.mark.security("E3")
@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"\xff" * 200,
        profile_of(_P3, _GAMMA)[:131],
        profile_of(_P3, _GAMMA)[:200],
        profile_of(_P3, _GAMMA, b"GRAY"),
        profile_of(_P3, _GAMMA).replace(b"wtpt", b"A2B0"),
        profile_of(_P3, _GAMMA).replace(b"gXYZ", b"none"),
        profile_of(_P3, b"curv\0\0\0\0" + struct.pack(">IH", 1, 0)),
        profile_of(_P3, b"curv\0\0\0\0" + struct.pack(">I", 2**32 - 1)),
        profile_of(_P3, b"curv\0\0\0\0" + struct.pack(">I", 300) + bytes(40)),
        profile_of(_P3, _parametric(9, 1.0)),
        profile_of(_P3, _parametric(4, 2.2, 1.0)),
        profile_of(_P3, _GAMMA) + bytes(LONGEST_PROFILE),
    ],
)
def test_profiles_that_are_none_change_nothing(profile: bytes, colours: Image.Image) -> None:
    assert to_srgb(colours, profile) is colours


@pytest.mark.security("E3")
def test_broken_profiles_never_raise_nor_take_long(colours: Image.Image) -> None:
    chance = random.Random(8)
    seeds = [profile_of(_P3, curve) for curve in (_SRGB_CURVE, _GAMMA, _SAMPLES)]
    seeds += [profile_of(_P3, _parametric(kind, *(1.0,) * 7)) for kind in range(5)]
    small = colours.crop((0, 0, 4, 4))
    with ends():
        for _ in range(150):
            broken = bytearray(chance.choice(seeds))
            for _ in range(chance.randrange(1, 9)):
                broken[chance.randrange(128, len(broken))] = chance.randrange(256)
            assert to_srgb(small, bytes(broken)).size == (4, 4)
