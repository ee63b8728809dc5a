"""What a browser's own script told of it: that a program drives it, that it has no window, or nothing at all.

Absence costs, presence earns nothing: who never runs the script is judged by everything else, and whoever runs
it under a program is told apart by what the program leaves behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.probes import Found
from antiscrape.core.signals.table import Signal

if TYPE_CHECKING:
    from antiscrape.core.history import History

SIGNALS: tuple[Signal[History], ...] = (
    Signal("browser-driven", "browser", 40, "A program drives the browser.",
           "W3C WebDriver §4, navigator.webdriver; BotD 2.0; measured: under WebDriver, never by hand",
           lambda h: bool(h.odd.probes & Found.AUTOMATED)),
    Signal("browser-headless", "browser", 30, "The browser has no window.",
           "BotD 2.0; measured: headless Chromium, never one with a window", lambda h: bool(h.odd.probes & Found.HEADLESS)),
    Signal("browser-contradicts", "browser", 15, "The browser's engine is not the one that its User-Agent names.",
           "a person's User-Agent switcher does this, too", lambda h: bool(h.odd.probes & Found.CONTRADICTS)),
    Signal("browser-untold", "browser", 10, "The check's work was done, and nothing told of a browser.",
           "public solvers of proofs of work do it without one", lambda h: bool(h.odd.probes & Found.MISSING)),
)  # fmt: skip
