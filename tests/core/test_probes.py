"""What the browser's script says of it: read strictly, weighed only against it."""

from __future__ import annotations

from typing import Any

import pytest

from antiscrape.core.agent import Agent, AgentKind, Engine
from antiscrape.core.probes import DENIED, Found, judge_probes, read_probes
from antiscrape.core.signals import SIGNALS, Panel

FIREFOX = Agent(AgentKind.BROWSER, "", Engine.GECKO, 153, "Linux")
#: As check.js posted it from Firefox 153 and Chromium 156, by hand.
PLAIN = {
    "bot": "", "driven": False, "engine": "gecko", "languages": True, "window": True, "pointer": True, "named": True,
    "watched": False,
}  # fmt: skip


def judged(agent: Agent = FIREFOX, **changes: Any) -> Found:
    return judge_probes(read_probes({**PLAIN, **changes}), agent)


def test_a_browser_in_order_has_nothing_against_it() -> None:
    assert judged() == Found(0)
    assert judged(FIREFOX._replace(engine=Engine.CHROMIUM), engine="chromium") == Found(0)
    assert judged(FIREFOX._replace(engine=Engine.NONE)) == Found(0), (
        "a browser we cannot name contradicts nothing"
    )


@pytest.mark.security("G4")
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"driven": True}, Found.AUTOMATED),
        ({"bot": "webdriver", "driven": True}, Found.AUTOMATED),
        ({"bot": "selenium"}, Found.AUTOMATED),
        ({"bot": "headless_chrome"}, Found.HEADLESS),
        ({"window": False}, Found.HEADLESS),
        ({"languages": False}, Found.HEADLESS),
        ({"engine": "chromium"}, Found.CONTRADICTS),
        ({"engine": "none"}, Found.CONTRADICTS),
        ({"bot": "electron"}, Found.CONTRADICTS),
        ({"bot": "unknown"}, Found.CONTRADICTS),
        ({"pointer": False}, Found.POINTERLESS),
        ({"named": False}, Found.RENAMED),
        ({"watched": True}, Found.WATCHED),
        ({"pointer": False, "named": False}, Found.POINTERLESS | Found.RENAMED),
        ({"bot": "something BotD will name next year"}, Found.AUTOMATED),
    ],
)
def test_what_speaks_against_it(changes: dict[str, Any], found: Found) -> None:
    assert judged(**changes) == found


@pytest.mark.parametrize(
    "told",
    [
        None, [], "x", 1, True, {}, {**PLAIN, "more": 1}, {**PLAIN, "bot": None}, {**PLAIN, "bot": "x" * 41},
        {**PLAIN, "driven": 1}, {**PLAIN, "driven": "false"}, {**PLAIN, "engine": "trident"}, {**PLAIN, "engine": 7},
        {**PLAIN, "window": None}, {**PLAIN, "pointer": 1}, {**PLAIN, "watched": []}, {key: value for key, value in PLAIN.items() if key != "window"},
    ],
)  # fmt: skip
def test_anything_else_is_nothing_told(told: object) -> None:
    assert read_probes(told) is None
    assert judge_probes(read_probes(told), FIREFOX) == Found.MISSING


def test_every_find_is_a_signal_and_a_switcher_alone_is_no_bot() -> None:
    from antiscrape.core.history import History

    names = {name for name, row in SIGNALS.items() if row.family == "browser"}
    scores = {}
    for found in Found:
        history = History(0.0)
        history.note_probes(found)
        score, findings = Panel({}).of_visit(history)
        scores[found] = score
        assert {finding.name for finding in findings} <= names
        assert score > 0
    told = Found.POINTERLESS | Found.RENAMED | Found.WATCHED
    assert sum(scores[one] for one in told) < 5, "it is the clearance that tells, not the score"
    assert not told & DENIED
    assert scores[Found.CONTRADICTS] < 25
    assert scores[Found.MISSING] < 25
    assert scores[Found.AUTOMATED] >= 40
    assert Found.AUTOMATED in DENIED
    untouched = History(0.0)
    untouched.note_probes(Found(0))
    assert not untouched.habits_bytes, "a browser in order costs no memory"
