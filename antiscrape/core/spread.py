"""Spread: one harvester over many addresses is one harvester.

Budgets are kept for an address, and addresses are for rent. What a thousand rented ones have in common is looked for in
*groups*: one look of the client, one network, one owner of networks, one stretch of the pictures' numbers, the whole
site. A group counts *visits that take originals*. At its first original and at its third a visit is *blank* (it saw no
page, no smaller picture, no asset), *thin* (pages, and nothing that they show) or *shown*. Three rules read the counts:

* **Beginners.** People who ask for an original first of all come back with a full cache, or their address has
  changed: a few among many that are shown something. A group in which blank beginners are the rule, each with a
  picture that no other asked for, is one machine. A crowd that follows one link asks for one picture, and is none.
* **Takers.** A person's browser has drawn something before the third original. Where visits to which that does not
  apply are more than a few in a hundred of those that take three, and seldom take the same, they are one machine.
* **Passers.** Many networks use a URL that was made for one visitor (a trap's, a bound grant's).

A rule speaks of those members that do what it counts, never of others in their group: millions of people share a look
with the machine that copied it. What other sites lead to (a search for images, a hotlink) is counted apart and by a
stricter measure. Evidence grows by levels: the members share one browser's ration; each is doubted; each is a bot.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b
from operator import add
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.habits import VISIT
from antiscrape.core.history import names_host
from antiscrape.core.memo import Memo
from antiscrape.core.purse import Purse
from antiscrape.core.spending import spend_distinct
from antiscrape.core.verdict import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.budgets import Limit
    from antiscrape.core.request import RequestHead
    from antiscrape.core.verdict import Exceeded

#: Groups of one kind (only somebody blank begins one: most looks and networks have none), tokens; principals that took.
_GROUPS, _MEMBERS = 1024, 65_536
#: Pictures of neighbouring numbers, 2^8 of them, are one stretch.
_STRETCH: Final = 8
#: Beginners that have one picture in common are a crowd that follows a link; so many such pictures are known.
_CROWD, _CROWDS = 3, 16_384
#: Seconds after a start in which nobody is counted: who was in the midst of a visit seems to begin one.
_WARM_UP: Final = 300.0
#: The original at which a visit has shown what it is: two may come from a link and a look back.
THIRD: Final = 3
#: Beginners that share a ration, are doubted, are bots; and takers that are bots.
_MANY: Final = (8, 16, 64)
#: How many takers there have to be, and of how many pictures one may be had by two of them: ours, and from elsewhere.
_NEAR, _FAR = (6, 2), (12, 4)
#: A phone, a home and an office, some of them dual-stack, are five networks; the second figure is nobody's.
_PASSED: Final = (6, 10)
#: Of a sketch: registers, and the longest run of noughts that is told from a longer one.
_REGISTERS, _DEEPEST = 256, 32
_KINDS: Final = ("look", "network", "owner", "stretch", "site")
_OURS: Final = frozenset({b"same-origin", b"same-site"})
#: What tells one client software from another, whatever it asks for. Client hints do not: Chromium sends none with a
#: download, so that who saves what a page showed would seem to be somebody who never saw one.
_LOOK: Final = (b"user-agent", b"accept-language", b"accept-encoding")


class Level(IntEnum):
    """How much is known against the members of a group."""

    NONE = 0
    SUSPECTED = 1  # they share one ration of originals
    DOUBTED = 2
    CONVICTED = 3


class GroupFacts(NamedTuple):
    """What the groups of one request tell about it: the highest level by each rule, and the kind of group that tells most.

    ``ration`` is the record that its members' originals are charged to, None where nothing is known against them.
    """

    beginners: Level = Level.NONE
    takers: Level = Level.NONE
    passers: Level = Level.NONE
    group: str = ""
    ration: Purse | None = None


#: Nothing is known.
ALONE: Final = GroupFacts()


class Taking(NamedTuple):
    """One request for an original, as groups see it.

    ``look`` is ``look_of`` the head, ``image`` the resource's identity, ``elsewhere`` is ``from_elsewhere``. ``shown``
    tells that the visit had a smaller picture or an asset before, ``paged`` that it had a page.
    """

    principal: str
    network: str
    look: bytes
    image: int
    number: int = -1
    asn: int = 0
    shown: bool = False
    paged: bool = False
    elsewhere: bool = False


def look_of(head: RequestHead) -> bytes:
    """Return 16 bytes, the same for all requests of one client software with one set of languages."""
    digest = blake2b(digest_size=16)
    for name in _LOOK:
        value = head.value(name)
        # Lengths first: no value can be moved from one field to the next.
        digest.update(b"-" if value is None else b"%d:%b" % (len(value), value))
    return digest.digest()


def from_elsewhere(head: RequestHead) -> bool:
    """Tell whether a request says that no page of ours led to it (W3C Fetch Metadata §2.4; RFC 9110 §10.1.3)."""
    site = head.value(b"sec-fetch-site")
    if site is not None:
        return site not in _OURS
    referer = head.value(b"referer")
    return referer is None or not names_host(referer, head.host)


class Distinct:
    """Counts distinct keyed hashes (64 bits, uniform) in 256 bytes, give or take 5 %.

    A HyperLogLog whose estimate grows with it: each change of a register adds the inverse of the probability that a
    new element makes one (Cohen 2015, "All-distances sketches, revisited"; Ting 2014). In whole numbers: nothing drifts.
    """

    __slots__ = ("_free", "_ranks", "_scaled")

    def __init__(self) -> None:
        self._ranks = bytearray()
        self._free = _REGISTERS << _DEEPEST  # the probability that something new changes it
        self._scaled = 0  # the count, in 2^-16

    def add(self, digest: int) -> None:
        """Count ``digest``, unless it was counted."""
        if not self._ranks:
            self._ranks.extend(bytes(_REGISTERS))
        place, rest = digest % _REGISTERS, digest // _REGISTERS
        rank, known = min((rest & -rest).bit_length() or _DEEPEST, _DEEPEST), self._ranks[place]
        if rank > known:
            self._scaled += (_REGISTERS << _DEEPEST + 16) // self._free
            self._free += (1 << _DEEPEST - rank) - (1 << _DEEPEST - known)
            self._ranks[place] = rank

    def __len__(self) -> int:
        return self._scaled >> 16


#: The places of a half's counts of visits; those at their third original stand three further.
_BLANK, _THIN, _SHOWN = range(3)


class _Half:
    """The counts of one half of the window: visits; the first pictures of blank ones, the third of those shown nothing."""

    __slots__ = ("begun", "taken", "visits")

    def __init__(self) -> None:
        self.visits = [0] * 6
        self.begun, self.taken = Distinct(), Distinct()


class _Seen(NamedTuple):
    """The counts of both halves; a picture of both counts twice."""

    blank: int
    thin: int
    shown: int
    blank_takers: int
    thin_takers: int
    shown_takers: int
    begun: int
    taken: int

    def differ(self, apart: int) -> bool:
        """Tell whether takers shared less than one picture in ``apart``."""
        return apart * self.taken >= (apart - 1) * (self.blank_takers + self.thin_takers)


class _Group:
    """One group's counts, the record of the ration that its members share, and, of a token's, their networks."""

    __slots__ = ("half", "name", "networks", "new", "old", "ration")

    def __init__(self, name: str, half: int) -> None:
        self.name = name
        self.half = half
        self.new, self.old = _Half(), _NONE
        self.ration: Purse | None = None
        self.networks: tuple[str, ...] = ()

    def at(self, half: int) -> _Half:
        """Return the counts of ``half``, the number of the present half of the window."""
        if half != self.half:
            self.old = self.new if half == self.half + 1 else _NONE
            self.new, self.half = _Half(), half
        return self.new

    @property
    def seen(self) -> _Seen:
        """The counts of the whole window."""
        new, old = self.new, self.old
        begun, taken = len(new.begun) + len(old.begun), len(new.taken) + len(old.taken)
        return _Seen._make([*map(add, new.visits, old.visits), begun, taken])


_NONE: Final = _Half()


def _beginners(seen: _Seen, *, elsewhere: bool) -> Level:
    """Judge blank beginners by the pictures they asked for, each counted once, and by the group's other visits."""
    level = Level.NONE
    if not elsewhere and seen.begun >= 2 * (seen.shown + seen.thin):
        level = Level(sum([seen.begun >= least for least in _MANY]))
        if level is Level.CONVICTED and seen.begun < 8 * seen.shown:
            level = Level.DOUBTED
    # Where most of those who begin so are known to go on and take, the next is not waited for.
    least, apart = _FAR if elsewhere else _NEAR
    going_on = seen.blank_takers >= 4 * least and 4 * seen.blank_takers >= 3 * seen.begun
    return max(level, Level.DOUBTED) if going_on and seen.differ(apart) else level


