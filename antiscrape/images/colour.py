"""Colours of a wide gamut brought to sRGB, so that the profile, which carries data, need not travel with them.

Phones save Display P3 and cameras Adobe RGB: three primaries and a tone curve. Taken for sRGB, such
pictures look pale. LittleCMS would convert them and everything else a profile may hold, in C that
has been wrong about hostile files (CVE-2026-59205 is in Pillow's binding of it), so this reads just
that much of ICC.1:2022, in Python and bounded: three ``XYZ`` tags and three curves make a matrix,
and the matrix a cube of colours that Pillow interpolates in. A profile of another make (grey, CMYK,
tables) leaves the colours as the file's numbers say, as browsers did without colour management:
RGB errs by what the gamuts differ in, CMYK looks more lurid than in print.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import pow as power
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from PIL import ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

Curve: TypeAlias = "Callable[[float], float]"
Matrix: TypeAlias = "tuple[tuple[float, ...], ...]"

#: Bytes of the longest profile that is read. Those of three primaries have 500 to 4,000; longer ones are tables.
LONGEST_PROFILE = 65_536
#: Entries of the longest sampled curve that is read: what ICC profiles of scanners have.
LONGEST_CURVE = 4096
#: Steps of each side of the cube. The map is smooth: 17 leave an error below one level of 256 in P3.
_STEPS = 17
#: Levels of 256 by which a colour must be off before a picture is converted; sRGB's own profiles are within.
_TOLERANCE = 1.5
_MOST_TAGS = 64

_U32 = struct.Struct(">I").unpack_from
_TAG = struct.Struct(">4sII").unpack_from
_XYZ = struct.Struct(">iii").unpack_from
_FIXED = 65536  # ICC.1:2022, 4.6: s15Fixed16Number

# From XYZ of D50, which is what profiles connect in, to linear sRGB (IEC 61966-2-1, adapted by Bradford).
_TO_SRGB: Matrix = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


class Profile(NamedTuple):
    """A colour space of three primaries: linear values to XYZ, and each channel's curve to linear."""

    primaries: Matrix
    curves: tuple[Curve, Curve, Curve]


def to_srgb(pixels: Image.Image, profile: bytes) -> Image.Image:
    """Return ``pixels`` (RGB or RGBA) in sRGB, where ``profile`` says that they are in another space that is read here.

    Never raise for the profile's sake.
    """
    if not profile or len(profile) > LONGEST_PROFILE:
        return pixels
    cube = _cube(profile)
    return pixels if cube is None else pixels.filter(cube)


@lru_cache(maxsize=32)
def _cube(profile: bytes) -> ImageFilter.Color3DLUT | None:
    """Return the cube that brings colours of ``profile`` to sRGB, or ``None`` where there is nothing to do."""
    space = read_profile(profile)
    if space is None:
        return None
    convert = _converter(space)
    probes = ((0.0, 0.5, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.25, 0.25, 0.25), (0.75, 0.5, 0.25))
    off = max(abs(one - other) for probe in probes for one, other in zip(probe, convert(*probe), strict=True))
    return None if off * 255 < _TOLERANCE else ImageFilter.Color3DLUT.generate(_STEPS, convert)


