"""Requests that nothing speaks against: what is known of their verdict beforehand is what the judge would say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.asgi.head import HeadReader
from antiscrape.core.consequences import CoolingRules
from antiscrape.core.judge import decide as judge
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.spread import Spread
from antiscrape.core.verdict import Mode
from antiscrape.gate import gate as room
from tests.asgi.traces import told_of
from tests.house import Clock, gate_of, person, policy_of, scope_of, tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.rules import Policy

ROUTES = (
    Route("/media/*-320.jpg", Kind.IMAGE, Size.THUMBNAIL),
    Route("/media/{subject}/*", Kind.IMAGE, Size.ORIGINAL),
    Route("/media/**", Kind.IMAGE, Size.ORIGINAL),
    Route("/images/**", Kind.IMAGE, Size.UNTOLD),
    Route("/u/{subject}", Kind.SUBJECT, Size.UNTOLD),
    Route("/static/**", Kind.ASSET, Size.UNTOLD),
    Route("/robots.txt", Kind.EXEMPT, Size.UNTOLD),
)
BROWSER = "ANTISCRAPE__STANDING__BROWSER__"
POLICIES: dict[str, Callable[[], Policy]] = {
    "the default": lambda: policy_of(routes=ROUTES),
    "few originals": lambda: policy_of({BROWSER + "ORIGINALS": "3/10min, 5/day"}, routes=ROUTES),
    "few subjects": lambda: policy_of({BROWSER + "SUBJECTS": "2/hour"}, routes=ROUTES),
    "few bytes": lambda: policy_of({BROWSER + "BYTES": "5kB/min"}, routes=ROUTES),
    "few requests": lambda: policy_of(
        {BROWSER + "REQUESTS": "4/min"}, routes=ROUTES, cooling=CoolingRules(strikes=2, lasts=30.0)
    ),
    "two limits": lambda: policy_of({BROWSER + "REQUESTS": "9/min, 20/hour"}, routes=ROUTES),
    "no budget": lambda: policy_of({BROWSER + "ORIGINALS": "0"}, routes=ROUTES),
    "marked for all": lambda: policy_of({BROWSER + "RENDITION": "marked"}, routes=ROUTES),
    "signing": lambda: policy_of({"ANTISCRAPE__GRANTS__PREFIXES": '["/media/"]'}, routes=ROUTES),
    "in shadow": lambda: policy_of({BROWSER + "ORIGINALS": "3/10min"}, routes=ROUTES, mode=Mode.SHADOW),
}
PATHS = (
    "/media/1.jpg", "/media/2.jpg", "/media/3.jpg", "/media/4.jpg", "/media/1.jpg?w=2", "/media/7-320.jpg", "/media/8-320.jpg",
    "/media/ada/1", "/media/bob/1", "/media/eve/1", "/images/1", "/images/2", "/u/ada", "/u/bob", "/u/eve", "/static/a.css",
    "/robots.txt", "/elsewhere",
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(PATHS),
        st.sampled_from(
            [person(), person(), person((b"if-none-match", b'"1"')), person((b"cookie", b"a=1")), tool()]
        ),
        st.sampled_from(["203.0.113.7", "203.0.113.7", "203.0.113.8", "2001:db8::1"]),
        st.sampled_from([0.0, 0.0, 1.5, 40.0, 700.0, 1900.0]),
        st.sampled_from([0, 900, 40_000]),  # bytes that are sent
    ),
    max_size=40,
)


def walk(policy: Policy, steps: list[Any]) -> list[object]:
    """Judge a trace; return all that came of it."""
    clock = Clock()
    spread = Spread(key=b"k" * 32, started=clock.now - 200.0)
    gate, reader = gate_of(policy, clock, spread=spread), HeadReader(policy.hosts)
    seen: list[object] = []
    for path, headers, peer, pause, sent in steps:
        clock.tick(pause)
        passage = gate.judge(reader.read(scope_of(path, headers, peer=peer)))
        if sent and hasattr(passage, "allowance"):
            gate.note_bytes(passage, sent)
        seen.append((told_of(passage), getattr(passage, "grant", None)))
    return seen


@pytest.mark.security("I3")
@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=20)
@given(steps=STEPS)
def test_the_judge_would_have_said_and_charged_the_same(name: str, steps: list[Any]) -> None:
    policy = POLICIES[name]()
    short = walk(policy, steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "is_usual", lambda *_: False)
        assert short == walk(policy, steps)


def test_the_judge_is_not_asked_twice_where_nothing_speaks_against_a_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And is, where something does: a tool, a spent budget."""
    asked: list[tuple[Any, ...]] = []

    def decide(*said: Any) -> Any:
        asked.append(said)
        return judge(*said)

    monkeypatch.setattr(room, "decide", decide)
    policy = POLICIES["few originals"]()
    gate, reader = gate_of(policy, Clock()), HeadReader(policy.hosts)
    for path in ("/u/ada", "/media/1.jpg", "/media/2.jpg", "/media/1.jpg", "/media/3.jpg"):
        gate.judge(reader.read(scope_of(path, person((b"cookie", b"a=1")))))
    assert asked == []
    gate.judge(reader.read(scope_of("/media/4.jpg", person((b"cookie", b"a=1")))))
    assert [said[0].usage is None for said in asked] == [False]
    gate.judge(reader.read(scope_of("/media/1.jpg", tool())))
    assert [said[0].usage is None for said in asked] == [False, True]