def _takers(seen: _Seen, *, elsewhere: bool, thin: bool) -> Level:
    """Judge takers to whom nothing was shown by their share of all takers; ``thin`` holds pages alone for nothing."""
    hollow = seen.blank_takers + (seen.thin_takers if thin else 0)
    least, apart = _FAR if elsewhere else _NEAR
    if hollow < least or not seen.differ(apart):
        return Level.NONE
    begun = seen.begun + seen.thin
    if 16 * hollow < hollow + seen.shown_takers or (2 if elsewhere else 16) * hollow < begun:
        return Level.NONE
    if hollow >= _MANY[-1] and hollow >= seen.shown_takers:
        return Level.CONVICTED
    return Level.DOUBTED if hollow >= 2 * least else Level.SUSPECTED


class Member:
    """What one principal took in its visit: the first three pictures, and the token that it used last."""

    __slots__ = ("images", "last", "token")

    def __init__(self, now: float) -> None:
        self.images: tuple[int, ...] = ()
        self.last = now
        self.token: _Group | None = None

    def take(self, image: int, now: float) -> bool:
        """Add a picture; tell whether it is one of the first three, and new."""
        if now - self.last > VISIT:
            self.images = ()
        self.last = now
        if len(self.images) >= THIRD or image in self.images:
            return False
        self.images += (image,)
        return True


