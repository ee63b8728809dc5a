"""The pen: lines written to a descriptor by a thread of its own, so that nobody waits for a disk or a reader.

A full pipe or a slow disk must never make a request wait, so the queue is bounded, and what finds no room is counted and
dropped. Where lines are missing, the next one that can be written is preceded by one that says how many: who reads
must not take a gap for quiet. A line of which the disk took only a part is ended before anything follows it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Lines that wait for the disk: some seconds of a flood, a few MB.
_WAITING = 10_000


class Pen:
    """Writes lines to ``descriptor``. ``dropped`` counts what found no room or could not be written.

    ``gap`` returns the line that stands for so many lost ones.
    """

    def __init__(self, descriptor: int, *, owned: bool, gap: Callable[[int], bytes]) -> None:
        self._refused = self._failed = 0  # each counted by one side of the queue
        self._descriptor = descriptor
        self._owned = owned
        self._gap = gap
        self._told = 0  # of the dropped, those that a line stands for
        self._torn = False
        self._lines: deque[bytes] = deque()
        self._filled = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    @property
    def dropped(self) -> int:
        """How many lines were lost so far."""
        return self._refused + self._failed

    def put(self, line: bytes) -> None:
        """Queue one line, which ends in a newline."""
        if len(self._lines) >= _WAITING or self._closed:
            self._refused += 1
            return
        self._lines.append(line)
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
                line = self._lines.popleft()
                if not (self._tell_gap() and self._write(line)):
                    self._failed += 1
            if self._closed:
                self._tell_gap()
                return

    def _tell_gap(self) -> bool:
        """Write how many lines are missing here; return False where even that cannot be written."""
        lost = self.dropped - self._told
        if lost and not self._write(self._gap(lost)):
            return False
        self._told += lost
        return True

    def _write(self, line: bytes) -> bool:
        """Write a line whole, or return False: then it is lost."""
        data = b"\n" + line if self._torn else line
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            return False
        if written:
            self._torn = written < len(data) and not data[:written].endswith(b"\n")
        return written == len(data)
