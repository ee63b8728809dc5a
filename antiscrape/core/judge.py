"""The judge: from an observation and a policy to a verdict. No clock, no I/O, no memory of its own.

It answers with what it lacks (``NeedsUsage``) until it lacks nothing, and the gate asks again. So
what the live site does, what ``antiscrape explain`` says and what a replay of yesterday's requests
under today's policy gives are one function's answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.clearance import LIFTED
from antiscrape.core.consequences import LOWERED
from antiscrape.core.grants import WHOLE, GrantState
from antiscrape.core.observation import Charge, NeedsUsage, Observation
from antiscrape.core.resource import Kind
from antiscrape.core.verdict import Action, Budget, Cooling, Rendition, Standing, Verdict

if TYPE_CHECKING:
    from antiscrape.core.clearance import Level
    from antiscrape.core.grants import Grant
    from antiscrape.core.rules import GrantRules, Policy

# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11, more than a dictionary look-up.
_ADMIT: Final = Action.ADMIT
_ORIGINAL: Final = Rendition.ORIGINAL
_UNKNOWN: Final = Standing.UNKNOWN
_BROWSER: Final = Standing.BROWSER
#: Where an account's own allowance stands in for the standing's.
_SIGNABLE: Final = frozenset({Standing.BROWSER, Standing.PROVEN})
_IMAGE: Final = Kind.IMAGE
_EXEMPT: Final = Kind.EXEMPT
_CHARGE_REQUEST: Final = Charge.REQUEST
_CHARGE_ORIGINAL: Final = Charge.ORIGINAL

#: From best to least; a grant or a budget can only move an answer to the right.
_RANK: Final = {
    rendition: rank
    for rank, rendition in enumerate(
        (Rendition.ORIGINAL, Rendition.MARKED, Rendition.PREVIEW, Rendition.DECOY, Rendition.REFUSED)
    )
}
#: A plain allow, one object for each standing.
PLAIN: Final = {standing: Verdict(_ADMIT, _ORIGINAL, standing, 0) for standing in Standing}


def decide(seen: Observation, policy: Policy) -> Verdict | NeedsUsage:
    """Return the verdict on a request, or what has to be known first."""
    resource, profile, visit, banned, grant, usage, role, member, left, level = seen
    kind = resource.kind
    if kind is _EXEMPT:
        return PLAIN[_UNKNOWN]
    score = profile.score + visit.score
    allowance, cooling = role, None
    if allowance is None or banned:
        standing = _standing(policy, score, level, banned=banned)
        allowance = member if member is not None and standing in _SIGNABLE else policy.standings[standing]
        if left and allowance.standing in LOWERED:
            cooling = Cooling(allowance.standing, left)
            allowance = policy.standings[LOWERED[allowance.standing]]
    standing = allowance.standing
    if allowance.refuse:
        findings = profile.findings + visit.findings
        return Verdict(Action.REFUSE, Rendition.REFUSED, standing, score, findings, cooling=cooling)
    rendition = allowance.rendition
    if grant is not None and grant is not WHOLE:
        rendition = worse(rendition, _worth(grant, policy.grants))
    if usage is None:
        charge = _CHARGE_ORIGINAL if kind is _IMAGE and rendition is _ORIGINAL else _CHARGE_REQUEST
        if rendition is _ORIGINAL and not score and cooling is None:
            return NeedsUsage(allowance, charge, PLAIN[standing])
        findings = profile.findings + visit.findings
        within = Verdict(_ADMIT, rendition, standing, score, findings, cooling=cooling)
        return NeedsUsage(allowance, charge, within)
    action, findings, exceeded = _ADMIT, profile.findings + visit.findings, usage.exceeded
    if exceeded is not None:
        if exceeded.budget is Budget.REQUESTS:
            action, rendition = Action.LIMIT, Rendition.REFUSED
        else:
            rendition = worse(rendition, allowance.beyond)
    return Verdict(action, rendition, standing, score, findings, exceeded, cooling=cooling)


def _standing(policy: Policy, score: int, level: Level | None, *, banned: bool) -> Standing:
    if banned or score >= policy.banned_at:
        return Standing.BANNED
    if score >= policy.bot_at:
        return Standing.BOT
    standing = _UNKNOWN if score >= policy.unknown_at else _BROWSER
    return standing if level is None else LIFTED[level].get(standing, standing)


def _worth(grant: Grant, rules: GrantRules) -> Rendition:
    """Return the best that a request with such a grant may get."""
    match grant.state:
        case GrantState.VALID:
            return grant.ceiling
        case GrantState.NONE:
            return rules.missing
        case GrantState.EXPIRED:
            return rules.expired
        case GrantState.FOREIGN:
            return rules.foreign
        case GrantState.FORGED:
            return rules.forged


def worse(one: Rendition, other: Rendition) -> Rendition:
    """Return the lesser of two renditions."""
    return one if _RANK[one] >= _RANK[other] else other
