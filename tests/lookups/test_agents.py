"""The book of agents against lists of robots and of people's browsers that it was not made from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.agent import AgentKind, Engine, read_claim, read_platform
from antiscrape.core.resource import Kind
from antiscrape.core.signals import agents
from antiscrape.core.traits import read_traits
from tests.costs import ends
from tests.house import agent_book, head_of, visitors

if TYPE_CHECKING:
    from pathlib import Path

#: From this sum of the agents' signals on, nobody gets an original (score.unknown_at).
SUSPECT = 25
# Headings of the browsers' list whose entries are no window in which a person reads pages: robots and apps' own
# requests by the list's own words, and machines of the 1990s.
_NOT_PEOPLE = re.compile(r"ZZZ|Amiga|Mozilla Android Components|QtWebEngine$|retweet|Outlook")


def lines(path: Path) -> list[tuple[str, str]]:
    """Read the two-level YAML of isbot's lists: headings, and one agent an item, quoted or not."""
    found, heading = [], ""
    for raw in path.read_text().splitlines():
        if raw.startswith("  - "):
            text = raw[4:].strip()
            if text[:1] in "'\"":
                text = text[1:-1].replace("''", "'")
            found.append((heading, text))
        elif raw.strip():
            heading = raw.rstrip(":").strip("\"'")
    return found


def score(agent: str) -> int:
    raw = agent.encode("utf-8", "replace")
    head = head_of("/", [(b"host", b"a.example"), (b"user-agent", raw)], scheme="http")
    traits = read_traits(head, agent_book().read(raw), Kind.PAGE)
    return sum(signal.weight for signal in agents.SIGNALS if signal.test(traits))


@pytest.fixture(scope="module")
def robots(shared: Path) -> list[str]:
    folder = shared / "corpora/user-agents"
    rows = [text for _, text in lines(folder / "isbot-crawlers.yml")]
    for row in json.loads((folder / "crawler-user-agents-until-2025-06.json").read_text()):
        rows += row.get("instances", [])
    rows += [row["ua"] for row in json.loads((folder / "matomo-bots-until-2025-06.json").read_text())]
    rows += list(json.loads((folder / "ai-robots-until-2025-06.json").read_text()))
    return sorted(set(rows))


def test_of_the_listed_robots_at_least_97_in_100_get_no_original(robots: list[str]) -> None:
    missed = [agent for agent in robots if score(agent) < SUSPECT]
    assert len(robots) > 2000
    assert len(missed) / len(robots) <= 0.03, missed


def test_every_listed_ai_crawler_is_known_by_name(shared: Path) -> None:
    names = json.loads((shared / "corpora/user-agents/ai-robots-until-2025-06.json").read_text())
    unknown = [name for name in names if agent_book().read(name.encode()).kind is AgentKind.BROWSER]
    assert unknown == []


def test_no_persons_browser_is_suspect_for_its_name(shared: Path) -> None:
    folder = shared / "corpora/user-agents"
    people = [
        text for heading, text in lines(folder / "isbot-browsers.yml") if not _NOT_PEOPLE.search(heading)
    ]
    firefox = (folder / "uap-core-firefox_user_agent_strings.txt").read_text().splitlines()
    people += [line.strip() for line in firefox if line.strip().startswith("Mozilla/")]
    assert len(people) > 700
    assert [agent for agent in people if score(agent) >= SUSPECT] == []


def test_the_recorded_people_are_browsers_of_their_engine() -> None:
    engines = {"chrom": Engine.CHROMIUM, "qtweb": Engine.CHROMIUM, "firef": Engine.GECKO, "webki": Engine.WEBKIT,
               "safar": Engine.WEBKIT}  # fmt: skip
    for one in visitors("people"):
        agent = agent_book().read(dict(one.headers)[b"user-agent"])
        assert agent.kind is AgentKind.BROWSER, one.name
        assert agent.engine is engines[one.name[:5]], one.name


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (None, AgentKind.MISSING), (b"", AgentKind.MISSING), (b"-", AgentKind.MISSING), (b"  ", AgentKind.MISSING),
        (b"curl/8.5.0", AgentKind.TOOL), (b"MyPhotoGetter/1.0", AgentKind.TOOL), (b"Mozilla/5.0", AgentKind.TOOL),
        (b"Wget/1.21", AgentKind.TOOL), (b"Go-http-client/2.0", AgentKind.TOOL),
        (b"Mozilla/5.0 (compatible; img2dataset; +https://a.example)", AgentKind.AI), (b"CCBot/2.0", AgentKind.AI),
        (b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
         AgentKind.AUTOMATION),
        (b"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", AgentKind.CRAWLER),
        (b"Lynx/2.9.0 libwww-FM/2.14", AgentKind.BROWSER), (b"NetSurf/3.11 (Linux)", AgentKind.BROWSER),
        (b"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0)", AgentKind.BROWSER),
        (b"Mozilla/5.0 (Linux; Android 9; CUBOT_NOVA) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.0.0 Mobile Safari/537.36",
         AgentKind.BROWSER),
    ],
)  # fmt: skip
def test_kinds(agent: bytes | None, kind: AgentKind) -> None:
    assert agent_book().read(agent).kind is kind


@pytest.mark.parametrize(
    ("agent", "claim"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) CriOS/120 Safari/604", (Engine.WEBKIT, 17)),
        ("Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", (Engine.CHROMIUM, 120)),
        ("Mozilla/5.0 (X11; Linux; rv:115.0) Gecko/20100101 Firefox/115.0", (Engine.GECKO, 115)),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605 (KHTML, like Gecko) Version/17.1 Safari/605", (Engine.WEBKIT, 17)),
        ("Mozilla/4.0 (compatible) Chrome/120", (Engine.NONE, 0)), ("Chrome/120", (Engine.NONE, 0)), ("", (Engine.NONE, 0)),
    ],
)  # fmt: skip
def test_claims_of_engine_and_version(agent: str, claim: tuple[Engine, int]) -> None:
    assert read_claim(agent) == claim


@pytest.mark.parametrize(
    ("agent", "platform"),
    [("(Linux; Android 10; K)", "Android"), ("(X11; Linux x86_64)", "Linux"), ("(Macintosh; Intel Mac OS X 10_15_7)", "macOS"),
     ("(X11; CrOS x86_64)", "Chrome OS"), ("(Windows NT 10.0)", "Windows"), ("curl", "")],
)  # fmt: skip
def test_platforms_go_by_the_names_of_client_hints(agent: str, platform: str) -> None:
    assert read_platform(agent) == platform


@pytest.mark.security("D4")
def test_an_agent_of_any_length_is_read_at_once_and_not_remembered_whole() -> None:
    book = agent_book()
    before = len(book._memo)
    for text in (
        b"a" * 100_000,
        b"(iPhone OS 1" * 9000,
        b"bot" * 30_000,
        b"\xff" * 100_000,
        b"a/1 (" * 20_000,
    ):
        with ends():
            book.read(text)
    assert len(book._memo) == before
