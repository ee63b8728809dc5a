"""What a User-Agent claims to be: a known robot or tool, or a browser of some engine and version."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class AgentKind(Enum):
    """The classes of agent that signals speak of."""

    MISSING = "missing"
    TOOL = "tool"  # a library or command-line program
    CRAWLER = "crawler"
    AI = "ai"  # a crawler that feeds language or image models
    AUTOMATION = "automation"  # a browser that says that a program drives it
    BROWSER = "browser"  # claims to be a browser, or nothing that we know

    __hash__ = object.__hash__


class Engine(Enum):
    """The browser engines whose habits can be held against a claim."""

    CHROMIUM = "chromium"
    GECKO = "gecko"
    WEBKIT = "webkit"
    NONE = "none"

    __hash__ = object.__hash__


class Agent(NamedTuple):
    """A User-Agent, read. ``name`` is what the list calls it; ``version`` the engine's major version, or 0.

    ``small`` tells of the text and small browsers, whose agents have forms of their own.
    """

    kind: AgentKind
    name: str = ""
    engine: Engine = Engine.NONE
    version: int = 0
    platform: str = ""
    mobile: bool = False
    small: bool = False


# Every browser on iOS is WebKit whatever its name says, so its names come first.
_IOS = re.compile(r"\((?:iPhone|iPad|iPod)\b.{0,200}?OS (\d{1,3})_", re.DOTALL)
_CHROMIUM = re.compile(r"\bChrom(?:e|ium)/(\d{1,5})\b")
_GECKO = re.compile(r"\bGecko/[\d.]+ Firefox/(\d{1,5})\b")
_WEBKIT = re.compile(r"\bVersion/(\d{1,5})\b.{0,100}\bSafari/", re.DOTALL)
_PLATFORMS = (
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "Chrome OS"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
    ("X11", "Linux"),
)


def read_claim(user_agent: str) -> tuple[Engine, int]:
    """Return the engine that a User-Agent claims and its major version, or ``(NONE, 0)``.

    iOS browsers claim the version of iOS, which is that of their WebKit.
    """
    if not user_agent.startswith("Mozilla/5.0 ("):
        return Engine.NONE, 0
    for engine, pattern in (
        (Engine.WEBKIT, _IOS),
        (Engine.CHROMIUM, _CHROMIUM),
        (Engine.GECKO, _GECKO),
        (Engine.WEBKIT, _WEBKIT),
    ):
        match = pattern.search(user_agent)
        if match:
            return engine, int(match[1])
    return Engine.NONE, 0


def read_platform(user_agent: str) -> str:
    """Return the platform that a User-Agent claims, by the names of the ``Sec-CH-UA-Platform`` field, or ``""``."""
    for word, platform in _PLATFORMS:
        if word in user_agent:
            return platform
    return ""