def read_profile(profile: bytes) -> Profile | None:
    """Read the primaries and curves of an RGB profile; return ``None`` for any other and for nonsense."""
    # ICC.1:2022, 7.2: the header's colour space, connection space and signature
    if profile[16:24] != b"RGB XYZ " or profile[36:40] != b"acsp":
        return None
    try:
        tags = _tags(profile)
        if b"A2B0" in tags:
            return None  # tables, which go before the primaries (8.10.3)
        primaries = [_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        curves = (_curve(tags[b"rTRC"]), _curve(tags[b"gTRC"]), _curve(tags[b"bTRC"]))
    except (KeyError, struct.error, ValueError):
        return None
    x, y, z = zip(*primaries, strict=True)
    return Profile((x, y, z), curves)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return the tags' data (ICC.1:2022, 7.3); Python's slices keep offsets from nowhere harmless."""
    count = min(_U32(profile, 128)[0], _MOST_TAGS)
    places = [_TAG(profile, 132 + 12 * number) for number in range(count)]
    return {name: profile[offset : offset + length] for name, offset, length in places}


def _xyz(tag: bytes) -> tuple[float, float, float]:
    """Read an XYZType (10.31) of one value."""
    if tag[:4] != b"XYZ ":
        raise ValueError(tag[:4])
    x, y, z = _XYZ(tag, 8)
    return x / _FIXED, y / _FIXED, z / _FIXED


def _curve(tag: bytes) -> Curve:
    """Read a curveType (10.6) or a parametricCurveType (10.18)."""
    if tag[:4] == b"curv":
        return _sampled(tag)
    if tag[:4] == b"para":
        return _parametric(tag)
    raise ValueError(tag[:4])


def _sampled(tag: bytes) -> Curve:
    count: int = _U32(tag, 8)[0]
    if count == 0:
        return lambda value: value
    if count == 1:
        gamma = _within(int.from_bytes(tag[12:14], "big") / 256)  # 10.6: u8Fixed8Number
        return lambda value: power(value, gamma)
    if count > LONGEST_CURVE:
        raise ValueError(count)
    samples: list[float] = [sample / 65535 for sample in struct.Struct(f">{count}H").unpack_from(tag, 12)]

    def curve(value: float) -> float:
        place = value * (count - 1)
        low = min(int(place), count - 2)
        step = samples[low + 1] - samples[low]
        return samples[low] + step * (place - low)

    return curve


# 10.18, table 68: how many parameters each function type has.
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}


def _parametric(tag: bytes) -> Curve:
    """Read one of the five functions; all are (a x + b)^g + e from d on, and c x + f below."""
    kind = int.from_bytes(tag[8:10], "big")
    if kind not in _PARAMETERS:
        raise ValueError(kind)
    values: list[float] = [
        value / _FIXED for value in struct.Struct(f">{_PARAMETERS[kind]}i").unpack_from(tag, 12)
    ]
    gamma, a, b, c, d, e, f = values + [0.0] * (7 - len(values))
    gamma = _within(gamma)
    if kind == 0:
        return lambda value: power(value, gamma)
    if kind in {1, 2}:  # no straight part: zero or c below -b/a
        c, d, e, f = 0.0, -b / a if a else 0.0, c, c

    def curve(value: float) -> float:
        return power(max(0.0, a * value + b), gamma) + e if value >= d else c * value + f

    return curve


def _within(gamma: float) -> float:
    """Return an exponent that curves of displays may have; raise ``ValueError`` for others."""
    if not 0.1 <= gamma <= 10:  # noqa: PLR2004 - 1.0 to 2.8 are met with
        raise ValueError(gamma)
    return gamma


def _converter(space: Profile) -> Callable[[float, float, float], tuple[float, float, float]]:
    matrix = [
        [sum(row[k] * space.primaries[k][column] for k in range(3)) for column in range(3)]
        for row in _TO_SRGB
    ]

    def convert(*encoded: float) -> tuple[float, float, float]:
        linear = [curve(value) for curve, value in zip(space.curves, encoded, strict=True)]
        red, green, blue = (_encoded(sum(a * b for a, b in zip(row, linear, strict=True))) for row in matrix)
        return red, green, blue

    return convert


def _encoded(linear: float) -> float:
    """Apply sRGB's own curve (IEC 61966-2-1) to a linear value, clipped to the gamut."""
    if linear <= 0.0031308:  # noqa: PLR2004 - IEC 61966-2-1
        return max(0.0, 12.92 * linear)
    return min(1.0, 1.055 * power(linear, 1 / 2.4) - 0.055)
