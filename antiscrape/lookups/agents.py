"""The book of agents: what a User-Agent says that it is, by name where it is known and by shape where not.

Names come from the ``crawler-user-agents`` package; all of its patterns run as one automaton of RE2,
whose time is linear in the agent's length whatever the pattern (SECURITY D4). The shapes below are
for the robots that nobody has listed yet: words that robots call themselves, library/version without
the platform comment that every graphical browser carries, and names that tell of no device at all.
"""

from __future__ import annotations

import re
from typing import Final

import re2
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from antiscrape.core.agent import Agent, AgentKind, Engine, read_claim, read_platform
from antiscrape.core.memo import Memo

_BY_TAG: Final = (
    ("ai-crawler", AgentKind.AI),
    ("http-library", AgentKind.TOOL),
    ("browser-automation", AgentKind.AUTOMATION),
)
#: The first that matches names the kind. RE2 has no look-around, so brands that contain a robot's
#: word (the phones of CUBOT) are taken out of the text first.
_SHAPES: Final = (
    (
        AgentKind.AUTOMATION,
        # QtWebKit without a window system calls it "Unknown"
        r"(?i)headless|phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|cypress/|splash\b|devtools\b|\(Unknown; ",
    ),
    (
        AgentKind.AI,
        r"(?i)\b(?:gpt|claude|anthropic|openai|perplexity|cohere|mistral|bytespider|ccbot|img2dataset|laion)",
    ),
    (
        AgentKind.TOOL,
        (
            r"(?i)^(?:curl|wget|python|java|go-http|okhttp|axios|node|undici|got|ruby|perl|php|guzzle|libwww|lwp|aiohttp"
            r"|httpx|urllib|requests|http[._-]?(?:client|lib|kit|ie|rb|unit|get)|apache-http|jakarta|scrapy|mechanize|aria2"
            r"|reqwest|hyper|dart|deno|bun|postman|insomnia|rest|powershell|winhttp|wininet|cfnetwork|nutch|libcurl|rust"
            r"|grpc|lua-resty|clamav|nginx|phpmyadmin|azure-logic|swcd|whatsapp"
            r"|ddg_android|duckduckgo)\b"
        ),
    ),
    (
        AgentKind.CRAWLER,
        (
            r"(?i)bot(?:[^a-z]|$)|robot|crawl|spider|scrap|slurp|fetch|archiv|harvest|download|monitor|preview|checker"
            r"|validator|scan(?:ner)?\b|index(?:er|ing)|collector|grabber|extract|sitemap|feed|rss(?:[^a-z0-9]|$)|agent/|agent [0-9]|analy[sz]er|classifier"
            r"|inspect|research|proxy\b|uptime|pingdom|lighthouse|pagespeed|page speed|observatory|diagnostics|synthetics"
            r"|verification|verifier|measurement|health.?check|\blookup\b|\bcheck\b|\bdcv\b|transcoder|expander|plugin$"
            r"|google(?:weblight|messages|-[a-z])|-google\b|search console|jndi:|\(select "
        ),
    ),
    # Browsers close the comment behind "like Gecko", and write Mozilla with its capital and a platform of several parts.
    (
        AgentKind.CRAWLER,
        r"like Gecko(?:;| [A-Za-z])|^mozilla/|^Mozilla/5\.0,? [^(\[]|^Mozilla/5\.0 \([^;)]{1,40}\)$|^Mozilla/5\.0 \(compatible; |^[A-Za-z]+(?:/[\d.]+)?[,|] ?Mozilla/",
    ),
    # A comment of one word and nothing behind the engine, a claim of Chromium's WebKit with a lone name of its own, a
    # template that nobody filled in, the second at which it was made.
    (
        AgentKind.CRAWLER,
        (
            r"^Mozilla/5\.0 \([A-Za-z]+\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\)$|AppleWebKit/537\.36 \(KHTML, like Gecko\) [^ ]+$"
            r"|^Mozilla/5\.0 \([^)]*rv:[a-z]|/1[67]\d{8}(?:\d{3})?$"
        ),
    ),
    # library/version and nothing else: no platform in parentheses, no Mozilla
    (
        AgentKind.TOOL,
        r"^[A-Za-z][\w.+-]{1,40}(?:/v?\d[\w.+-]{0,30})?(?: \((?:[abd-z]|c[a-np-z])[\w.; /-]{0,40}\))?$",
    ),
)
#: Phones, and programs in whose windows people read pages, that the list or the shapes would take for robots.
_NOT_ROBOTS: Final = re.compile(
    r"\bcubot\b|CUBOT_|\bCK=\{\} |CamScanner|\bViber\b|MetaIAB Facebook|\bSonic(?= Slack)|\bAP3A\.240617\.008|\b(?:Code|Trae|Fluid)/[0-9]"
    r"|compatible; (?=MSIE [0-9]|U;|Konqueror|Dillo|IBrowse|iCab)",
    re.IGNORECASE,
)
#: Text and small browsers, and early phones: people read in their windows, and each agent has a form of its own.
_PEOPLES: Final = re.compile(
    r"^(?:Lynx|w3m|Links|ELinks|NetSurf|Dillo|Opera|NCSA_Mosaic|Emacs|Konqueror|BlackBerry\w*|Nokia\w*|SAMSUNG\S*|UCWEB\S*)[/ (]"
)
#: What tells of a device: systems, engines, the profiles of early phones, makers of telephones, consoles and televisions.
_DEVICES: Final = re2.compile(
    r"(?i)Mozilla/|Opera|AppleWebKit|Gecko|Browser|Linux|Android|Dalvik|Windows|\bwin(?:10|32|64)|CFNetwork|Darwin|\biOS|iPhone|iPad"
    r"|\bMac|X11|BSD|SunOS|OS/2|Haiku|Amiga|RISC OS|Java[;/]|J2ME|MIDP|CLDC|\bWAP|UP\.Link|Symbian|Tizen|webOS|FBAV|PlayStation"
    r"|\bPS[2-6P]\b|Nintendo|Xbox|Roku|\bTV|BlackBerry|Nokia|Samsung|Ericsson|\bMOT-|\bLG|Sonos"
)
_NO_DEVICE: Final = "names no device"
_BOUND = 8192
_LONGEST = 1024


