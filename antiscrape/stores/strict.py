"""The strict store: no request is admitted before the one place where all workers count has charged it.

The worker's own records are asked first: what they refuse, the store would refuse as well, so a flood of refusals costs no
call. What they admit is charged by one atomic script (``lua/spend.lua``) at the principal and every network around it, or at
none, by the store's own clock; the gate waits for that (``Gate.settle``). Bytes, bans and what other workers learn go the way
of the shared store. While the store is away this is a shared store that cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from antiscrape.core.observation import Charge
from antiscrape.core.spending import around, kept_of, levels_of, spend_one, spend_requests, text_of
from antiscrape.core.verdict import Budget, Exceeded
from antiscrape.stores.memory import MemoryStore
from antiscrape.stores.names import triple
from antiscrape.stores.shared import SharedStore
from antiscrape.stores.wire import Asked, Charging, Rate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiscrape.core.budgets import Limit
    from antiscrape.core.history import History
    from antiscrape.core.journal import Journal
    from antiscrape.core.observation import Usage
    from antiscrape.core.purse import Purse
    from antiscrape.core.resource import Resource
    from antiscrape.core.rules import Allowance
    from antiscrape.stores.wire import Outcome

_REQUESTS: Final = Budget.REQUESTS
_BYTES: Final = Budget.BYTES
_ORIGINALS: Final = Budget.ORIGINALS
_SUBJECTS: Final = Budget.SUBJECTS


class Pending:
    """What the worker has charged by itself ``now``, and the store has yet to: limits, and identities with theirs."""

    __slots__ = ("bytes", "distinct", "history", "now", "requests")

    def __init__(self, history: History, now: float) -> None:
        self.history = history
        self.now = now
        self.requests: tuple[Limit, ...] = ()
        self.bytes: tuple[Limit, ...] = ()
        self.distinct: dict[Budget, tuple[int, tuple[Limit, ...]]] = {}

    def limits(self, budget: Budget) -> tuple[Limit, ...]:
        """Return the limits of one budget, in the order in which they are told."""
        if budget is _REQUESTS:
            return self.requests
        return self.bytes if budget is _BYTES else self.distinct[budget][1]


class StrictStore(SharedStore):
    """A shared store that asks for every charge.

    ``key_of`` names a record, ``confirm`` charges it where all are counted (None: the store is away): the courier's.
    """

    def __init__(self, **bounds: Any) -> None:
        super().__init__(**bounds)
        self.key_of: Callable[[Purse], bytes] = _unnamed
        self.confirm: Callable[[Charging], Awaitable[Outcome | None]] = _away
        self._pending: Pending | None = None
        self.charge_request = self._charge_one
        self.keeps = self.sharing = None

    def open(self, purse: Purse, window: float = 0.0) -> Journal:  # noqa: ARG002  nothing rests here
        """Begin a record's journal, which is told with the next exchange: what is asked of the store is asked of all."""
        return super().open(purse)

    # -- by ourselves

    def _charge_one(self, history: History, limit: Limit, now: float) -> Exceeded | None:
        exceeded = spend_one(history, limit if self.lesser is None else self.lesser.limit(limit), now)
        if exceeded is None:
            pending = self._pending = Pending(history, now)
            pending.requests = (limit,)
        return exceeded

    def _spend_requests(self, history: History, allowance: Allowance, now: float) -> Exceeded | None:
        exceeded = spend_requests(history, self.held_to(allowance), now)
        if exceeded is None:
            self._of(history, now).requests = allowance.requests
        return exceeded

    def charge_image(
        self, history: History, charge: Charge, allowance: Allowance, resource: Resource, now: float
    ) -> Usage:
        """Charge what a resource shows, but no request."""
        usage = super().charge_image(history, charge, allowance, resource, now)
        if charge is Charge.ORIGINAL and usage.exceeded is None and allowance.bytes:
            self._of(history, now).bytes = allowance.bytes
        return usage

    def _spend_distinct(
        self, history: History, budget: Budget, allowance: Allowance, identity: int, now: float
    ) -> Exceeded | None:
        # Past the journals of the class between: what the store is asked for need not be told.
        share = self.held_to(allowance)
        exceeded = MemoryStore._spend_distinct(self, history, budget, share, identity, now)  # noqa: SLF001  see above
        limits = allowance.originals if budget is _ORIGINALS else allowance.subjects
        if exceeded is None and limits:
            self._of(history, now).distinct[budget] = (identity, limits)
        return exceeded

    def _of(self, history: History, now: float) -> Pending:
        pending = self._pending
        if pending is None or pending.history is not history or pending.now != now:
            pending = self._pending = Pending(history, now)
        return pending

    # -- by all

    async def settle(self) -> Exceeded | None:
        """Charge where all workers count what was just charged here; return the budget that has no room there."""
        pending = self.take()
        return None if pending is None else await self.resolve(pending)

    def take(self) -> Pending | None:
        """Return what the request that was just judged was charged, and forget it."""
        pending, self._pending = self._pending, None
        return pending

    async def resolve(self, pending: Pending) -> Exceeded | None:
        """Charge where all workers count what was charged here before; return the budget that has no room there."""
        outcome = await self.confirm(self._charging(pending))
        if outcome is None:
            self._keep(pending)
            return None
        if outcome.budget is _REQUESTS:
            _earn_back(pending)
        if len(pending.requests) == 1:
            now, purse = self._clock(), pending.history
            purse.tat = max(purse.tat, now + outcome.owed[0])
            for network, owed in zip(around(purse), outcome.owed[1:], strict=True):
                network.tat = max(network.tat, now + owed)
        if outcome.budget is None:
            return None
        self._take_back(pending, outcome.budget)
        limits = pending.limits(outcome.budget)
        words = text_of(limits) if outcome.budget is _REQUESTS else limits[outcome.place].text
        return Exceeded(outcome.budget, words, outcome.wait, shared=outcome.level > 0)

    def _charging(self, pending: Pending) -> Charging:
        if not pending.distinct and not pending.bytes and len(pending.requests) == 1:  # the usual case
            return Charging(self._levels(pending.history), (_rate("r", pending.requests[0]),))
        keep = {_ORIGINALS: self.keep[0], _SUBJECTS: self.keep[1]}
        asked = {
            budget: Asked(
                identity,
                max(keep[budget], *[limit.window for limit in limits]),
                [(limit.amount, limit.window) for limit in limits],
            )
            for budget, (identity, limits) in pending.distinct.items()
        }
        single = len(pending.requests) == 1
        return Charging(
            self._levels(pending.history),
            requests=[
                _rate("r" if single else "t:" + limit.of_requests, limit) for limit in pending.requests
            ],
            bytes=[_rate("t:" + limit.of_bytes, limit) for limit in pending.bytes],
            subject=asked.get(_SUBJECTS),
            original=asked.get(_ORIGINALS),
        )

    def _levels(self, history: History) -> list[tuple[tuple[bytes, bytes, bytes], float]]:
        return [(triple(purse.name or self.key_of(purse)), factor) for purse, factor in levels_of(history)]

    def _keep(self, pending: Pending) -> None:
        """Write into the journals what could not be charged where all are counted."""
        if pending.requests:
            self.note_requests(pending.history, pending.requests)
        for budget, (identity, _) in pending.distinct.items():
            self.note_distinct(pending.history, budget, identity, pending.now)

    def _take_back(self, pending: Pending, budget: Budget) -> None:
        """Undo what was charged here and not there: the budget that had no room, and those that are charged after it."""
        before = self.weigh(pending.history)
        undone = (_ORIGINALS,) if budget in {_ORIGINALS, _BYTES} else (_SUBJECTS, _ORIGINALS)
        for one in undone:
            identity, _ = pending.distinct.get(one, (0, ()))
            for purse, _ in levels_of(pending.history):
                kept = kept_of(purse, one)
                if one in pending.distinct and kept.get(identity) == pending.now:
                    del kept[identity]
        self.grown(pending.history, before, self._clock())


def _earn_back(pending: Pending) -> None:
    """Undo what requests were charged here and not there."""
    single = len(pending.requests) == 1
    for purse, factor in levels_of(pending.history):
        for limit in pending.requests:
            if single:
                purse.tat -= limit.interval / factor
            elif purse.tats is not None:
                purse.tats[limit.of_requests] -= limit.interval / factor


def _rate(name: str, limit: Limit) -> Rate:
    return Rate(name, limit.interval, limit.window, limit.amount)


def _unnamed(purse: Purse) -> bytes:
    """Name nothing: nobody carries charges."""
    return purse.name


async def _away(_charging: Charging) -> Outcome | None:
    """Charge nothing: nobody carries charges."""
    return None
