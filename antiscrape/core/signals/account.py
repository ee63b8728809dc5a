"""What an account shows that is not one person's: its haste while it is new, and the company it keeps.

People move: between home, office, a train's and a phone's network, through relays that change their
address. So a day's networks cost nothing up to three times what a restless day has, and then not
enough alone. And people share: a company, a school, a carrier's gateway is one network to us with as
many accounts as it has people, so how many they are weighs next to nothing. What weighs is that they
are *new*, and even that only beside something else: a class that signs up in one lesson looks the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from antiscrape.core.account import DAY, NEW
from antiscrape.core.memo import Memo
from antiscrape.core.signals.table import Signal

#: Distinct things are told apart one by one up to here; "64" means "64 or more", and no signal asks for more.
MOST_TOLD_APART: Final = 64
#: Seconds for which an account's facts stand while it does nothing new: days are counted to the minute.
FRESH: Final = 60.0
_HOUR: Final = 3600.0
#: Distinct subjects an hour that are many for an account below an age: as much as its share of a member's
#: default budget of 120 an hour (a quarter, then half) or more, so that the budget gives out first.
_MANY_SUBJECTS = ((DAY, 40), (NEW, 60))
_STATEMENT = "joint statement of data protection authorities on data scraping, 24 August 2023"


class AccountFacts(NamedTuple):
    """What is counted of an account: ``age`` in seconds or None, and distinct things up to ``MOST_TOLD_APART``.

    ``subjects`` are those that it looked at within the last hour (counted while it is new), ``networks`` the
    roll-ups that it came from within a day, ``accounts`` those that came from its present network within a
    day, and ``newcomers`` the new ones among them.
    """

    age: float | None = None
    subjects: int = 0
    networks: int = 0
    accounts: int = 0
    newcomers: int = 0


_Lately = dict[int, float]  # hashes of distinct things to when each was seen last, in that order
_NEVER: Final = float("-inf")


class _Trail:
    """Where one account was and whom it looked at."""

    __slots__ = ("facts", "network", "networks", "stale", "subjects")

    def __init__(self) -> None:
        self.network = ""
        self.stale = _NEVER
        self.networks: _Lately = {}
        self.subjects: _Lately | None = None
        self.facts = AccountFacts()


class _Crowd:
    """Which accounts one network had."""

    __slots__ = ("accounts", "newcomers")

    def __init__(self) -> None:
        self.accounts: _Lately = {}
        self.newcomers: _Lately = {}


class AccountBook:
    """Counts what tells shared and farmed accounts, of at most ``bound`` accounts and as many networks.

    Things are kept as Python's own hashes of their names, whose key is drawn at the process's start, so
    nobody can choose names that count as one.
    """

    def __init__(self, bound: int = 50_000) -> None:
        self._trails: Memo[str, _Trail] = Memo(bound)
        self._crowds: Memo[str, _Crowd] = Memo(bound)

    def __len__(self) -> int:
        return len(self._trails)

    def seen(
        self, name: str, network: str, now: float, *, age: float | None = None, subject: str = ""
    ) -> AccountFacts:
        """Note that account ``name`` came out of the roll-up ``network`` at ``now``; return its facts.

        ``now`` is on a clock that never steps. ``subject`` is whom it looked at, ``""`` for nobody. While
        nothing new happens the facts are one object for a minute, so that whoever weighs them need not again.
        """
        trail = self._trails.young.get(name)
        if trail is not None and not subject and now < trail.stale and trail.network == network:
            return trail.facts
        return self._note(name, network, now, age, subject)

    def _note(self, name: str, network: str, now: float, age: float | None, subject: str) -> AccountFacts:
        trail, crowd = self._trails.get(name), self._crowds.get(network)
        if trail is None:
            self._trails.put(name, trail := _Trail())
        if crowd is None:
            self._crowds.put(network, crowd := _Crowd())
        new = age is not None and age < NEW
        trail.network, trail.stale = network, now + FRESH
        if subject and new:
            if trail.subjects is None:
                trail.subjects = {}
            _add(trail.subjects, subject, now)
        elif not new:
            trail.subjects = None
        _add(trail.networks, network, now)
        _add(crowd.accounts, name, now)
        if new:
            _add(crowd.newcomers, name, now)
        subjects = _count(trail.subjects, now - _HOUR) if trail.subjects else 0
        day = now - DAY
        counts = _count(trail.networks, day), _count(crowd.accounts, day), _count(crowd.newcomers, day)
        trail.facts = facts = AccountFacts(age, subjects, *counts)
        return facts


def _add(lately: _Lately, thing: str, now: float) -> None:
    """Note a thing as the latest; of more than can be told apart the one longest unseen makes room."""
    name = hash(thing)
    if name in lately:
        del lately[name]
    elif len(lately) >= MOST_TOLD_APART:
        del lately[next(iter(lately))]
    lately[name] = now


def _count(lately: _Lately, horizon: float) -> int:
    """Forget what was last seen at ``horizon`` or before, and count the rest."""
    while lately:
        oldest = next(iter(lately))
        if lately[oldest] > horizon:
            break
        del lately[oldest]
    return len(lately)


def _hurried(a: AccountFacts) -> bool:
    age = a.age
    return age is not None and any(age < below and a.subjects >= many for below, many in _MANY_SUBJECTS)


SIGNALS: tuple[Signal[AccountFacts], ...] = (
    Signal("new-account-looks-at-many", "account", 25, "An account made lately looks at one person after another.",
           _STATEMENT + ": how quickly a new account looks for others",
           _hurried),
    Signal("account-in-many-networks", "account", 15, "Within a day, one account came from more networks than one person moves through.",
           _STATEMENT + ": the same credentials from many places; people are in 3 to 6 networks a day",
           lambda a: a.networks >= 18),
    Signal("account-shared-widely", "account", 20, "One account is used from so many networks at once that many hold its password.",
           _STATEMENT + ": the same credentials from many places", lambda a: a.networks >= 30),
    Signal("many-accounts-in-a-network", "account", 5, "Many accounts come from the network of this one.",
           _STATEMENT + ": patterns in groups; companies and carriers have as many people behind one network",
           lambda a: a.accounts >= 50),
    Signal("one-of-many-new-accounts", "account", 15, "The account is new, and so are many others in its network.",
           "OWASP Automated Threats to Web Applications, OAT-019 (account creation)",
           lambda a: a.newcomers >= 12 and a.age is not None and a.age < NEW),
)  # fmt: skip
