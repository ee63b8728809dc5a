"""The memory store: every principal's history in one process, bounded in number and in bytes, without timers.

Which record has to go when a bound is met, ``stores.table`` knows. What all of them weigh is a running sum, told of
whatever a record gains or loses; a record weighs again, when it is dropped, exactly what was added for it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from antiscrape.core import consequences
from antiscrape.core.history import TICK, History
from antiscrape.core.observation import WITHIN, Charge, Usage
from antiscrape.core.purse import Network
from antiscrape.core.resource import Kind, Resource, Size, subject_identity
from antiscrape.core.spending import (
    around,
    bytes_left,
    counts_bytes,
    spend_bytes,
    spend_distinct,
    spend_one,
    spend_plainly,
    spend_requests,
)
from antiscrape.core.verdict import Budget
from antiscrape.stores.table import (
    ENTRY,
    Table,
    age_network,
    age_principal,
    held_by,
    rank_network,
    rank_principal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.core.budgets import Limit
    from antiscrape.core.identity import Principal
    from antiscrape.core.purse import Purse
    from antiscrape.core.rules import Allowance, Policy
    from antiscrape.core.verdict import Exceeded, Standing
    from antiscrape.ports import Sharing

_ORIGINAL: Final = Charge.ORIGINAL
_IMAGE: Final = Kind.IMAGE
_THUMBNAIL: Final = Size.THUMBNAIL
_ORIGINALS: Final = Budget.ORIGINALS
#: Records that are dropped at most for one charge or newcomer that is too much; the next one goes on.
_AT_ONCE = 4


class MemoryStore:
    """Histories by principal. Keys are strings: integers of attacker-chosen addresses collide (SECURITY A12).

    At most ``max_principals`` are remembered, and as many networks around them; both together have ``max_bytes``.
    """

    def __init__(
        self,
        *,
        max_principals: int,
        rollup_factor: float,
        line_factor: float = 4.0,
        max_bytes: float = float("inf"),
        standings: Mapping[Standing, Allowance] = MappingProxyType({}),
    ) -> None:
        self._principals: Table[History] = Table(rank_principal, age_principal)
        self._networks: Table[Network] = Table(rank_network, age_network)
        self._most = max_principals
        self._max_bytes = max_bytes
        self._tick = float("-inf")
        self._rollup_factor = rollup_factor
        self._line_factor = line_factor
        #: Seconds for which originals and subjects are remembered.
        self.keep = _windows(standings)
        self.keeps: float | None = self.keep[0]
        #: Principals' records, by key.
        self.records: Mapping[str, History] = self._principals.records
        self.find_known = self.records.get
        self.charge_request: Callable[[History, Limit, float], Exceeded | None] = spend_one
        self.sharing: Sharing | None = None

    def __len__(self) -> int:
        return len(self._principals)

    def follow(self, policy: Policy) -> None:
        """Keep records as another policy wants them, no shorter than before; the bounds stay as they are."""
        self._rollup_factor, self._line_factor = policy.identity.rollup_factor, policy.identity.line_factor
        originals, subjects = _windows(policy.standings)
        self.keep = max(self.keep[0], originals), max(self.keep[1], subjects)
        if self.keeps is not None:
            self.keeps = self.keep[0]

    def unread(self) -> None:
        """Have the signals of every record read anew: they may weigh otherwise now. Any thread may call this."""
        for history in list(self._principals.records.values()):
            history.news = True

    @property
    def held_bytes(self) -> int:
        """What all records weigh, give or take a seventh."""
        return self._principals.bytes + self._networks.bytes

    def find(self, principal: Principal, now: float) -> History:
        """Return the history of ``principal``, a new one if it is not known."""
        known = self._principals.records.get(principal.key)
        if known is not None:
            return known
        rollup = None
        if principal.rollup:
            rollup = self._network(principal.rollup, None, self._rollup_factor, now)
        if principal.line:
            rollup = self._network(principal.line, rollup, self._line_factor, now)
        history = History(now, rollup, key=principal.key)
        if now - self._tick > TICK:
            self._tick = now
        history.last = self._tick
        history.scale = self._principals.scale
        for network in around(history):
            network.members += 1
        if len(self._principals) >= self._most:
            self._drop_principal(now)
        self._principals.add(history)
        self._fit(now)
        return history

    def _network(self, key: str, rollup: Network | None, factor: float, now: float) -> Network:
        known = self._networks.records.get(key)
        if known is None:
            if len(self._networks) >= self._most:
                self._networks.drop(now)
            known = Network(now, rollup, key=key, factor=factor)
            self._networks.add(known)
        return known

    def _drop_principal(self, now: float) -> None:
        dropped = self._principals.drop(now)
        left = len(dropped.originals or ()) + len(dropped.subjects or ())
        widest = None
        for network in around(dropped):
            network.members -= 1
            widest = network
        if left and widest is not None and not widest.gone:
            before = held_by(widest)
            widest.orphans += left
            self._networks.scale.bytes += held_by(widest) - before

    def _fit(self, now: float) -> None:
        """Drop some records where all together weigh too much.

        When a dictionary grows, they weigh a tenth more at once; the next newcomers make up for it.
        """
        for _ in range(_AT_ONCE):
            if self.held_bytes <= self._max_bytes:
                return
            if len(self._networks) > len(self._principals) or 2 * self._networks.bytes > self._max_bytes:
                self._networks.drop(now)
            elif self._principals:
                self._drop_principal(now)

    def charge(
        self, history: History, charge: Charge, allowance: Allowance, resource: Resource, now: float
    ) -> Usage:
        """Charge one request that is about to be admitted, and say which budget had no room."""
        exceeded = self._spend_requests(history, allowance, now)
        if exceeded is not None:
            return Usage(exceeded)
        if resource.subject or charge is _ORIGINAL:
            return self.charge_image(history, charge, allowance, resource, now)
        return WITHIN

    def charge_image(
        self, history: History, charge: Charge, allowance: Allowance, resource: Resource, now: float
    ) -> Usage:
        """Charge what a resource shows (its subject, its original, bytes), but no request."""
        exceeded = None
        # A listing shows many people in small; whom somebody looks at, they see in full or on a page of their own.
        if resource.subject and (resource.kind is not _IMAGE or resource.size is not _THUMBNAIL):
            subject = subject_identity(resource.subject)
            exceeded = self._spend_distinct(history, Budget.SUBJECTS, allowance, subject, now)
        if exceeded is None and charge is _ORIGINAL:
            exceeded = self._bytes_left(history, allowance, now)
            if exceeded is None and resource.size is Size.ORIGINAL:
                exceeded = self._spend_distinct(history, Budget.ORIGINALS, allowance, resource.identity, now)
        return WITHIN if exceeded is None else Usage(exceeded)

    def charge_bytes(self, history: History, allowance: Allowance, amount: int, now: float) -> None:
        """Charge the bytes of an image that were sent."""
        if counts_bytes(history, allowance.bytes):
            spend_bytes(history, allowance, amount, now)
        else:
            before = self.weigh(history)
            spend_bytes(history, allowance, amount, now)
            self.grown(history, before, now)

    def ban(self, history: History, until: float) -> None:
        """Keep a principal out until ``until``."""
        consequences.ban(history, until)

    def cool(self, history: History, until: float, level: int) -> None:
        """Lower a principal's standing until ``until``, for the ``level``-th time."""
        consequences.cool(history, until, level)

    def lift(self, history: History) -> None:
        """End a ban and a cooling."""
        if history.trouble is not None:
            consequences.ban(history, 0.0)
            consequences.cool(history, 0.0, 0)

    def note_trapped(self, history: History, look: bytes) -> None:
        """Take note that a visit went into a trap: there is nobody to tell."""

    def weigh(self, history: History) -> tuple[int, int]:
        """Return the bytes of what was charged to a record, and to the networks around it, as far as they are kept here."""
        own = held_by(history) if history.scale is not None and not history.gone else 0
        wide, network = 0, history.rollup  # ``around``, written out
        while network is not None:
            if not network.gone:
                wide += held_by(network)
            network = network.rollup
        return own, wide

    def regrown(self, purse: Purse, before: int, now: float) -> None:
        """Take note that one record weighed ``before`` what ``held_by`` told then."""
        if purse.gone or (isinstance(purse, History) and purse.scale is None):
            return
        table = self._principals if isinstance(purse, History) else self._networks
        table.scale.bytes += held_by(purse) - before
        self._fit(now)

    def grown(self, history: History, before: tuple[int, int], now: float) -> None:
        """Take note that a record weighed ``before`` what ``weigh`` told then; make room if it is too much now."""
        after = self.weigh(history)
        if after != before:
            self._principals.scale.bytes += after[0] - before[0]
            self._networks.scale.bytes += after[1] - before[1]
            self._fit(now)

    def _bytes_left(self, history: History, allowance: Allowance, now: float) -> Exceeded | None:
        return bytes_left(history, allowance, now)

    def _spend_requests(self, history: History, allowance: Allowance, now: float) -> Exceeded | None:
        if allowance.only is not None:
            return spend_one(history, allowance.only, now)
        before = self.weigh(history)
        exceeded = spend_requests(history, allowance, now)
        self.grown(history, before, now)
        return exceeded

    def spend_new(self, history: History, limits: tuple[Limit, ...], identity: int, now: float) -> bool:
        """Charge a new original where no limit is near (``spend_plainly``); tell whether that was done."""
        return self._spend_new(history, limits, identity, now)

    def _spend_new(self, history: History, limits: tuple[Limit, ...], identity: int, now: float) -> bool:
        if not limits or history.gone:
            return False
        grown = spend_plainly(history, limits, identity, now, self.keep[0])
        if grown is None:
            return False
        if history.scale is not None:
            history.scale.bytes += grown[0] + ENTRY
        if any(grown):  # a table has grown; an entry alone is made up for by the next newcomer
            self._networks.scale.bytes += grown[1]
            self._fit(now)
        return True

    def _spend_distinct(
        self, history: History, budget: Budget, allowance: Allowance, identity: int, now: float
    ) -> Exceeded | None:
        if budget is _ORIGINALS:
            kept, limits, keep = history.originals, allowance.originals, self.keep[0]
        else:
            kept, limits, keep = history.subjects, allowance.subjects, self.keep[1]
        if kept and identity in kept and next(iter(kept.values())) > now - keep:
            return None  # had, and nothing is to be forgotten: the usual answer to who looks again
        if budget is _ORIGINALS and self._spend_new(history, limits, identity, now):
            return None
        before = self.weigh(history)
        exceeded = spend_distinct(history, budget, limits, identity, now, keep)
        self.grown(history, before, now)
        return exceeded


def _windows(standings: Mapping[Standing, Allowance]) -> tuple[float, float]:
    """Return for how long originals and subjects count: whose standing changes has still had what it had."""
    rows = standings.values()
    originals = max([limit.window for row in rows for limit in row.originals], default=0.0)
    return originals, max([limit.window for row in rows for limit in row.subjects], default=0.0)


def bounds_of(policy: Policy) -> dict[str, Any]:
    """Return the bounds, factors and windows of ``policy``, as every store takes them."""
    return {
        "max_principals": policy.store.max_principals,
        "max_bytes": policy.store.max_bytes,
        "line_factor": policy.identity.line_factor,
        "rollup_factor": policy.identity.rollup_factor,
        "standings": policy.standings,
    }


def memory_store(policy: Policy) -> MemoryStore:
    """Return an empty memory store for ``policy``."""
    return MemoryStore(**bounds_of(policy))
