"""The exchange between a worker's memory and the shared store: what is told, and what is made of the answer.

What is told are *amounts that add up*: seconds by which a theoretical arrival time moves on, and distinct things with the
time they were charged. Their order does not matter, a distinct thing that is told twice is had once, and after a parting of
the ways the sums converge. Of what only the newest value counts (a ban, a cooling) the later one holds. Where the answer to a
telling is lost, its seconds are told again and may count twice: too much by one interval's requests, earned back in as much
time.

No I/O here: ``collect`` says what is to be told, ``apply`` takes the answer, ``stores.courier`` carries both. The same code
runs in the simulator, which has no network.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core import consequences
from antiscrape.core.history import History
from antiscrape.core.spending import kept_of
from antiscrape.core.verdict import Budget
from antiscrape.stores.names import triple
from antiscrape.stores.table import held_by
from antiscrape.stores.wire import LIFTED, News, pack_exchange, unpack_exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from antiscrape.core.journal import Journal
    from antiscrape.core.purse import Purse
    from antiscrape.core.rules import Allowance
    from antiscrape.stores.names import Names
    from antiscrape.stores.shared import SharedStore
    from antiscrape.stores.wire import Answer, State

#: Records of one script call: a server that runs it answers nobody else meanwhile (some 10 µs a record).
_TOGETHER: Final = 128
#: Records of one exchange; the rest goes with the next.
_MOST: Final = 4096
#: Seconds by which two clocks may differ before the difference is taken anew, and after which it is in any case.
_STEP, _STALE = 1.0, 300.0
#: Seconds after which news are late, and told as what is still owed.
_LATE: Final = 1.0
#: Seconds of requests that are not worth telling to a store that has lost everything.
_TRIFLE: Final = 1.0


class Telling(NamedTuple):
    """One script call of an exchange, and the records that it speaks of with what each tells.

    ``partly`` tells that only requests could be told, for want of the store's clock.
    """

    shard: int
    partly: bool
    lights: list[tuple[Purse, Journal]]
    fulls: list[tuple[Purse, Journal]]
    keys: list[bytes]
    arguments: list[bytes]


class Exchange:
    """What one worker tells the store, and hears from it. ``keep`` is how long originals and subjects count (seconds).

    ``most`` is the longest window of any limit on requests.
    """

    def __init__(self, store: SharedStore, names: Names, *, keep: tuple[float, float], most: float) -> None:
        self._store = store
        self.names = names
        self._keep = keep
        self._most = most
        self._offset: float | None = None  # the store's clock less ours
        self._distance, self._measured = 0.0, 0.0
        self._epochs: dict[int, float] = {}
        #: Whether something was read that asks for another exchange at once: others spent what is not known here.
        self.urgent = False

    @property
    def waiting(self) -> int:
        """How many records wait to be told."""
        return len(self._store.touched)

    def collect(self, now: float) -> list[Telling]:
        """Return what is to be told now. Each telling has to come back to ``apply`` or to ``failed``."""
        store, self.urgent = self._store, False
        touched, store.touched = store.touched[:_MOST], store.touched[_MOST:]
        age, store.since = now - store.since, now
        shards: dict[int, list[tuple[Purse, Journal]]] = {}
        for purse in touched:
            journal, purse.journal = purse.journal, None
            if journal is not None:
                shard = 0 if self.names.shards == 1 else self.names.shard(purse)
                shards.setdefault(shard, []).append((purse, journal))
        return [
            self._telling(shard, told[at : at + _TOGETHER], age, now)
            for shard, told in shards.items()
            for at in range(0, len(told), _TOGETHER)
        ]

    def _telling(self, shard: int, told: list[tuple[Purse, Journal]], age: float, now: float) -> Telling:
        if age > _LATE:
            # What was spent in an hour without the store is mostly earned back: what is still owed, is told.
            age = 0.0
            for purse, journal in told:
                _forgive(purse, journal, now)
        # Without the store's clock no time can be told: the first exchange asks for it, and tells requests only.
        offset = self._offset
        lights = [pair for pair in told if offset is None or pair[1].light]
        fulls = [] if offset is None else [pair for pair in told if not pair[1].light]
        keys, arguments = pack_exchange(
            self.names.epoch(shard),
            self._keep,
            age,
            self._most,
            [(self.key_of(purse), journal.requests) for purse, journal in lights],
            [self._news(purse, journal, offset or 0.0) for purse, journal in fulls],
        )
        return Telling(shard, offset is None, lights, fulls, keys, arguments)

    def key_of(self, purse: Purse) -> bytes:
        """Return what the store calls a record."""
        if not purse.name:
            apart = b""
            known = self._store.find_known(purse.key)
            if isinstance(purse, History) and known is not purse and not purse.gone:
                apart = purse.look  # one of several visits at an address that has a purse of its own
            purse.name = self.names.record(purse, apart=apart)
        return purse.name

    def _news(self, purse: Purse, journal: Journal, offset: float) -> News:
        rates, floor = journal.rates or {}, 0.0
        told = [(name, 0.0, seconds) for name, seconds in rates.items()]
        if journal.all:
            floor = purse.tat + offset - journal.requests
            told = [
                (name, tat + offset - rates.get(name, 0.0), rates.get(name, 0.0))
                for name, tat in (purse.tats or {}).items()
            ]
        banned, cooled, level = _held(purse) if journal.told else (0.0, 0.0, 0)
        return News(
            triple(self.key_of(purse)),
            since=purse.seen,
            floor=floor,
            requests=journal.requests,
            banned=LIFTED if journal.lifted else banned and banned + offset,
            cooled=LIFTED if journal.lifted else cooled and cooled + offset,
            level=level,
            rates=told,
            originals=_charged(purse.originals, journal.originals, offset, everything=journal.all),
            subjects=_charged(purse.subjects, journal.subjects, offset, everything=journal.all),
        )

    def apply(self, telling: Telling, blob: bytes, sent: float, now: float) -> None:
        """Take the answer to a telling, ``sent`` and received ``now``; raise ``ValueError`` where it is none."""
        answer = unpack_exchange(blob, len(telling.lights), len(telling.fulls))
        offset, latest = self._set_clock(answer.now, sent, now), now + self._most + _STEP
        for (purse, journal), (tat, changed) in zip(telling.lights, answer.lights, strict=True):
            _take_tat(purse, tat - offset, latest)
            if telling.partly and not journal.light:
                journal.requests = 0.0  # told; the rest goes with the next
                self._return(purse, journal)
                self.urgent = True
            elif changed > purse.seen:
                self._store.journal_of(purse).told = True
                self.urgent = True
        for (purse, _), state in zip(telling.fulls, answer.fulls, strict=True):
            before = held_by(purse)
            _take_state(purse, state, offset, latest)
            self._store.regrown(purse, before, now)
            purse.seen = answer.now
        self._compare_epochs(telling.shard, answer, now)

    def failed(self, tellings: Sequence[Telling]) -> None:
        """Take back what could not be told."""
        for telling in tellings:
            for purse, journal in (*telling.lights, *telling.fulls):
                self._return(purse, journal)
        # A store that is away for days must not make us hold every client that ever came.
        for purse in self._store.touched:
            if purse.gone:
                purse.journal = None
        self._store.touched = [purse for purse in self._store.touched if not purse.gone]

    def _return(self, purse: Purse, journal: Journal) -> None:
        later = self._store.journal_of(purse)
        journal.put_back(later)
        purse.journal = journal

    def _set_clock(self, told: float, sent: float, now: float) -> float:
        """Return how far the store's clock is ahead of ours: what took the least time tells best (RFC 5905 §10)."""
        distance, offset = now - sent, told - (sent + now) / 2
        known = self._offset
        if (
            known is None
            or distance <= self._distance
            or abs(offset - known) > _STEP + distance
            or now - self._measured > _STALE
        ):
            known = self._offset = offset
            self._distance, self._measured = distance, now
        return known

    def _compare_epochs(self, shard: int, answer: Answer, now: float) -> None:
        """Where the store has lost what it knew, tell it all that is known here."""
        known = self._epochs.get(shard)
        self._epochs[shard] = answer.epoch
        if known is None or known == answer.epoch:
            return
        for purse in self._store.records():
            if (self.names.shards == 1 or self.names.shard(purse) == shard) and _worth_telling(purse, now):
                journal = self._store.journal_of(purse)
                journal.all = journal.told = True


