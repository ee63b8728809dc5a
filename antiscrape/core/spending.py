"""Spending a budget: what a store does, in one place, so that every store does the same.

Requests and bytes are rates (GCRA). Originals and subjects are counted distinct: each is
remembered with the time it was charged, and within the window asking for it again costs nothing.

A charge is made to the principal and to every network around it (``Purse.rollup``), each of which has the same limits
``factor`` times as large: at all of these levels or, where one has no room, at none.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from antiscrape.core.budgets import MOST_DISTINCT
from antiscrape.core.gcra import spend
from antiscrape.core.verdict import Budget, Exceeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.budgets import Limit
    from antiscrape.core.purse import Network, Purse
    from antiscrape.core.rules import Allowance

_REQUESTS: Final = Budget.REQUESTS
_BYTES: Final = Budget.BYTES
_ORIGINALS: Final = Budget.ORIGINALS


def spend_requests(purse: Purse, allowance: Allowance, now: float) -> Exceeded | None:
    """Charge one request at every level; return the budget that has no room, the narrowest level's first."""
    limit = allowance.only
    if limit is not None:
        return spend_one(purse, limit, now)
    limits = allowance.requests
    if not limits:
        return None
    moved, wait = _try_rate(purse, limits, 1.0, now)
    if wait:
        return Exceeded(_REQUESTS, text_of(limits), wait)
    charged: list[tuple[Purse, dict[str, float]]] = [(purse, moved)]
    for network in around(purse):
        moved, wait = _try_rate(network, limits, 1.0 / network.factor, now)
        if wait:
            return Exceeded(_REQUESTS, text_of(limits), wait, shared=True)
        charged.append((network, moved))
    for level, moved in charged:
        if level.tats is None:
            level.tats = moved
        else:
            level.tats.update(moved)
    return None


def spend_one(purse: Purse, limit: Limit, now: float) -> Exceeded | None:
    """Charge one request where there is but one limit: the usual case, whose TAT is kept in the record itself.

    This is ``gcra.spend`` written out for each level; a test holds them together.
    """
    interval, latest = limit.interval, now + limit.window
    tat = purse.tat
    tat = (tat if tat > now else now) + interval  # noqa: FURB136  a call of max() costs as much as the rest
    if tat > latest or not interval:
        return Exceeded(_REQUESTS, limit.text, tat - latest if interval else limit.window)
    rollup = purse.rollup
    if rollup is not None:
        wide = rollup.tat
        wide = (wide if wide > now else now) + interval / rollup.factor  # noqa: FURB136  the same
        if wide > latest:
            return Exceeded(_REQUESTS, limit.text, wide - latest, shared=True)
        if rollup.rollup is not None:
            exceeded = _spend_around(rollup.rollup, limit, now)
            if exceeded is not None:
                return exceeded
        rollup.tat = wide
    purse.tat = tat
    return None


def _spend_around(network: Network, limit: Limit, now: float) -> Exceeded | None:
    """Charge one request to a network that lies around another, and to those around it, or to none."""
    latest = now + limit.window
    wide = max(network.tat, now) + limit.interval / network.factor
    if wide > latest:
        return Exceeded(_REQUESTS, limit.text, wide - latest, shared=True)
    if network.rollup is not None:
        exceeded = _spend_around(network.rollup, limit, now)
        if exceeded is not None:
            return exceeded
    network.tat = wide
    return None


def around(purse: Purse) -> Iterator[Network]:
    """Yield the networks around a principal, from narrow to wide."""
    network = purse.rollup
    while network is not None:
        yield network
        network = network.rollup


def levels_of(purse: Purse) -> list[tuple[Purse, float]]:
    """Return the records that a charge is made to, from narrow to wide, each with how many times the budgets it has."""
    return [(purse, 1.0), *[(network, network.factor) for network in around(purse)]]


def _try_rate(
    purse: Purse, limits: tuple[Limit, ...], cost: float, now: float
) -> tuple[dict[str, float], float]:
    """Return what spending ``cost`` on all of ``limits`` would come to, and the longest wait; charge nothing."""
    tats = purse.tats or {}
    moved: dict[str, float] = {}
    longest = 0.0
    for limit in limits:
        key = limit.of_requests
        moved[key], wait = spend(now, tats.get(key, now), cost, limit.interval, limit.window)
        longest = max(longest, wait if limit.amount else limit.window)
    return moved, longest


def spend_bytes(purse: Purse, allowance: Allowance, amount: int, now: float) -> None:
    """Charge bytes that were sent, even beyond the budget: it is a picture's end that tells its size."""
    limits = allowance.bytes
    if not limits:
        return
    _add_bytes(purse, limits, amount, now)
    network = purse.rollup  # ``around``, written out
    while network is not None:
        _add_bytes(network, limits, amount / network.factor, now)
        network = network.rollup


def counts_bytes(purse: Purse, limits: tuple[Limit, ...]) -> bool:
    """Tell whether bytes were charged to ``limits`` at every level before: other numbers in the same places weigh nothing."""
    level: Purse | None = purse
    while level is not None:
        tats = level.tats
        if tats is None:
            return False
        for limit in limits:
            if limit.of_bytes not in tats:
                return False
        level = level.rollup
    return True