class Spread:
    """What many principals do together, for one thread: ``started`` is the time when this process began to see visits.

    ``key`` (secret, at most 64 bytes) names pictures; ``window`` is in seconds. The same calls give the same answers.
    """

    def __init__(
        self, *, key: bytes, started: float, window: float = 6 * 3600.0, groups: int = _GROUPS
    ) -> None:
        self.warm = started + _WARM_UP
        self._hash = blake2b(key=key, digest_size=8)
        self._half = window / 2
        self._groups: dict[str, Memo[str, _Group]] = {kind: Memo(groups) for kind in _KINDS}
        self.members: Memo[str, Member] = Memo(_MEMBERS)
        self._crowds: Memo[int, int] = Memo(_CROWDS)  # blank beginners of a picture
        self._tokens: Memo[bytes, _Group] = Memo(groups)

    def note(self, taking: Taking, now: float) -> GroupFacts:
        """Count one request for an original, and tell what its groups say of it. ``now`` is monotonic seconds."""
        member = self._member(taking.principal, now)
        new, half = member.take(taking.image, now), int(now // self._half)
        third = len(member.images) >= THIRD
        counted = new and len(member.images) != THIRD - 1
        place = (_SHOWN if taking.shown else _THIN if taking.paged else _BLANK) + (3 if third else 0)
        if now < self.warm or (taking.shown and not counted):
            return _passing(member, now)
        # A group begins with somebody blank, or it costs no memory.
        groups = list(self._find(taking, half, make=not taking.shown and (third or not taking.paged)))
        for group in groups:
            group.at(half).visits[place] += counted
        if taking.shown:
            return _passing(member, now)
        state, begins = self._hash.copy(), counted and place == _BLANK
        state.update(b"%d" % taking.image)
        picture = int.from_bytes(state.digest(), "big")
        for group in groups:
            if begins:
                group.new.begun.add(picture)
            elif counted and third:
                group.new.taken.add(picture)
        crowd = self._crowds.get(picture) or 0
        if begins:
            self._crowds.put(picture, crowd + 1)
        return self._judge(taking, groups, member, now, crowded=crowd >= _CROWD)

    def passes(self, principal: str, image: int, now: float, *, shown: bool) -> bool:
        """Count a request for an original that can tell nothing new, as ``note`` would; tell whether it is one.

        Such is a picture that was counted before, or comes after the third, of a visit that was ``shown`` something.
        """
        member = self.members.young.get(principal)
        if member is None or member.token is not None or now - member.last > VISIT:
            return False
        if not (shown or now < self.warm):
            return False
        if len(member.images) < THIRD and image not in member.images:
            return False
        member.last = now
        return True

    def note_token(self, token: bytes, principal: str, network: str, now: float) -> None:
        """Count a use of a URL that was made for one visitor; the first 64 bytes of ``token`` name it.

        A signature that all visitors of an hour share is no token: popular pictures would convict everybody.
        """
        half = int(now // self._half)
        passed = self._tokens.get(token[:64])
        if passed is None or half > passed.half + 1:
            self._tokens.put(token[:64], passed := _Group("token", half))
        passed.half = half
        if network not in passed.networks and len(passed.networks) < _PASSED[-1]:
            passed.networks += (network,)
        self._member(principal, now).token = passed

    def _member(self, principal: str, now: float) -> Member:
        member = self.members.get(principal)
        if member is None:
            self.members.put(principal, member := Member(now))
        return member

    def _find(self, taking: Taking, half: int, *, make: bool) -> Iterator[_Group]:
        """Yield the groups of a request, the site last. Keys are no integers: those of clients collide (SECURITY A12)."""
        apart = "?" if taking.elsewhere else ""
        owner = f"{taking.asn}{apart}" if taking.asn else ""
        stretch = f"{taking.number >> _STRETCH}{apart}" if taking.number >= 0 else ""
        keys = (taking.look.hex() + apart, taking.network + apart, owner, stretch, "site" + apart)
        for kind, key in zip(_KINDS, keys, strict=True):
            group = self._groups[kind].get(key) if key else None
            if group is None and make and key:
                self._groups[kind].put(key, group := _Group(kind, half))
            if group is not None:
                yield group

    def _judge(
        self, taking: Taking, groups: list[_Group], member: Member, now: float, *, crowded: bool
    ) -> GroupFacts:
        facts = _passing(member, now)
        worst, level, beginners, takers = None, facts.passers, Level.NONE, Level.NONE
        site = groups[-1].seen if groups else None
        # Where hardly anybody is shown anything, a CDN's thumbnails do not pass here, and pages alone are people's.
        thin = site is not None and site.shown_takers >= max(_MANY[0], site.thin_takers // 16)
        for group in groups:
            seen, begun, took = group.seen, Level.NONE, Level.NONE
            if not (taking.paged or crowded):
                begun = _beginners(seen, elsewhere=taking.elsewhere)
            if len(member.images) >= THIRD and (thin or not taking.paged):
                took = _takers(seen, elsewhere=taking.elsewhere, thin=thin)
            if group.name == "site":  # convicts nobody: what nothing but the site unites shares a ration
                begun, took = min(begun, Level.SUSPECTED), min(took, Level.SUSPECTED)
            beginners, takers = max(beginners, begun), max(takers, took)
            if Level.NONE < max(begun, took) >= level:  # of equals the widest
                worst, level = group, max(begun, took)
        if worst is None:
            return facts._replace(beginners=beginners, takers=takers) if beginners or takers else facts
        worst.ration = worst.ration or Purse(now)
        return GroupFacts(beginners, takers, facts.passers, worst.name, worst.ration)


def share_ration(facts: GroupFacts, limits: tuple[Limit, ...], image: int, now: float) -> Exceeded | None:
    """Charge an original to the ration that the group shares; return the budget that has no room, or None."""
    if facts.ration is None:
        return None
    exceeded = spend_distinct(facts.ration, Budget.ORIGINALS, limits, image, now)
    return None if exceeded is None else exceeded._replace(shared=True)


def _passing(member: Member, now: float) -> GroupFacts:
    token = member.token
    if token is None or len(token.networks) < _PASSED[0]:
        return ALONE
    token.ration = token.ration or Purse(now)
    level = Level.CONVICTED if len(token.networks) >= _PASSED[1] else Level.SUSPECTED
    return GroupFacts(passers=level, group="token", ration=token.ration)