def longest_window(allowances: Iterable[Allowance]) -> float:
    """Return the longest window (seconds) of any limit on requests."""
    return max([limit.window for allowance in allowances for limit in allowance.requests], default=0.0)


def _take_tat(purse: Purse, tat: float, latest: float) -> None:
    if purse.journal is not None:
        tat += purse.journal.requests  # spent while the exchange was under way
    # What lies further ahead than anybody can owe comes from a clock that was set back.
    if purse.tat < tat <= latest:
        purse.tat = tat


def _take_state(purse: Purse, state: State, offset: float, latest: float) -> None:
    _take_tat(purse, state.tat - offset, latest)
    later = (purse.journal.rates or {}) if purse.journal is not None else {}
    for name, told in state.rates.items():
        if purse.tats is None:
            purse.tats = {}
        purse.tats[name] = max(purse.tats.get(name, 0.0), told - offset + later.get(name, 0.0))
    for budget, entries in ((Budget.ORIGINALS, state.originals), (Budget.SUBJECTS, state.subjects)):
        if entries:
            _add_had(kept_of(purse, budget), [(identity, charged - offset) for identity, charged in entries])
    if isinstance(purse, History):
        banned, cooled, _ = _held(purse)
        if state.banned and state.banned - offset > banned:
            consequences.ban(purse, state.banned - offset)
        if state.cooled and state.cooled - offset > cooled:
            consequences.cool(purse, state.cooled - offset, state.level)


def _held(purse: Purse) -> tuple[float, float, int]:
    """Return until when a principal is banned and cooling, and the cooling's level."""
    trouble = purse.trouble if isinstance(purse, History) else None
    return (
        (trouble.banned_until, trouble.cooled_until, trouble.level) if trouble is not None else (0.0, 0.0, 0)
    )


def _add_had(kept: dict[int, float], told: Sequence[tuple[int, float]]) -> None:
    """Add what others charged, in the order of time, which is what expires first."""
    latest = next(reversed(kept.values()), 0.0)
    for identity, charged in told:
        kept.setdefault(identity, charged)
    if told[0][1] < latest:
        ordered = sorted(kept.items(), key=itemgetter(1))
        kept.clear()
        kept.update(ordered)


def _forgive(purse: Purse, journal: Journal, now: float) -> None:
    """Take off a journal what was earned back since it was written."""
    journal.requests = min(journal.requests, max(0.0, purse.tat - now))
    tats = purse.tats or {}
    for name, seconds in (journal.rates or {}).items():
        journal.add_rate(name, min(seconds, max(0.0, tats.get(name, now) - now)) - seconds)


def _worth_telling(purse: Purse, now: float) -> bool:
    return (
        purse.tat - now > _TRIFLE
        or (isinstance(purse, History) and purse.held_until > now)
        or bool(purse.tats or purse.originals or purse.subjects)
    )


def _charged(
    had: Mapping[int, float] | None, news: Sequence[int] | None, offset: float, *, everything: bool
) -> list[tuple[int, float]]:
    had = had or {}
    return [(one, had[one] + offset) for one in (had if everything else news or ()) if one in had]
