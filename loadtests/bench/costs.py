"""One figure that the bench measured."""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """One figure: its name in ``budgets.toml``, what it is, its value and unit."""

    name: str
    title: str
    value: float
    unit: str
