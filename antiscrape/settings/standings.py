"""The tables ``[standing.<name>]``: what each standing of the ladder may have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from antiscrape.core.budgets import parse_limits
from antiscrape.core.verdict import Rendition
from antiscrape.settings.table import Remark, RenditionName, Table
from antiscrape.settings.units import Distinct, Limits, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.budgets import Limit

#: From all of a picture to nothing of it; a spent budget may only lead downwards.
BEST_FIRST = (Rendition.ORIGINAL, Rendition.MARKED, Rendition.PREVIEW, Rendition.DECOY, Rendition.REFUSED)

Requests = Annotated[
    Limits,
    Field(
        description="How many requests of any kind, per window. A gallery page draws forty pictures at once, so "
        "windows of minutes are kinder than seconds. A spent budget is answered 429 with an honest Retry-After."
    ),
]
Originals = Annotated[
    Distinct,
    Field(
        description="How many distinct images in full quality, per window; the same image again costs nothing. "
        "People were measured at 0 to 15 in their busiest minute and under 60 in a visit, patient scrapers at 16 "
        "to 60 a minute: the budget of a day tells them apart, no rate does. 0: none at all."
    ),
]
Subjects = Annotated[
    Distinct,
    Field(
        description="How many distinct subjects (profiles, albums; see {subject} in the routes), per window: the "
        "count that privacy authorities ask sites to limit, per hour and per day. Beyond it the page can still be read, "
        "and originals are what beyond says: the subject's own, and those that do not say whose they are."
    ),
]
Volumes = Annotated[
    Volume,
    Field(
        description='How many bytes of images, per window, such as "400MB/hour". kB, MB, GB, KiB, MiB, GiB.'
    ),
]
Within = Annotated[
    RenditionName,
    Field(
        description="What an image request gets within the budgets: original, marked (full size, with a "
        "visible mark), preview (nothing of a face left), decoy (a synthetic picture) or refused (403)."
    ),
]
Beyond = Annotated[
    RenditionName,
    Field(
        description="What an image request gets once originals, subjects or bytes are spent; never better than rendition."
    ),
]
Refuse = Annotated[bool, Field(description="Answer every request 403, but those of exempt routes.")]


class StandingTable(Table):
    """The budgets of one standing: amounts per window, several separated by commas, all of which hold."""

    requests: Requests = "unlimited"
    originals: Originals = "unlimited"
    subjects: Subjects = "unlimited"
    bytes: Volumes = "unlimited"
    rendition: Within = Rendition.ORIGINAL
    beyond: Beyond = Rendition.PREVIEW
    refuse: Refuse = False

    def contradictions(self) -> Iterator[Remark]:
        """Yield a rendition that gets better by spending the budget."""
        if BEST_FIRST.index(self.beyond) < BEST_FIRST.index(self.rendition):
            words = f'"{self.beyond.value}" is better than rendition, which is "{self.rendition.value}"'
            yield ("beyond",), words


class Banned(StandingTable):
    """Reached score.banned_at, and stays here for score.ban."""

    rendition: Within = Rendition.REFUSED
    beyond: Beyond = Rendition.REFUSED
    refuse: Refuse = True


class _Suspect(StandingTable):
    originals: Originals = "0"
    rendition: Within = Rendition.PREVIEW

    def doubts(self) -> Iterator[Remark]:
        """Yield originals that are given to whom the evidence speaks against."""
        free = not any(limit.amount == 0 for limit in parse_limits(self.originals))
        if self.rendition in {Rendition.ORIGINAL, Rendition.MARKED} and free:
            yield ("rendition",), "gives full-size images to those whom the evidence speaks against"


class Bot(_Suspect):
    """Says that it is a program, or the evidence adds up to score.bot_at. It may read pages; images are previews."""

    requests: Requests = "120/min"


class Unknown(_Suspect):
    """Evidence from score.unknown_at on, too little to call it a bot. A person here sees previews until cleared."""

    requests: Requests = "240/min"


class Browser(StandingTable):
    """Looks like a browser in every way that can be seen, and has proven nothing."""

    requests: Requests = "600/5min"
    originals: Originals = "40/10min, 60/day"
    subjects: Subjects = "30/hour, 100/day"
    bytes: Volumes = "400MB/hour"


class Proven(StandingTable):
    """Holds a clearance: a browser that has done the check. A pass is a budget, not a key."""

    requests: Requests = "1200/5min"
    originals: Originals = "120/10min, 400/day"
    subjects: Subjects = "60/hour, 200/day"
    bytes: Volumes = "1GB/hour"


class Member(StandingTable):
    """Signed in to the site."""

    requests: Requests = "1800/5min"
    originals: Originals = "240/10min, 1000/day"
    subjects: Subjects = "120/hour, 400/day"
    bytes: Volumes = "3GB/hour"


class Standings(Table):
    """What each standing may have. What verified crawlers and partners may have, stands in [crawler] and [[partners]]."""

    banned: Banned = Banned.usual()
    bot: Bot = Bot.usual()
    unknown: Unknown = Unknown.usual()
    browser: Browser = Browser.usual()
    proven: Proven = Proven.usual()
    member: Member = Member.usual()

    def doubts(self) -> Iterator[Remark]:
        """Yield what a check takes away: a standing that is lowered, by a cooling for one, would have more than before."""
        for key in ("originals", "subjects"):
            browser, proven = (
                parse_limits(getattr(self.browser, key)),
                parse_limits(getattr(self.proven, key)),
            )
            for limit in proven:
                if _most(browser, limit.window) > limit.amount:
                    words = f"{limit.text} is less than standing.browser has in that time, without the check"
                    yield ("proven", key), words


def _most(limits: tuple[Limit, ...], seconds: float) -> float:
    """Return how much limits grant within so many seconds, at most."""
    return min([limit.amount * math.ceil(seconds / limit.window) for limit in limits], default=math.inf)
