"""Budgets: no spacing beats one, the same thing twice costs once, and a network shares a wider one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.budgets import MOST_DISTINCT, parse_limits
from antiscrape.core.gcra import spend
from antiscrape.core.history import History
from antiscrape.core.purse import Network, Purse
from antiscrape.core.rules import Allowance
from antiscrape.core.spending import (
    bytes_left,
    spend_bytes,
    spend_distinct,
    spend_one,
    spend_plainly,
    spend_requests,
)
from antiscrape.core.verdict import Budget, Exceeded, Rendition, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

steps = st.lists(
    st.tuples(st.floats(0.0, 120.0, allow_nan=False), st.integers(0, 40)), min_size=1, max_size=80
)
FACTOR = 20.0
DAY = 86_400.0


def allow(**limits: str) -> Allowance:
    parsed: Any = {name: parse_limits(text, sizes=name == "bytes") for name, text in limits.items()}
    return Allowance(Standing.BROWSER, Rendition.ORIGINAL, Rendition.PREVIEW, **parsed)


def chain(*factors: float) -> tuple[History, list[Network]]:
    """Return a principal and the networks around it, from narrow to wide."""
    networks: list[Network] = []
    for factor in reversed(factors):
        networks.insert(0, Network(0.0, networks[0] if networks else None, factor=factor))
    return History(0.0, networks[0]), networks


@given(steps, st.sampled_from(["5/min", "1/s", "7/2min", "40/hour"]), st.booleans())
def test_one_limit_is_spent_as_by_the_algorithm(
    steps: list[tuple[float, int]],
    text: str,
    with_rollup: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    """``spend_one`` is gcra.spend written out twice; here they are held together."""
    (limit,) = parse_limits(text)
    rollup = Network(0.0, factor=FACTOR) if with_rollup else None
    history = History(0.0, rollup)
    tat, wide, now = 0.0, 0.0, 0.0
    for gap, _ in steps:
        now += gap
        after, wait = spend(now, tat, 1.0, limit.interval, limit.window)
        wide_after, wide_wait = spend(now, wide, 1.0 / FACTOR, limit.interval, limit.window)
        got = spend_one(history, limit, now)
        if wait:
            assert got is not None
            assert not got.shared
            assert got.wait == pytest.approx(wait)
        elif with_rollup and wide_wait:
            assert got is not None
            assert got.shared
            assert got.wait == pytest.approx(wide_wait)
        else:
            assert got is None
            tat, wide = after, wide_after
        assert history.tat == pytest.approx(tat)


@given(
    steps, st.integers(1, 12), st.sampled_from([60, 600]), st.integers(12, 30), st.sampled_from([3600, 7200])
)
def test_distinct_things_are_counted_as_a_sliding_log_counts_them(
    steps: list[tuple[float, int]], few: int, short: int, many: int, long: int
) -> None:
    """The model keeps every charge for ever and looks at both windows anew."""
    limits = parse_limits(f"{few}/{short}s, {many}/{long}s")
    history, now = History(0.0), 0.0
    charged: deque[tuple[float, int]] = deque()
    for gap, identity in steps:
        now += gap
        known = any(thing == identity and at > now - long for at, thing in charged)
        room = all(
            sum(at > now - window for at, _ in charged) < most
            for most, window in ((few, short), (many, long))
        )
        got = spend_distinct(history, Budget.ORIGINALS, limits, identity, now)
        assert (got is None) == (known or room)
        if not known and got is None:
            charged.append((now, identity))


@given(steps, st.integers(1, 12))
def test_no_spacing_takes_more_distinct_things_than_the_budget_in_any_window(
    steps: list[tuple[float, int]], most: int
) -> None:
    limits = parse_limits(f"{most}/10min")
    history, now, taken = History(0.0), 0.0, []
    for gap, identity in steps:
        now += gap
        before = set(history.originals or ())
        if (
            spend_distinct(history, Budget.ORIGINALS, limits, identity, now) is None
            and identity not in before
        ):
            taken.append((now, identity))
        assert len({thing for at, thing in taken if at > now - 600}) <= most


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_the_same_thing_again_costs_nothing(things: list[int]) -> None:
    history, limits = History(0.0), parse_limits("6/hour")
    for now, thing in enumerate(things):
        assert spend_distinct(history, Budget.SUBJECTS, limits, thing, float(now)) is None
    assert len(history.subjects or ()) == len(set(things))


def test_the_wait_of_a_distinct_budget_is_honest() -> None:
    history, limits = History(0.0), parse_limits("2/10min, 3/hour")
    for now, thing in ((0.0, 1), (100.0, 2)):
        assert spend_distinct(history, Budget.ORIGINALS, limits, thing, now) is None
    refused = spend_distinct(history, Budget.ORIGINALS, limits, 3, 200.0)
    assert refused == Exceeded(Budget.ORIGINALS, "2/10min", 400.0)
    assert spend_distinct(history, Budget.ORIGINALS, limits, 3, 599.9) is not None
    assert spend_distinct(history, Budget.ORIGINALS, limits, 3, 600.1) is None
    assert spend_distinct(history, Budget.ORIGINALS, limits, 4, 1300.0) == Exceeded(
        Budget.ORIGINALS, "3/hour", 2300.0
    )


def test_of_several_windows_the_wait_is_the_longest_one() -> None:
    """Who obeys a Retry-After is not to be refused again at once (SECURITY I6)."""
    history, limits = History(0.0), parse_limits("2/10min, 2/hour")
    for now, thing in ((0.0, 1), (100.0, 2)):
        assert spend_distinct(history, Budget.ORIGINALS, limits, thing, now) is None
    refused = spend_distinct(history, Budget.ORIGINALS, limits, 3, 200.0)
    assert refused == Exceeded(Budget.ORIGINALS, "2/hour", 3400.0)


def test_a_budget_of_nothing_has_no_room_and_says_when_to_ask_again() -> None:
    limits = parse_limits("0")
    got = spend_distinct(History(0.0), Budget.ORIGINALS, limits, 1, 5.0)
    assert got is not None
    assert got.wait > 0
    refused = spend_requests(History(0.0), allow(requests="0"), 0.0)
    assert refused is not None
    assert refused.wait > 0


def test_a_standing_with_a_short_window_does_not_forget_for_one_with_a_long_one() -> None:
    """A client may sink and rise between standings; else one odd header a minute would renew a day's budget."""
    history, day, minute = History(0.0), parse_limits("3/day"), parse_limits("1/min")
    for now in range(3):
        assert spend_distinct(history, Budget.ORIGINALS, day, now, float(now)) is None
    spend_distinct(history, Budget.ORIGINALS, minute, 77, 300.0, DAY)
    assert spend_distinct(history, Budget.ORIGINALS, day, 99, 301.0, DAY) is not None


