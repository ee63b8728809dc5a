"""Everything that the check needs, put together once: challenges, steps, words, pages, files, and who holds what."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from antiscrape.browser.challenge import Challenges
from antiscrape.browser.languages import Languages
from antiscrape.browser.pages import Pages
from antiscrape.browser.parts import Parts
from antiscrape.browser.steps import Steps
from antiscrape.browser.tag import Tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.budgets import Limit
    from antiscrape.core.clearance import ClearanceRules
    from antiscrape.core.tokens import KeyRing
    from antiscrape.gate.holders import Holders


class Spends(Protocol):
    """Remembers what was spent, for all workers where it can."""

    async def spend_once(self, token: bytes) -> bool:
        """Spend ``token``; tell whether it had not been spent."""
        ...


class Rations(Protocol):
    """Rations clearances by address, for all workers where it can."""

    async def issue(self, address: str, limit: Limit) -> float:
        """Take note that ``address`` is given one; return 0.0, or the seconds after which it may have another."""
        ...

    def doublings(self, address: str, limit: Limit) -> int:
        """Return how many times harder, as a power of two, the next one is."""
        ...


class Room(NamedTuple):
    """The check of one site. ``tag`` is what pages are given, None for nothing."""

    rules: ClearanceRules
    holders: Holders
    once: Spends
    challenges: Challenges
    steps: Steps
    languages: Languages
    pages: Pages
    parts: Parts
    tag: Tag | None
    issues: Rations
    wall: Callable[[], float]

    def rekey(self, keys: KeyRing) -> None:
        """Go on with other secrets: what only one that was taken off had sealed ends at once."""
        for part in (self.holders, self.challenges, self.steps):
            part.rekey(keys)


def open_room(
    rules: ClearanceRules,
    keys: KeyRing,
    *,
    holders: Holders,
    once: Spends,
    issues: Rations,
    wall: Callable[[], float],
) -> Room:
    """Return the room of a site; raise ``ConfigurationError`` where ALTCHA's library is missing."""
    languages, parts = Languages(), Parts()
    pages = Pages(languages, rules.path, wait=rules.wait)
    tag = None
    if rules.inject:
        tag = Tag(pages, languages, rules.path, parts.version, links=rules.link, clock=wall)
    return Room(
        rules=rules,
        holders=holders,
        once=once,
        challenges=Challenges(keys, wall=wall),
        steps=Steps(keys, wait=rules.wait, wall=wall),
        languages=languages,
        pages=pages,
        parts=parts,
        tag=tag,
        issues=issues,
        wall=wall,
    )
