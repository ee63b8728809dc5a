"""The row type of the signal tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Seen = TypeVar("Seen")


class Signal(NamedTuple, Generic[Seen]):
    """One kind of evidence: when ``test`` holds of what was seen, ``weight`` is added to the score.

    ``sentence`` says to a person what was observed; ``source`` is the standard or measurement that
    makes it evidence. Evidence costs: no weight is negative.
    """

    name: str
    family: str
    weight: int
    sentence: str
    source: str
    test: Callable[[Seen], bool]
