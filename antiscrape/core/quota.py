"""Quotas: what is told to a client of its request budgets, in the terms of draft-ietf-httpapi-ratelimit-headers-10.

Only requests are ever told. How many originals are left is nobody's business but the operator's: a
harvester that knew would stop one short of where it shows.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.structured import Item, write_list
from antiscrape.core.verdict import Standing, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.core.budgets import Limit
    from antiscrape.core.history import History

_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "min"), (1, "s"))
_TOLD: Final = frozenset(
    {Standing.BROWSER, Standing.PROVEN, Standing.MEMBER, Standing.CRAWLER, Standing.PARTNER}
)
#: RFC 9651 §3.3.1: an integer has fifteen digits.
_LARGEST: Final = 10**15 - 1


class Tell(Enum):
    """Which answers tell a client its quotas."""

    REFUSALS = "refusals"
    ALWAYS = "always"
    NEVER = "never"


class Quota(NamedTuple):
    """One request budget as its client may know it.

    ``amount`` requests per ``window`` seconds, of which ``left`` may be made at once; ``reset`` is the
    number of seconds until there is one again, 0 while there is.
    """

    name: str
    amount: int
    window: int
    left: int
    reset: int


def may_be_told(verdict: Verdict) -> bool:
    """Tell whether a verdict is on somebody against whom nothing speaks.

    The draft's section on information disclosure: whoever probes learns from the counts how to stay just below.
    """
    return verdict.standing in _TOLD and not verdict.score and verdict.cooling is None


def quotas_of(history: History, limits: tuple[Limit, ...], now: float) -> tuple[Quota, ...]:
    """Return the quotas of a principal's request limits at ``now``, one for each window: of two, the smaller."""
    found: dict[str, Quota] = {}
    for limit in sorted(limits, key=lambda limit: -limit.amount):
        # One limit alone keeps its TAT in the record itself (core.spending).
        tat = history.tat if len(limits) == 1 else (history.tats or {}).get("requests " + limit.text, now)
        amount, spent = min(int(limit.amount), _LARGEST), max(0.0, tat - now)
        if not amount:  # what is never given is no quota
            continue
        left = max(0, min(amount, int((limit.window - spent) / limit.interval)))
        reset = 0 if left else math.ceil(spent + limit.interval - limit.window)
        name = f"requests-{_span(limit.window)}"
        found[name] = Quota(name, amount, int(limit.window), left, reset)
    return tuple(sorted(found.values(), key=lambda quota: quota.window))


def policy_field(quotas: Iterable[Quota]) -> bytes:
    """Return the value of RateLimit-Policy (§3): a List of Strings with ``q`` and ``w``."""
    items = [Item(quota.name, {"q": quota.amount, "w": quota.window}) for quota in quotas]
    return write_list(items).encode("ascii")


def left_field(quotas: Iterable[Quota]) -> bytes:
    """Return the value of RateLimit (§4): a List of Strings with ``r`` and, where none is left, ``t``.

    Where some are left ``t`` would be the time until all are, which lies beyond a Retry-After that speaks of
    another quota; the two are not to contradict each other.
    """
    items = [
        Item(quota.name, {"r": quota.left} if quota.left else {"r": 0, "t": quota.reset}) for quota in quotas
    ]
    return write_list(items).encode("ascii")


def _span(seconds: float) -> str:
    """Write a window as operators do: ``5min``, ``day``."""
    for unit, name in _UNITS:
        count, rest = divmod(seconds, unit)
        if not rest:
            return name if count == 1 else f"{count:.0f}{name}"
    return f"{seconds:g}s"
