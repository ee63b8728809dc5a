"""The figures of the faces trial: rank-1, verification at a false accept rate, intervals, structural similarity.

Distances are matrices of a row for each probe and a column for each picture of the gallery; less is more alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

#: Least structural similarity of what is not a face, where a rendition promises to show it.
LIKENESS_GOAL = 0.75
#: Two-sided 95 % of the normal distribution.
_Z = 1.959964
#: Pixels of the window that structural similarity is taken over, and its two constants for values to 255
#: (Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment, 2004; K1 = 0.01, K2 = 0.03).
WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class Share(NamedTuple):
    """So many ``hits`` of so many tries."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share of hits, 0 to 1; 0 where nothing was tried."""
        return self.hits / self.of if self.of else 0.0

    def plus(self, other: Share) -> Share:
        """Return the share of both together."""
        return Share(self.hits + other.hits, self.of + other.of)

    def interval(self) -> tuple[float, float]:
        """Return the bounds between which the true share lies in 19 of 20 trials (Wilson, 1927)."""
        if not self.of:
            return 0.0, 1.0
        share, spread = self.value, _Z * _Z / self.of
        middle = (share + spread / 2) / (1 + spread)
        half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / self.of + spread / (4 * self.of))
        return max(0.0, middle - half), min(1.0, middle + half)


class Likeness(NamedTuple):
    """Structural similarity outside faces: the ``mean`` and the ``least`` of pictures, how many are ``below`` the goal."""

    mean: float
    least: float
    below: int
    of: int


def likeness_of(values: Sequence[float]) -> Likeness:
    """Return what the similarities of pictures come to; NaN, of one that is all face, does not count."""
    seen = [value for value in values if not math.isnan(value)]
    if not seen:
        return Likeness(math.nan, math.nan, 0, 0)
    return Likeness(sum(seen) / len(seen), min(seen), sum(value < LIKENESS_GOAL for value in seen), len(seen))


def distances(probes: Sequence[Floats], gallery: Sequence[Floats], *, cosine: bool) -> Floats:
    """Return how far each probe is from each picture of the gallery: of several vectors of one, the nearest.

    Each picture is an array of one or more rows. ``cosine`` asks for 1 - cos, else the Euclidean distance.
    """
    left, right = np.concatenate(probes), np.concatenate(gallery)
    if cosine:
        every = 1 - _unit(left) @ _unit(right).T
    else:
        squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
        every = np.sqrt(np.maximum(squares, 0))
    rows = np.cumsum([0, *map(len, probes)])[:-1]
    columns = np.cumsum([0, *map(len, gallery)])[:-1]
    nearest = np.minimum.reduceat(np.minimum.reduceat(every, rows, axis=0), columns, axis=1)
    return nearest.astype(np.float32)


def same(probes: Sequence[str], gallery: Sequence[str]) -> Mask:
    """Return where a probe and a picture of the gallery show the same person."""
    alike: Mask = np.array(probes)[:, None] == np.array(gallery)[None]
    return alike


def rank_one(matrix: Floats, alike: Mask) -> Share:
    """Return how many probes are nearest to a picture of their own person, of those who are in the gallery."""
    present = alike.any(axis=1)
    nearest = alike[np.arange(len(matrix)), matrix.argmin(axis=1)]
    return Share(int((nearest & present).sum()), int(present.sum()))


def threshold(impostors: Floats, rate: float) -> float:
    """Return the distance below which at most ``rate`` of the pairs of different people lie."""
    ordered = np.sort(impostors, axis=None)
    return float(ordered[min(int(rate * ordered.size), ordered.size - 1)])


def verified(matrix: Floats, alike: Mask, limit: float) -> Share:
    """Return how many pairs of the same person are nearer than ``limit``."""
    pairs = matrix[alike]
    return Share(int((pairs < limit).sum()), pairs.size)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the luminance of RGB pixels, 0 to 255 (ITU-R BT.601)."""
    grey: NDArray[np.float64] = pixels[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return grey


def similarity(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the structural similarity of two luminances around each pixel that has a whole window around it."""
    a, b = (sliding_window_view(one, (WINDOW, WINDOW)) for one in (left, right))
    mean_a, mean_b = a.mean((2, 3)), b.mean((2, 3))
    var_a, var_b = a.var((2, 3)), b.var((2, 3))
    both = np.einsum("ijkl,ijkl->ij", a, b) / WINDOW**2 - mean_a * mean_b
    means = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure: NDArray[np.float64] = means * (2 * both + _C2) / (var_a + var_b + _C2)
    return structure


def similarity_outside(left: NDArray[np.uint8], right: NDArray[np.uint8], hidden: Mask) -> float:
    """Return the mean structural similarity of two pictures of one size, where ``hidden`` is not set; NaN for nowhere."""
    edge = WINDOW // 2
    seen = ~hidden[edge:-edge, edge:-edge]
    found = similarity(luminance(left), luminance(right))
    return float(found[seen].mean()) if seen.any() else math.nan


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-9))
    return unit
