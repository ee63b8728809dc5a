"""The sentinel: how late the event loop turns and how much memory is taken, and what follows from it.

Ten times a second it sleeps, and looks how late it wakes: everything that waits in this process waits at least as long. A
turn that takes more than ``STALL`` seconds is no load but a fault (a callable of the site that blocks, a regular expression that
never ends), and while it lasts nothing in this loop can tell of it: so a thread looks on, and logs where the loop
is stuck.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from antiscrape import clock
from antiscrape.core.overload import SHED, Ladder, Load
from antiscrape.operate.memory import memory_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.rules import OverloadRules
    from antiscrape.operate.families import Figures

_log: Final = logging.getLogger("antiscrape.overload")

#: Seconds between two looks at the lag; looks from one reading of memory to the next.
TICK: Final = 0.1
_MEMORY_EVERY: Final = 10
#: Seconds after which a turn of the loop counts as a fault.
STALL: Final = 1.0
#: Frames that are told of where a loop is stuck, the innermost last.
_FRAMES: Final = 6


class Sentinel:
    """Keeps ``load`` up to date in one event loop. ``tell`` takes a sentence when the rung changes."""

    def __init__(self, rules: OverloadRules, *, tell: Callable[[str], None]) -> None:
        self.load = Load()
        self.lag = self.memory = 0.0
        self.stalls = 0
        self._ladder = Ladder(rules)
        self._tell = tell
        self._stalled_until = 0.0
        self._beat = 0.0
        self.follow(rules)

    def follow(self, rules: OverloadRules) -> None:
        """Go by other rules."""
        self._ladder.rules = rules
        self.load.retry = rules.retry

    async def keep(self) -> None:
        """Look until cancelled."""
        ended = threading.Event()
        self._beat = clock.monotonic()
        watch = (threading.get_ident(), ended)
        thread = threading.Thread(target=self._watch, args=watch, name="antiscrape-watchdog", daemon=True)
        thread.start()
        looks = 0
        try:
            while True:
                before = self._beat = clock.monotonic()
                await asyncio.sleep(TICK)
                now = clock.monotonic()
                if looks % _MEMORY_EVERY == 0:
                    self.memory = memory_share(self._ladder.rules.limit)
                looks += 1
                self.note(max(0.0, now - before - TICK), now)
        finally:
            ended.set()

    def note(self, lag: float, now: float) -> None:
        """Take note that a turn of the loop came ``lag`` seconds late."""
        self.lag = lag
        if lag >= STALL:
            self.stalls += 1
            self._stalled_until = now + self._ladder.rules.calm
        rung = self._ladder.look(lag, self.memory, now)
        if rung != self.load.rung:
            self.load.rung = rung
            sentence = (
                f"overloaded: {SHED[rung]} are shed" if rung else "no longer overloaded: nothing is shed"
            )
            sentence += f" (lag {lag:.2f} s, memory {self.memory:.0%})"
            _log.warning("%s", sentence)
            self._tell(sentence)

    def unwell(self) -> str:
        """Return ``"stalled"`` for a while after a stall, else ``""``."""
        return "stalled" if clock.monotonic() < self._stalled_until else ""

    def figures(self) -> Figures:
        """Return what there is to tell."""
        return {
            "antiscrape_overload_rung": {(): self.load.rung},
            "antiscrape_loop_lag_seconds": {(): self.lag},
            "antiscrape_loop_stalls": {(): self.stalls},
            "antiscrape_memory_share": {(): self.memory},
            "antiscrape_shed": {
                (what,): self.load.shed[what] for what in ("checks", "renditions", "requests")
            },
        }

    def _watch(self, loop_thread: int, ended: threading.Event) -> None:
        """Say once of each stall where the loop is, while it is there."""
        told = 0.0
        while not ended.wait(STALL / 4):
            beat = self._beat
            if clock.monotonic() - beat - TICK < STALL or beat == told:
                continue
            told = beat
            frame = sys._current_frames().get(loop_thread)  # noqa: SLF001  documented for debuggers, which this is
            if frame is not None:
                stack = traceback.extract_stack(frame)[-_FRAMES:]
                where = " > ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in stack)
                _log.error(
                    "the event loop has not turned for %.1f s; it is in %s", clock.monotonic() - beat, where
                )
