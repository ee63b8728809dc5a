"""What was done to a picture since it was marked, told from where its waves stand now.

A linear map of the picture moves its spectrum by the inverse of the map's transpose (R. N. Bracewell et al.,
"Affine theorem for two-dimensional Fourier transform", 1993). So all scales, squeezes, turns and reflections are
tried on the spectrum, where each trial costs 24 looks, and where a crop changes nothing but phases. What stands
out is then fitted to a fraction of a pixel.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from antiscrape.images.trace.pattern import CHIP, SHEET, pattern
from antiscrape.images.trace.planes import Plane, box_mean, transformed

if TYPE_CHECKING:
    from collections.abc import Iterator

Reals = NDArray[np.float64]

#: Pixels of a sheet's side, as it was laid.
PERIOD: Final = SHEET * CHIP

#: Scales that are looked for, from a quarter to more than twice the size that the picture was marked at.
_SMALLEST, _LARGEST = 0.24, 2.4
#: No mark has more chips than fit into this many pixels of a long side (``embedding.FINE_UP_TO``).
_LONGEST = 2600
#: Width against height, changed by up to 16 %.
_SQUEEZED = 0.16
#: Degrees to either side.
_TURNED = 4.0
#: Steps are such that the fastest wave moves by this many bins of the spectrum.
_STEP_BINS = 1.6
_FASTEST = 0.1094  # turns a pixel: 112 a sheet
#: Coarse trials of each scale around which all are made.
_FINER = 3
#: Bins of the long side up to which a spectrum is a small one.
_SMALL = 384

#: Turns a pixel up to which a picture is trusted to show anything, and up to which trials may ask.
_NYQUIST, _REACH = 0.49, 0.6
#: A bin counts for at most so many times its surroundings: no single line of a picture passes for many waves.
_LOUDEST = 60.0

#: How far a fitted map may be from its trial, relatively.
_STRAYED = 0.06

#: The best of all trials has some 4.5 deviations in noise, the second best less.
_SELDOM = 4.4

#: Reflections and quarter turns; half turns are the same in a spectrum.
_FLIPS = tuple(
    np.array(flip, np.float64)
    for flip in (((1, 0), (0, 1)), ((-1, 0), (0, 1)), ((0, -1), (1, 0)), ((0, 1), (1, 0)))
)


class Found(NamedTuple):
    """A map that a picture may have gone through, and how much stands out of its spectrum.

    ``map`` takes the marked picture's coordinates to those of the picture looked at, but for a shift.
    """

    map: Reals
    score: float


@lru_cache(maxsize=4)
def frequencies(key: bytes) -> Reals:
    """Return the waves' frequencies in turns a pixel, one a row."""
    return np.array([(wave.across, wave.down) for wave in pattern(key).waves]) / PERIOD


class Spectrum:
    """The power of a picture's residual, in multiples of what is around it."""

    def __init__(self, residual: Plane) -> None:
        height, width = residual.shape
        self.long_side = max(height, width)
        rows, columns = _padded(height), _padded(width)
        # Hann's window at the borders only: it keeps the strong lines of a frame from spilling.
        taper = np.outer(_taper(height), _taper(width)).astype(np.float32)
        waves = transformed(residual * taper, (rows, columns))
        power = waves.real**2 + waves.imag**2
        self.power = np.fft.fftshift(power, axes=0)
        self.rows, self.columns = rows, columns
        # A bin may stand for its neighbours: trials are coarse.
        near = self.power / (_around(self.power, 10) + 1e-9)
        for axis in (0, 1):
            near = np.maximum(near, np.maximum(np.roll(near, 1, axis), np.roll(near, -1, axis)))
        near = np.log1p(np.minimum(near, _LOUDEST))
        self._whole = self._unfolded((near - near.mean()) / (near.std() + 1e-9))
        self._coarse = _halved(self._whole)

    def _unfolded(self, near: Plane) -> Plane:
        """Return both halves of a spectrum, with nothing where a picture of these pixels has no frequencies."""
        rows, columns = self.rows, self.columns
        self._middle = int(_REACH * rows), int(_REACH * columns)
        whole = np.zeros((2 * self._middle[0] + 1, 2 * self._middle[1] + 1), np.float32)
        down, across = int(_NYQUIST * rows), int(_NYQUIST * columns)
        row, column = self._middle
        right = near[rows // 2 - down : rows // 2 + down + 1, : across + 1]
        whole[row - down : row + down + 1, column : column + across + 1] = right
        whole[row - down : row + down + 1, column - across : column + 1] = right[::-1, ::-1]
        return whole

    def index(self, across: Reals, down: Reals) -> tuple[Reals, Reals]:
        """Return rows and columns of frequencies in ``power``, as fractions."""
        sign = np.where(across < 0, -1.0, 1.0)
        return down * sign * self.rows + self.rows // 2, across * sign * self.columns

    def looks(self, across: Plane, down: Plane, *, coarse: bool = False) -> Plane:
        """Return how far the waves (the first axis) stand out together, in deviations of the noise.

        ``coarse`` looks at the loudest of four bins, which lie around where a wave is asked for.
        """
        table = self._coarse if coarse else self._whole
        row = np.rint(down * self.rows).astype(np.int32)
        row += self._middle[0]
        column = np.rint(across * self.columns).astype(np.int32)
        column += self._middle[1]
        if coarse:
            row >>= 1
            column >>= 1
        row *= table.shape[1]
        row += column
        seen = table.take(row)
        sums: Plane = seen.sum(0) / np.sqrt(max(6, np.count_nonzero(seen) / seen[0].size))
        return sums


def _halved(table: Plane) -> Plane:
    """Return the loudest of each four bins, in deviations of what these are; nothing stays nothing."""
    even = np.pad(table, [(0, side % 2) for side in table.shape])
    loudest: Plane = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).max((1, 3))
    heard = loudest[loudest != 0]
    if not heard.size:
        return loudest
    spread: Plane = np.where(loudest != 0, (loudest - heard.mean()) / (heard.std() + 1e-9), 0)
    return spread.astype(np.float32)


