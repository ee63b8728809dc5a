"""What one visit did, as far as signals ask: counters that are made when they are first needed."""

from __future__ import annotations

from typing import Final

#: Seconds without a request after which a visit is over and its habits are forgotten; web analytics'
#: customary half hour. What was spent is kept: budgets have windows of their own.
VISIT: Final = 1800.0
#: No signal asks for more than this, and small integers cost no memory. Counters that are weighed against each other
#: are halved together when one of them comes so far; the others stop.
ENOUGH: Final = 200
#: Seconds between two originals below which they belong to one page, and how much gaps may differ that are one.
_PAUSE, _EVEN = 0.2, 0.1


class Oddities:
    """What hardly any visit has, kept apart so that nobody else pays for it.

    ``abrupt`` counts the originals that were asked for out of nowhere, ``claimed`` those whose Referer names
    a page that was never asked for: both before anything else of the site was seen. ``borrowed`` counts trap
    links that were given to somebody else, ``pictures`` the trap's pictures, ``traps`` its pages, ``refused`` the
    pages that were refused, ``unfound`` what was not found, and ``sitemap`` tells that the sitemap was read.
    ``opened`` counts the originals that were opened by themselves or saved, ``scripted`` those that a script
    fetched. ``disobeyed`` counts what robots.txt asks a crawler of this name not to fetch, ``forbidden`` is the
    latest of these. ``forged`` counts the different grants that nobody made and ``invented`` is the latest of these. ``again`` counts the originals that were had and fetched once more in full, since one was last
    asked for by its validator; ``anew`` is the latest of these. ``probes`` is what the browser check found (``core.probes``).
    """

    __slots__ = (
        "abrupt", "again", "anew", "borrowed", "claimed", "disobeyed", "forbidden", "forged", "invented", "opened", "pictures",
        "probes",
        "refused", "scripted", "sitemap", "traps", "unfound",
    )  # fmt: skip

    def __init__(self) -> None:
        self.abrupt = self.borrowed = self.claimed = self.pictures = self.refused = 0
        self.opened = self.probes = self.scripted = self.traps = self.unfound = 0
        self.sitemap = False
        self.disobeyed, self.forbidden = 0, -1
        self.again, self.anew = 0, -1
        self.forged, self.invented = 0, -1


#: Of all visits that have none. Never written to.
NONE: Final = Oddities()
_LONG_AGO: Final = -VISIT


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
        elif self.equal < ENOUGH:
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
        if len(self._drawn) < ENOUGH:
            self._drawn.add(look)


#: Of all addresses where nobody else was seen. Never written to.
ALONE: Final = Crowd(0.0)


class Habits:
    """What a visit did, kept apart: of a flood of strangers that ask once, nobody has any.

    ``typed`` counts the pages that no link led to, ``hurry`` the latest that followed each other at once, and
    ``ring`` has a bit for each subject that was opened (two may share one). ``run`` is how many originals in a row
    had neighbouring numbers; ``pace`` is None before the first original. ``odd`` is what hardly any visit has.
    """

    __slots__ = (
        "assets", "cookies_offered", "hurry", "image", "images", "minute", "minute_pages", "number", "odd", "pace",
        "page_at", "pages", "ring", "run", "thumbnails", "typed", "unreferred",
    )  # fmt: skip

    def __init__(self) -> None:
        self.pages = self.images = self.thumbnails = self.assets = 0
        self.unreferred = self.cookies_offered = self.typed = self.hurry = self.ring = 0
        self.page_at = _LONG_AGO
        self.image, self.number, self.run = -1, -1, 0
        self.minute, self.minute_pages = 0, 0
        self.pace: Pace | None = None
        self.odd = NONE

    def halve(self) -> None:
        """Keep the shares of what was asked for, by which a long visit, or one of many people, is weighed.

        Counters that stop one after the other make of an hour's worth of people a bot, and nothing of a bot that
        begins with two hundred thumbnails. One page or thumbnail stays one: that there were any counts by itself.
        """
        referred = (self.images - self.unreferred + 1) // 2
        self.images = (self.images + 1) // 2
        self.unreferred = self.images - referred
        self.pages, self.thumbnails = (self.pages + 1) // 2, (self.thumbnails + 1) // 2
        self.typed //= 2
        if self.odd is not NONE:
            self.odd.opened //= 2


#: Of all visits that have done nothing yet. Never written to.
FRESH: Final = Habits()
#: What the garbage collector adds to an object (CPython, 64 bits).
_COLLECTED: Final = 16
HABITS_BYTES: Final = Habits.__basicsize__ + _COLLECTED + 24  # and a float of its own, ``page_at``
ODDITIES_BYTES: Final = Oddities.__basicsize__ + _COLLECTED
PACE_BYTES: Final = Pace.__basicsize__ + _COLLECTED + 48  # and two floats of its own
