"""One contract for every store: no spacing beats a budget, the same thing costs once, all levels are charged or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.verdict import Budget
from tests.contracts.properties import (
    LINE_FACTOR,
    ROLLUP_FACTOR,
    START,
    Client,
    Step,
    allow,
    ask,
    assert_distinct,
    assert_rate,
    by_level,
    granted,
    newly_had,
    picture,
    profile,
    traces,
)
from tests.fuzz import times

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.resource import Resource
    from antiscrape.core.rules import Allowance
    from antiscrape.ports import UsageStore
    from tests.contracts.conftest import MakeStore

#: Of real servers, each example is a few hundred calls.
FEW = settings(max_examples=times(6))
DISTINCT = {Budget.ORIGINALS: picture, Budget.SUBJECTS: profile}
VICTIM = Client(1, 0, 0)
#: Who shares a level with the victim, and no narrower one; and how many times a client's budgets that level has.
NEIGHBOURS = {
    "line": ([Client(1, 0, place) for place in range(1, 9)], LINE_FACTOR),
    "network": ([Client(1, line, 0) for line in range(1, 9)], ROLLUP_FACTOR),
}


def budgets(**texts: str) -> list[tuple[Budget, Allowance, Callable[[int], Resource]]]:
    return [(budget, allow(**{budget.value: texts["text"]}), make) for budget, make in DISTINCT.items()]


@pytest.mark.security("A11", "I4")
@pytest.mark.parametrize("text", ["4/10s", "1/s", "3/10s, 7/min", "0"])
@FEW
@given(trace=traces)
def test_no_spacing_of_requests_beats_a_budget_at_any_level(
    make_store: MakeStore, text: str, trace: list[Step]
) -> None:
    with make_store() as store:
        admitted = granted(store, allow(requests=text), trace)
    if text == "0":
        assert admitted == []
        return
    for factor, events in by_level(admitted):
        for limit in parse_limits(text):
            assert_rate([at for at, _ in events], limit, factor)


@pytest.mark.security("A11", "I4")
@pytest.mark.parametrize("budget", DISTINCT)
@pytest.mark.parametrize("text", ["3/10s", "2/10s, 5/min", "2/s, 4/10s, 6/10min"])
@FEW
@given(trace=traces)
def test_no_window_has_more_distinct_things_than_the_budget_at_any_level(
    make_store: MakeStore, budget: Budget, text: str, trace: list[Step]
) -> None:
    with make_store() as store:
        admitted = granted(store, allow(**{budget.value: text}), trace, DISTINCT[budget])
    for factor, events in by_level(admitted):
        for limit in parse_limits(text):
            assert_distinct(newly_had(events), limit, factor)


@pytest.mark.parametrize("budget", DISTINCT)
@FEW
@given(trace=traces)
def test_whoever_keeps_within_every_budget_is_refused_nothing(
    make_store: MakeStore, budget: Budget, trace: list[Step]
) -> None:
    """Budgets that nobody can spend: sixty things in all, a hundred and twenty requests."""
    with make_store() as store:
        generous = allow(requests="120/10s, 2000/hour", **{budget.value: "61/10s, 61/hour"})
        assert len(granted(store, generous, trace, DISTINCT[budget])) == len(trace)


@pytest.mark.parametrize("budget", DISTINCT)
@FEW
@given(
    had=st.sets(st.integers(0, 60), max_size=6),
    again=st.lists(st.integers(0, 5), max_size=40),
    data=st.data(),
)
def test_the_same_thing_again_costs_nothing(
    make_store: MakeStore, budget: Budget, had: set[int], again: list[int], data: st.DataObject
) -> None:
    make, allowance = DISTINCT[budget], allow(**{budget.value: "6/10min"})
    things, now = sorted(had), START
    with make_store() as store:
        for thing in things:
            assert ask(store, VICTIM, allowance, now, make(thing)) is None
        for place in again if things else []:
            now += data.draw(st.floats(0.0, 14.0))
            assert ask(store, VICTIM, allowance, now, make(things[place % len(things)])) is None
        new = [ask(store, VICTIM, allowance, START + 599.0, make(thing)) is None for thing in range(100, 110)]
    assert sum(new) == 6 - len(things), "what is left is what distinct things left"


def spend_level(
    store: UsageStore, neighbours: list[Client], allowance: Allowance, make: Callable[[int], Resource] | None
) -> int:
    """Let neighbours spend what their common level has, a thing each time; return how often that went well."""
    went = 0
    for thing in range(60):
        resource = make(1000 + thing) if make else None
        client = neighbours[thing % len(neighbours)]
        went += ask(store, client, allowance, START, resource) is None
    return went


KINDS = {
    "requests": ({"requests": "4/min"}, None),
    "requests twice": ({"requests": "4/min, 40/hour"}, None),
    "originals": ({"originals": "4/min"}, picture),
    "subjects": ({"subjects": "4/min, 40/hour"}, profile),
}  # fmt: skip


@pytest.mark.security("A11")
@pytest.mark.parametrize("level", NEIGHBOURS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_network_has_no_room_for_is_not_charged_to_its_member(
    make_store: MakeStore, kind: str, level: str
) -> None:
    limits, make = KINDS[kind]
    neighbours, factor = NEIGHBOURS[level]
    allowance = allow(**limits)
    with make_store() as store:
        assert spend_level(store, neighbours, allowance, make) == 4 * factor
        refused = [ask(store, VICTIM, allowance, START, make(thing) if make else None) for thing in range(20)]
        assert all(exceeded is not None and exceeded.shared for exceeded in refused), (
            "the member's own four were spent by what was refused"
        )
        # A level between that was charged by the others would not be ready when the one without room is.
        later = START + (refused[0].wait if refused[0] else 0.0) + 0.001
        assert ask(store, VICTIM, allowance, later, make(0) if make else None) is None


@pytest.mark.security("A11")
@pytest.mark.parametrize("level", NEIGHBOURS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_member_has_no_room_for_is_not_charged_to_its_networks(
    make_store: MakeStore, kind: str, level: str
) -> None:
    limits, make = KINDS[kind]
    neighbours, factor = NEIGHBOURS[level]
    allowance = allow(**limits)
    with make_store() as store:
        had = [ask(store, VICTIM, allowance, START, make(thing) if make else None) for thing in range(40)]
        assert [exceeded is None for exceeded in had] == [True] * 4 + [False] * 36
        assert not any(exceeded.shared for exceeded in had if exceeded)
        assert spend_level(store, neighbours, allowance, make) == 4 * factor - 4


@pytest.mark.security("I6")
@pytest.mark.parametrize("kind", KINDS)
def test_the_wait_that_is_told_is_enough_and_not_too_much(make_store: MakeStore, kind: str) -> None:
    limits, make = KINDS[kind]
    allowance, now, refusals = allow(**limits), START, 0
    with make_store() as store:
        for thing in range(100):
            resource = make(thing) if make else None
            exceeded = ask(store, VICTIM, allowance, now, resource)
            if exceeded is not None:
                refusals += 1
                assert 0 < exceeded.wait < 3600
                assert ask(store, VICTIM, allowance, now + exceeded.wait * 0.99, resource) is not None
                now += exceeded.wait + 0.001
                assert ask(store, VICTIM, allowance, now, resource) is None
    assert refusals >= 10


@pytest.mark.security("A11")
@pytest.mark.parametrize("level", ["own", *NEIGHBOURS])
def test_bytes_bar_the_next_picture_at_every_level(make_store: MakeStore, level: str) -> None:
    """Only a picture's end tells its size, so each spender overshoots by one picture at most."""
    neighbours, factor = NEIGHBOURS.get(level, ([VICTIM], 1.0))
    allowance, served = allow(bytes="1MB/min"), 0
    with make_store() as store:
        for thing in range(400):
            client = neighbours[thing % len(neighbours)]
            if ask(store, client, allowance, START, picture(thing)) is None:
                store.charge_bytes(store.find(client.principal, START), allowance, 100_000, START)
                served += 1
        exceeded = ask(store, VICTIM, allowance, START, picture(999))
        assert exceeded is not None
        assert (exceeded.budget, exceeded.shared) == (Budget.BYTES, level != "own")
        assert 10 * factor <= served <= 10 * factor + 1
        assert ask(store, Client(2, 0, 0), allowance, START, picture(999)) is None, (
            "another network's is its own"
        )
        assert ask(store, VICTIM, allowance, START + 60.0, picture(999)) is None


@pytest.mark.security("A13")
def test_a_ban_holds_until_its_end(make_store: MakeStore) -> None:
    with make_store() as store:
        store.ban(store.find(VICTIM.principal, START), START + 600.0)
        for place in range(1, 9):
            ask(store, Client(1, place, place), allow(requests="4/min"), START + place)
        assert store.find(VICTIM.principal, START + 599.0).banned_until == START + 600.0
        assert store.find(Client(1, 0, 1).principal, START).banned_until <= START
