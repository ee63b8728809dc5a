"""What repeated excess costs, before the real gate on a clock that the test moves."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.core.account import Account
from antiscrape.core.budgets import parse_limits
from antiscrape.core.consequences import QUIET
from antiscrape.core.crawler import Proof
from antiscrape.core.resource import Kind, Size
from antiscrape.core.role import Role
from antiscrape.core.rules import Allowance, Route
from antiscrape.core.signals import OF_REQUEST, SIGNALS
from antiscrape.core.verdict import Action, Mode, Rendition, Standing
from tests.house import Clock, changed, gate_of, head_of, policy_of, store_of, tool, visitor

if TYPE_CHECKING:
    from antiscrape.core.history import History
    from antiscrape.core.request import RequestHead
    from antiscrape.core.rules import Policy
    from antiscrape.core.verdict import Verdict
    from antiscrape.gate import Gate
    from tests.house import Pairs

ROUTES = (
    Route("/robots.txt", Kind.EXEMPT, Size.UNTOLD),
    Route("/page/**", Kind.PAGE, Size.UNTOLD),
    Route("/static/**", Kind.ASSET, Size.UNTOLD),
    Route("/media/**", Kind.IMAGE, Size.ORIGINAL),
)
# What a test does in a loop is no visit: the headers alone tell the standing here.
HABITS = frozenset(SIGNALS) - {signal.name for signal in OF_REQUEST}
READER = changed(visitor("firefox page"), (b"cookie", b"a=1"))


def default() -> Policy:
    known = policy_of(routes=ROUTES)
    signals = {
        name: replace(rule, mode=Mode.OFF) if name in HABITS else rule for name, rule in known.signals.items()
    }
    return replace(known, signals=signals)


def policy(requests: str = "20/min", **changes: Any) -> Policy:
    """Return a policy whose browsers and members have few requests."""
    known = default()
    standings = dict(known.standings)
    for standing in (Standing.BROWSER, Standing.PROVEN, Standing.MEMBER, Standing.UNKNOWN):
        standings[standing] = replace(standings[standing], requests=parse_limits(requests))
    return replace(known, standings=standings, **changes)


def ask(gate: Gate, path: str = "/page/1", headers: Pairs | None = None, **more: Any) -> Verdict:
    account = more.pop("account", None)
    head = head_of(path, READER if headers is None else headers, **more)
    return gate.judge(head, account).verdict


def exceed(gate: Gate, clock: Clock, times: int, **more: Any) -> Verdict:
    """Go beyond the budget in so many episodes; return the last verdict."""
    for _ in range(times):
        clock.tick(QUIET + 120.0)
        while (verdict := ask(gate, **more)).action is Action.ADMIT:
            pass
    return verdict


def test_five_episodes_make_a_browser_unknown_and_a_quarter_of_an_hour_later_it_is_one_again() -> None:
    clock = Clock()
    gate = gate_of(policy(), clock)
    last = exceed(gate, clock, 4)
    assert (last.standing, last.cooling) == (Standing.BROWSER, None)
    clock.tick(QUIET)
    assert ask(gate, "/media/1").rendition is Rendition.ORIGINAL
    last = exceed(gate, clock, 1)
    assert last.standing is Standing.UNKNOWN
    assert last.cooling is not None
    assert last.cooling == (Standing.BROWSER, 900.0)
    clock.tick(60.0)
    shown = ask(gate, "/media/1")
    assert (shown.action, shown.rendition) == (Action.ADMIT, Rendition.PREVIEW)
    clock.tick(840.0)
    again = ask(gate, "/media/1")
    assert (again.standing, again.rendition, again.cooling) == (Standing.BROWSER, Rendition.ORIGINAL, None)


def test_a_page_full_of_pictures_that_meets_a_spent_budget_cools_nobody() -> None:
    """A browser asks for everything on a page at once, and for nothing of it again."""
    clock = Clock()
    gate = gate_of(policy(), clock)
    for _ in range(4):
        clock.tick(600.0)
        for picture in range(80):
            clock.tick(0.05)
            last = ask(gate, f"/static/{picture}.css")
        assert last.action is Action.LIMIT
    clock.tick(600.0)
    assert ask(gate).standing is Standing.BROWSER


def test_who_hammers_on_is_cooled_within_minutes() -> None:
    clock = Clock()
    gate = gate_of(policy(), clock)
    began = clock.now
    while ask(gate).cooling is None:
        clock.tick(0.1)
        assert clock.now - began < 6 * QUIET
    assert clock.now - began >= 4 * QUIET


def test_without_the_setting_nothing_but_429_follows() -> None:
    known = policy()
    gate = gate_of(replace(known, cooling=replace(known.cooling, enabled=False)), clock := Clock())
    assert exceed(gate, clock, 30).standing is Standing.BROWSER


def test_an_account_is_cooled_to_a_browser_and_its_address_is_not() -> None:
    clock = Clock()
    gate = gate_of(policy(), clock, account_key=b"k" * 32)
    ada = Account("ada")
    last = exceed(gate, clock, 5, account=ada)
    assert (last.standing, last.cooling) == (Standing.BROWSER, (Standing.MEMBER, 900.0))
    assert ask(gate).cooling is None
    assert ask(gate, account=Account("bob")).standing is Standing.MEMBER
    clock.tick(900.0)
    assert ask(gate, account=ada).standing is Standing.MEMBER


UNKNOWN = [pair for pair in tool() if pair[0] != b"user-agent"]


def test_unknown_is_cooled_to_a_bot_and_a_bot_is_never_banned_by_it() -> None:
    clock = Clock()
    known = policy(unknown_at=5, bot_at=200)
    gate = gate_of(known, clock)
    last = exceed(gate, clock, 5, headers=UNKNOWN)
    assert last.cooling is not None
    assert (last.standing, last.cooling.instead_of) == (Standing.BOT, Standing.UNKNOWN)
    for _ in range(3000):
        clock.tick(0.2)
        assert ask(gate, headers=UNKNOWN).standing is Standing.BOT
    robot = gate_of(policy_of(), clock)
    assert exceed(robot, clock, 30, headers=tool()).standing is Standing.BOT
    assert robot.judge(head_of("/page/1", tool())).history.trouble is None


def test_what_a_whole_network_spent_is_nobodys_strike() -> None:
    """Twenty neighbours at their limits leave no room for the twenty-first."""
    clock = Clock()
    gate = gate_of(policy("10/hour"), clock, store_of(policy_of()))
    for neighbour in range(40):
        for _ in range(10):
            ask(gate, peer=f"203.0.113.{neighbour}")
    for _ in range(5000):
        clock.tick(0.003)
        shared = ask(gate, peer="203.0.113.200")
        assert shared.exceeded is not None
        assert shared.exceeded.shared
    assert gate.judge(head_of("/page/1", READER, peer="203.0.113.200")).history.trouble is None


def test_another_browser_at_the_address_that_has_drawn_pages_is_not_cooled() -> None:
    clock = Clock()
    gate = gate_of(policy(), clock)
    other = changed(READER, (b"accept-language", b"eo"))
    ask(gate)  # the address's first
    ask(gate, headers=other)
    ask(gate, "/static/a.css", headers=other)
    exceed(gate, clock, 5, headers=other)
    clock.tick(120.0)  # there is room again, and it is unknown all the same
    cooled = ask(gate, headers=other)
    assert (cooled.action, cooled.standing) == (Action.ADMIT, Standing.UNKNOWN)
    assert ask(gate).cooling is None
    clock.tick(900.0)
    exceed(gate, clock, 5)
    clock.tick(120.0)
    assert ask(gate).standing is Standing.UNKNOWN
    ask(gate, "/static/a.css", headers=other)  # half an hour later that is another visit
    assert ask(gate, headers=other).cooling is None


def test_a_ban_is_of_the_address_whichever_browser_asks_there() -> None:
    clock, store = Clock(), store_of(policy_of())
    gate = gate_of(policy(), clock, store)
    other = changed(READER, (b"accept-language", b"eo"))
    ask(gate)
    ask(gate, headers=other)
    ask(gate, "/static/a.css", headers=other)
    store.ban(gate.judge(head_of("/page/1", READER)).history, clock.now + 60.0)
    assert ask(gate, headers=other).standing is Standing.BANNED
    clock.tick(60.0)
    assert ask(gate, headers=other).standing is Standing.BROWSER


class Knocker:
    """Takes everybody for one proven crawler or partner."""

    def __init__(self, allowance: Allowance, payer: str) -> None:
        self._role = Role("somebody", Proof.VERIFIED, allowance, payer=payer)

    def claimed(self, head: RequestHead) -> bool:
        return True

    def find(self, head: RequestHead, address: str, now: float) -> Role:
        return self._role


@pytest.mark.parametrize(
    ("standing", "payer"), [(Standing.CRAWLER, ""), (Standing.PARTNER, "partner:archive")]
)
def test_a_proven_crawler_or_partner_is_limited_and_not_cooled(standing: Standing, payer: str) -> None:
    row = Allowance(standing, Rendition.MARKED, Rendition.PREVIEW, requests=parse_limits("20/min"))
    clock = Clock()
    gate = gate_of(policy(), clock, roles=Knocker(row, payer))
    for _ in range(30):
        last = exceed(gate, clock, 1)
        assert (last.action, last.standing, last.cooling) == (Action.LIMIT, standing, None)


def test_shadow_says_that_it_would_cool_and_changes_nothing() -> None:
    clock = Clock()
    gate = gate_of(policy(mode=Mode.SHADOW), clock)
    last = exceed(gate, clock, 5)
    assert last.shadowed
    assert last.cooling is not None


def test_what_is_exempt_is_served_whatever_cools() -> None:
    """RFC 9309 §2.3.1: robots.txt is readable by all."""
    clock = Clock()
    gate = gate_of(policy(), clock)
    exceed(gate, clock, 5)
    for _ in range(100):
        assert ask(gate, "/robots.txt").action is Action.ADMIT


@pytest.mark.security("I6")
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    requests=st.sampled_from(["20/min", "7/10s", "50/5min", "5/s, 40/min", "30/min, 300/hour"]),
    headers=st.sampled_from([READER, visitor("chromium page"), tool(), UNKNOWN]),
    pace=st.sampled_from([0.0, 0.02, 0.4, 3.0]),
)
def test_waiting_as_long_as_was_told_is_enough(seed: int, requests: str, headers: Pairs, pace: float) -> None:
    """Whatever the client did before, cooled or not, obedient at last or at times: 99 of 100 waits are honest."""
    rng, clock = random.Random(seed), Clock()
    gate = gate_of(policy(requests), clock)
    told = served = 0
    for _ in range(400):
        clock.tick(pace * rng.random())
        verdict = ask(gate, rng.choice(["/page/1", "/static/1.css", "/media/1"]), headers)
        if verdict.exceeded is None or verdict.action is not Action.LIMIT or rng.random() < 0.6:
            continue
        told += 1
        clock.tick(math.ceil(verdict.exceeded.wait))
        served += ask(gate, "/page/1", headers).action is Action.ADMIT
    assert served >= 0.99 * told


def test_the_refusal_with_which_a_cooling_begins_tells_the_wait_of_the_standing_to_come() -> None:
    """As a browser it would be answered after half a second; as unknown it owes four minutes first."""
    clock = Clock()
    gate = gate_of(default(), clock)
    for _ in range(5):
        clock.tick(360.0)
        while (verdict := ask(gate)).action is Action.ADMIT:
            pass
    assert verdict.cooling is not None
    assert verdict.exceeded is not None
    assert verdict.exceeded.wait > 200.0
    clock.tick(verdict.exceeded.wait)
    assert ask(gate).action is Action.ADMIT


def test_a_cooling_that_another_worker_tells_of_holds_here() -> None:
    store, clock = store_of(policy_of()), Clock()
    gate = gate_of(policy(), clock, store)
    history: History = gate.judge(head_of("/page/1", READER)).history
    store.cool(history, clock.now + 50.0, 2)
    assert ask(gate).standing is Standing.UNKNOWN
    clock.tick(50.0)
    assert ask(gate).standing is Standing.BROWSER
