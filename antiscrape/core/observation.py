"""Everything that the judge is told about one request; the same value is recorded, explained and replayed."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from antiscrape.core.grants import GrantState
    from antiscrape.core.resource import Resource
    from antiscrape.core.verdict import Exceeded, Finding, Standing, Verdict


class Profile(NamedTuple):
    """The score and findings of one header profile, or of one visit."""

    score: int
    findings: tuple[Finding, ...]


#: Nothing speaks against it.
CLEAN = Profile(0, ())


class Usage(NamedTuple):
    """What the store answered when the request was charged: the budget without room, or None."""

    exceeded: Exceeded | None = None


#: Charged, and within every budget. One object, so that the usual answer allocates nothing.
WITHIN = Usage()


class Observation(NamedTuple):
    """One request as the judge sees it.

    ``grant`` is None where none is asked for; ``visit`` is the score and findings of the principal's visit so far; ``banned`` tells that an
    earlier verdict's ban still runs; ``usage`` is None until the store was asked.
    """

    resource: Resource
    profile: Profile
    visit: Profile
    banned: bool
    grant: GrantState | None
    usage: Usage | None = None


class Charge(Enum):
    """What a request costs, if it is admitted to an original."""

    REQUEST = "request"
    ORIGINAL = "original"

    __hash__ = object.__hash__


class NeedsUsage(NamedTuple):
    """The judge's question to the store: charge this to that standing's budgets, and say whether there was room.

    ``within`` is the verdict where there was, so that the usual answer needs no second hearing.
    """

    standing: Standing
    charge: Charge
    within: Verdict