def _padded(length: int) -> int:
    """Return a length with small factors, at least 1.3 times ``length``: peaks then fall between fewer bins."""
    least = int(length * 1.3) + 1
    return min(m << s for m in (1, 3, 5, 9, 15) for s in range(4, 14) if m << s >= least)


def _taper(length: int) -> Reals:
    edge = max(2, length // 12)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window = np.ones(length)
    window[:edge], window[length - edge :] = ramp, ramp[::-1]
    return window


def _around(power: Plane, reach: int) -> Plane:
    """Return the mean over squares of bins, without being pulled up by single ones."""
    mean = box_mean(power, reach, wrapped=True)
    return box_mean(np.minimum(power, 4 * mean), reach, wrapped=True)


def search(spectrum: Spectrum, key: bytes, *, most: int) -> Iterator[Found]:
    """Yield up to ``most`` maps that stand out, the best first, each fitted to the peaks that it predicts.

    After the second come only those that noise hardly makes.
    """
    waves = frequencies(key)
    trials = [trial for flip in _FLIPS for trial in _grid(spectrum, waves, flip)]
    trials.sort(key=lambda found: -found.score)
    yielded: list[Found] = []
    for trial in trials[: 6 * most]:
        if len(yielded) == most or (len(yielded) > 1 and trial.score < _SELDOM):
            return
        fitted = _fit(spectrum, waves, trial)
        if all(_differ(fitted.map, other.map, spectrum) for other in yielded):
            yielded.append(fitted)
            yield fitted


def _grid(spectrum: Spectrum, waves: Reals, flip: Reals) -> Iterator[Found]:
    """Try every scale, squeeze and turn under one reflection; yield the best of each scale.

    In a large picture trials are coarse at first, by steps twice as long; around the best of each scale all are made.
    A small one has too little to tell the right one by, unless it is met exactly.
    """
    pace = 2 if max(spectrum.rows, spectrum.columns) > _SMALL else 1
    flipped = (waves @ flip.T).astype(np.float32)
    scale = max(_SMALLEST, spectrum.long_side / _LONGEST)
    cells: list[tuple[float, float, float, float]] = []
    while scale < _LARGEST:
        step = min(0.04, _STEP_BINS * scale / (_FASTEST * max(spectrum.rows, spectrum.columns)))
        squeezes = np.exp(np.arange(-_SQUEEZED, _SQUEEZED + pace * step, pace * step))
        turns = np.arange(-np.radians(_TURNED), np.radians(_TURNED) + pace * step, pace * step)
        scores = spectrum.looks(*_moved(flipped, scale, squeezes[:, None], turns), coarse=pace > 1)
        for at in np.argsort(scores, axis=None)[: -_FINER - 1 : -1]:
            down, turn = np.unravel_index(at, scores.shape)
            cells.append((scale, float(squeezes[down]), float(turns[turn]), step))
        scale *= 1 + pace * step
    yield from _refined(spectrum, flipped, flip, np.array(cells), pace - 1)


def _refined(spectrum: Spectrum, flipped: Plane, flip: Reals, cells: Reals, reach: int) -> Iterator[Found]:
    """Make the trials up to ``reach`` steps around each cell (scale, squeeze, turn, step); yield the best of each scale."""
    scale, squeeze, turn, step = cells.T[:, :, None]
    near = np.array(list(product(range(-reach, reach + 1), repeat=3))).T
    scales, squeezes, turns = (
        scale * (1 + near[0] * step),
        squeeze * (1 + near[1] * step),
        turn + near[2] * step,
    )
    scores = spectrum.looks(*_moved(flipped, scales, squeezes, turns))
    for first in range(0, len(cells), _FINER):
        at = first + scores[first : first + _FINER].argmax() // len(near[0])
        best = at, scores[at].argmax()
        cosine, sine = np.cos(turns[best]), np.sin(turns[best])
        rotation = np.array(((cosine, -sine), (sine, cosine)))
        shape = np.diag((scales[best], scales[best] / squeezes[best]))
        yield Found(rotation @ shape @ flip, float(scores[best]))


def _moved(waves: Plane, scale: float | Reals, squeeze: Reals, turn: Reals) -> tuple[Plane, Plane]:
    """Return where waves are after a map, across and down, in turns a pixel; the first axis is the waves'."""
    across = (waves[:, 0, None, None] / scale).astype(np.float32)
    down = (waves[:, 1, None, None] * squeeze / scale).astype(np.float32)
    cosine, sine = np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)
    return across * cosine - down * sine, across * sine + down * cosine