@pytest.mark.parametrize("text", ["10/min", "10/min, 100/hour"])
def test_a_network_has_a_budget_of_its_own_that_is_so_many_times_wider(text: str) -> None:
    rollup, allowance = Network(0.0, factor=3.0), allow(requests=text)
    members = [History(0.0, rollup) for _ in range(50)]
    admitted = sum(spend_requests(member, allowance, 0.0) is None for member in members for _ in range(10))
    assert admitted == 30
    refused = spend_requests(members[-1], allowance, 0.0)
    assert refused is not None
    assert refused.shared
    assert members[-1].tats in (None, {}) or max((members[-1].tats or {}).values()) == 0.0, (
        "what the network had no room for was charged to its member"
    )


def test_a_network_shares_distinct_originals_and_counts_one_thing_once() -> None:
    rollup, limits = Network(0.0, factor=2.0), parse_limits("2/hour")
    members = [History(0.0, rollup) for _ in range(9)]
    for member in members:
        assert spend_distinct(member, Budget.ORIGINALS, limits, 1, 0.0) is None
    got = [spend_distinct(member, Budget.ORIGINALS, limits, 10 + n, 1.0) for n, member in enumerate(members)]
    assert [exceeded is None for exceeded in got] == [True] * 3 + [False] * 6
    assert got[-1] is not None
    assert got[-1].shared
    assert 18 not in (members[-1].originals or {}), "charged to a member that was refused"


def test_several_limits_are_charged_together_or_not_at_all() -> None:
    history, allowance = History(0.0), allow(requests="2/s, 3/min")
    now = 0.0
    outcomes = []
    for _ in range(4):
        outcomes += [
            spend_requests(history, allowance, now),
            spend_requests(history, allowance, now),
        ]
        now += 2.0
    assert [exceeded is None for exceeded in outcomes].count(True) == 3
    waits = [exceeded.wait for exceeded in outcomes if exceeded]
    assert all(wait > 0 for wait in waits)


def test_bytes_are_charged_when_sent_and_bar_the_next_picture() -> None:
    history, allowance = History(0.0), allow(bytes="1MB/hour")
    assert bytes_left(history, allowance, 0.0) is None
    spend_bytes(history, allowance, 3_000_000, 0.0)  # one picture may overshoot: only its end tells its size
    barred = bytes_left(history, allowance, 0.0)
    assert barred is not None
    assert bytes_left(history, allowance, barred.wait - 1.0) is not None
    assert bytes_left(history, allowance, barred.wait + 1.0) is None


