"""The event sink: one JSON object a line, written by a thread of its own.

A full pipe or a slow disk must never make a request wait, so the queue is bounded and what finds no
room is counted and dropped. Every byte that a client chose is escaped: a line holds ASCII only, so
no newline, escape sequence or U+2028 of a client's reaches a log (SECURITY J5; uvicorn's
CVE-2020-7694).
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Lines that wait for the disk: some seconds of a flood, a few MB.
_WAITING = 10_000
#: SECURITY J5: a line stays under 8 kB, so that one write is one line even among several processes.
_LONGEST_TEXT = 512
_LONGEST_LINE = 8000


class LineSink:
    """Writes events to a file descriptor. ``dropped`` counts what found no room or could not be written."""

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._owned = owned
        self._lines: deque[bytes] = deque()
        self._filled = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def emit(self, event: Mapping[str, object]) -> None:
        """Queue one event."""
        if len(self._lines) >= _WAITING or self._closed:
            self.dropped += 1
            return
        self._lines.append(encode(event))
        if self._thread is None or not self._thread.is_alive():  # the second: a fork has no threads
            self._thread = threading.Thread(target=self._run, name="antiscrape-events", daemon=True)
            self._thread.start()
        self._filled.set()

    def close(self) -> None:
        """Write what waits, for at most a second, and let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._filled.set()
        if self._thread is not None:
            self._thread.join(1.0)
        if self._owned and (self._thread is None or not self._thread.is_alive()):
            os.close(self._descriptor)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while True:
            self._filled.wait()
            self._filled.clear()
            while self._lines:
                self._write(self._lines.popleft())
            if self._closed:
                return

    def _write(self, line: bytes) -> None:
        try:
            os.write(self._descriptor, line)
        except OSError:
            self.dropped += 1


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
