"""Budgets as policy writes them ("40/10min, 60/day") and as the stores spend them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_SIZES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\s*/\s*(\d*)\s*([a-z]+)", re.IGNORECASE)

#: Longer windows outlive every sensible retention of addresses, and their state would never be freed.
LONGEST_WINDOW = 31 * 86400
#: Distinct things are remembered one by one, so a limit on them is a bound on memory as well.
MOST_DISTINCT = 10_000
# Intervals are added up on a clock that counts from the machine's start; after months the sum of seven
# sevenths of a minute may exceed the minute, and the seventh request would be refused.
_HAIR = 1e-4


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget of ``amount`` units per ``window`` seconds, written as ``text``.

    ``of_requests`` and ``of_bytes`` are its names where a record keeps several arrival times: one string for all records.

    Of distinct things at most ``amount`` are had within any window. Requests and bytes are a rate:
    ``amount`` at once, and what was spent is earned back evenly over the window.
    """

    amount: float
    window: float
    text: str
    interval: float = field(init=False)
    of_requests: str = field(init=False, repr=False, compare=False)
    of_bytes: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive the seconds that one unit takes to be earned back, less a hair, and the names."""
        object.__setattr__(self, "interval", (self.window - _HAIR) / self.amount if self.amount else 0.0)
        object.__setattr__(self, "of_requests", "requests " + self.text)
        object.__setattr__(self, "of_bytes", "bytes " + self.text)


def parse_limits(text: str, *, sizes: bool = False) -> tuple[Limit, ...]:
    """Read ``"40/10min, 60/day"`` (or, with ``sizes``, ``"50MB/hour"``); ``""`` and ``"unlimited"`` mean no limit.

    Raise ``ValueError`` with what was expected.
    """
    if text.strip().lower() in {"", "unlimited"}:
        return ()
    return tuple(_parse_one(part.strip(), sizes=sizes) for part in text.split(","))


def _parse_one(text: str, *, sizes: bool) -> Limit:
    if text == "0":
        return Limit(0, 86400, "0")
    match = _LIMIT.fullmatch(text)
    if match is None:
        example = '"50MB/hour"' if sizes else '"40/10min"'
        msg = f"{text!r} is not a limit; expected an amount per window, such as {example}"
        raise ValueError(msg)
    amount, scale, count, unit = match.groups()
    factor = _SIZES.get(scale.lower()) if sizes else (1 if not scale else None)
    if factor is None:
        msg = f"{text!r} has an unknown unit {scale!r} before the slash"
        raise ValueError(msg)
    seconds = _UNITS.get(unit.lower())
    if seconds is None:
        msg = f"{text!r} has an unknown window {unit!r}; expected s, min, hour or day"
        raise ValueError(msg)
    window = int(count or 1) * seconds
    if not 0 < window <= LONGEST_WINDOW:
        msg = f"{text!r} has a window outside 1 second to 31 days"
        raise ValueError(msg)
    return Limit(float(amount) * factor, float(window), text)
