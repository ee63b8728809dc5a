"""The exchange between a worker's memory and the shared store: what is told, and what is made of the answer.

What is told are *amounts that add up*: seconds by which a theoretical arrival time moves on, and distinct things with the
time they were charged. Their order does not matter, a distinct thing that is told twice is had once, and after a parting of
the ways the sums converge. Of what only the newest value counts (a ban, a cooling) the later one holds. Where the answer to a
telling is lost, nobody knows whether its seconds were counted: it is told again under the same number, which the store counts
once, and until that is answered nothing else is told to that shard.

What a client spends beyond a limit counts like the rest: whoever got ten requests too many from ten workers at once waits for
them to be earned back, so that in the long run nobody has more than the limit.

No I/O here: ``collect`` says what is to be told, ``apply`` takes the answer, ``stores.courier`` carries both. The same code
runs in the simulator, which has no network.
"""

from __future__ import annotations

import secrets
from itertools import compress
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.history import History
from antiscrape.stores.names import triple
from antiscrape.stores.news import charged, held, take_state, weighs, worth_telling
from antiscrape.stores.shared import REST
from antiscrape.stores.table import held_by
from antiscrape.stores.wire import LIFTED, News, pack_exchange, unpack_exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from antiscrape.core.journal import Journal
    from antiscrape.core.purse import Purse
    from antiscrape.stores.names import Names
    from antiscrape.stores.shared import SharedStore
    from antiscrape.stores.wire import Answer

#: Records of one script call: a server that runs it answers nobody else meanwhile (some 10 µs a record).
_TOGETHER: Final = 128
#: Records of one exchange; the rest goes with the next. Where one is not answered in time, the next is half as large.
_MOST: Final = 4096
#: Of these, records that are told because the store has lost them: every worker does so at the same time.
_ANEW: Final = 512
#: Seconds by which two clocks may differ before the difference is taken anew, and after which it is in any case.
_STEP, _STALE = 1.0, 300.0
#: Seconds after which news are late, and told as what is still owed: of what has rested, and of all else.
_LATE: Final = REST + 1.0
_OVERDUE: Final = 1.0


class Batch:
    """Records and, in the same order, the journals that are told of them: two lists, for a tuple each is one more for the GC."""

    __slots__ = ("journals", "purses")

    def __init__(self, purses: list[Purse], journals: list[Journal]) -> None:
        self.purses = purses
        self.journals = journals

    def __len__(self) -> int:
        return len(self.purses)

    def __iter__(self) -> Iterator[tuple[Purse, Journal]]:
        return zip(self.purses, self.journals, strict=True)

    def part(self, start: int, stop: int) -> Batch:
        """Return those from ``start`` to before ``stop``."""
        return Batch(self.purses[start:stop], self.journals[start:stop])

    def only(self, wanted: list[bool]) -> Batch:
        """Return those that are wanted."""
        return Batch(list(compress(self.purses, wanted)), list(compress(self.journals, wanted)))


class Telling(NamedTuple):
    """One script call of an exchange: the records that it speaks of, with what each tells.

    ``number`` is told again with what has to be told again, at the same ``place``; ``since`` is when the first of it was
    spent. ``partly`` tells that only requests could be told, for want of the store's clock.
    """

    shard: int
    place: int
    number: int
    since: float
    partly: bool
    lights: Batch
    fulls: Batch
    keys: list[bytes]
    arguments: list[bytes]


class _Shard:
    """What is known of one shard: its clock less ours, how good a guess that is and of when, and its epoch."""

    __slots__ = ("distance", "epoch", "measured", "offset")

    def __init__(self, offset: float, distance: float, measured: float, epoch: float) -> None:
        self.offset = offset
        self.distance = distance
        self.measured = measured
        self.epoch = epoch


