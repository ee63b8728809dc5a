"""What a browser's own script told of it: that a program drives it, that it has no window, or nothing at all.

Absence costs, presence earns nothing: who never runs the script is judged by everything else, and whoever runs
it under a program is told apart by what the program leaves behind. What people leave behind as well, if seldom, weighs
so little that nobody loses a picture by it: that the check does not prove them is what it costs (``core.probes``).
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
    Signal("browser-pointerless", "browser", 1, "The browser has neither mouse nor pen nor finger to point with.",
           "Media Queries 4 §7; measured: Chromium and Firefox without a window, never with one; who uses a keyboard alone, too",
           lambda h: bool(h.odd.probes & Found.POINTERLESS)),
    Signal("browser-renamed", "browser", 2, "The browser goes by a User-Agent that it was given.",
           "UA Client Hints; measured: Chromium --user-agent, never without it", lambda h: bool(h.odd.probes & Found.RENAMED)),
    Signal("browser-watched", "browser", 1, "A debugger is told what the browser writes to its console.",
           "CDP Runtime.enable; measured: Playwright and puppeteer; whoever has the developer tools open, too",
           lambda h: bool(h.odd.probes & Found.WATCHED)),
)  # fmt: skip
