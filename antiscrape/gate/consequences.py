"""Consequences: what follows from a verdict for those that come after it, written down where the judge is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.consequences import cooling_left, note_excess, note_subjects, subjects_spent
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.verdict import Action, Budget, Mode, Standing, Verdict

if TYPE_CHECKING:
    from antiscrape.core.history import History
    from antiscrape.core.rules import Policy
    from antiscrape.core.verdict import Exceeded
    from antiscrape.gate.passage import Passage
    from antiscrape.ports import UsageStore

# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_BANNED: Final = Standing.BANNED
_LIMIT: Final = Action.LIMIT
_SUBJECTS: Final = Budget.SUBJECTS
_IMAGE: Final = Kind.IMAGE
_ORIGINAL: Final = Size.ORIGINAL
#: Whose standing is lowered for excess: a bot's is as low as that goes, and what stands beside the ladder does not move.
_FALLING: Final = frozenset({Standing.MEMBER, Standing.PROVEN, Standing.BROWSER, Standing.UNKNOWN})


class Consequences:
    """Bans, strikes and coolings by one policy, kept by one store."""

    def __init__(self, policy: Policy, store: UsageStore) -> None:
        self._policy = policy
        self._rules = policy.cooling
        self._store = store
        self._shadow = policy.mode is Mode.SHADOW

    def cooling(self, payer: History, now: float) -> float:
        """Return the seconds for which the standing of ``payer`` is still lowered."""
        return cooling_left(payer, now) if self._rules.enabled else 0.0

    def begins(self, payer: History, verdict: Verdict, now: float) -> bool:
        """Take note of a spent request budget; tell whether a cooling begins with it.

        A strike is the doing of one client, so the budget of the network around it leads to none.
        """
        spent = verdict.exceeded
        if verdict.action is not _LIMIT or spent is None or spent.shared or verdict.standing not in _FALLING:
            return False
        rules = self._rules
        level = note_excess(payer, spent.wait, rules, now, told=not self._shadow) if rules.enabled else 0
        if level:
            self._store.cool(payer, now + rules.length(level), level)
        return level > 0

    def beyond(self, payer: History, resource: Resource, now: float) -> Exceeded | None:
        """Return the spent budget of subjects that an original falls under which does not say whose it is."""
        if payer.trouble is None or resource.subject or resource.kind is not _IMAGE:
            return None
        return subjects_spent(payer, now) if resource.size is _ORIGINAL else None

    def follow(self, passage: Passage, payer: History, verdict: Verdict, now: float) -> Verdict:
        """See to what follows: a ban that begins, a subject beyond the budget, a shadow that changes nothing."""
        spent, resource = verdict.exceeded, passage.resource
        if verdict.standing is _BANNED and passage.history.banned_until <= now:
            self._store.ban(passage.history, now + self._policy.ban_seconds)
        if (
            spent is not None
            and spent.budget is _SUBJECTS
            and not spent.shared
            and resource.kind is not _IMAGE
        ):
            note_subjects(payer, spent, now)
        if self._shadow and not verdict.plain:
            return verdict._replace(shadowed=True)
        return verdict