class Exchange:
    """What one worker tells the store, and hears from it."""

    def __init__(self, store: SharedStore, names: Names) -> None:
        self._store = store
        self.names = names
        self._worker = b""  # found when it first speaks: a server may fork after it is built
        self._numbers = 0
        self._shards: dict[int, _Shard] = {}
        #: What was told and not answered, by shard; and records that a shard has lost.
        self._unsure: dict[int, list[Telling]] = {}
        self._lost: dict[int, list[Purse]] = {}
        self._share = 1  # of the limits to which clients were held while what is told was spent
        self._swept = _MOST
        #: By shard, how many records it is told at once, where these are fewer than usual; and how the last ones went.
        self._most: dict[int, int] = {}
        self._went: dict[int, bool] = {}
        #: Whether something was read that asks for another exchange at once: others spent what is not known here.
        self.urgent = False

    @property
    def waiting(self) -> int:
        """How many records wait to be told with the next exchange."""
        unsure = sum(
            len(one.lights) + len(one.fulls) for tellings in self._unsure.values() for one in tellings
        )
        lost = sum(map(len, self._lost.values()))
        return len(self._store.touched) + unsure + lost

    @property
    def idle(self) -> bool:
        """Whether there is nothing to tell, now or later."""
        return not (self._store.resting or self.waiting)

    def _shard_of(self, purse: Purse) -> int:
        return 0 if self.names.shards == 1 else self.names.shard(purse)

    def collect(self, now: float) -> list[Telling]:
        """Return what is to be told now. Each telling has to come back to ``apply`` or to ``failed``."""
        store, self.urgent = self._store, False
        unsure, self._unsure = self._unsure, {}
        if store.lesser is not None:
            self._share = store.lesser.workers
        elif not unsure and (not store.touched or now - store.since <= _LATE):
            self._share = 1
        self._measure()
        tellings = self._told_again(unsure, now)
        self._remind(now)
        newest, store.touched = store.touched[-_MOST:], store.touched[:-_MOST]
        rested, begun = store.roused(now, max(_MOST // 8, _MOST - len(newest)))
        # What has rested was begun long before the rest: told apart, neither is taken for older than it is.
        prompt = store.since if now - store.since <= _OVERDUE else float("-inf")
        rooms: dict[int, int] = dict.fromkeys(unsure, 0)
        places: dict[int, int] = {}
        for purses, since in ((newest, prompt), (rested, begun)):
            for shard, told in self._take(purses, rooms).items():
                for at in range(0, len(told), _TOGETHER):
                    place = places[shard] = places.get(shard, -1) + 1
                    tellings.append(self._telling(shard, place, told.part(at, at + _TOGETHER), since, now))
        return tellings

    def _measure(self) -> None:
        """Tell a shard as many records at once as it answered in time: half, where it did not answer the last ones."""
        for shard, well in self._went.items():
            most = self._most.pop(shard, _MOST)
            most = most + _MOST // 16 if well else max(_TOGETHER, most // 2)
            if most < _MOST:
                self._most[shard] = most
        self._went.clear()

    def _told_again(self, unsure: Mapping[int, list[Telling]], now: float) -> list[Telling]:
        """Return as much of what is unsure as goes into one exchange; the rest waits, and what is new to its shard too."""
        again: list[Telling] = []
        for shard, tellings in unsure.items():
            room = self._most.get(shard, _MOST)
            for one in tellings:
                if room > 0:
                    again.append(self._again(one, now))
                    room -= len(one.lights) + len(one.fulls)
                else:
                    self._unsure.setdefault(shard, []).append(one)
        return again

    def _take(self, purses: Sequence[Purse], rooms: dict[int, int]) -> dict[int, Batch]:
        """Take the newest journals of records, by shard, as far as there is room; the others wait."""
        shards: dict[int, Batch] = {}
        waiting: list[Purse] = []
        for shard, some in self._by_shard(purses).items():
            told = shards[shard] = Batch([], [])
            room = rooms.setdefault(shard, self._most.get(shard, _MOST))
            left = []
            for purse in reversed(some):
                journal = purse.journal
                if journal is None:
                    continue
                if room > 0:
                    room -= 1
                    purse.journal = None
                    told.purses.append(purse)
                    told.journals.append(journal)
                else:
                    left.append(purse)
            rooms[shard] = room
            waiting += reversed(left)
        self._store.touched[:0] = waiting
        return shards

    def _by_shard(self, purses: Sequence[Purse]) -> dict[int, Sequence[Purse]]:
        if self.names.shards == 1:
            return {0: purses}
        shards: dict[int, list[Purse]] = {}
        for purse in purses:
            shards.setdefault(self.names.shard(purse), []).append(purse)
        return dict(shards)

    def _remind(self, now: float) -> None:
        """Note some of what a shard has lost among what is to be told."""
        for shard, lost in list(self._lost.items()):
            some = min(_ANEW, self._most.get(shard, _MOST) // 2)
            for purse in lost[-some:]:
                if self._shard_of(purse) == shard and not purse.gone and worth_telling(purse, now):
                    journal = self._store.journal_of(purse)
                    journal.all = journal.told = True
            del lost[-some:]
            if not lost:
                del self._lost[shard]

    def _telling(self, shard: int, place: int, told: Batch, since: float, now: float) -> Telling:
        # Without the store's clock no time can be told: the first exchange asks for it, and tells requests only.
        partly = shard not in self._shards
        lights, fulls = told, Batch([], [])
        if not partly:
            light = [  # Journal.light, written out
                one.rates is None and not (one.told or one.originals or one.subjects) for one in told.journals
            ]
            if not all(light):
                lights, fulls = told.only(light), told.only([not one for one in light])
        self._numbers += 1
        return self._again(Telling(shard, place, self._numbers, since, partly, lights, fulls, [], []), now)

    def _again(self, telling: Telling, now: float) -> Telling:
        """Return a telling with its keys and arguments as they are ``now``."""
        shard, age = telling.shard, now - telling.since
        if age > _LATE:
            # What was spent in an hour without the store is mostly earned back: what is still owed, is told.
            age = 0.0
            for purse, journal in (*telling.lights, *telling.fulls):
                self._forgive(purse, journal, now)
        self._worker = self._worker or secrets.token_bytes(8)
        offset = 0.0 if telling.partly else self._shards[shard].offset
        keys, arguments = pack_exchange(
            self.names.epoch(shard),
            self.names.telling(shard, self._worker, telling.place),
            telling.number,
            self._store.keep,
            age,
            [purse.name or self.key_of(purse) for purse in telling.lights.purses],
            [journal.requests for journal in telling.lights.journals],
            [self._news(purse, journal, offset, now) for purse, journal in telling.fulls],
        )
        return telling._replace(keys=keys, arguments=arguments)

    def key_of(self, purse: Purse) -> bytes:
        """Return what the store calls a record."""
        if not purse.name:
            apart = b""
            known = self._store.find_known(purse.key)
            if isinstance(purse, History) and known is not purse and not purse.gone:
                apart = purse.look  # one of several visits at an address that has a purse of its own
            purse.name = self.names.record(purse, apart=apart)
        return purse.name

    def _news(self, purse: Purse, journal: Journal, offset: float, now: float) -> News:
        rates, floor = journal.rates or {}, 0.0
        told = [(name, 0.0, seconds) for name, seconds in rates.items()]
        originals: Sequence[tuple[int, float]] = ()
        subjects: Sequence[tuple[int, float]] = ()
        if journal.all or journal.originals:
            originals = charged(purse.originals, journal.originals, offset, everything=journal.all)
        if journal.all or journal.subjects:
            subjects = charged(purse.subjects, journal.subjects, offset, everything=journal.all)
        if journal.all:
            floor = self._owed(purse.tat, now) + now + offset - journal.requests
            told = [
                (name, self._owed(tat, now) + now + offset - rates.get(name, 0.0), rates.get(name, 0.0))
                for name, tat in (purse.tats or {}).items()
            ]
        banned, cooled, level = held(purse) if journal.told else (0.0, 0.0, 0)
        return News(
            triple(purse.name or self.key_of(purse)),
            since=purse.seen,
            floor=floor,
            requests=journal.requests,
            banned=LIFTED if journal.lifted else banned and banned + offset,
            cooled=LIFTED if journal.lifted else cooled and cooled + offset,
            level=level,
            rates=told,
            originals=originals,
            subjects=subjects,
        )

    def _owed(self, tat: float, now: float) -> float:
        """Return the seconds that a client still owes, of a limit as policy has it."""
        return max(0.0, tat - now) / self._share

    def _forgive(self, purse: Purse, journal: Journal, now: float) -> None:
        """Take off a journal what was earned back since it was written: all but the latest seconds."""
        later = purse.journal
        newer = 0.0 if later is None else later.requests
        journal.requests = min(journal.requests, max(0.0, self._owed(purse.tat, now) - newer))
        tats = purse.tats or {}
        rates = (later.rates if later is not None else None) or {}
        for name, seconds in (journal.rates or {}).items():
            owed = max(0.0, self._owed(tats.get(name, now), now) - rates.get(name, 0.0))
            journal.add_rate(name, min(seconds, owed) - seconds)

    def apply(self, telling: Telling, blob: bytes, sent: float, now: float) -> None:
        """Take the answer to a telling, ``sent`` and received ``now``; raise ``ValueError`` where it is none."""
        answer = unpack_exchange(blob, len(telling.lights), len(telling.fulls))
        self._went.setdefault(telling.shard, True)
        offset = self._set_clock(telling.shard, answer, sent, now)
        partly, upto = telling.partly, answer.now
        for (purse, journal), tat, changed in zip(telling.lights, answer.tats, answer.changed, strict=True):
            owed, later, seen = tat - offset, purse.journal, purse.seen
            if later is not None:
                owed += later.requests  # spent while the exchange was under way
            if owed > purse.tat:  # noqa: PLR1730  a call of max() costs as much as the rest
                purse.tat = owed
            if partly and not journal.light:
                journal.requests = 0.0  # told; the rest goes with the next
                self._return(purse, journal)
                self.urgent = True
            elif changed > seen or seen > upto:
                self._store.journal_of(purse).told = True
                self.urgent = True
        for (purse, _), state in zip(telling.fulls, answer.fulls, strict=True):
            if weighs(purse, state):
                before = held_by(purse)
                take_state(purse, state, offset)
                self._store.regrown(purse, before, now)
            else:
                take_state(purse, state, offset)
            purse.seen = upto

    def failed(self, tellings: Sequence[Telling]) -> None:
        """Take back what could not be told, or of which nobody knows whether it was."""
        store = self._store
        for telling in tellings:
            self._went[telling.shard] = False
            self._unsure.setdefault(telling.shard, []).append(telling)
        if store.lesser is not None:
            self._share = store.lesser.workers
        # A store that is away for days must not make us hold every client that ever came.
        if len(store.touched) > 2 * self._swept:
            for purse in store.touched:
                if purse.gone:
                    purse.journal = None
            store.touched = [purse for purse in store.touched if not purse.gone]
            self._swept = max(_MOST, len(store.touched))

    def _return(self, purse: Purse, journal: Journal) -> None:
        later = self._store.journal_of(purse)
        journal.put_back(later)
        purse.journal = journal

    def _set_clock(self, shard: int, answer: Answer, sent: float, now: float) -> float:
        """Return how far a shard's clock is ahead of ours: what took the least time tells best (RFC 5905 §10).

        Where the shard is new, or has jumped ahead so that what it kept ran out, it is told all that is known here.
        """
        distance, offset = now - sent, answer.now - (sent + now) / 2
        known = self._shards.get(shard)
        if known is None:
            known = self._shards[shard] = _Shard(offset, distance, now, answer.epoch)
        elif answer.epoch != known.epoch or abs(offset - known.offset) > _STEP + distance:
            known = self._shards[shard] = _Shard(offset, distance, now, answer.epoch)
            self._lost[shard] = list(self._store.purses())
        elif distance <= known.distance or now - known.measured > _STALE:
            known.offset, known.distance, known.measured = offset, distance, now
        return known.offset
