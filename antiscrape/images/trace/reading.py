"""Reading a mark out of a picture of which nothing is known; needs numpy, and a second or two.

::

    brightness ─▶ residual ─▶ spectrum ─▶ maps ─▶ for each map: straightened, residual, folded to one sheet
                                                      ─▶ shift (what every sheet has in common) ─▶ chips ─▶ words
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from antiscrape.images.trace.embedding import SMALLEST
from antiscrape.images.trace.geometry import PERIOD, Reals, Spectrum, search
from antiscrape.images.trace.pattern import CHIP, CHIP_SWING, SHEET, SLOTS, VALUES, pattern
from antiscrape.images.trace.planes import Plane, Waves, residual, transformed, whitened
from antiscrape.images.trace.words import Seen, Word, fold_chips, read_words, weigh

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


#: Pixels of the long side beyond which a picture is halved before it is looked at.
_LARGE: Final = 2600
#: Maps that are tried, and shifts of each.
_MAPS, _SHIFTS = 6, 3
#: Deviations of the highest of a million shifts in noise, about, and those from which one is no chance.
_CONCEIVABLE, _STANDS_OUT = 5.5, 6.0
#: Bins of a side of a block that is made as loud as the others.
_BLOCK: Final = 8
#: Pixels that a straightened picture may have: one that was marked at four megapixels, and shrunk.
_MOST_PIXELS: Final = 8_000_000

#: Pixels by which polishing a map may move the shift.
_NEAR: Final = 4

_BICUBIC = Image.Resampling.BICUBIC


class Geometry(NamedTuple):
    """What was done to the picture since it was marked: factors of width and height, degrees, and a reflection.

    ``turned`` is counter-clockwise, -180 to 180; a reflection, from left to right, came before it.
    """

    across: float
    down: float
    turned: float
    mirrored: bool


class Reading(NamedTuple):
    """What a picture says: the words of its takers, the surest first; the key's place in the list; the geometry."""

    words: tuple[Word, ...]
    key: int
    geometry: Geometry


def read(pixels: Image.Image, keys: Sequence[bytes], *, seen: Seen | None = None) -> Reading | None:
    """Return what ``pixels`` say under the first of the pattern ``keys`` that reads anything, or ``None``.

    ``seen`` is told how near that was: it tells a picture without a mark from one that is nearly lost.
    """
    grey = pixels.convert("L") if pixels.mode != "L" else pixels
    halved = 1.0
    while max(grey.size) > _LARGE:
        grey, halved = grey.reduce(2), halved * 2
    if min(grey.size) < SMALLEST:
        return None
    spectrum = Spectrum(residual(grey))
    for place, key in enumerate(keys):
        for mapped in _maps(spectrum, key):
            words, finer = _read_at(grey, mapped, key, seen or Seen())
            if words:
                # What was halved here is twice as large as it was read.
                return Reading(tuple(words), place, _geometry(finer * halved))
    return None


def _maps(spectrum: Spectrum, key: bytes) -> Iterator[Reals]:
    """Yield the maps that the spectrum shows, and that of a picture left as it was, which may hide its waves."""
    for found in search(spectrum, key, most=_MAPS):
        yield found.map
    yield np.eye(2)


class _Sheet(NamedTuple):
    """A picture folded to one sheet under a map, how well each shift of it agrees with the key, and the best."""

    folded: Plane
    agreement: Plane
    best: float


def _read_at(grey: Image.Image, mapped: Reals, key: bytes, seen: Seen) -> tuple[list[Word], Reals]:
    """Return the words that a picture shows once ``mapped`` is undone, whatever it was shifted by, and the map."""
    folded = _fold(grey, mapped)
    if folded is None:
        return [], mapped
    level = _level(folded)
    # Half a turn is the same map in a spectrum, but for the phases' signs.
    for way, spectrum in ((mapped, level), (-mapped, level.conj())):
        agreement = _agreement(spectrum, key)
        best = float(agreement.max())
        seen.shift = max(seen.shift, best)
        if best < _CONCEIVABLE:
            continue
        plane = folded if way is mapped else np.roll(folded[::-1, ::-1], (1, 1), (0, 1))
        sheet = _Sheet(plane, agreement, best)
        words = _words(sheet, key, seen)
        if words:
            return words, way
        finer, better = _polished(grey, way, key, sheet)
        words = _words(finer, key, seen)
        if words:
            return words, better
    return [], mapped


