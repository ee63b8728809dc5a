"""What one principal did lately and what it has spent: the only state that the judge looks at.

A store owns these records; the functions here are the only ones that write to them. They take
``now`` and do no I/O, so a recorded trace can be replayed on a fresh record and gives the same.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final
from zlib import crc32

from antiscrape.core.habits import (
    ALONE,
    ENOUGH,
    FRESH,
    HABITS_BYTES,
    NONE,
    ODDITIES_BYTES,
    PACE_BYTES,
    VISIT,
    Habits,
    Oddities,
    Pace,
)
from antiscrape.core.observation import CLEAN, STRANGER
from antiscrape.core.purse import Network, Purse, Scale
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.traps import PICTURE

if TYPE_CHECKING:
    from antiscrape.core.consequences import Trouble
    from antiscrape.core.observation import Face
    from antiscrape.core.request import RequestHead

# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_IMAGE: Final = Kind.IMAGE
_ASSET: Final = Kind.ASSET
_TRAP: Final = Kind.TRAP
_PAGES: Final = frozenset({Kind.PAGE, Kind.SUBJECT})
#: Kinds of what adds to a visit's habits.
HABITS: Final = _PAGES | {_IMAGE, _ASSET, _TRAP}
_THUMBNAIL: Final = Size.THUMBNAIL
_UNSIZED: Final = Size.UNTOLD

#: Seconds of which it does not matter when a request was made: whoever comes in them shares one float.
TICK = 1.0
#: Seconds from one page to the next below which nobody has looked at it. People who open one link after
#: another in new tabs do so too, four times in a row at most among those recorded.
_QUICK = 1.5
#: How many bits remember the subjects of a visit: enough to tell a dozen from a few, in one small integer.
_RING = 30
#: Of a Referer no more is read: a scheme, and a host of 253 characters (RFC 1035 §2.3.4) with a port.
_LONGEST_ORIGIN = 280


def _number(name: str) -> int:
    """Let a record's signals read one of its habits' numbers as its own, without a Python call."""
    return property(attrgetter("habits." + name))  # type: ignore[return-value]  # a property reads as what it gets


class History(Purse):
    """One principal's record.

    ``visit`` is the score and findings of the visit when it was last reviewed, ``news`` that something was added
    since, ``outside`` what speaks against the principal whatever it does: its network. ``last`` is when it asked
    last, give or take a tick; ``requests`` counts the visit's, and ``habits`` is what it did. ``face`` is what the
    latest request looked like: the next one mostly looks the same. ``look`` names the client software whose visit
    this is; the visits of others at the address are recorded apart (``gate.visits``), and ``crowd`` is what all of
    them know of each other. ``held_until`` is the end of what was brought upon it by what it did, a ban or a cooling;
    ``trouble`` tells which (``core.consequences``). ``scale`` is where a store weighs the record, None where none does;
    ``met`` marks when somebody last looked where its network places it (``gate.clients``).

    Signals read a visit's numbers as the record's own.
    """

    __slots__ = (
        "asn", "cookies_returned", "crowd", "face", "habits", "held_until", "last", "look", "met", "news", "outside", "requests", "scale",
        "trouble", "visit",
    )  # fmt: skip

    def __init__(self, now: float, rollup: Network | None = None, *, key: str = "") -> None:
        super().__init__(now, rollup, key=key)
        self.scale: Scale | None = None
        self.met: object = None
        self.asn = 0
        self.look = b""
        self.crowd = ALONE
        self.held_until = 0.0
        self.trouble: Trouble | None = None
        self.face: Face = STRANGER
        self.outside = self.visit = CLEAN
        self.last = now
        self.requests = 0
        self.cookies_returned = self.news = False
        self.habits = FRESH

    assets, images, pages, thumbnails, typed, unreferred = map(
        _number, ("assets", "images", "pages", "thumbnails", "typed", "unreferred")
    )
    cookies_offered, hurry, minute_pages, ring, run = map(
        _number, ("cookies_offered", "hurry", "minute_pages", "ring", "run")
    )
    opened, scripted, traps, unfound = map(
        _number, ("odd.opened", "odd.scripted", "odd.traps", "odd.unfound")
    )

    @property
    def banned_until(self) -> float:
        """When the principal's ban ends; 0.0 where there was none."""
        return 0.0 if self.trouble is None else self.trouble.banned_until

    @property
    def pace(self) -> Pace | None:
        """The pace of the visit's originals; None before the first."""
        return self.habits.pace

    @property
    def odd(self) -> Oddities:
        """What is odd about the visit; not to be written to."""
        return self.habits.odd

    def begin_visit(self) -> None:
        """Forget the habits of an earlier visit; keep what was spent."""
        self.requests = 0
        self.cookies_returned = self.news = False
        self._weigh(-self.habits_bytes)
        self.habits = FRESH
        self.visit = self.outside

    @property
    def habits_bytes(self) -> int:
        """What the visit's habits weigh."""
        if self.habits is FRESH:
            return 0
        habits = self.habits
        odd = 0 if habits.odd is NONE else ODDITIES_BYTES
        return HABITS_BYTES + odd + (0 if habits.pace is None else PACE_BYTES)

    def _weigh(self, more: int) -> None:
        if self.scale is not None:
            self.scale.bytes += more

    def own_habits(self) -> Habits:
        """Return the visit's habits, to be added to."""
        if self.habits is FRESH:
            self.habits = Habits()
            self._weigh(HABITS_BYTES)
        return self.habits

    def own_oddities(self) -> Oddities:
        """Return what is odd about this visit, to be added to."""
        habits = self.own_habits()
        if habits.odd is NONE:
            habits.odd = Oddities()
            self._weigh(ODDITIES_BYTES)
        return habits.odd

    def note_request(self, resource: Resource, head: RequestHead, now: float) -> None:
        """Add one request to the visit."""
        gap = now - self.last
        if gap > TICK:
            if gap > VISIT:
                self.begin_visit()
            self.last = now
        self.requests += 1
        if head.shape.cookie and not self.cookies_returned:
            self.cookies_returned = self.news = True
        if resource.kind in HABITS and (resource.kind is not _IMAGE or resource.size is not _UNSIZED):
            self.note_kind(resource, head, now)

    def note_kind(self, resource: Resource, head: RequestHead, now: float) -> None:
        """Add what was asked for; of an untold resource or size this is known only when the answer comes."""
        kind = resource.kind
        if kind is _IMAGE and resource.identity == self.habits.image:
            return  # the same once more: a reload, a range of it, a slow page
        self.news = True
        if kind is _IMAGE:
            self._note_image(resource, head, now)
        elif kind in _PAGES:
            self._note_page(resource, head, now)
        elif kind is _ASSET:
            habits = self.own_habits()
            if habits.assets < ENOUGH:
                habits.assets += 1
        elif kind is _TRAP:
            if resource.path.endswith(PICTURE):
                self.own_oddities().pictures += 1
            else:
                self.own_oddities().traps += 1

    def _note_page(self, resource: Resource, head: RequestHead, now: float) -> None:
        habits = self.own_habits()
        habits.pages += 1
        if habits.pages >= ENOUGH:
            habits.halve()
        # Small integers cost no memory, and no page of a visit lies four hours back.
        minute = int(now) // 60 & 255
        if minute != habits.minute:
            habits.minute, habits.minute_pages = minute, 0
        habits.minute_pages += 1
        if resource.subject:
            habits.ring |= 1 << crc32(resource.subject.encode()) % _RING
        at, values = head.shape.at, head.values
        # A browser that fetches ahead of a click says so (and, of a page that a link names, "none"); frames and what
        # a script asks for come several at once.
        place = at.get(b"sec-fetch-dest")
        if b"sec-purpose" in at or (place is not None and values[place] != b"document"):
            return
        place = at.get(b"sec-fetch-site")
        if place is not None and values[place] == b"none":
            habits.typed += 1
        if now - habits.page_at >= _QUICK:
            habits.hurry //= 2
        elif habits.hurry < ENOUGH:
            habits.hurry += 1
        habits.page_at = now

    def _note_image(self, resource: Resource, head: RequestHead, now: float) -> None:
        habits = self.own_habits()
        habits.image = resource.identity
        thumbnail = resource.size is _THUMBNAIL
        habits.images += 1
        habits.thumbnails += thumbnail
        if head.value(b"referer") is None:
            habits.unreferred += 1
        if habits.images >= ENOUGH:
            habits.halve()
        if thumbnail:
            return
        if habits.pace is None:
            habits.pace = Pace(now)
            self._weigh(PACE_BYTES)
        else:
            habits.pace.take(now)
        if not (habits.pages or habits.thumbnails or habits.assets or self.cookies_returned):
            self._note_entrance(head)
        dest = head.value(b"sec-fetch-dest")
        if dest == b"document" or (dest == b"empty" and head.value(b"sec-fetch-mode") == b"navigate"):
            self.own_oddities().opened += 1
        elif dest == b"empty":
            self.own_oddities().scripted += 1
        number = resource.number
        if number >= 0 and number != habits.number:
            habits.run = habits.run + 1 if abs(number - habits.number) == 1 else 0
            habits.number = number

    def _note_entrance(self, head: RequestHead) -> None:
        """Add an original that is asked for before anything else of the site was."""
        referer = head.value(b"referer")
        if referer is not None:
            if names_host(referer, head.host):
                self._odd_news().claimed += 1
        elif head.value(b"sec-fetch-site") != b"cross-site":  # not a picture that another site shows
            self._odd_news().abrupt += 1

    def _odd_news(self) -> Oddities:
        self.news = True
        return self.own_oddities()

    def note_invented(self, token: int) -> None:
        """Add a grant that nobody made, once for each; ``token`` tells one from the next."""
        odd = self.own_oddities()
        if odd.invented != token and odd.forged < ENOUGH:
            odd.invented = token
            odd.forged += 1
            self.news = True

    def note_sitemap(self) -> None:
        """Add that the site's sitemap was read."""
        self._odd_news().sitemap = True

    def note_refused(self, resource: Resource) -> None:
        """Add an answer 403, 410 or 429, the site's or ours. Only pages count: a page's pictures ask by themselves."""
        if resource.kind in _PAGES:
            self._odd_news().refused += 1

    def note_disobeyed(self, resource: Resource) -> None:
        """Add what robots.txt disallows for a crawler of the name that the client gives."""
        odd = self._odd_news()
        if resource.identity != odd.forbidden:
            odd.forbidden = resource.identity
            odd.disobeyed += 1

    def note_again(self, resource: Resource, head: RequestHead) -> None:
        """Add an original that is asked for, if this visitor has had it: in full, or as who has kept it asks."""
        if resource.identity not in (self.originals or ()):
            return
        if head.shape.conditional:
            if self.odd is not NONE:
                self.odd.again = 0
        elif head.method == "GET" and self.odd.anew != resource.identity:  # a reload, and another one, is one
            odd = self._odd_news()
            odd.anew = resource.identity
            odd.again += odd.again < ENOUGH

    def forget_pace(self) -> None:
        """Forget when originals were asked for: their times were made up."""
        if self.habits.pace is not None:
            self.habits.pace = None
            self._weigh(-PACE_BYTES)

    def note_borrowed(self) -> None:
        """Add that a trap link was followed that had been given to somebody else."""
        self._odd_news().borrowed += 1

    def note_probes(self, found: int) -> None:
        """Add what the browser check found, as bits of ``core.probes.Found``."""
        if found:
            self._odd_news().probes |= found

    def note_answer(self, *, found: bool, cookie_offered: bool) -> None:
        """Add what the site answered."""
        self.news = True
        if not found:
            self.own_oddities().unfound += 1
        if cookie_offered:
            self.own_habits().cookies_offered += 1


def names_host(url: bytes, host: str) -> bool:
    """Tell whether an absolute URL, as a Referer is one, is of ``host``, on whatever port."""
    _, found, rest = url[:_LONGEST_ORIGIN].lower().partition(b"://")
    name = host.encode("latin-1")
    return (
        bool(found) and rest.startswith(name) and rest[len(name) : len(name) + 1] in {b"", b"/", b":", b"?"}
    )
