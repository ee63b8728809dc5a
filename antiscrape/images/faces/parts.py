"""Which parts of a picture are looked at again: around finds in doubt, together as small as makes them worth it.

A look costs by its pixels, and something for itself; so parts that nearly touch become one, and where all of them
cost as much as the whole picture, that is looked at.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.images.faces.finding import Face

#: What a look costs beside its pixels, in pixels: 0.7 ms, where 192 x 128 of them take 4.5.
_ITSELF = 3500
#: Parts up to which that is worth it; of a crowd in doubt they would be dozens.
_MOST = 8


class Part(NamedTuple):
    """A rectangle of a picture, in pixels of the look that is taken at it."""

    left: float
    top: float
    right: float
    bottom: float

    def cost(self, step: int) -> int:
        """Return the pixels that the network is given: sides are filled up to multiples of ``step``."""
        across, down = (
            math.ceil(round(length / step, 3)) * step
            for length in (self.right - self.left, self.bottom - self.top)
        )
        return across * down + _ITSELF


class Layout(NamedTuple):
    """The picture's ``width`` and ``height`` in pixels of the look, of which the network takes multiples of ``step``."""

    width: float
    height: float
    step: int

    def around(self, faces: Iterable[Face], *, scale: float, margin: float) -> list[Part]:
        """Return the parts that hold each of ``faces``, in pixels of the picture, ``scale`` of the look to one.

        Each is held with ``margin`` pixels of the look to every side, as far as the picture reaches.
        """
        whole = Part(0.0, 0.0, self.width, self.height)
        parts: list[Part] = []
        for x, y, width, height, _ in faces:
            new = self._fitted(
                x * scale - margin,
                y * scale - margin,
                (x + width) * scale + margin,
                (y + height) * scale + margin,
            )
            parts = self._with(parts, new)
            if len(parts) > _MOST or sum(map(self._cost, parts)) >= self._cost(whole):
                return [whole]
        return parts

    def _with(self, parts: list[Part], new: Part) -> list[Part]:
        """Return ``parts`` with a new one, which becomes one with those that it is cheaper to look at together with."""
        while True:
            joined = [
                (self._cost(old) + self._cost(new) - self._cost(self._both(old, new)), old) for old in parts
            ]
            saved, nearest = max(joined, default=(-1, new))
            if saved < 0:
                return [*parts, new]
            new = self._both(nearest, new)
            parts = [part for part in parts if part != nearest]

    def _cost(self, part: Part) -> int:
        return part.cost(self.step)

    def _both(self, one: Part, other: Part) -> Part:
        return self._fitted(
            min(one.left, other.left),
            min(one.top, other.top),
            max(one.right, other.right),
            max(one.bottom, other.bottom),
        )

    def _fitted(self, left: float, top: float, right: float, bottom: float) -> Part:
        """Return a part that holds these edges, widened to what the network fills up anyway."""
        left, right = self._side(left, right, self.width)
        top, bottom = self._side(top, bottom, self.height)
        return Part(left, top, right, bottom)

    def _side(self, begin: float, end: float, most: float) -> tuple[float, float]:
        begin, end = max(begin, 0.0), min(end, most)
        length = max(1, math.ceil(round((end - begin) / self.step, 3))) * self.step
        if length >= most:
            return 0.0, most
        begin = min(max((begin + end - length) / 2, 0.0), most - length)
        return begin, begin + length
