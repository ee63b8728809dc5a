"""Everything that the judge is told about one request; the same value is recorded, explained and replayed."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.role import NOBODY

if TYPE_CHECKING:
    from antiscrape.core.clearance import Level
    from antiscrape.core.grants import Grant
    from antiscrape.core.request import RequestHead, Shape
    from antiscrape.core.resource import Kind, Resource
    from antiscrape.core.role import Role
    from antiscrape.core.rules import Allowance
    from antiscrape.core.verdict import Exceeded, Finding, Verdict


class Profile(NamedTuple):
    """The score and findings of one header profile, or of one visit."""

    score: int
    findings: tuple[Finding, ...]

    def joined(self, other: Profile) -> Profile:
        """Return what both come to."""
        return Profile(self.score + other.score, self.findings + other.findings)


#: Nothing speaks against it.
CLEAN = Profile(0, ())


class Face:
    """What a request looks like to the signals of one request: equal faces have one profile.

    Compared field by field, cheapest first, with the last one of the same client, and hashed only
    where that differs. ``kept`` tells that it may be remembered,
    ``odd`` that something speaks against it, or that it claims to be somebody, which ``role`` tells;
    ``look`` names the client software.
    """

    __slots__ = (
        "http_version",
        "kept",
        "kind",
        "look",
        "odd",
        "picked",
        "profile",
        "role",
        "scheme",
        "secure",
        "shape",
    )

    def __init__(
        self, head: RequestHead, kind: Kind, picked: object, profile: Profile, *, kept: bool
    ) -> None:
        self.shape: Shape | None = head.shape
        self.kind = kind
        self.secure = head.secure
        self.scheme = head.scheme
        self.http_version = head.http_version
        self.picked = picked
        self.profile = profile
        self.kept = kept
        self.odd = profile.score > 0
        self.role: Role = NOBODY
        self.look = b""


class _Stranger(Face):
    def __init__(self) -> None:
        self.shape = None


#: The face of a client that has not been seen: like no request's.
STRANGER: Final[Face] = _Stranger()


class Usage(NamedTuple):
    """What the store answered when the request was charged: the budget without room, or None."""

    exceeded: Exceeded | None = None


#: Charged, and within every budget. One object, so that the usual answer allocates nothing.
WITHIN = Usage()


class Observation(NamedTuple):
    """One request as the judge sees it.

    ``grant`` is None where none is asked for; ``visit`` is the score and findings of the principal's visit so far; ``banned`` tells that an
    earlier verdict's ban still runs; ``usage`` is None until the store was asked; ``role`` is what a proven crawler
    or partner may have, whatever its headers look like; ``member`` what an account of its age may. ``cooling`` is how
    many seconds longer the standing is lowered for repeated excess, ``level`` what its clearance found, None without one.
    """

    resource: Resource
    profile: Profile
    visit: Profile
    banned: bool
    grant: Grant | None
    usage: Usage | None = None
    role: Allowance | None = None
    member: Allowance | None = None
    cooling: float = 0.0
    level: Level | None = None


class Charge(Enum):
    """What a request costs, if it is admitted to an original."""

    REQUEST = "request"
    ORIGINAL = "original"

    __hash__ = object.__hash__


class NeedsUsage(NamedTuple):
    """The judge's question to the store: charge this to these budgets, and say whether there was room.

    ``within`` is the verdict where there was, so that the usual answer needs no second hearing.
    """

    allowance: Allowance
    charge: Charge
    within: Verdict