def _level(folded: Plane) -> Waves:
    """Return the spectrum of a sheet, with as much power in each block of bins as in any other.

    What a picture shows is loud at some frequencies and an encoder leaves nothing of others, so that those where the
    mark is heard best count most. (Over thirty attacked photographs the right shift then stands out by 7.2 to 13.7
    deviations instead of 7.0 to 10.8.)
    """
    # The highest frequency is left out, for it would be a block of its own.
    level = transformed(folded, (PERIOD, PERIOD))[:, :-1]
    power = level.real**2 + level.imag**2
    blocks = power.reshape(PERIOD // _BLOCK, _BLOCK, -1).mean(1)
    blocks = blocks.reshape(len(blocks), -1, _BLOCK).mean(2)
    gain = 1 / np.sqrt(blocks + 1e-9)
    leveled: Waves = level * np.repeat(np.repeat(gain, _BLOCK, axis=0), _BLOCK, axis=1)
    return leveled


def _agreement(spectrum: Waves, key: bytes) -> Plane:
    """Return how well each shift of a sheet agrees with the key, in deviations."""
    both = spectrum.conj()
    both *= _constant(key)
    both[0, 0] = 0  # then the mean is nothing, and the deviation a sum of squares
    agreement = np.fft.irfft2(both, (PERIOD, PERIOD)).astype(np.float32, copy=False)
    flat = agreement.ravel()
    agreement /= np.float32(np.sqrt(flat @ flat) / PERIOD + 1e-12)
    return agreement


def _agreement_near(spectrum: Waves, key: bytes, shift: tuple[int, int]) -> float:
    """Return the best of what :func:`_agreement` tells of the shifts within :data:`_NEAR` pixels of ``shift``.

    These few are sums over the spectrum, at a third of the cost of all.
    """
    both = spectrum.conj()
    both *= _constant(key)
    both[0, 0] = 0
    both[:, 0] /= 2  # every other column stands for two, of which the second is its conjugate
    reach = np.arange(-_NEAR, _NEAR + 1)
    down, across = (
        np.exp(2j * np.pi / PERIOD * np.outer(np.arange(length), at + reach)).astype(np.complex64)
        for length, at in zip(both.shape, shift, strict=True)
    )
    sums = (down.T @ (both @ across)).real
    both[:, 0] *= np.float32(2**0.5)
    return float(sums.max() * 2**0.5 / (np.sqrt(np.vdot(both, both).real) + 1e-12))


def _words(sheet: _Sheet, key: bytes, seen: Seen) -> list[Word]:
    for down, across in _highest(sheet.agreement, _SHIFTS):
        if sheet.agreement[down, across] < _CONCEIVABLE:
            break
        chips = fold_chips(np.roll(sheet.folded, (down, across), (0, 1)))
        patient = bool(sheet.agreement[down, across] > _STANDS_OUT)
        words = read_words(weigh(whitened(chips), key), patient=patient, seen=seen)
        if words:
            return words
    return []


def _polished(grey: Image.Image, mapped: Reals, key: bytes, sheet: _Sheet) -> tuple[_Sheet, Reals]:
    """Climb from ``mapped`` to the map near it that agrees best: in scale, squeeze, turn and slant, in two paces.

    A map so near moves the best shift by a few pixels, and no other is looked at on the way.
    """
    near = next(_highest(sheet.agreement, 1))
    best, folded = sheet.best, sheet.folded
    for pixels in (1.2, 0.6):  # at the borders of the picture
        for direction in _DIRECTIONS:
            for sign in (1, -1):
                tried = (np.eye(2) + 2 * sign * pixels / max(grey.size) * direction) @ mapped
                other = _fold(grey, tried)
                if other is None:
                    continue
                agreed = _agreement_near(_level(other), key, near)
                if agreed > best:
                    best, folded, mapped = agreed, other, tried
                    break
    return _Sheet(folded, _agreement(_level(folded), key), best), mapped


_DIRECTIONS = tuple(
    np.array(way, np.float64)
    for way in (((1, 0), (0, 1)), ((1, 0), (0, -1)), ((0, 1), (-1, 0)), ((0, 1), (1, 0)))
)


@lru_cache(maxsize=2)
def _constant(key: bytes) -> Waves:
    """Return the spectrum of what every sheet of ``key`` holds, but for the highest: waves, and slots that never change."""
    drawn = pattern(key)
    slots = np.array(drawn.slots).reshape(SHEET, SHEET)
    signs = np.reshape(drawn.signs_of_chips(), (SHEET, SHEET))
    sheet = np.where(slots >= SLOTS - VALUES, signs * CHIP_SWING, 0.0) + np.reshape(
        drawn.wave_sheet(), (SHEET, SHEET)
    )
    whole = np.kron(sheet, np.ones((CHIP, CHIP))).astype(np.float32)
    return transformed(whole, (PERIOD, PERIOD))[:, :-1].copy()


def _fold(grey: Image.Image, mapped: Reals) -> Plane | None:
    """Undo ``mapped``, take the residual there, and add it up modulo a sheet; ``None`` where it would be too large."""
    corners = np.array(((0, 0), (grey.width, 0), (0, grey.height), grey.size)) @ np.linalg.inv(mapped).T
    least = np.floor(corners.min(0))
    width, height = (int(side) for side in np.ceil(corners.max(0)) - least)
    if not 0 < width * height <= _MOST_PIXELS:
        return None
    shrunk = float(abs(np.linalg.det(mapped)) ** 0.5)
    source = grey.filter(ImageFilter.GaussianBlur(0.4 * shrunk)) if shrunk > 1.3 else grey  # noqa: PLR2004 - below, there is nothing to alias
    coefficients = np.column_stack((mapped, mapped @ least)).ravel().tolist()
    straight = source.transform((width, height), Image.Transform.AFFINE, coefficients, _BICUBIC)
    # The picture's border, where it meets nothing, would be the strongest residual of all.
    edge = round(4 * shrunk) + 1
    inside = Image.new("L", grey.size)
    inside.paste(255, (edge, edge, grey.width - edge, grey.height - edge))
    here = inside.transform((width, height), Image.Transform.AFFINE, coefficients)
    flat = residual(straight) * (np.asarray(here) > 0)
    folded = np.zeros((PERIOD, PERIOD), np.float32)
    for top in range(0, height, PERIOD):
        for left in range(0, width, PERIOD):
            part = flat[top : top + PERIOD, left : left + PERIOD]
            folded[: part.shape[0], : part.shape[1]] += part
    return folded


def _highest(plane: Plane, most: int) -> Iterator[tuple[int, int]]:
    """Yield the places of the highest values, no two within two pixels of one another."""
    plane = plane.copy()
    for _ in range(most):
        row, column = (int(at) for at in np.unravel_index(plane.argmax(), plane.shape))
        yield row, column
        rows, columns = np.arange(row - 2, row + 3) % PERIOD, np.arange(column - 2, column + 3) % PERIOD
        plane[np.ix_(rows, columns)] = -np.inf


def _geometry(mapped: Reals) -> Geometry:
    """Take a map apart: a reflection, then factors along the axes, then a turn."""
    mirrored = bool(np.linalg.det(mapped) < 0)
    plain = mapped @ np.diag((-1.0, 1.0)) if mirrored else mapped
    across, down = np.hypot(*plain[:, 0]), np.hypot(*plain[:, 1])
    turned = -np.degrees(np.arctan2(plain[1, 0], plain[0, 0]))
    return Geometry(float(across), float(down), float(turned), mirrored)
