"""What reading does to whole planes of numbers: means over squares, and what is left when they are taken away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def box_mean(plane: Plane, reach: int, *, wrapped: bool = False) -> Plane:
    """Return the mean over squares of ``2 * reach + 1``, mirrored at the borders, or rows wrapped round.

    Running sums make it cost the same for every reach.
    """
    width = 2 * reach + 1
    tall = np.pad(plane, ((reach + 1, reach), (0, 0)), mode="wrap" if wrapped else "symmetric")
    sums = np.cumsum(tall, axis=0, dtype=np.float64)
    plane = ((sums[width:] - sums[:-width]) / width).astype(np.float32)
    wide = np.pad(plane, ((0, 0), (reach + 1, reach)), mode="symmetric")
    sums = np.cumsum(wide, axis=1, dtype=np.float64)
    return ((sums[:, width:] - sums[:, :-width]) / width).astype(np.float32)


def residual(light: Plane) -> Plane:
    """Return what differs from its surroundings, in multiples of how much things differ there, at most 2.5.

    A mark is the same share of everything then, whether it lies in a sky or in grass, and no edge outweighs it.
    """
    fine = light - box_mean(box_mean(light, 2), 2)
    around = box_mean(np.abs(fine), 7)
    return np.clip(fine / (around + 0.7), -2.5, 2.5).astype(np.float32)
