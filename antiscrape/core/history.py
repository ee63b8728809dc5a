"""What one principal did lately and what it has spent: the only state that the judge looks at.

A store owns these records; the functions here are the only ones that write to them. They take
``now`` and do no I/O, so a recorded trace can be replayed on a fresh record and gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.observation import CLEAN, NOBODY
from antiscrape.core.resource import Kind, Resource, Size

if TYPE_CHECKING:
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
#: Counters stop here: no signal asks for more, and small integers cost no memory.
_ENOUGH = 200


class _Account:
    """What is read and written at every request, kept together: two lines of a processor's cache instead of six."""

    __slots__ = (
        "banned_until", "cookies_returned", "face", "gone", "last", "news", "requests", "rollup", "tat", "touched", "visit",
    )  # fmt: skip


class History(_Account):
    """One principal's record.

    ``key`` is the store's name for it, and ``gone`` tells that the store has let it go. ``originals``
    and ``subjects`` map identities to the time they were charged; ``visit`` is the score and findings
    of the visit when it was last reviewed, ``news`` that something was added since. ``opened`` counts the originals that were opened by
    themselves or saved, ``scripted`` those that a script fetched. ``face`` is what the latest request
    looked like: the next one mostly looks the same.
    """

    __slots__ = (
        "assets", "cookies_offered", "image", "images", "key", "minute", "minute_pages", "number", "opened", "originals",
        "pages", "run", "scripted", "subjects", "tats", "thumbnails", "traps", "unfound", "unreferred",
    )  # fmt: skip

    def __init__(self, now: float, rollup: History | None = None, *, key: str = "") -> None:
        self.key = key
        self.gone = False
        self.rollup = rollup
        self.tat = now
        self.tats: dict[str, float] | None = None
        self.originals: dict[int, float] | None = None
        self.subjects: dict[int, float] | None = None
        self.banned_until = 0.0
        self.face: Face = NOBODY
        self.touched = True
        self.last = now
        self.begin_visit()

    def begin_visit(self) -> None:
        """Forget the habits of an earlier visit; keep what was spent."""
        self.requests = self.pages = self.images = self.thumbnails = self.assets = 0
        self.unreferred = self.scripted = self.opened = self.unfound = self.traps = 0
        self.cookies_offered = 0
        self.cookies_returned = self.news = False
        self.image, self.number, self.run = -1, -1, 0
        self.minute, self.minute_pages = 0, 0
        self.visit = CLEAN

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
            self._note_image(resource, head)
        elif kind in _PAGES:
            if self.pages < _ENOUGH:
                self.pages += 1
            minute = int(now) // 60
            if minute != self.minute:
                self.minute, self.minute_pages = minute, 0
            self.minute_pages += 1
        elif kind is _ASSET:
            if self.assets < _ENOUGH:
                self.assets += 1
        elif kind is _TRAP:
            self.traps += 1

    def _note_image(self, resource: Resource, head: RequestHead) -> None:
        if resource.identity == self.image:  # the same once more: a reload, a range of it, a slow page
            return
        self.image = resource.identity
        thumbnail = resource.size is _THUMBNAIL
        if self.images < _ENOUGH:  # one bound for the three: signals weigh them against each other
            self.images += 1
            self.thumbnails += thumbnail
            if head.value(b"referer") is None:
                self.unreferred += 1
        if thumbnail:
            return
        dest = head.value(b"sec-fetch-dest")
        if dest == b"document" or (dest == b"empty" and head.value(b"sec-fetch-mode") == b"navigate"):
            self.opened += 1
        elif dest == b"empty":
            self.scripted += 1
        number = resource.number
        if number >= 0 and number != self.number:
            self.run = self.run + 1 if abs(number - self.number) == 1 else 0
            self.number = number

    def note_answer(self, *, found: bool, cookie_offered: bool) -> None:
        """Add what the site answered."""
        self.news = True
        if not found:
            self.unfound += 1
        if cookie_offered:
            self.cookies_offered += 1
