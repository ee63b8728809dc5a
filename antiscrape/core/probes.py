"""What a browser's own script says of it, and what that comes to: a few yes-or-no findings, and no fingerprint.

The script asks BotD (FingerprintJS, MIT) whether a program drives the browser, and tells beside it which engine
it found itself in, whether there are languages, a window and anything to point with, whether Chromium goes by the
name that it was built with, and whether a debugger listens. Nothing of it tells one person from another.
All of it can be made up by whoever reads the script. So it earns no trust that a budget does not ration, and
what it says *against* a browser weighs as evidence does elsewhere: those who took the trouble to lie
are rationed, those who did not are told apart.

Measured with Chromium 156 and Firefox 153: in windows (under a window manager and without one, with and without a
graphics card, in private windows, resisting fingerprints) each had something to point with, its own name and no
debugger. Without a window neither had anything to point with, WebDriver or not; Chromium under another's User-Agent
had lost its versions; Playwright and puppeteer were given away by what their first command does to the console.
What the graphics are drawn by, how large the screen is and whether it has a frame told nothing: a virtual machine,
a kiosk and a person who resists fingerprints look as automation does. (A Firefox without a window that resists
fingerprints claims a mouse as every other that does; what it lacks, WebGL and scroll bars that hide, others of them
have switched off as well.) People may have each of the three that tell,
with a switch for a mouse, a User-Agent switcher or a debugger open; so these keep a browser from being proven, and no
more.
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
    POINTERLESS = 16  # neither mouse nor pen nor finger
    RENAMED = 32  # it goes by a User-Agent that it was given
    WATCHED = 64  # a debugger is told of its console


#: With any of these there is no clearance: its holder would have a budget more for being found out.
DENIED: Final = Found.AUTOMATED | Found.HEADLESS


class Probes(NamedTuple):
    """What the script found. ``bot`` is BotD's name for the automation it saw, ``""`` for none."""

    bot: str
    driven: bool  # navigator.webdriver (W3C WebDriver, §4)
    engine: Engine
    languages: bool
    window: bool
    pointer: bool  # Media Queries 4 §7, any-pointer
    named: bool  # Chromium's versions are there (UA Client Hints §4.1.5), or it is none
    watched: bool


_FLAGS: Final = ("driven", "languages", "window", "pointer", "named", "watched")
_TOLD: Final = frozenset({"bot", "engine", *_FLAGS})


def read_probes(told: object) -> Probes | None:
    """Return the probes in a decoded JSON value, None where it is anything but what the script sends."""
    if not isinstance(told, dict) or set(told) != _TOLD:
        return None
    bot, engine = told["bot"], told["engine"]
    if not isinstance(bot, str) or len(bot) > _LONGEST or not isinstance(engine, str):
        return None
    flags = {name: told[name] for name in _FLAGS}
    if engine not in _ENGINES or not all(isinstance(flag, bool) for flag in flags.values()):
        return None
    return Probes(bot=bot, engine=_ENGINES[engine], **flags)


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
    if not probes.pointer:
        found |= Found.POINTERLESS
    if not probes.named:
        found |= Found.RENAMED
    if probes.watched:
        found |= Found.WATCHED
    return found
