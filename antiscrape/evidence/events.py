"""The event sink: one JSON object a line.

Every byte that a client chose is escaped: a line holds ASCII only, so no newline, escape sequence or U+2028 of a
client's reaches a log (SECURITY J5; uvicorn's CVE-2020-7694). Where lines were lost, one stands in their place:
``{"event":"events-lost","lost":12}``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.errors import ConfigurationError
from antiscrape.evidence.pen import Pen

if TYPE_CHECKING:
    from collections.abc import Mapping

#: SECURITY J5: a line stays under 8 kB, so that one write is one line even among several processes.
_LONGEST_TEXT = 512
_LONGEST_LINE = 8000


class LineSink(Pen):
    """Writes events to a file descriptor, a line each."""

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        super().__init__(
            descriptor, owned=owned, gap=lambda lost: encode({"event": "events-lost", "lost": lost})
        )

    def emit(self, event: Mapping[str, object]) -> None:
        """Queue one event."""
        self.put(encode(event))


class NoSink:
    """Takes events nowhere."""

    dropped = 0

    def emit(self, event: Mapping[str, object]) -> None:
        """Forget the event."""

    def close(self) -> None:
        """Do nothing."""


def open_sink(where: str) -> LineSink | NoSink:
    """Open the sink that policy names: ``stderr``, ``off``, or a file to append to."""
    if where == "off":
        return NoSink()
    if where == "stderr":
        return LineSink(sys.__stderr__.fileno() if sys.__stderr__ else 2, owned=False)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return LineSink(os.open(Path(where), flags, 0o640), owned=True)
    except OSError as error:
        raise ConfigurationError(f"record.events: {where!r} cannot be written: {error.strerror}") from error


def encode(event: Mapping[str, object]) -> bytes:
    """Return the event's line."""
    short = {key: value[:_LONGEST_TEXT] if isinstance(value, str) else value for key, value in event.items()}
    line = json.dumps(short, separators=(",", ":")).encode("ascii")
    if len(line) >= _LONGEST_LINE:
        texts = {key: value[:80] if isinstance(value, str) else None for key, value in event.items()}
        line = json.dumps({**texts, "signals": [], "truncated": True}, separators=(",", ":")).encode("ascii")
    return line + b"\n"
