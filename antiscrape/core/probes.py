"""What a browser's own script says of it, and what that comes to: a few yes-or-no findings, and no fingerprint.

The script asks BotD (FingerprintJS, MIT) whether a program drives the browser, and tells beside it which engine
it found itself in, and whether there are languages and a window. Nothing of it tells one person from another.
All of it can be made up by whoever reads the script. So it earns no trust that a budget does not ration, and
what it says *against* a browser weighs as evidence does elsewhere: those who took the trouble to lie
are rationed, those who did not are told apart.
"""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.agent import Engine

if TYPE_CHECKING:
    from antiscrape.core.agent import Agent

#: BotD's names of what it finds (2.0.0), by what they mean. "unknown" is a find, too.
_HEADLESS: Final = frozenset({"headless_chrome", "phantomjs", "slimerjs", "phantomas", "nightmarejs"})
#: Apps that show pages in an engine of their own, and what BotD cannot name: people may be behind it.
_ODD: Final = frozenset({"awesomium", "cef", "electron", "unknown"})
_LONGEST: Final = 40
_ENGINES: Final = {engine.value: engine for engine in Engine}


class Found(IntFlag):
    """What speaks against a browser that answered the check."""

    AUTOMATED = 1  # a program drives it
    HEADLESS = 2  # it has no window
    CONTRADICTS = 4  # its engine is not the one that its User-Agent names
    MISSING = 8  # the work was done, and nothing told of any browser


#: With any of these there is no clearance: its holder would have a budget more for being found out.
DENIED: Final = Found.AUTOMATED | Found.HEADLESS


class Probes(NamedTuple):
    """What the script found. ``bot`` is BotD's name for the automation it saw, ``""`` for none."""

    bot: str
    driven: bool  # navigator.webdriver (W3C WebDriver, §4)
    engine: Engine
    languages: bool
    window: bool


def read_probes(told: object) -> Probes | None:
    """Return the probes in a decoded JSON value, None where it is anything but what the script sends."""
    if not isinstance(told, dict) or set(told) != {"bot", "driven", "engine", "languages", "window"}:
        return None
    bot, engine = told["bot"], told["engine"]
    if not isinstance(bot, str) or len(bot) > _LONGEST or not isinstance(engine, str):
        return None
    flags = [told[name] for name in ("driven", "languages", "window")]
    if engine not in _ENGINES or not all(isinstance(flag, bool) for flag in flags):
        return None
    return Probes(bot, flags[0], _ENGINES[engine], flags[1], flags[2])


def judge_probes(probes: Probes | None, agent: Agent) -> Found:
    """Return what speaks against a browser that answered with ``probes`` and calls itself ``agent``."""
    if probes is None:
        return Found.MISSING
    found = Found(0)
    if probes.bot in _HEADLESS or not probes.window or not probes.languages:
        found |= Found.HEADLESS
    if probes.driven or (probes.bot and probes.bot not in _HEADLESS | _ODD):
        found |= Found.AUTOMATED
    named = agent.engine is not Engine.NONE
    if probes.bot in _ODD or probes.engine is Engine.NONE or (named and probes.engine is not agent.engine):
        found |= Found.CONTRADICTS
    return found
