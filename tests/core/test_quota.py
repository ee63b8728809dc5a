"""Quotas: what is told is what the store would do, in the syntax of the draft, to nobody who is suspected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.history import History
from antiscrape.core.observation import Charge
from antiscrape.core.quota import Quota, left_field, may_be_told, policy_field, quotas_of
from antiscrape.core.resource import Kind, Resource
from antiscrape.core.rules import Allowance
from antiscrape.core.structured import Item, read_list
from antiscrape.core.verdict import Action, Cooling, Rendition, Standing, Verdict
from tests.house import policy_of, store_of

PAGE = Resource(Kind.PAGE, "/", 1)


def allowance(text: str) -> Allowance:
    return Allowance(Standing.BROWSER, Rendition.ORIGINAL, Rendition.PREVIEW, requests=parse_limits(text))


@given(
    st.sampled_from(["7/min", "600/5min", "3/s, 20/min, 100/day", "1/hour", "20/min, 90/min"]),
    st.lists(st.floats(0.0, 90.0), max_size=60),
)
def test_what_is_left_is_what_would_be_admitted(text: str, gaps: list[float]) -> None:
    """As many as the least of the quotas has left, and then no more until the longest ``t`` is over."""
    row, history, now = allowance(text), History(0.0), 0.0
    store = store_of(policy_of())

    def ask(at: float) -> bool:
        return store.charge(history, Charge.REQUEST, row, PAGE, at).exceeded is None

    for gap in gaps:
        now += gap
        ask(now)
    for _ in range(min(quota.left for quota in quotas_of(history, row.requests, now))):
        assert ask(now)
    spent = quotas_of(history, row.requests, now)
    assert min(quota.left for quota in spent) == 0
    assert not ask(now)
    assert ask(now + max(quota.reset for quota in spent))


def test_the_names_say_the_windows_and_of_two_for_one_window_the_smaller_counts() -> None:
    limits = parse_limits("3/s, 20/min, 900/90min, 500/hour, 40/hour, 5000/7day, 50/90s")
    quotas = quotas_of(History(0.0), limits, 0.0)
    assert [(quota.name, quota.amount, quota.window) for quota in quotas] == [
        ("requests-s", 3, 1), ("requests-min", 20, 60), ("requests-90s", 50, 90), ("requests-hour", 40, 3600),
        ("requests-90min", 900, 5400), ("requests-7day", 5000, 604_800),
    ]  # fmt: skip
    assert quotas_of(History(0.0), parse_limits("unlimited"), 0.0) == ()
    assert quotas_of(History(0.0), parse_limits("0"), 0.0) == ()
    huge = quotas_of(History(0.0), parse_limits("99999999999999999999/day"), 0.0)
    assert policy_field(huge) == b'"requests-day";q=999999999999999;w=86400'


def test_the_fields_are_lists_of_strings_with_integers() -> None:
    """draft-ietf-httpapi-ratelimit-headers-10 §3, §4; read back by the parser of structured fields."""
    quotas = (Quota("requests-min", 100, 60, 50, 0), Quota("requests-day", 1000, 86_400, 0, 30))
    assert policy_field(quotas) == b'"requests-min";q=100;w=60, "requests-day";q=1000;w=86400'
    assert left_field(quotas) == b'"requests-min";r=50, "requests-day";r=0;t=30'
    for field in (policy_field(quotas), left_field(quotas)):
        assert [item.value for item in read_list(field) if isinstance(item, Item)] == [
            "requests-min",
            "requests-day",
        ]


@pytest.mark.parametrize("standing", list(Standing))
@pytest.mark.parametrize("score", [0, 1, 30])
@pytest.mark.parametrize("cooling", [None, Cooling(Standing.MEMBER, 60.0)])
def test_nobody_who_is_suspected_is_told_anything(
    standing: Standing, score: int, cooling: Cooling | None
) -> None:
    verdict = Verdict(Action.LIMIT, Rendition.REFUSED, standing, score, cooling=cooling)
    good = standing not in {Standing.BANNED, Standing.BOT, Standing.UNKNOWN}
    assert may_be_told(verdict) is (good and not score and cooling is None)
