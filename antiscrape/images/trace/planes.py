"""What reading does to whole planes of numbers: means over squares, and what is left when they are taken away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Plane = NDArray[np.float32]
Waves = NDArray[np.complex64]


def transformed(plane: Plane, size: tuple[int, int]) -> Waves:
    """Return the spectrum (all rows, columns to half of ``size``) of ``plane`` with zeros around it, unitary.

    Rows of nothing stay nothing, so that they are not transformed; and numpy computes a transform without a norm in
    doubles whatever it is given, which takes three times as long.
    """
    out = np.zeros((size[0], size[1] // 2 + 1), np.complex64)
    filled = np.flatnonzero(plane.any(axis=1))
    rows = slice(filled[0], filled[-1] + 1) if filled.size else slice(0)
    if filled.size:
        out[rows] = np.fft.rfft(plane[rows], size[1], axis=1, norm="ortho")
    return np.fft.fft(out, axis=0, norm="ortho").astype(np.complex64, copy=False)


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


def residual(light: Image.Image) -> Plane:
    """Return what differs from its surroundings in a picture of mode L, in multiples of how much things differ there.

    A mark is the same share of everything then, whether it lies in a sky or in grass, and no edge outweighs it: 1.5
    is the most. (Measured over seven photographs: a wider view of how much things differ, or a higher limit, costs a
    tenth of what is read.)
    """
    soft = light.filter(_FIVE).filter(_FIVE)
    fine = np.asarray(light, np.float32) - np.asarray(soft, np.float32)
    # In eighths of a level, for means are rounded to whole ones.
    rough = Image.fromarray(np.minimum(np.abs(fine) * 8, 255).astype(np.uint8)).filter(_SEVEN)
    fine /= np.asarray(rough, np.float32) / 8 + 0.3
    plane: Plane = np.clip(fine, -1.5, 1.5, out=fine)
    return plane


_FIVE, _SEVEN = ImageFilter.BoxBlur(2), ImageFilter.BoxBlur(3)


def whitened(sheet: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``sheet`` with as much power at every frequency as at any other, over nine bins' width.

    Chips are white and pictures are not, so this takes more from the picture than from the mark; of the waves, which
    are lines, it leaves nothing.
    """
    spectrum = np.fft.rfft2(sheet)
    power = box_mean((np.abs(spectrum) ** 2).astype(np.float32), 4, wrapped=True)
    out: NDArray[np.float64] = np.fft.irfft2(spectrum / np.sqrt(power + 1e-9), sheet.shape)
    return out