def _fit(spectrum: Spectrum, waves: Reals, trial: Found) -> Found:
    """Fit a map to the peaks nearest to where ``trial`` predicts them, thrice, in narrower windows."""
    moved = np.linalg.inv(trial.map).T
    for reach in (3, 2, 2):
        expected = waves @ moved.T
        seen, weight = _peaks(spectrum, expected, reach)
        if np.count_nonzero(weight) < 4:  # noqa: PLR2004 - a map has four numbers, from two of each peak
            return trial
        left = (waves * weight[:, None]).T @ waves
        moved = np.linalg.solve(left, (waves * weight[:, None]).T @ seen).T
    fitted = waves @ moved.T
    # Peaks that are not the waves' may fit anything; a trial was no further off than its step.
    if not np.abs(moved @ trial.map.T - np.eye(2)).max() < _STRAYED or not np.abs(fitted).max() < _REACH:
        return trial
    score = spectrum.looks(*fitted.T[:, :, None].astype(np.float32))
    return Found(np.linalg.inv(moved).T, float(score[0]))


def _peaks(spectrum: Spectrum, expected: Reals, reach: int) -> tuple[Reals, Reals]:
    """Return the frequencies of the strongest bins near the ``expected`` ones, and how much each is to be believed."""
    rows, columns = spectrum.index(*expected.T)
    seen, weights = expected.copy(), np.zeros(len(expected))
    for at, (row, column) in enumerate(zip(rows, columns, strict=True)):
        top, left = round(row) - reach, round(column) - reach
        window = spectrum.power[max(0, top) : top + 2 * reach + 1, max(0, left) : left + 2 * reach + 1]
        if top < 1 or left < 1 or window.shape != (2 * reach + 1, 2 * reach + 1):
            continue
        peak = np.unravel_index(window.argmax(), window.shape)
        peak_row, peak_column = top + int(peak[0]), left + int(peak[1])
        exact_row = peak_row + _between(spectrum.power, peak_row, peak_column, 0)
        exact_column = peak_column + _between(spectrum.power, peak_row, peak_column, 1)
        sign = -1.0 if expected[at, 0] < 0 else 1.0
        seen[at] = (
            sign * exact_column / spectrum.columns,
            sign * (exact_row - spectrum.rows // 2) / spectrum.rows,
        )
        floor = float(np.median(window)) + 1e-12
        weights[at] = max(0.0, min(40.0, window[peak] / floor) - 6.0)
    return seen, weights


def _between(power: Plane, row: int, column: int, axis: int) -> float:
    """Return how far a peak's middle lies from its bin, by the parabola through three bins' magnitudes."""
    step = (1, 0) if axis == 0 else (0, 1)
    if not (0 < row < power.shape[0] - 1 and 0 < column < power.shape[1] - 1):
        return 0.0
    before = float(power[row - step[0], column - step[1]]) ** 0.5
    after = float(power[row + step[0], column + step[1]]) ** 0.5
    bend = before - 2 * float(power[row, column]) ** 0.5 + after
    return max(-0.5, min(0.5, 0.5 * (before - after) / bend)) if bend < 0 else 0.0


def _differ(one: Reals, other: Reals, spectrum: Spectrum) -> bool:
    """Tell whether two maps put some wave into different bins."""
    apart = np.abs(np.linalg.inv(one) - np.linalg.inv(other)).max()
    return bool(apart * _FASTEST * max(spectrum.rows, spectrum.columns) > 0.5)  # noqa: PLR2004 - half a bin