def _add_bytes(purse: Purse, limits: tuple[Limit, ...], amount: float, now: float) -> None:
    tats = purse.tats if purse.tats is not None else {}
    for limit in limits:
        key = limit.of_bytes
        tat = tats.get(key, now)
        tats[key] = (tat if tat > now else now) + amount * limit.interval  # noqa: FURB136  a call of max() costs as much as the rest
    purse.tats = tats


def bytes_left(purse: Purse, allowance: Allowance, now: float) -> Exceeded | None:
    """Return the byte budget that has no room left at some level, without charging anything."""
    limits = allowance.bytes
    if not limits:
        return None
    exceeded = _no_bytes(purse, limits, now)
    if exceeded is not None:
        return exceeded
    network = purse.rollup  # ``around``, written out
    while network is not None:
        exceeded = _no_bytes(network, limits, now)
        if exceeded is not None:
            return exceeded._replace(shared=True)
        network = network.rollup
    return None


def _no_bytes(purse: Purse, limits: tuple[Limit, ...], now: float) -> Exceeded | None:
    tats = purse.tats
    for limit in limits:
        tat = now if tats is None else tats.get(limit.of_bytes, now)
        if not limit.amount or tat - now >= limit.window:
            return Exceeded(_BYTES, limit.text, max(tat - now - limit.window, limit.interval))
    return None


def spend_distinct(
    purse: Purse,
    budget: Budget,
    limits: tuple[Limit, ...],
    identity: int,
    now: float,
    keep: float = 0.0,
) -> Exceeded | None:
    """Charge one distinct thing at every level that does not have it yet, or at none.

    ``identity`` names the thing; ``keep`` (seconds) is the longest window of any standing, since a
    principal whose standing changes has still had what it had. Return the budget that has no room.
    """
    if not limits:
        return None
    own = kept_of(purse, budget)
    if not own and not limits[0].amount:
        return Exceeded(budget, limits[0].text, limits[0].window)
    horizon = now - max(keep, *[limit.window for limit in limits])
    _expire(own, horizon)
    if identity in own:
        return None
    exceeded = _room(own, budget, limits, now, 1.0)
    if exceeded is not None:
        return exceeded
    charged = [own]
    for network in around(purse):
        wide = kept_of(network, budget)
        _expire(wide, horizon)
        if identity not in wide:
            exceeded = _room(wide, budget, limits, now, network.factor)
            if exceeded is not None:
                return exceeded._replace(shared=True)
            charged.append(wide)
    for kept in charged:
        if len(kept) >= MOST_DISTINCT:  # there is room, so the oldest lies outside every window asked of now
            del kept[next(iter(kept))]
        kept[identity] = now
    return None


def spend_plainly(
    purse: Purse, limits: tuple[Limit, ...], identity: int, now: float, keep: float
) -> tuple[int, int] | None:
    """Charge a new original as ``spend_distinct`` does, where no limit is near at any level and nothing is to be forgotten.

    That is what an original costs nearly everybody. Return the bytes by which the tables of the principal and of the networks
    around it have grown, without their entries; None, and nothing was charged, where it takes more than this.
    """
    own = purse.originals
    if not own or identity in own:
        return None
    least, horizon = limits[0].amount, limits[0].window
    for limit in limits[1:]:
        least, horizon = min(least, limit.amount), max(horizon, limit.window)
    horizon = now - max(horizon, keep)
    if not _takes(own, least, horizon):
        return None
    wider: list[dict[int, float]] = []
    network = purse.rollup
    while network is not None:
        kept = network.originals
        if not kept or network.orphans or network.gone or not _takes(kept, least * network.factor, horizon):
            return None
        if identity not in kept:
            wider.append(kept)
        network = network.rollup
    grown = -own.__sizeof__()
    own[identity] = now
    grown += own.__sizeof__()
    wide = 0
    for kept in wider:
        wide -= kept.__sizeof__()
        kept[identity] = now
        wide += kept.__sizeof__()
    return grown, wide


def _takes(kept: dict[int, float], most: float, horizon: float) -> bool:
    """Tell whether one more has room in ``kept``, and its first was charged after ``horizon``."""
    return len(kept) < most - 1 and len(kept) < MOST_DISTINCT and next(iter(kept.values())) > horizon


def kept_of(purse: Purse, budget: Budget) -> dict[int, float]:
    """Return the originals or subjects that were charged to a record, by when; to be added to."""
    if budget is _ORIGINALS:
        if purse.originals is None:
            purse.originals = {}
        return purse.originals
    if purse.subjects is None:
        purse.subjects = {}
    return purse.subjects


def _expire(kept: dict[int, float], horizon: float) -> None:
    """Forget what lies before ``horizon``; insertion order is the order of time."""
    over = 0
    for charged in kept.values():
        if charged > horizon:
            break
        over += 1
    if over:
        for thing in list(
            islice(kept, over)
        ):  # one pass: a dictionary steps over all that was deleted at its front
            del kept[thing]


def _room(
    kept: dict[int, float], budget: Budget, limits: tuple[Limit, ...], now: float, factor: float
) -> Exceeded | None:
    """Return the limit that has no room for the longest time: who waits for a shorter one only waits again."""
    exceeded = None
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
            if exceeded is None or wait > exceeded.wait:
                exceeded = Exceeded(budget, limit.text, wait)
    return exceeded


def text_of(limits: tuple[Limit, ...]) -> str:
    """Return what policy calls all of several limits."""
    return ", ".join([limit.text for limit in limits])
