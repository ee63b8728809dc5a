"""What one principal did lately and what it has spent: the only state that the judge looks at.

A store owns these records; the functions here are the only ones that write to them. They take
``now`` and do no I/O, so a recorded trace can be replayed on a fresh record and gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from antiscrape.core.observation import CLEAN, STRANGER
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.traps import PICTURE

if TYPE_CHECKING:
    from antiscrape.core.consequences import Trouble
    from antiscrape.core.journal import Journal
    from antiscrape.core.observation import Face
    from antiscrape.core.request import RequestHead

# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_IMAGE: Final = Kind.IMAGE
_ASSET: Final = Kind.ASSET
_TRAP: Final = Kind.TRAP
_PAGES: Final = frozenset({Kind.PAGE, Kind.SUBJECT})
_HABITS: Final = _PAGES | {_IMAGE, _ASSET, _TRAP}
_THUMBNAIL: Final = Size.THUMBNAIL
_UNSIZED: Final = Size.UNTOLD

#: Seconds without a request after which a visit is over and its habits are forgotten; web analytics'
#: customary half hour. What was spent is kept: budgets have windows of their own.
VISIT = 1800.0
#: No signal asks for more than this, and small integers cost no memory. Counters that are weighed against each other
#: are halved together when one of them comes so far; the others stop.
_ENOUGH = 200
#: Seconds from one page to the next below which nobody has looked at it. People who open one link after
#: another in new tabs do so too, four times in a row at most among those recorded.
_QUICK = 1.5
#: Seconds between two originals below which they belong to one page, and how much gaps may differ that are one.
_PAUSE, _EVEN = 0.2, 0.1
#: How many bits remember the subjects of a visit: enough to tell a dozen from a few, in one small integer.
_RING = 30
#: Of a Referer no more is read: a scheme, and a host of 253 characters (RFC 1035 §2.3.4) with a port.
_LONGEST_ORIGIN = 280


class Purse:
    """What was spent, by one principal or by all of a network: what every store keeps, and every budget is held against.

    ``key`` is the store's name for it, ``gone`` tells that the store has let it go, ``touched`` that it was used since
    the store last looked, ``held_until`` the end of a ban or a cooling. ``rollup`` is the next wider network, which is charged with it. ``tat`` is the theoretical
    arrival time of requests (``gcra``), ``tats`` those of several limits and of bytes; ``originals`` and ``subjects``
    map identities to the time they were charged. What a request asks for stands in its first two cache lines.

    A store that shares its counts writes a ``journal`` of what it has yet to tell, and keeps the ``name`` of the record
    there and when all of it was last ``seen`` (on that store's clock).
    """

    __slots__ = (
        "gone", "held_until", "journal", "key", "name", "originals", "rollup", "seen", "subjects", "tat", "tats", "touched",
    )  # fmt: skip

    def __init__(self, now: float, rollup: Network | None = None, *, key: str = "") -> None:
        self.key = key
        self.gone = False
        self.touched = True
        self.held_until = 0.0
        self.rollup = rollup
        self.tat = now
        self.tats: dict[str, float] | None = None
        self.originals: dict[int, float] | None = None
        self.subjects: dict[int, float] | None = None
        self.journal: Journal | None = None
        self.name = b""
        self.seen = 0.0

    @property
    def network(self) -> str:
        """The key of the widest network around it, ``""`` where there is none."""
        wider = self.rollup
        if wider is None:
            return ""
        while wider.rollup is not None:
            wider = wider.rollup
        return wider.key


class Network(Purse):
    """A wider network's record: the budgets of its members, ``factor`` times as large."""

    __slots__ = ("factor",)

    def __init__(
        self, now: float, rollup: Network | None = None, *, key: str = "", factor: float = 1.0
    ) -> None:
        super().__init__(now, rollup, key=key)
        self.factor = factor


class Oddities:
    """What hardly any visit has, kept apart so that nobody else pays for it.

    ``abrupt`` counts the originals that were asked for out of nowhere, ``claimed`` those whose Referer names
    a page that was never asked for: both before anything else of the site was seen. ``borrowed`` counts trap
    links that were given to somebody else, ``pictures`` the trap's pictures, ``refused`` the pages that were
    refused, and ``sitemap`` tells that the sitemap was read. ``disobeyed`` counts what robots.txt asks a
    crawler of this name not to fetch, ``forbidden`` is the latest of these. ``again`` counts the originals that were
    had and fetched once more in full, since one was last asked for by its validator; ``anew`` is the latest of these.
    """

    __slots__ = (
        "abrupt", "again", "anew", "borrowed", "claimed", "disobeyed", "forbidden", "pictures", "refused", "sitemap",
    )  # fmt: skip

    def __init__(self) -> None:
        self.abrupt = self.borrowed = self.claimed = self.pictures = self.refused = 0
        self.sitemap = False
        self.disobeyed, self.forbidden = 0, -1
        self.again, self.anew = 0, -1


#: Of all visits that have none. Never written to.
_NONE: Final = Oddities()


class Pace:
    """The pace of one visit's originals: ``equal`` counts the latest gaps between them that were like the one before these."""

    __slots__ = ("_at", "_gap", "equal")

    def __init__(self, now: float) -> None:
        self._at, self._gap, self.equal = now, 0.0, 0

    def take(self, now: float) -> None:
        """Add one original; ``now`` in seconds."""
        gap = now - self._at
        self._at = now
        if gap < _PAUSE or abs(gap - self._gap) > _EVEN * self._gap:
            self._gap, self.equal = gap, 0
        elif self.equal < _ENOUGH:
            self.equal += 1


class Crowd:
    """The visits at one address beside its first, counted for half an hour: one record, which they all share.

    ``looks`` counts those that began, ``size`` those that drew pages, in this half hour or in the one before.
    """

    __slots__ = ("_before", "_drawn", "_since", "looks")

    def __init__(self, now: float) -> None:
        self._since, self._before, self.looks = now, 0, 0
        self._drawn: set[bytes] = set()

    @property
    def size(self) -> int:
        """How many visits have drawn pages, in the half hour that had more of them."""
        return max(len(self._drawn), self._before)

    def age(self, now: float) -> None:
        """Begin to count anew where half an hour is over."""
        if now - self._since > VISIT:
            self._before = len(self._drawn) if now - self._since <= 2 * VISIT else 0
            self._since, self.looks = now, 0
            self._drawn.clear()

    def note_drawn(self, look: bytes) -> None:
        """Count the visit of the software ``look`` among those that have drawn pages."""
        if len(self._drawn) < _ENOUGH:
            self._drawn.add(look)


#: Of all addresses where nobody else was seen. Never written to.
ALONE: Final = Crowd(0.0)


class History(Purse):
    """One principal's record.

    ``visit`` is the score and findings of the visit when it was last reviewed, ``news`` that something was added
    since, ``outside`` what
    speaks against the principal whatever it does: its network. ``opened`` counts the originals that were
    opened by themselves or saved, ``scripted`` those that a script fetched. ``typed`` counts the pages that
    no link led to, ``hurry`` the latest that followed each other at once, and ``ring`` has a bit for each
    subject that was opened (two may share one); ``pace`` is None before the first original. ``face`` is what the latest request looked like: the next one
    mostly looks the same. ``look`` names the client software whose visit this is; the visits of others at the
    address are recorded apart (``gate.visits``), and ``crowd`` is what all of them know of each other. ``held_until`` is
    the end of what was brought upon it by what it did, a ban or a cooling; ``trouble`` tells which (``core.consequences``).
    """

    __slots__ = (
        "asn", "assets", "cookies_offered", "cookies_returned", "crowd", "face", "hurry", "image", "images", "last", "look",
        "minute", "minute_pages", "news", "number", "odd", "opened", "outside", "pace", "page_at", "pages", "requests", "ring",
        "run", "scripted", "thumbnails", "traps", "trouble", "typed", "unfound", "unreferred", "visit",
    )  # fmt: skip

    def __init__(self, now: float, rollup: Network | None = None, *, key: str = "") -> None:
        super().__init__(now, rollup, key=key)
        self.asn = 0
        self.look = b""
        self.crowd = ALONE
        self.trouble: Trouble | None = None
        self.face: Face = STRANGER
        self.outside = CLEAN
        self.last = now
        self.begin_visit()

    @property
    def banned_until(self) -> float:
        """When the principal's ban ends; 0.0 where there was none."""
        return 0.0 if self.trouble is None else self.trouble.banned_until

    def begin_visit(self) -> None:
        """Forget the habits of an earlier visit; keep what was spent."""
        self.requests = self.pages = self.images = self.thumbnails = self.assets = 0
        self.unreferred = self.scripted = self.opened = self.unfound = self.traps = 0
        self.cookies_offered = self.typed = self.hurry = self.ring = 0
        self.page_at = -VISIT
        self.odd = _NONE
        self.cookies_returned = self.news = False
        self.image, self.number, self.run = -1, -1, 0
        self.minute, self.minute_pages = 0, 0
        self.pace: Pace | None = None
        self.visit = self.outside

    def note_request(self, resource: Resource, head: RequestHead, now: float) -> None:
        """Add one request to the visit."""
        if now - self.last > VISIT:
            self.begin_visit()
        self.last = now
        self.touched = True
        self.requests += 1
        if head.shape.cookie and not self.cookies_returned:
            self.cookies_returned = self.news = True
        if resource.kind in _HABITS and (resource.kind is not _IMAGE or resource.size is not _UNSIZED):
            self.note_kind(resource, head, now)

    def note_kind(self, resource: Resource, head: RequestHead, now: float) -> None:
        """Add what was asked for; of an untold resource or size this is known only when the answer comes."""
        self.news = True
        kind = resource.kind
        if kind is _IMAGE:
            self._note_image(resource, head, now)
        elif kind in _PAGES:
            self._note_page(resource, head, now)
        elif kind is _ASSET:
            if self.assets < _ENOUGH:
                self.assets += 1
        elif kind is _TRAP:
            if resource.path.endswith(PICTURE):
                self._oddities().pictures += 1
            else:
                self.traps += 1

    def _note_page(self, resource: Resource, head: RequestHead, now: float) -> None:
        self.pages += 1
        if self.pages >= _ENOUGH:
            self._halve()
        minute = int(now) // 60
        if minute != self.minute:
            self.minute, self.minute_pages = minute, 0
        self.minute_pages += 1
        if resource.subject:
            self.ring |= 1 << crc32(resource.subject.encode()) % _RING
        at, values = head.shape.at, head.values
        # A browser that fetches ahead of a click says so (and, of a page that a link names, "none"); frames and what
        # a script asks for come several at once.
        place = at.get(b"sec-fetch-dest")
        if b"sec-purpose" in at or (place is not None and values[place] != b"document"):
            return
        place = at.get(b"sec-fetch-site")
        if place is not None and values[place] == b"none":
            self.typed += 1
        if now - self.page_at >= _QUICK:
            self.hurry //= 2
        elif self.hurry < _ENOUGH:
            self.hurry += 1
        self.page_at = now

    def _note_image(self, resource: Resource, head: RequestHead, now: float) -> None:
        if resource.identity == self.image:  # the same once more: a reload, a range of it, a slow page
            return
        self.image = resource.identity
        thumbnail = resource.size is _THUMBNAIL
        self.images += 1
        self.thumbnails += thumbnail
        if head.value(b"referer") is None:
            self.unreferred += 1
        if self.images >= _ENOUGH:
            self._halve()
        if thumbnail:
            return
        if self.pace is None:
            self.pace = Pace(now)
        else:
            self.pace.take(now)
        if not (self.pages or self.thumbnails or self.assets or self.cookies_returned):
            self._note_entrance(head)
        dest = head.value(b"sec-fetch-dest")
        if dest == b"document" or (dest == b"empty" and head.value(b"sec-fetch-mode") == b"navigate"):
            self.opened += 1
        elif dest == b"empty":
            self.scripted += 1
        number = resource.number
        if number >= 0 and number != self.number:
            self.run = self.run + 1 if abs(number - self.number) == 1 else 0
            self.number = number

    def _halve(self) -> None:
        """Keep the shares of what was asked for, by which a long visit, or one of many people, is weighed.

        Counters that stop one after the other make of an hour's worth of people a bot, and nothing of a bot that
        begins with two hundred thumbnails. One page or thumbnail stays one: that there were any counts by itself.
        """
        referred = (self.images - self.unreferred + 1) // 2
        self.images = (self.images + 1) // 2
        self.unreferred = self.images - referred
        self.pages, self.thumbnails = (self.pages + 1) // 2, (self.thumbnails + 1) // 2
        self.typed //= 2
        self.opened //= 2

    def _note_entrance(self, head: RequestHead) -> None:
        """Add an original that is asked for before anything else of the site was."""
        referer = head.value(b"referer")
        if referer is not None:
            if names_host(referer, head.host):
                self._oddities().claimed += 1
        elif head.value(b"sec-fetch-site") != b"cross-site":  # not a picture that another site shows
            self._oddities().abrupt += 1

    def _oddities(self) -> Oddities:
        """Return what is odd about this visit, to be added to."""
        self.news = True
        if self.odd is _NONE:
            self.odd = Oddities()
        return self.odd

    def note_sitemap(self) -> None:
        """Add that the site's sitemap was read."""
        self._oddities().sitemap = True

    def note_refused(self, resource: Resource) -> None:
        """Add an answer 403, 410 or 429, the site's or ours. Only pages count: a page's pictures ask by themselves."""
        if resource.kind in _PAGES:
            self._oddities().refused += 1

    def note_disobeyed(self, resource: Resource) -> None:
        """Add what robots.txt disallows for a crawler of the name that the client gives."""
        odd = self._oddities()
        if resource.identity != odd.forbidden:
            odd.forbidden = resource.identity
            odd.disobeyed += 1

    def note_again(self, resource: Resource, head: RequestHead) -> None:
        """Add an original that is asked for, if this visitor has had it: in full, or as who has kept it asks."""
        if resource.identity not in (self.originals or ()):
            return
        if head.shape.conditional:
            if self.odd is not _NONE:
                self.odd.again = 0
        elif head.method == "GET" and self.odd.anew != resource.identity:  # a reload, and another one, is one
            odd = self._oddities()
            odd.anew = resource.identity
            odd.again += odd.again < _ENOUGH

    def forget_pace(self) -> None:
        """Forget when originals were asked for: their times were made up."""
        self.pace = None

    def note_borrowed(self) -> None:
        """Add that a trap link was followed that had been given to somebody else."""
        self._oddities().borrowed += 1

    def note_answer(self, *, found: bool, cookie_offered: bool) -> None:
        """Add what the site answered."""
        self.news = True
        if not found:
            self.unfound += 1
        if cookie_offered:
            self.cookies_offered += 1


def names_host(url: bytes, host: str) -> bool:
    """Tell whether an absolute URL, as a Referer is one, is of ``host``, on whatever port."""
    _, found, rest = url[:_LONGEST_ORIGIN].lower().partition(b"://")
    name = host.encode("latin-1")
    return (
        bool(found) and rest.startswith(name) and rest[len(name) : len(name) + 1] in {b"", b"/", b":", b"?"}
    )
