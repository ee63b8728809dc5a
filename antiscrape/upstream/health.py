"""Whether one of several sites is asked: not for a while after it failed several times in a row.

Passive ejection as HAProxy's ``observe`` and Envoy's outlier detection have it: every failure beyond the
first few doubles the pause, up to a bound, and one request at its end tries whether the site is back.
Time is a parameter.
"""

from __future__ import annotations


class Health:
    """One site's record. ``after``: failures in a row until it is left alone; pauses in seconds."""

    __slots__ = ("_after", "_least", "_most", "failures", "until", "up")

    def __init__(self, *, after: int, least: float, most: float) -> None:
        self._after = after
        self._least = least
        self._most = most
        #: In a row, and when after them it is tried again.
        self.failures = 0
        self.until = 0.0
        #: What the active check last found; True where there is none.
        self.up = True

    @property
    def well(self) -> bool:
        """Whether nothing speaks against it."""
        return self.up and self.failures < self._after

    def admits(self, now: float) -> bool:
        """Tell whether a request may go there; where it is the one that tries, no other does until the next pause is over."""
        if not self.up:
            return False
        if self.failures < self._after:
            return True
        if now < self.until:
            return False
        self.until = now + self._pause()
        return True

    def note(self, *, good: bool, now: float) -> None:
        """Note how a request to it ended."""
        if good:
            self.failures = 0
            return
        self.failures += 1
        if self.failures >= self._after:
            self.until = now + self._pause()

    def _pause(self) -> float:
        beyond = min(self.failures - self._after, 32)
        return float(min(self._least * 2**beyond, self._most))
