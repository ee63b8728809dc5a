"""The memory store: every principal's history in one process, bounded, without timers.

Room is made by a clock hand (second chance): a record that was used since the hand last passed, is
banned or cooling, or has spent much of a budget is passed over. So ten thousand strangers cannot make the
store forget the one client that is limited, which lets it back in at once in several rate limiters
(``throttled-py``, ``fastapi-guard`` and ``bot-guard-py``, measured).
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from antiscrape.core import consequences
from antiscrape.core.history import History, Network
from antiscrape.core.observation import WITHIN, Charge, Usage
from antiscrape.core.resource import Kind, Resource, Size, subject_identity
from antiscrape.core.spending import bytes_left, spend_bytes, spend_distinct, spend_one, spend_requests
from antiscrape.core.verdict import Budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.core.budgets import Limit
    from antiscrape.core.identity import Principal
    from antiscrape.core.rules import Allowance
    from antiscrape.core.verdict import Exceeded, Standing

_ORIGINAL: Final = Charge.ORIGINAL
_IMAGE: Final = Kind.IMAGE
_THUMBNAIL: Final = Size.THUMBNAIL
_ORIGINALS: Final = Budget.ORIGINALS
#: The hand looks at so many records per newcomer at most, so that an insertion stays O(1).
_STEPS = 8
#: Distinct originals or subjects, or requests, after which a record is worth keeping over a stranger's.
_SPENDER = 8
#: Seconds of requests that a record has yet to earn back, likewise.
_DEBT = 60.0


class MemoryStore:
    """Histories by principal. Keys are strings: integers of attacker-chosen addresses collide (SECURITY A12)."""

    def __init__(
        self,
        *,
        max_principals: int,
        rollup_factor: float,
        line_factor: float = 4.0,
        standings: Mapping[Standing, Allowance] = MappingProxyType({}),
    ) -> None:
        self._principals: _Table[History] = _Table(max_principals)
        self._networks: _Table[Network] = _Table(max(16, max_principals // 4))
        self._rollup_factor = rollup_factor
        self._line_factor = line_factor
        # A principal whose standing changes has still had what it had, for as long as any standing asks.
        rows = standings.values()
        keep_originals = max([limit.window for row in rows for limit in row.originals], default=0.0)
        keep_subjects = max([limit.window for row in rows for limit in row.subjects], default=0.0)
        #: Seconds for which originals and subjects are remembered.
        self.keep = (keep_originals, keep_subjects)
        self.find_known = self._principals.records.get
        self.charge_request: Callable[[History, Limit, float], Exceeded | None] = spend_one

    def __len__(self) -> int:
        return len(self._principals.records)

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
        self._principals.add(principal.key, history, now)
        return history

    def _network(self, key: str, rollup: Network | None, factor: float, now: float) -> Network:
        known = self._networks.records.get(key)
        if known is None:
            known = Network(now, rollup, key=key, factor=factor)
            self._networks.add(key, known, now)
        return known

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
        spend_bytes(history, allowance, amount, now)

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

    def _spend_requests(self, history: History, allowance: Allowance, now: float) -> Exceeded | None:
        return spend_requests(history, allowance, now)

    def _bytes_left(self, history: History, allowance: Allowance, now: float) -> Exceeded | None:
        return bytes_left(history, allowance, now)

    def _spend_distinct(
        self, history: History, budget: Budget, allowance: Allowance, identity: int, now: float
    ) -> Exceeded | None:
        if budget is _ORIGINALS:
            return spend_distinct(history, budget, allowance.originals, identity, now, self.keep[0])
        return spend_distinct(history, budget, allowance.subjects, identity, now, self.keep[1])


Record = TypeVar("Record", History, Network)


class _Table(Generic[Record]):
    """Records by key, with the clock hand that makes room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._order: deque[str] = deque()
        self._barred: deque[str] = deque()  # banned or cooling: out of the hand's way until that is over
        self.records: dict[str, Record] = {}

    def add(self, key: str, record: Record, now: float) -> None:
        if len(self.records) >= self._most:
            self._make_room(now)
        self.records[key] = record
        self._order.append(key)

    def _make_room(self, now: float) -> None:
        order, records, barred = self._order, self.records, self._barred
        if barred and records[barred[0]].held_until <= now:
            order.append(barred.popleft())
        for _ in range(_STEPS):
            key = self._pass(now)
            record = records[key]
            if not record.touched and not _worth_keeping(record, now):
                self._drop(key)
                return
            record.touched = False
            order.append(key)
        # All that the hand saw was in use or spent. The bound holds all the same; a ban goes last.
        for _ in range(_STEPS):
            key = self._pass(now)
            if records[key].held_until <= now:
                self._drop(key)
                return
            order.append(key)
        self._drop(order.popleft())

    def _drop(self, key: str) -> None:
        self.records.pop(key).gone = True  # whoever remembers it asks anew

    def _pass(self, now: float) -> str:
        """Move the hand on to a record that is not held, if there is room to lay those aside that are."""
        records, barred = self.records, self._barred
        while True:
            key = self._order.popleft()
            if records[key].held_until <= now or len(barred) >= self._most // 2:
                return key
            barred.append(key)


def _worth_keeping(record: History | Network, now: float) -> bool:
    spent_until = max(record.tat, *record.tats.values()) if record.tats else record.tat
    # Of a limit such as "10/hour" a stranger's first request takes minutes to earn back.
    spender = isinstance(record, History) and record.requests >= _SPENDER
    return (
        record.held_until > now
        or spent_until - now > (1.0 if spender else 60.0)
        or len(record.originals or ()) >= _SPENDER
        or len(record.subjects or ()) >= _SPENDER
    )
