"""What a harvester learns from photos of other people, whose renditions it has too: ridge regression.

Nothing of the people that it looks for is used in training: they are split in two, and each half is restored with what the
other half taught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Chip = NDArray[np.uint8]

#: Pixels of the side that a rendition's chip is reduced to before anything is learned of it, and of what comes out.
SEEN, MADE = 16, 48
#: How much the regression mistrusts each feature, as a share of the mean power of a sample.
_RIDGE = 0.03


def features(chips: Sequence[Chip]) -> Floats:
    """Return a row for each chip: its colours at :data:`SEEN` pixels, -1 to 1."""
    return np.stack([_reduced(chip, SEEN).ravel() for chip in chips])


def halves(people: Sequence[str]) -> NDArray[np.bool_]:
    """Return which samples are of the first half of the people."""
    order = {person: place for place, person in enumerate(sorted(set(people)))}
    return np.array([order[person] % 2 == 0 for person in people])


def regressed(known: Floats, wanted: Floats, given: Floats) -> Floats:
    """Return for each row of ``given`` what rows of ``wanted`` belong to rows of ``known`` teach (ridge regression)."""
    middle, mean = known.mean(0), wanted.mean(0)
    rows = known - middle
    power = rows @ rows.T
    weights = np.linalg.solve(
        power + _RIDGE * np.trace(power) / len(power) * np.eye(len(power)), wanted - mean
    )
    made: Floats = ((given - middle) @ rows.T @ weights + mean).astype(np.float32)
    return made


def across(
    seen: Floats, wanted: Floats, given: Floats, *, first: NDArray[np.bool_], given_first: NDArray[np.bool_]
) -> Floats:
    """Return ``given`` mapped by what the other half of the people teaches."""
    made = np.zeros((len(given), wanted.shape[1]), np.float32)
    for half in (True, False):
        made[given_first == half] = regressed(
            seen[first != half], wanted[first != half], given[given_first == half]
        )
    return made


def targets(chips: Sequence[Chip]) -> Floats:
    """Return a row for each photo's chip: its colours at :data:`MADE` pixels."""
    return np.stack([_reduced(chip, MADE).ravel() for chip in chips])


def pictured(rows: Floats, size: int) -> list[Chip]:
    """Return rows of :func:`targets` as chips of ``size`` pixels."""
    made = []
    for row in rows:
        values = np.clip((row.reshape(MADE, MADE, 3) + 1) * 127.5, 0, 255).astype(np.uint8)
        made.append(np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BICUBIC)))
    return made


def _reduced(chip: Chip, size: int) -> Floats:
    small = Image.fromarray(chip).resize((size, size), Image.Resampling.BOX)
    return (np.asarray(small, np.float32) / 127.5 - 1).astype(np.float32)
