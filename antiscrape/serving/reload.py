"""Reading a policy anew while it is served by: when somebody says so, and when its files change.

Files are looked at twice a second, in a thread: their time of change, size and inode, through every link, so that a file
written in place, one renamed over another and a link that is turned (as Kubernetes does with a mounted ConfigMap)
all are seen. To be told by the kernel instead costs a watch for each folder on the way and misses network file
systems; to look costs some microseconds. A file that is being written is not read until it has been the same for two
looks, or has changed for so long that the last reading is as good as the next.

What is read is put together in a thread, too; only what takes no time happens between two requests. What cannot be used
changes nothing and is said once, until the files change again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    Stamp = tuple[tuple[int, int, int] | None, ...]

_log = logging.getLogger("antiscrape.reload")

#: Seconds between two looks.
LOOK = 0.5
#: Looks after which a file that never comes to rest is read all the same.
_MOST_LOOKS = 2


class Reloader:
    """Reads anew what ``files`` name, by ``load``, which is called in a thread and returns what takes it up at once.

    What that returns are settings that wait for a new start. ``refuse`` is told the problems of what could
    not be used.
    """

    def __init__(
        self,
        load: Callable[[], Callable[[], Sequence[str]]],
        *,
        files: Callable[[], Iterable[Path]],
        refuse: Callable[[Sequence[str]], None],
    ) -> None:
        self._load = load
        self._files = files
        self._refuse = refuse
        self._asked = asyncio.Event()
        self._seen = _stamp(files())

    def ask(self) -> None:
        """Have everything read anew, whether or not a file has changed; to be called in the event loop's thread."""
        self._asked.set()

    async def keep(self) -> None:
        """Look after the files until cancelled."""
        looks, last = 0, self._seen
        while True:
            try:
                async with asyncio.timeout(LOOK):
                    await self._asked.wait()
            except TimeoutError:
                stamp = await asyncio.to_thread(lambda: _stamp(self._files()))
                moved, last = stamp != last, stamp
                if stamp == self._seen:
                    looks = 0
                    continue
                looks += 1
                if moved and looks < _MOST_LOOKS:
                    continue
            looks = 0
            self._asked.clear()
            last = await self.read()

    async def read(self) -> Stamp:
        """Read everything anew, and take it up or say why not; return what the files were like before."""
        self._seen = await asyncio.to_thread(lambda: _stamp(self._files()))
        try:
            take_up = await asyncio.to_thread(self._load)
            for name in take_up():
                _log.warning("%s has changed, and waits for a new start", name)
        except ConfigurationError as error:
            self._refuse(error.problems)
            _log.error("the policy stays as it was: %s", "; ".join(error.problems))
        except Exception:  # noqa: BLE001  whatever is wrong with the new policy, the old one is good
            self._refuse(["it cannot be read, for a reason that the log tells"])
            _log.exception("the policy stays as it was")
        else:
            _log.info("the policy was read anew")
        return self._seen


def _stamp(files: Iterable[Path]) -> Stamp:
    """Return what changes when files do; of one that is not there, None."""
    stamps: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            found = os.stat(file)  # noqa: PTH116  through every link, without an object for it
        except OSError:
            stamps.append(None)
        else:
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(stamps)
