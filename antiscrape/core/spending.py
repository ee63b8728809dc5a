"""Spending a budget: what a store does, in one place, so that every store does the same.

Requests and bytes are rates (GCRA). Originals and subjects are counted distinct: each is
remembered with the time it was charged, and within the window asking for it again costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.budgets import MOST_DISTINCT
from antiscrape.core.gcra import spend
from antiscrape.core.verdict import Budget, Exceeded

if TYPE_CHECKING:
    from antiscrape.core.budgets import Limit
    from antiscrape.core.history import History
    from antiscrape.core.rules import Allowance

_REQUESTS: Final = Budget.REQUESTS
_BYTES: Final = Budget.BYTES
_ORIGINALS: Final = Budget.ORIGINALS


def spend_requests(history: History, allowance: Allowance, now: float, factor: float) -> Exceeded | None:
    """Charge one request to the principal and to its roll-up network; return the budget that has no room."""
    limit = allowance.only
    if limit is not None:
        return spend_one(factor, history, limit, now)
    limits = allowance.requests
    if not limits:
        return None
    moved, wait = _try_rate(history, limits, 1.0, now)
    if wait:
        return Exceeded(_REQUESTS, _text(limits), wait)
    if history.rollup is not None:
        wide, wait = _try_rate(history.rollup, limits, 1.0 / factor, now)
        if wait:
            return Exceeded(_REQUESTS, _text(limits), wait, shared=True)
        history.rollup.tats = {**(history.rollup.tats or {}), **wide}
    history.tats = {**(history.tats or {}), **moved}
    return None


def spend_one(factor: float, history: History, limit: Limit, now: float) -> Exceeded | None:
    """Charge one request where there is but one limit: the usual case, whose TAT is kept in the record itself.

    This is ``gcra.spend`` written out twice; a test holds them together.
    """
    interval, latest = limit.interval, now + limit.window
    tat = history.tat
    tat = (tat if tat > now else now) + interval  # noqa: FURB136  a call of max() costs as much as the rest
    if tat > latest or not interval:
        return Exceeded(_REQUESTS, limit.text, tat - latest if interval else limit.window)
    rollup = history.rollup
    if rollup is not None:
        wide = rollup.tat
        wide = (wide if wide > now else now) + interval / factor  # noqa: FURB136  the same
        if wide > latest:
            return Exceeded(_REQUESTS, limit.text, wide - latest, shared=True)
        rollup.tat = wide
    history.tat = tat
    return None


def _try_rate(
    history: History, limits: tuple[Limit, ...], cost: float, now: float
) -> tuple[dict[str, float], float]:
    """Return what spending ``cost`` on all of ``limits`` would come to, and the longest wait; charge nothing."""
    tats = history.tats or {}
    moved: dict[str, float] = {}
    longest = 0.0
    for limit in limits:
        key = "requests " + limit.text
        moved[key], wait = spend(now, tats.get(key, now), cost, limit.interval, limit.window)
        longest = max(longest, wait if limit.amount else limit.window)
    return moved, longest


def spend_bytes(history: History, allowance: Allowance, amount: int, now: float) -> None:
    """Charge bytes that were sent, even beyond the budget: it is a picture's end that tells its size."""
    if not allowance.bytes:
        return
    tats = history.tats if history.tats is not None else {}
    for limit in allowance.bytes:
        key = "bytes " + limit.text
        tats[key] = max(now, tats.get(key, now)) + amount * limit.interval
    history.tats = tats


def bytes_left(history: History, allowance: Allowance, now: float) -> Exceeded | None:
    """Return the byte budget that has no room left, without charging anything."""
    for limit in allowance.bytes:
        tat = (history.tats or {}).get("bytes " + limit.text, now)
        if not limit.amount or tat - now >= limit.window:
            return Exceeded(_BYTES, limit.text, max(tat - now - limit.window, limit.interval))
    return None


def spend_distinct(
    history: History,
    budget: Budget,
    limits: tuple[Limit, ...],
    identity: int,
    now: float,
    factor: float,
    keep: float = 0.0,
) -> Exceeded | None:
    """Charge one distinct thing to the principal and to its roll-up network, or to neither.

    ``identity`` names the thing; ``keep`` (seconds) is the longest window of any standing, since a
    principal whose standing changes has still had what it had. Return the budget that has no room.
    """
    if not limits:
        return None
    own = _kept(history, budget)
    if not own and not limits[0].amount:
        return Exceeded(budget, limits[0].text, limits[0].window)
    horizon = now - max(keep, *[limit.window for limit in limits])
    _expire(own, horizon)
    if identity in own:
        return None
    exceeded = _room(own, budget, limits, now, 1.0)
    if exceeded is not None:
        return exceeded
    if history.rollup is not None:
        wide = _kept(history.rollup, budget)
        _expire(wide, horizon)
        if identity not in wide:
            exceeded = _room(wide, budget, limits, now, factor)
            if exceeded is not None:
                return exceeded._replace(shared=True)
            wide[identity] = now
    own[identity] = now
    return None


def _kept(history: History, budget: Budget) -> dict[int, float]:
    if budget is _ORIGINALS:
        if history.originals is None:
            history.originals = {}
        return history.originals
    if history.subjects is None:
        history.subjects = {}
    return history.subjects


def _expire(kept: dict[int, float], horizon: float) -> None:
    """Forget what lies before ``horizon``; insertion order is the order of time."""
    while kept:
        oldest = next(iter(kept))
        if kept[oldest] > horizon:
            return
        del kept[oldest]


def _room(
    kept: dict[int, float], budget: Budget, limits: tuple[Limit, ...], now: float, factor: float
) -> Exceeded | None:
    for limit in limits:
        most = min(int(limit.amount * factor), MOST_DISTINCT)
        if len(kept) < most:
            continue
        inside = []
        for charged in reversed(kept.values()):
            if charged <= now - limit.window:
                break
            inside.append(charged)
        if len(inside) >= most:
            wait = inside[most - 1] + limit.window - now if most else limit.window
            return Exceeded(budget, limit.text, wait)
    return None


def _text(limits: tuple[Limit, ...]) -> str:
    return ", ".join([limit.text for limit in limits])
