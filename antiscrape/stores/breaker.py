"""The breaker: after a failure nobody asks the store for a while, so that no request waits for what will not come.

::

    closed ──a failure of the whole store, or several in a row──▶ open
      ▲                                                           │ the pause is over
      └──────the probe succeeds── half-open ◀────────────────────┘
                                      └──the probe fails: open again, for twice as long

It does no I/O and reads no clock: time is a parameter, in seconds on the monotonic clock. The
longest pause and one probe together stay under the 5 s in which a recovery must be noticed
(SECURITY I1).
"""

from __future__ import annotations

from enum import StrEnum

from antiscrape.errors import StoreError  # noqa: TC001  a type of this module's own interface


class State(StrEnum):
    """What a breaker lets through: every call, none, or one that tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Decides whether the store is asked. ``opened`` counts how often it opened; ``last`` is the last error's text.

    ``errors`` failures in a row open it, or one of the store as a whole. It stays open for ``pause``
    seconds, then twice as long after every probe that fails, up to ``longest``.
    """

    __slots__ = (
        "_errors", "_in_a_row", "_longest", "_next", "_pause", "_probe_until", "_until", "last", "opened", "state",
    )  # fmt: skip

    def __init__(self, *, errors: int = 5, pause: float = 1.0, longest: float = 4.0) -> None:
        self._errors, self._pause, self._longest = errors, pause, longest
        self._next = pause  # how long it stays open when it opens next
        self._in_a_row = 0
        self._until = 0.0  # open until then
        self._probe_until = 0.0  # a probe that says nothing until then was cancelled
        self.state = State.CLOSED
        self.opened = 0
        self.last = ""

    def allows(self, now: float) -> bool:
        """Tell whether to ask the store now; after a pause, one caller at a time is told so and is the probe."""
        if self.state is State.CLOSED:
            return True
        if now < (self._until if self.state is State.OPEN else self._probe_until):
            return False
        self.state = State.HALF_OPEN
        self._probe_until = now + self._pause
        return True

    def succeeded(self) -> None:
        """Take note of an answer. One that was asked for before the breaker opened closes nothing."""
        self._in_a_row = 0
        if self.state is State.HALF_OPEN:
            self.state = State.CLOSED
            self._next = self._pause

    def failed(self, now: float, error: StoreError) -> None:
        """Take note of a failure, and open where it or the ones before it say so."""
        self.last = str(error)
        self._in_a_row += 1
        if self.state is State.OPEN:  # asked before it opened: nothing new
            return
        if self.state is State.HALF_OPEN or error.away or self._in_a_row >= self._errors:
            self.opened += self.state is State.CLOSED
            self.state = State.OPEN
            self._until = now + self._next
            self._next = min(2 * self._next, self._longest)
