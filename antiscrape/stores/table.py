"""Tables of records that make room for newcomers: at a bounded cost a newcomer, without timers.

The *hand* goes round the records. Of the few that it comes to, the one that was used longest ago is dropped; records
that are banned, or have spent much of a budget, it lays *aside*, where they stay until that is over. So a hundred
thousand strangers cannot make the store forget the one client that is limited, which lets it back in at once in several
rate limiters (``throttled-py``, ``fastapi-guard`` and ``bot-guard-py``, measured), nor a wave of a thousand clients that
were limited together and lie side by side.

Each table knows what its records weigh: their own size, and what they were said to have gained or lost since.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from antiscrape.core.history import History
from antiscrape.core.purse import Network, Scale

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.purse import Purse

Record = TypeVar("Record", History, Network)

#: The hand chooses among so many records, having laid aside so many at most: an insertion stays O(1).
_CHOICE, _LAID = 5, 64
#: So many of those aside are looked at for each newcomer, whether their time is over.
_RETURNS = 2
#: Distinct originals or subjects, or requests, after which a record is worth keeping over a stranger's.
_SPENDER = 8
#: Seconds of requests that a record has yet to earn back, likewise: a spender's, and a stranger's, whose first request
#: of a limit such as "10/hour" takes minutes to earn back.
_DEBT, _STRANGERS_DEBT = 1.0, 60.0

# Sizes in bytes of CPython 3.11 on 64 bits; a test holds them against tracemalloc. A record has the garbage collector's
# head, its place in the order, and two floats.
_COLLECTED: Final = 16
_PLACE: Final = 9
_FLOAT: Final = 24
#: An identity has 36, but of what several saw lately there is one.
ENTRY: Final = _FLOAT + 18


def rank_principal(record: History, now: float) -> int:
    """Return 2 of a principal that is banned or cooling, 1 of one that has spent much, 0 of one like a stranger."""
    if record.held_until > now:
        return 2
    return int(_owes(record, _DEBT if record.requests >= _SPENDER else _STRANGERS_DEBT, now))


def rank_network(record: Network, now: float) -> int:
    """Return 1 of a network that has spent much, 0 of one that has not."""
    return int(_owes(record, _STRANGERS_DEBT, now))


def _owes(record: Purse, debt: float, now: float) -> bool:
    spent_until = max(record.tat, *record.tats.values()) if record.tats else record.tat
    return (
        spent_until - now > debt
        or (record.originals is not None and len(record.originals) >= _SPENDER)
        or (record.subjects is not None and len(record.subjects) >= _SPENDER)
    )


def age_principal(record: History) -> tuple[bool, float]:
    """Return what is least of the principal that nobody will miss: when it asked last."""
    return False, record.last


def age_network(record: Network) -> tuple[bool, float]:
    """Return what is least of the network that nobody will miss: one that nobody is in, and spent longest ago."""
    return record.members > 0, record.tat


def held_by(purse: Purse) -> int:
    """Return the bytes of what was charged to a record, beside the record itself."""
    held = entries = 0
    tats, originals, subjects = purse.tats, purse.originals, purse.subjects
    if tats is not None:
        held = tats.__sizeof__() + _COLLECTED + _FLOAT * len(tats)
    if originals is not None:
        held += originals.__sizeof__() + _COLLECTED
        entries = len(originals)
    if subjects is not None:
        held += subjects.__sizeof__() + _COLLECTED
        entries += len(subjects)
    # What a network remembers are its members' own objects, for as long as there are these members.
    return held + ENTRY * (min(entries, purse.orphans) if type(purse) is Network else entries)


class Table(Generic[Record]):
    """Records by key. ``rank`` tells which are not to be dropped, ``age`` which of the others is dropped first."""

    def __init__(
        self, rank: Callable[[Record, float], int], age: Callable[[Record], tuple[bool, float]]
    ) -> None:
        self._rank: Callable[[Record, float], int] = rank
        self._age: Callable[[Record], tuple[bool, float]] = age
        self._order: deque[str] = deque()
        self._aside: deque[str] = deque()
        self.records: dict[str, Record] = {}
        self.scale = Scale()

    def __len__(self) -> int:
        return len(self.records)

    @property
    def bytes(self) -> int:
        """What the table and all that it holds weigh."""
        return self.scale.bytes + self.records.__sizeof__()

    def add(self, record: Record) -> None:
        """Add a record whose key is not in the table."""
        self.records[record.key] = record
        self._order.append(record.key)
        self.scale.bytes += _weight(record)

    def drop(self, now: float) -> Record:
        """Drop one record, of those next to the hand the one that is missed least, and return it."""
        aside = self._aside
        for _ in range(min(_RETURNS, len(aside))):
            key = aside.popleft()
            (aside if self._rank(self.records[key], now) else self._order).append(key)
        crowded = 2 * len(aside) >= len(self.records)
        key = (None if crowded else self._idle(now)) or self._spent(aside or self._order, now)
        record = self.records.pop(key)
        self.scale.bytes -= _weight(record)
        record.gone = True  # whoever remembers it asks anew
        return record

    def _idle(self, now: float) -> str | None:
        """Take out of the order the record that was used longest ago, of the next few that owe nothing."""
        order, records = self._order, self.records
        seen: list[str] = []
        laid = 0
        while order and len(seen) < _CHOICE and laid < _LAID:
            key = order.popleft()
            if self._rank(records[key], now):
                self._aside.append(key)
                laid += 1
            else:
                seen.append(key)
        if not seen:  # all that the hand saw has spent: better the latest stranger than any of these
            return order.pop() if order and not self._rank(records[order[-1]], now) else None
        victim = min(seen, key=lambda key: self._age(records[key]))
        seen.remove(victim)
        order.extend(seen)
        return victim

    def _spent(self, queue: deque[str], now: float) -> str:
        """Take out of ``queue`` the record of the next few that has the least to answer for: a ban goes last."""
        records = self.records
        seen = [queue.popleft() for _ in range(min(_CHOICE, len(queue)))]
        victim = min(seen, key=lambda key: (self._rank(records[key], now), self._age(records[key])))
        seen.remove(victim)
        queue.extend(seen)
        return victim


def _weight(record: History | Network) -> int:
    own = type(record).__basicsize__ + _COLLECTED + _PLACE + 2 * _FLOAT + record.key.__sizeof__()
    if isinstance(record, History):
        own += record.habits_bytes
    return own + held_by(record)
