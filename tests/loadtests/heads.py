"""A picture and a face's landmarks, for the tests of the faces trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.typing import NDArray


def scene(width: int = 240, height: int = 160, *, seed: int = 1) -> Image.Image:
    """Return a picture with shapes, edges and a gradient."""
    chance = np.random.default_rng(seed)
    ramp = np.linspace(40, 200, width, dtype=np.uint8)
    picture = Image.fromarray(np.repeat(np.tile(ramp, (height, 1))[..., None], 3, axis=2))
    draw = ImageDraw.Draw(picture)
    for _ in range(14):
        left, top = int(chance.integers(width)), int(chance.integers(height))
        colour = tuple(int(value) for value in chance.integers(0, 255, 3))
        draw.ellipse((left, top, left + width // 5, top + height // 4), fill=colour)
    return picture


def landmarks(left: float = 60, top: float = 40, size: float = 80) -> NDArray[np.float64]:
    """Return 68 points of a face that looks at the camera, its eyes, nose and mouth where they belong."""
    points = np.random.default_rng(3).uniform(0.2, 0.8, (68, 2))
    points[0], points[16], points[8] = (0, 0.3), (1, 0.3), (0.5, 1)
    points[36:42] = (0.3, 0.35)
    points[42:48] = (0.7, 0.35)
    points[36], points[39], points[42], points[45] = (0.2, 0.35), (0.4, 0.35), (0.6, 0.35), (0.8, 0.35)
    points[30], points[33], points[48], points[54] = (0.5, 0.6), (0.5, 0.66), (0.35, 0.8), (0.65, 0.8)
    placed: NDArray[np.float64] = points * size + np.array([left, top])
    return placed
