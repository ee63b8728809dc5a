"""Places: what the gate knows of a path before anybody asks for it, and what it learns from the site's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.judge import PLAIN, decide
from antiscrape.core.memo import Memo
from antiscrape.core.observation import CLEAN, NeedsUsage, Observation
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.routes import RouteTable
from antiscrape.core.verdict import Standing
from antiscrape.gate.passage import Place

if TYPE_CHECKING:
    from antiscrape.core.budgets import Limit
    from antiscrape.core.clearance import Level
    from antiscrape.core.rules import Policy
    from antiscrape.core.verdict import Verdict

#: Paths that are asked for again; the long tail of a large site is worked out anew in microseconds.
_PATHS = 32_768
_LONGEST_PATH = 512


class Places:
    """Finds places by their raw paths, as whoever holds a clearance of ``level`` meets them.

    ``known`` are those that were asked for lately, for hot paths.
    """

    def __init__(self, policy: Policy, level: Level | None = None) -> None:
        self._policy = policy
        self._level = level
        self._routes = RouteTable(policy.routes, ignore_case=policy.ignore_case)
        self._usual = {kind: self._usual_answer(kind) for kind in Kind}
        #: What is asked of the store where nothing speaks against a request and its verdict is plain, by kind.
        self.asked = {kind: self._asked_for(kind) for kind in Kind}
        self.known: Memo[bytes, Place] = Memo(_PATHS)

    def find(self, raw_path: bytes) -> Place:
        """Return the place at ``raw_path``; raise ``RequestError`` where it has two readings."""
        place = self.known.get(raw_path)
        if place is None:
            resource = self._routes.classify(raw_path)
            place = self._at(resource)
            if len(raw_path) <= _LONGEST_PATH:
                self.known.put(raw_path, place)
        return place

    def learn(self, raw_path: bytes, kind: Kind, size: Size) -> None:
        """Remember what a path that no route names turned out to hold, for the next request to it."""
        place = self.known.get(raw_path)
        if place is None:
            return
        known = place.resource
        if known.kind in {Kind.UNTOLD, kind}:
            learned = Size.ORIGINAL if size is Size.ORIGINAL else known.size
            self.known.put(raw_path, self._at(known._replace(kind=kind, size=learned)))

    def _at(self, resource: Resource) -> Place:
        return Place(resource, *self._usual[resource.kind], self.asked[resource.kind])

    def _usual_answer(self, kind: Kind) -> tuple[Limit | None, Verdict | None]:
        """Return the limit to charge where nothing speaks against a request, and the verdict within it.

        No limit is charged where there is none; no verdict stands where there are several.
        """
        answer = self._answer(kind)
        if not isinstance(answer, NeedsUsage):
            return None, answer
        allowance = answer.allowance
        several = allowance.requests and allowance.only is None
        return allowance.only, None if several else answer.within

    def _asked_for(self, kind: Kind) -> NeedsUsage | None:
        """Return what the judge asks about a request that nothing speaks against, if all that follows is a plain verdict."""
        answer = self._answer(kind)
        if not isinstance(answer, NeedsUsage) or answer.allowance.standing is Standing.BANNED:
            return None
        return answer if answer.within is PLAIN[answer.within.standing] else None

    def _answer(self, kind: Kind) -> Verdict | NeedsUsage:
        clean = Observation(Resource(kind, "", 0), CLEAN, CLEAN, banned=False, grant=None, level=self._level)
        return decide(clean, self._policy)