class AgentBook:
    """Reads User-Agents. Made once at start: compiling takes some tens of milliseconds."""

    def __init__(self) -> None:
        self._memo: Memo[bytes | None, Agent] = Memo(_BOUND)
        self._entries: list[tuple[AgentKind, str]] = []
        self._set = re2.Set.SearchSet()
        for row in CRAWLER_USER_AGENTS_DATA:
            try:
                self._set.Add(row["pattern"])
            except re2.error:  # a pattern with look-around: Python's own engine would open the door to ReDoS
                continue
            self._entries.append((_kind(row.get("tags", ())), row["pattern"].replace("\\", "")))
        for kind, pattern in _SHAPES:
            self._set.Add(pattern)
            self._entries.append((kind, kind.value))
        self._set.Compile()

    def read(self, user_agent: bytes | None) -> Agent:
        """Return what a User-Agent field claims; what was read before costs a dictionary look-up."""
        known = self._memo.get(user_agent)
        if known is None:
            known = self._read(user_agent)
            if user_agent is None or len(user_agent) <= _LONGEST:
                self._memo.put(user_agent, known)
        return known

    def _read(self, user_agent: bytes | None) -> Agent:
        text = (user_agent or b"")[:_LONGEST].decode("latin-1").strip()
        if not text or text == "-":
            return Agent(AgentKind.MISSING)
        engine, version = read_claim(text)
        claim = Agent(AgentKind.BROWSER, "", engine, version, read_platform(text), "Mobile" in text)
        if _PEOPLES.match(text) and "://" not in text:
            return claim._replace(small=claim.engine is Engine.NONE)
        found = self._set.Match(text)
        if found:  # of people's browsers next to none: what only looks like a robot's word is taken out and read anew
            rest = _NOT_ROBOTS.sub("", text)
            found = found if rest == text else self._set.Match(rest)
        if not found:
            return (
                claim
                if "Mozilla/" in text or _DEVICES.search(text)
                else claim._replace(kind=AgentKind.TOOL, name=_NO_DEVICE)
            )
        kind, name = self._entries[min(found)]
        return claim._replace(kind=kind, name=name)


def _kind(tags: list[str]) -> AgentKind:
    for tag, kind in _BY_TAG:
        if tag in tags:
            return kind
    return AgentKind.CRAWLER
