"""What the judge says: the words that every other room uses."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Standing(Enum):
    """What a principal is trusted with, from least to most; ``CRAWLER`` and ``PARTNER`` stand beside the ladder."""

    BANNED = "banned"
    BOT = "bot"
    UNKNOWN = "unknown"
    BROWSER = "browser"
    PROVEN = "proven"
    MEMBER = "member"
    CRAWLER = "crawler"
    PARTNER = "partner"

    # Enum's own __hash__ is a Python function; identity is as right and costs nothing on the request path.
    __hash__ = object.__hash__


class Rendition(Enum):
    """What an image request is answered with."""

    ORIGINAL = "original"
    MARKED = "marked"
    PREVIEW = "preview"
    DECOY = "decoy"
    REFUSED = "refused"

    __hash__ = object.__hash__


# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_ORIGINAL: Final = Rendition.ORIGINAL


class Action(Enum):
    """Whether the request is admitted at all."""

    ADMIT = "admit"
    LIMIT = "limit"  # 429, with an honest Retry-After
    REFUSE = "refuse"  # 403

    __hash__ = object.__hash__


class Mode(Enum):
    """How much of a verdict is carried out: all, nothing (but recorded), or not even judged."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"

    __hash__ = object.__hash__


class Budget(Enum):
    """What is counted: requests, distinct originals, distinct subjects, body bytes of images."""

    REQUESTS = "requests"
    ORIGINALS = "originals"
    SUBJECTS = "subjects"
    BYTES = "bytes"

    __hash__ = object.__hash__


class Finding(NamedTuple):
    """One signal that fired, with its share of the score and the sentence a person reads."""

    name: str
    weight: int
    sentence: str


class Exceeded(NamedTuple):
    """The budget that decided, and the seconds until it has room again."""

    budget: Budget
    limit: str
    wait: float
    shared: bool = False  # the wider budget of the roll-up network was spent, not the principal's own


class Cooling(NamedTuple):
    """A standing that is lowered for a while: what it would be, and the seconds that are left."""

    instead_of: Standing
    left: float


class Verdict(NamedTuple):
    """The answer to one request: what is done, and every reason for it."""

    action: Action
    rendition: Rendition
    standing: Standing
    score: int
    findings: tuple[Finding, ...] = ()
    exceeded: Exceeded | None = None
    shadowed: bool = False  # computed in shadow mode: recorded, not carried out
    cooling: Cooling | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing about the request is worth an event: admitted, unaltered, within budgets."""
        # An action other than ADMIT goes with the rendition REFUSED.
        return self.rendition is _ORIGINAL and self.exceeded is None and not self.shadowed
