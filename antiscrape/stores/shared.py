"""The shared store: every worker decides on what it knows, and tells the others ten times a second what was spent.

No request waits for the network. A worker keeps all records in its own memory (``MemoryStore``), notes in each record's
*journal* what was spent on it, and exchanges the journals of the records that were touched for what all workers spent on
them: one batch an interval (``stores.exchange``). A journal that holds next to nothing *rests* for some seconds, and is told
in one with what comes meanwhile: most clients look at a page and its pictures, and nobody is near a limit by that. So what is
admitted beyond a budget is at most what the other workers admit to the same client between two exchanges, and a sixteenth of
the budget that all of them together may have at rest. A ban, a cooling and a trap that was sprung are told at once.

While the store is away (``lesser`` is set), each worker holds clients to its share of the limits.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from struct import Struct
from struct import error as StructError  # noqa: N812  it is an exception's class
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.core.habits import VISIT
from antiscrape.core.journal import DUE, Journal
from antiscrape.core.memo import Memo
from antiscrape.core.spending import kept_of, levels_of, spend_one
from antiscrape.core.verdict import Budget
from antiscrape.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from antiscrape.core.budgets import Limit
    from antiscrape.core.history import History
    from antiscrape.core.identity import Principal
    from antiscrape.core.purse import Purse
    from antiscrape.core.rules import Allowance, Policy
    from antiscrape.core.verdict import Exceeded, Standing
    from antiscrape.stores.lesser import Lesser

#: Clients that something was told of before they were seen here.
_TOLD: Final = 16_384
_ORIGINALS: Final = Budget.ORIGINALS
#: Seconds for which a journal rests, if there is room for it then, and what share of a limit all workers together may have
#: at rest. Those that are begun within so many seconds rest together.
REST: Final = 4.0
AT_REST: Final = 1 / 16
TOGETHER: Final = 0.1


class Bed(NamedTuple):
    """Records whose journals were begun at one time, and rest; more are laid beside them ``until`` then.

    A record may have been told meanwhile, and have begun another journal.
    """

    begun: float
    until: float
    purses: list[Purse]


class Word(IntEnum):
    """What workers tell each other at once."""

    BANNED = 1  # until then
    COOLED = 2  # the standing is lowered until then; the level stands in place of the look
    TRAPPED = 3  # the visit went into a trap, which counts until then
    LIFTED = 4  # neither banned nor cooling any more


#: Whose word it is, the word, the seconds for which it holds from now on, the visit's look (noughts: none); the key follows.
_MESSAGE: Final = Struct("<8sBd16s")
_LONGEST: Final = 512


def message(origin: bytes, word: Word, key: str, lasts: float = 0.0, look: bytes = b"") -> bytes:
    """Return what all workers are to hear of the client ``key``; ``lasts`` in seconds."""
    return _MESSAGE.pack(origin, word, lasts, look) + key.encode("utf-8", "surrogatepass")


class SharedStore(MemoryStore):
    """A memory store whose records are told to others, and which hears of theirs.

    ``clock`` is monotonic, as ``now`` is; ``origin`` are 8 bytes that no other worker has.
    """

    def __init__(self, *, clock: Callable[[], float], origin: bytes, **bounds: Any) -> None:
        super().__init__(**bounds)
        self._clock = clock
        self.origin = origin
        #: The records whose journal is due, in the order in which they were touched.
        self.touched: list[Purse] = []
        #: When the first of them was touched.
        self.since = 0.0
        #: The others that have one.
        self.resting: deque[Bed] = deque()
        #: What share of a limit's window may rest in one journal here; 0.0 while nobody knows how many workers there are.
        self.rests = 0.0
        #: Called when something is to be told, now or after a rest.
        self.wake: Callable[[], None] = _nothing
        #: Called with what all workers are to hear at once.
        self.shout: Callable[[bytes], None] = _unheard
        #: Called where another worker saw a visit go into a trap: with the record and the visit's look.
        self.trapped: Callable[[History, bytes], None] = _unnoted
        #: A worker's share of the limits, while the store is away.
        self.lesser: Lesser | None = None
        #: The shortest window of any limit of requests, in seconds: what may rest is a share of it.
        self.brief = _briefest(bounds.get("standings") or {})
        self._told: Memo[str, tuple[Word, float, bytes]] = Memo(_TOLD)
        self.charge_request = self._charge_request
        self.sharing = self

    def purses(self) -> Iterator[Purse]:
        """Yield every record of a principal or network; no other may be added meanwhile."""
        yield from self._principals.records.values()
        yield from self._networks.records.values()

    def follow(self, policy: Policy) -> None:
        """Keep records as another policy wants them."""
        super().follow(policy)
        self.brief = _briefest(policy.standings)

    def find(self, principal: Principal, now: float) -> History:
        """Return the history of ``principal``, a new one if it is not known."""
        known = self.find_known(principal.key)
        if known is not None:
            return known
        history = super().find(principal, now)
        if self._told:
            told = self._told.get(principal.key)
            if told is not None:
                self._take_word(history, *told)
        return history

    # -- spending, with a journal

    def _charge_request(self, history: History, limit: Limit, now: float) -> Exceeded | None:
        exceeded = spend_one(history, limit if self.lesser is None else self.lesser.limit(limit), now)
        if exceeded is None:
            self._note_request(history, limit)
        return exceeded

    def _note_request(self, history: History, limit: Limit) -> None:
        interval = limit.interval
        journal = history.journal or self.open(history, limit.window)
        journal.requests += interval
        if journal.requests > journal.room:
            self.hasten(history)
        wider = history.rollup  # levels_of, written out
        while wider is not None:
            journal = wider.journal or self.open(wider, limit.window)
            journal.requests += interval / wider.factor
            if journal.requests > journal.room:
                self.hasten(wider)
            wider = wider.rollup

    def open(self, purse: Purse, window: float = 0.0) -> Journal:
        """Begin a record's journal, and see to it that it is told: soon, or at once where no share of ``window`` may rest."""
        # Whatever a standing's limit is, one record's requests are in one journal: the briefest window tells what may rest.
        room = min(window, self.brief) * self.rests
        # Of whom nothing was told yet, others may know what has to be known here.
        if not room or not purse.name:
            journal = purse.journal = Journal()
            self._due(purse)
            return journal
        now = self._clock()
        if not self.resting or not now < self.resting[-1].until:
            self.resting.append(Bed(now, now + TOGETHER, []))
            self.wake()
        bed = self.resting[-1]
        bed.purses.append(purse)
        journal = purse.journal = Journal(room, bed.begun)
        return journal

    def hasten(self, purse: Purse) -> None:
        """Have the journal of a record told with the next exchange."""
        journal = purse.journal
        if journal is not None and journal.room != DUE:
            journal.room = DUE
            self._due(purse)

    def _due(self, purse: Purse) -> None:
        self.touched.append(purse)
        if len(self.touched) == 1:
            self.since = self._clock()
            self.wake()

    def journal_of(self, purse: Purse) -> Journal:
        """Return the journal of a record, which is told with the next exchange."""
        if purse.journal is None:
            return self.open(purse)
        self.hasten(purse)
        return purse.journal

    def roused(self, now: float, most: int) -> tuple[list[Purse], float]:
        """Return up to ``most`` records whose journals have rested long enough, and when the first of these was begun."""
        found: list[Purse] = []
        resting, since = self.resting, now
        while resting and len(found) < most and resting[0].begun <= now - REST:
            begun, _, purses = resting[0]
            some, had = len(found) - most, len(found)
            for purse in purses[some:]:
                journal = purse.journal
                if journal is not None and journal.begun == begun and journal.room != DUE:
                    journal.room = DUE
                    found.append(purse)
            if len(found) > had:
                since = min(since, begun)
            del purses[some:]
            if not purses:
                resting.popleft()
        return found, since

    def rouse_all(self) -> None:
        """Have all that rests told with the next exchanges."""
        while self.resting:
            for purse in self.resting.popleft().purses:
                self.hasten(purse)

    def charge_bytes(self, history: History, allowance: Allowance, amount: int, now: float) -> None:
        """Charge the bytes of an image that were sent."""
        super().charge_bytes(history, self.held_to(allowance), amount, now)
        for purse, factor in levels_of(history):
            for limit in allowance.bytes:
                journal = purse.journal or self.open(purse, self.brief)
                journal.add_rate(limit.of_bytes, amount * limit.interval / factor)
                if journal.room != DUE and (journal.rates or {})[limit.of_bytes] > limit.window * self.rests:
                    self.hasten(purse)

    def held_to(self, allowance: Allowance) -> Allowance:
        """Return what a worker grants of an allowance: all of it, or its share while the store is away."""
        return allowance if self.lesser is None else self.lesser.allowance(allowance)

    def _spend_requests(self, history: History, allowance: Allowance, now: float) -> Exceeded | None:
        exceeded = super()._spend_requests(history, self.held_to(allowance), now)
        if exceeded is None:
            self.note_requests(history, allowance.requests)
        return exceeded

    def note_requests(self, history: History, limits: tuple[Limit, ...]) -> None:
        """Write into the journals that a request was charged to ``limits``."""
        if len(limits) == 1:
            self._note_request(history, limits[0])
            return
        for purse, factor in levels_of(history):
            for limit in limits:
                self.journal_of(purse).add_rate(limit.of_requests, limit.interval / factor)

    def _bytes_left(self, history: History, allowance: Allowance, now: float) -> Exceeded | None:
        return super()._bytes_left(history, self.held_to(allowance), now)

    def _spend_distinct(
        self, history: History, budget: Budget, allowance: Allowance, identity: int, now: float
    ) -> Exceeded | None:
        exceeded = super()._spend_distinct(history, budget, self.held_to(allowance), identity, now)
        if exceeded is None:
            self.note_distinct(history, budget, identity, now)
        return exceeded

    def spend_new(self, history: History, limits: tuple[Limit, ...], identity: int, now: float) -> bool:
        """Charge a new original where no limit is near; tell whether that was done."""
        charged = self._spend_new(history, limits, identity, now)
        if charged:
            self.note_distinct(history, _ORIGINALS, identity, now)
        return charged

    def note_distinct(self, history: History, budget: Budget, identity: int, now: float) -> None:
        """Write into the journals that something was charged ``now``, and not before."""
        for purse, _ in levels_of(history):
            if kept_of(purse, budget).get(identity) == now:
                journal = self.journal_of(purse)
                (journal.add_original if budget is _ORIGINALS else journal.add_subject)(identity)

    # -- what is told at once

    def ban(self, history: History, until: float) -> None:
        """Keep a principal out until ``until``, and let all workers know."""
        super().ban(history, until)
        self.journal_of(history).told = True
        self._say(Word.BANNED, history, until - self._clock(), b"")

    def cool(self, history: History, until: float, level: int) -> None:
        """Lower a principal's standing until ``until``, for the ``level``-th time, and let all workers know."""
        super().cool(history, until, level)
        self.journal_of(history).told = True
        if self.find_known(history.key) is history:  # and not one of the visits at the address
            self._say(Word.COOLED, history, until - self._clock(), b"%d" % level)

    def lift(self, history: History) -> None:
        """End a ban and a cooling, and let all workers know."""
        self._lift(history)
        self._say(Word.LIFTED, history, 0.0, b"")

    def _lift(self, history: History) -> None:
        super().lift(history)
        journal = self.journal_of(history)
        journal.told = journal.lifted = True

    def note_trapped(self, history: History, look: bytes) -> None:
        """Let all workers know that a visit went into a trap."""
        self._say(Word.TRAPPED, history, VISIT, look)

    def _say(self, word: Word, history: History, lasts: float, look: bytes) -> None:
        if len(history.key) <= _LONGEST:
            self.shout(message(self.origin, word, history.key, lasts, look))

    def hear(self, said: bytes) -> bool:
        """Take what another worker told; return whether that was news."""
        try:
            origin, word, lasts, look = _MESSAGE.unpack_from(said)
            key = said[_MESSAGE.size :].decode("utf-8", "surrogatepass")
            word = Word(word)
        except (StructError, ValueError):
            return False
        if origin == self.origin:
            return False
        until = self._clock() + lasts
        if not until < float("inf"):  # NaN is not below it, either
            return False
        known = self.find_known(key)
        if known is None:
            self._told.put(key, (word, until, look))
        else:
            self._take_word(known, word, until, look)
        return True

    def _take_word(self, history: History, word: Word, until: float, look: bytes) -> None:
        if word is Word.LIFTED:
            self._lift(history)  # the word is here before the record is in the store, which would ban again
        elif until <= self._clock():
            return
        elif word is Word.BANNED:
            super().ban(history, max(until, history.banned_until))
        elif word is Word.COOLED:
            level = look.rstrip(b"\0")
            if level.isdigit():
                super().cool(history, until, int(level))
        else:  # a look is a digest, and may well end in noughts
            self.trapped(history, look if any(look) else b"")


def _briefest(standings: Mapping[Standing, Allowance]) -> float:
    """Return the shortest window of any limit of requests, in seconds."""
    return min([limit.window for row in standings.values() for limit in row.requests], default=60.0)


def _nothing() -> None:
    """Do nothing: nobody carries what is told."""


def _unheard(message: bytes) -> None:
    """Let nobody know: nobody else is there."""


def _unnoted(history: History, look: bytes) -> None:
    """Do nothing with what was heard: nobody keeps visits."""
