"""The judge as a table: what standing, what it gets, and what may only make it worse."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core import judge
from antiscrape.core.grants import Grant, GrantState
from antiscrape.core.judge import decide, worse
from antiscrape.core.observation import CLEAN, WITHIN, Charge, NeedsUsage, Observation, Profile, Usage
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.verdict import Action, Budget, Exceeded, Finding, Rendition, Standing, Verdict
from tests.house import policy_of

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy

POLICY = policy_of(unknown_at=25, bot_at=40, banned_at=120)
RANK = [Rendition.ORIGINAL, Rendition.MARKED, Rendition.PREVIEW, Rendition.DECOY, Rendition.REFUSED]
LADDER = [Standing.BROWSER, Standing.UNKNOWN, Standing.BOT, Standing.BANNED]
ORIGINALS = Exceeded(Budget.ORIGINALS, "40/10min", 12.5)
REQUESTS = Exceeded(Budget.REQUESTS, "600/5min", 2.5)


def resource(kind: Kind, size: Size = Size.ORIGINAL) -> Resource:
    return Resource(kind, "/x", 1, size)


def observed(
    kind: Kind = Kind.IMAGE,
    score: int = 0,
    *,
    banned: bool = False,
    grant: GrantState | None = None,
    exceeded: Exceeded | None = None,
) -> Observation:
    findings = (Finding("evidence", score, "It was seen."),) if score else ()
    usage = WITHIN if exceeded is None else Usage(exceeded)
    return Observation(resource(kind), Profile(score, findings), CLEAN, banned, grant and Grant(grant), usage)


def verdict(seen: Observation, policy: Policy = POLICY) -> Verdict:
    answer = decide(seen, policy)
    assert isinstance(answer, Verdict)
    return answer


SCORES = [
    (0, Standing.BROWSER), (24, Standing.BROWSER), (25, Standing.UNKNOWN), (39, Standing.UNKNOWN),
    (40, Standing.BOT), (119, Standing.BOT), (120, Standing.BANNED), (900, Standing.BANNED),
]  # fmt: skip


@pytest.mark.parametrize(("score", "standing"), SCORES)
def test_the_score_tells_the_standing(score: int, standing: Standing) -> None:
    assert verdict(observed(score=score)).standing is standing
    split = observed(score=score)._replace(
        profile=Profile(score // 2, ()), visit=Profile(score - score // 2, ())
    )
    assert verdict(split).standing is standing


WITHIN_BUDGETS = [
    (Standing.BROWSER, Action.ADMIT, Rendition.ORIGINAL),
    (Standing.UNKNOWN, Action.ADMIT, Rendition.PREVIEW),
    (Standing.BOT, Action.ADMIT, Rendition.PREVIEW),
    (Standing.BANNED, Action.REFUSE, Rendition.REFUSED),
]


@pytest.mark.parametrize(("standing", "action", "rendition"), WITHIN_BUDGETS)
@pytest.mark.parametrize("grant", [None, *GrantState])
@pytest.mark.parametrize("exceeded", [None, ORIGINALS, REQUESTS])
def test_every_row_of_standing_grant_and_budget(
    standing: Standing,
    action: Action,
    rendition: Rendition,
    grant: GrantState | None,
    exceeded: Exceeded | None,
) -> None:
    score = {found: score for score, found in SCORES}[standing]
    got = verdict(observed(score=score, grant=grant, exceeded=exceeded))
    assert got.standing is standing
    if action is Action.REFUSE:
        assert (got.action, got.rendition, got.exceeded) == (Action.REFUSE, Rendition.REFUSED, None)
        return
    if exceeded is REQUESTS:
        assert (got.action, got.rendition, got.exceeded) == (Action.LIMIT, Rendition.REFUSED, REQUESTS)
        return
    expected = rendition
    if grant not in (None, GrantState.VALID) or exceeded is ORIGINALS:
        expected = max(rendition, Rendition.PREVIEW, key=RANK.index)
    assert (got.action, got.rendition, got.exceeded) == (Action.ADMIT, expected, exceeded)


def test_a_ban_outranks_a_clean_request() -> None:
    assert verdict(observed(banned=True)).action is Action.REFUSE
    assert verdict(observed(banned=True, grant=GrantState.VALID)).action is Action.REFUSE


@pytest.mark.parametrize("score", [0, 50, 500])
def test_what_is_exempt_is_never_refused_limited_or_charged(score: int) -> None:
    """RFC 9309 §2.3.1: robots.txt is readable by all."""
    seen = observed(Kind.EXEMPT, score, banned=True)
    for usage in (None, WITHIN, Usage(REQUESTS)):
        got = decide(seen._replace(usage=usage), POLICY)
        assert isinstance(got, Verdict)
        assert (got.action, got.rendition) == (Action.ADMIT, Rendition.ORIGINAL)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.EXEMPT])
@pytest.mark.parametrize("score", [0, 30, 60])
def test_it_asks_for_what_it_lacks_and_says_what_follows_if_there_is_room(kind: Kind, score: int) -> None:
    seen = observed(kind, score)._replace(usage=None)
    asked = decide(seen, POLICY)
    assert isinstance(asked, NeedsUsage)
    charges_original = kind is Kind.IMAGE and score == 0
    assert asked.charge is (Charge.ORIGINAL if charges_original else Charge.REQUEST)
    assert asked.within == decide(seen._replace(usage=WITHIN), POLICY)
    assert asked.allowance.standing is asked.within.standing


def test_a_refusal_needs_no_usage() -> None:
    assert isinstance(decide(observed(score=500)._replace(usage=None), POLICY), Verdict)


states = st.builds(
    observed,
    kind=st.sampled_from(list(Kind)),
    score=st.integers(0, 300),
    banned=st.booleans(),
    grant=st.sampled_from([None, *GrantState]),
    exceeded=st.sampled_from([None, ORIGINALS, REQUESTS, Exceeded(Budget.SUBJECTS, "3/h", 1.0, shared=True)]),
)


@given(states)
def test_the_same_observation_has_the_same_verdict(seen: Observation) -> None:
    first = decide(seen, POLICY)
    assert decide(Observation(*seen), replace(POLICY, site="other")) == first
    assert decide(seen, POLICY) == first


@given(states, st.integers(0, 300))
def test_more_evidence_never_gets_more(seen: Observation, more: int) -> None:
    before = verdict(seen)
    after = verdict(seen._replace(visit=Profile(more, ())))
    assert RANK.index(after.rendition) >= RANK.index(before.rendition) or before.action is Action.LIMIT
    if seen.resource.kind is not Kind.EXEMPT:
        assert LADDER.index(after.standing) >= LADDER.index(before.standing)
    if before.action is Action.REFUSE:
        assert after.action is Action.REFUSE


@given(states)
def test_nobody_but_a_browser_gets_an_original(seen: Observation) -> None:
    got = verdict(seen)
    if seen.resource.kind is not Kind.EXEMPT and got.rendition is Rendition.ORIGINAL:
        assert got.standing is Standing.BROWSER
        assert got.score < POLICY.unknown_at
        assert got.exceeded is None
        assert seen.grant is None or seen.grant.state is GrantState.VALID


@given(states)
def test_a_verdict_tells_all_the_evidence(seen: Observation) -> None:
    got = verdict(seen)
    if seen.resource.kind is not Kind.EXEMPT:
        assert got.findings == seen.profile.findings + seen.visit.findings
        assert sum(finding.weight for finding in got.findings) == got.score


@given(st.sampled_from(RANK), st.sampled_from(RANK))
def test_worse_is_the_lesser_of_two(one: Rendition, other: Rendition) -> None:
    assert worse(one, other) is worse(other, one) is max(one, other, key=RANK.index)


def test_the_judge_is_a_plain_function_of_its_arguments() -> None:
    """No module-level state that a call could change: every constant is immutable or never written."""
    before = {name: repr(value) for name, value in vars(judge).items() if name.isupper() or name[:2] == "_P"}
    for score, _ in SCORES:
        for kind in Kind:
            decide(observed(kind, score), POLICY)
    assert {name: repr(vars(judge)[name]) for name in before} == before
    assert "global " not in inspect.getsource(judge)


COOLED = [
    (0, False, Standing.BROWSER, Standing.UNKNOWN), (0, True, Standing.MEMBER, Standing.BROWSER),
    (30, False, Standing.UNKNOWN, Standing.BOT), (30, True, Standing.UNKNOWN, Standing.BOT),
    (50, False, Standing.BOT, Standing.BOT), (500, False, Standing.BANNED, Standing.BANNED),
]  # fmt: skip


@pytest.mark.parametrize(("score", "signed_in", "before", "after"), COOLED)
def test_a_cooling_lowers_a_standing_by_one_step_and_nobody_to_banned(
    score: int,
    signed_in: bool,  # noqa: FBT001 - a table's column
    before: Standing,
    after: Standing,
) -> None:
    member = POLICY.standings[Standing.MEMBER] if signed_in else None
    seen = observed(score=score)._replace(member=member)
    assert verdict(seen).standing is before
    cooled = verdict(seen._replace(cooling=60.0))
    assert cooled.standing is after
    assert cooled.cooling == (None if before is after else (before, 60.0))
    asked = decide(seen._replace(cooling=60.0, usage=None), POLICY)
    if isinstance(asked, NeedsUsage):
        assert (asked.allowance.standing, asked.within) == (after, cooled)


def test_a_role_beside_the_ladder_is_not_cooled() -> None:
    row = replace(POLICY.standings[Standing.BROWSER], standing=Standing.CRAWLER)
    seen = observed()._replace(role=row, cooling=60.0)
    assert verdict(seen) == verdict(seen._replace(cooling=0.0))
