"""The moment at which a pasted request is judged: a clock that is set by what was pasted, for the gate to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from antiscrape.operate.pasted import Asked

#: A time from here on is a date (2001 and later), before it a number of seconds since the start.
DATES: Final = 1e9
#: Seconds between two requests of which no time is told.
_PACE: Final = 1.0


class Moment:
    """The time at which a request is judged: a clock that is set, for the gate to read."""

    def __init__(self, wall: float) -> None:
        self._start = wall
        self._now = -1.0

    def advance(self, asked: Asked) -> float:
        """Go to the time of a request and return it; raise ``ConfigurationError`` where that lies in the past."""
        now = self._now + _PACE if asked.time is None else asked.time
        if now < self._now:
            raise ConfigurationError(
                f"line {asked.line}: its time, {now:g}, lies before that of the line above, {self._now:g}"
            )
        self._now = now
        return now

    def monotonic(self) -> float:
        """Return seconds for budgets and histories."""
        return self._now

    def wall(self) -> float:
        """Return seconds since 1970 for grants."""
        return self._now if self._now >= DATES else self._start + self._now