def test_what_is_remembered_of_one_client_is_bounded() -> None:
    history, limits = History(0.0), parse_limits("1000000/31day")
    for thing in range(MOST_DISTINCT + 500):
        spend_distinct(history, Budget.ORIGINALS, limits, thing, float(thing) / 100)
    assert len(history.originals or ()) == MOST_DISTINCT


def test_what_is_dropped_for_the_bound_is_the_oldest_and_outside_every_window() -> None:
    """A day is remembered for a standing's sake that asks for a day; this one asks for a minute."""
    history, limits = History(0.0), parse_limits("100/min")
    for thing in range(MOST_DISTINCT + 500):
        assert spend_distinct(history, Budget.ORIGINALS, limits, thing, float(thing), DAY) is None
    assert list(history.originals or ()) == list(range(500, MOST_DISTINCT + 500))


#: What is spent of each budget, and on how many levels that shows.
SPENDINGS: dict[str, Callable[[History, float], Exceeded | None]] = {
    "one limit": lambda history, now: spend_requests(history, allow(requests="4/min"), now),
    "two limits": lambda history, now: spend_requests(history, allow(requests="4/min, 40/hour"), now),
    "originals": lambda history, now: spend_distinct(
        history, Budget.ORIGINALS, parse_limits("4/min"), int(now * 1000), now
    ),
    "subjects": lambda history, now: spend_distinct(
        history, Budget.SUBJECTS, parse_limits("4/min"), int(now * 1000), now
    ),
}


def spent(purse: Purse) -> tuple[object, ...]:
    return (
        purse.tat, dict(purse.tats or {}), dict(purse.originals or {}), dict(purse.subjects or {}),
    )  # fmt: skip


@pytest.mark.security("A11")
@pytest.mark.parametrize("full", [0, 1, 2, 3])
@pytest.mark.parametrize("name", SPENDINGS)
def test_a_charge_is_made_at_every_level_or_at_none(name: str, full: int) -> None:
    """One level after the other has no room: level 0 is the principal, 3 the widest network."""
    spend_it, now = SPENDINGS[name], 1.0
    history, networks = chain(4.0, 20.0, 90.0)
    levels = [history, *networks]
    before = [spent(level) for level in levels]
    assert spend_it(history, now) is None
    assert all(spent(level) != was for level, was in zip(levels, before, strict=True))
    refused = None
    while refused is None:  # strangers to all narrower levels spend what this one has
        now += 0.001
        refused = spend_it(History(now, networks[full - 1]) if full else history, now)
    before = [spent(level) for level in levels]
    refused = spend_it(history, now)
    assert refused is not None
    assert refused.shared == (full > 0)
    assert [spent(level) for level in levels] == before


@pytest.mark.security("A11")
@pytest.mark.parametrize("full", [1, 2])
def test_bytes_are_charged_at_every_level_and_asked_for_at_every_level(full: int) -> None:
    allowance = allow(bytes="1MB/hour")
    history, networks = chain(4.0, 20.0)
    factor = (4, 20)[full - 1]
    for member in [History(0.0, networks[full - 1]) for _ in range(factor)]:
        assert bytes_left(history, allowance, 0.0) is None
        spend_bytes(member, allowance, 1_000_001, 0.0)
    barred = bytes_left(history, allowance, 0.0)
    assert barred is not None
    assert (barred.budget, barred.shared) == (Budget.BYTES, True)
    spend_bytes(history, allowance, 4_000_000, 0.0)
    own = bytes_left(history, allowance, 0.0)
    assert own is not None
    assert not own.shared


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 5.0, 40.0, 90.0]), st.integers(0, 12), st.booleans()),
        max_size=60,
    ),
    st.sampled_from(["3/min", "5/min, 9/2min", "0/min", "100/hour"]),
)
def test_what_is_spent_plainly_is_what_is_spent(steps: list[tuple[float, int, bool]], text: str) -> None:
    """Two principals of one network: charged the short way where that is one, and the long way, side by side."""
    limits, now = parse_limits(text), 0.0
    networks = [Network(0.0, factor=1.5) for _ in range(2)]
    pairs = [[History(0.0, network) for network in networks] for _ in range(2)]
    for pause, thing, first in steps:
        now += pause
        plain, full = pairs[first]
        before = spent(plain), spent(networks[0])
        grown = spend_plainly(plain, limits, thing, now, 60.0)
        if grown is None:
            assert before == (spent(plain), spent(networks[0]))
            plain_refused = spend_distinct(plain, Budget.ORIGINALS, limits, thing, now, 60.0)
        else:
            plain_refused = None
        assert plain_refused == spend_distinct(full, Budget.ORIGINALS, limits, thing, now, 60.0)
        assert [spent(plain), spent(networks[0])] == [spent(full), spent(networks[1])]
