"""What the User-Agent says of itself: honest tools, named crawlers, and claims that cannot be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from antiscrape.core.agent import AgentKind, Engine
from antiscrape.core.crawler import Proof
from antiscrape.core.signals.table import Signal

if TYPE_CHECKING:
    from antiscrape.core.role import Role
    from antiscrape.core.traits import Traits

# Engines below these versions are older than eight years or so (Chrome 70: October 2018, Firefox 68 ESR:
# July 2019); real ones still exist in kiosks, so the claim is odd, not damning.
_ANTIQUE = {Engine.CHROMIUM: 70, Engine.GECKO: 60, Engine.WEBKIT: 9}
#: Releases come about every four weeks: no engine reaches this number before the 2030s.
_UNBORN = 300
_SHORTEST, _LONGEST = 20, 512
# Names of hosts without a scheme in small letters only: "ASP.NET" is none. Labels end at 63 octets (RFC 1035 §2.3.4).
_URL = re.compile(
    rb"https?://|\bwww\.|[\w.+-]@[\w-]+\.[a-z]|(?-i:\b[a-z][a-z\d-]{0,62}\.(?:com|net|org|io|eu))(?![\w.-])",
    re.IGNORECASE,
)
_MARKS = (b"//", b"www.", b"@", b".com", b".net", b".org", b".io", b".eu")


def _antique(t: Traits) -> bool:
    least = _ANTIQUE.get(t.agent.engine)
    return least is not None and 0 < t.agent.version < least


def _odd_length(t: Traits) -> bool:
    length = len(t.value(b"user-agent"))
    return t.agent.kind is AgentKind.BROWSER and (
        length > _LONGEST or (length < _SHORTEST and not t.agent.small)
    )


def _no_platform(t: Traits) -> bool:
    agent = t.value(b"user-agent")
    return (
        t.agent.kind is AgentKind.BROWSER
        and not t.browser
        and not t.agent.small
        and not agent.startswith((b"Mozilla/5.0 (", b"Opera/9"))
    )


_BOOK = "crawler-user-agents"


def _carries_address(t: Traits) -> bool:
    agent = t.value(b"user-agent")[:_LONGEST]
    small = agent.lower()
    # what every address has one of: ten times quicker than the pattern, and next to no browser has any
    return any(mark in small for mark in _MARKS) and _URL.search(agent) is not None


SIGNALS: tuple[Signal[Traits], ...] = (
    Signal("agent-missing", "agents", 40, "The request does not say what sent it.",
           "RFC 9110 §10.1.5: a user agent SHOULD send User-Agent", lambda t: t.agent.kind is AgentKind.MISSING),
    Signal("agent-is-a-tool", "agents", 40, "The User-Agent names a program or library, not a browser.",
           _BOOK, lambda t: t.agent.kind is AgentKind.TOOL),
    Signal("agent-is-a-crawler", "agents", 40, "The User-Agent names a crawler that has not proven its name.",
           _BOOK, lambda t: t.agent.kind is AgentKind.CRAWLER),
    Signal("agent-is-an-ai-crawler", "agents", 50, "The User-Agent names a crawler that feeds AI models.",
           _BOOK + " (tag ai-crawler)", lambda t: t.agent.kind is AgentKind.AI),
    Signal("agent-is-automation", "agents", 50, "The browser says that a program drives it.",
           "Chromium's HeadlessChrome token; " + _BOOK + " (tag browser-automation)",
           lambda t: t.agent.kind is AgentKind.AUTOMATION or b"Headless" in t.value(b"sec-ch-ua")),
    Signal("agent-carries-an-address", "agents", 25, "The User-Agent carries a web or mail address, as robots' do.",
           "RFC 9309 §2.2.1's custom; no browser does", _carries_address),
    Signal("agent-names-no-platform", "agents", 15, "The User-Agent has not the form that graphical browsers share.",
           "WHATWG HTML §8.11.1 (navigator.userAgent's compatibility form)", _no_platform),
    Signal("agent-is-antique", "agents", 10, "The claimed browser is older than eight years.",
           "release calendars of Chromium, Firefox and Safari", _antique),
    Signal("agent-is-unborn", "agents", 30, "The claimed browser version does not exist yet.",
           "release calendars of Chromium and Firefox", lambda t: t.agent.version > _UNBORN),
    Signal("agent-of-odd-length", "agents", 15, "The User-Agent is far shorter or longer than any browser's.",
           "the lists of browsers in crawler-user-agents, isbot and uap-core", _odd_length),
)  # fmt: skip

#: Read of what became of a request's claim to be somebody.
CLAIMS: tuple[Signal[Role], ...] = (
    Signal("crawler-impostor", "agents", 60, "It calls itself a crawler, and its operator says that the address is not theirs.",
           "forward-confirmed DNS and published ranges; fail2ban PR 1221: a name alone verifies nobody",
           lambda role: role.proof is Proof.IMPOSTOR and not role.signed),
    Signal("signature-false", "agents", 60, "It is signed in the name of a bot whose key did not make the signature.",
           "RFC 9421 §3.2; Web Bot Auth", lambda role: role.proof is Proof.IMPOSTOR and role.signed),
)  # fmt: skip
