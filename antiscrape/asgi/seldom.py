"""Warnings that requests cause, said seldom: whoever asks a thousand times must not fill the log with one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging

#: Seconds between two warnings of one kind: an operator who looks finds it, and a day holds 1,440 of them at most.
_APART: Final = 60.0
#: Kinds that are told apart. Ours are a few dozen; what a site writes stands behind the colon.
_KINDS: Final = 64


class Seldom:
    """Passes a warning on to ``log`` once a minute for each kind, and with the next one says how many there were.

    A sentence's kind is what stands before its first colon.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._until: dict[str, tuple[float, int]] = {}

    def warn(self, sentence: str, *, now: float) -> None:
        """Say a sentence, or count it; ``now`` is seconds on a clock that never steps."""
        kind = sentence.partition(":")[0]
        until, unsaid = self._until.get(kind, (0.0, 0))
        if now < until:
            self._until[kind] = until, unsaid + 1
            return
        if kind not in self._until and len(self._until) >= _KINDS:
            self._until.clear()
        self._until[kind] = now + _APART, 0
        if unsaid:
            self._log.warning("%s (and %d more like it since the last time)", sentence, unsaid)
        else:
            self._log.warning("%s", sentence)
