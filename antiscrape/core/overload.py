"""The ladder of shedding: what is left undone first when there is more to do than can be done.

Check pages go first, for who does not come through one keeps a browser's budget; then the making of renditions, in whose place
a bot gets a card that shows nothing; then whole requests, of strangers before those who are known. The original is on no
rung: to send it is cheap, and what is overloaded on purpose must not give it away.

A rung is climbed when what is measured stands above its mark for a while (``_LOOKS``: one long garbage collection is no
overload), and left downwards, one at a time, when it has been well below for ``calm`` seconds: shedding lowers the very
measure that it follows, and would otherwise swing.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from antiscrape.core.rules import OverloadRules

CALM, CHECKS, RENDITIONS, REQUESTS = range(4)
#: What each rung leaves undone, the lower ones' included.
SHED: Final = ("", "check pages", "renditions", "requests of strangers")
#: Looks in a row for which a measure has to stand above a mark.
_LOOKS: Final = 5
#: Of a mark, below which its rung may be left.
_WELL_BELOW: Final = 0.8


class Load:
    """How much there is to do: ``rung`` is what requests look at, ``shed`` counts what they were refused."""

    __slots__ = ("retry", "rung", "shed")

    def __init__(self) -> None:
        self.rung = CALM
        self.retry = 0
        self.shed: Counter[str] = Counter()


class Ladder:
    """Finds the rung of what is measured, by ``rules``, which may be replaced."""

    def __init__(self, rules: OverloadRules) -> None:
        self.rules = rules
        self.rung = CALM
        self._pressed = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_LOOKS)

    def look(self, lag: float, memory: float, now: float) -> int:
        """Return the rung, now that a turn of the event loop came ``lag`` seconds late and ``memory`` (0 to 1) is taken."""
        if not self.rules.enabled:
            self.rung = CALM
            return CALM
        self._recent.append((lag, memory))
        lags, shares = zip(*self._recent, strict=True)
        if len(self._recent) == _LOOKS:
            steady = max(_rung(min(lags), self.rules.lag), _rung(min(shares), self.rules.memory))
            if steady > self.rung:
                self.rung, self._pressed = steady, now
        if self.rung > CALM:
            if (
                max(_rung(lag / _WELL_BELOW, self.rules.lag), _rung(memory / _WELL_BELOW, self.rules.memory))
                >= self.rung
            ):
                self._pressed = now
            elif now - self._pressed >= self.rules.calm:
                self.rung, self._pressed = self.rung - 1, now
        return self.rung


def _rung(measured: float, marks: tuple[float, float, float]) -> int:
    return sum(measured >= mark for mark in marks)
