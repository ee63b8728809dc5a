"""The sentinel in a real event loop: it counts what blocks it, says where, and sees the memory of its process."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from typing import TYPE_CHECKING

from antiscrape import clock
from antiscrape.core.overload import CALM, REQUESTS
from antiscrape.core.rules import OverloadRules
from antiscrape.operate import sentinel
from antiscrape.operate.sentinel import Sentinel

if TYPE_CHECKING:
    import pytest

PATIENCE = 60.0


def block(until: threading.Event) -> None:
    """Do what a plug-in does that waits for something without await."""
    assert until.wait(PATIENCE)


def test_a_loop_that_is_blocked_is_told_of_while_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 28: the watchdog says where, the metric counts it, and readiness flips."""
    monkeypatch.setattr(sentinel, "STALL", 0.2)
    said = threading.Event()
    words: list[str] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "has not turned" in record.getMessage():
                words.append(record.getMessage())
                said.set()

    async def run() -> Sentinel:
        stalled = asyncio.Event()

        class Noting(Sentinel):
            def note(self, lag: float, now: float) -> None:
                super().note(lag, now)
                if self.stalls:
                    stalled.set()

        made = Noting(OverloadRules(calm=3600.0), tell=print)
        keeping = asyncio.create_task(made.keep())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        block(said)  # as long as it takes to be noticed
        assert made.stalls == 0  # nothing in this loop can tell of it before it turns
        await stalled.wait()
        assert made.unwell() == "stalled"
        keeping.cancel()
        return made

    handler = Heard()
    logging.getLogger("antiscrape.overload").addHandler(handler)
    try:
        made = asyncio.run(asyncio.wait_for(run(), PATIENCE))
    finally:
        logging.getLogger("antiscrape.overload").removeHandler(handler)
    assert made.figures()["antiscrape_loop_stalls"][()] >= 1
    assert re.search(r"test_sentinel\.py:\d+ block > threading\.py:\d+ wait", words[0])


def test_who_stalled_is_well_again_after_a_while() -> None:
    made = Sentinel(OverloadRules(calm=60.0), tell=print)
    assert made.unwell() == ""
    made.note(5.0, clock.monotonic() - 61.0)
    assert made.unwell() == ""
    made.note(5.0, clock.monotonic())
    assert made.unwell() == "stalled"


def test_the_watchdog_ends_with_its_loop() -> None:
    async def run() -> None:
        keeping = asyncio.create_task(Sentinel(OverloadRules(), tell=print).keep())
        await asyncio.sleep(0)
        keeping.cancel()

    asyncio.run(run())
    for thread in threading.enumerate():
        if thread.name == "antiscrape-watchdog":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_rung_is_told_when_it_changes_and_only_then() -> None:
    told: list[str] = []
    made = Sentinel(OverloadRules(calm=1.0), tell=told.append)
    for look in range(20):
        made.note(5.0, look * 0.1)
    assert made.load.rung == REQUESTS
    assert told == ["overloaded: requests of strangers are shed (lag 5.00 s, memory 0%)"]
    for look in range(100):
        made.note(0.0, 2.0 + look * 0.1)
    assert made.load.rung == CALM
    assert told[-1] == "no longer overloaded: nothing is shed (lag 0.00 s, memory 0%)"
