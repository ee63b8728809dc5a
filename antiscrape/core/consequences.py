"""What a principal has brought upon itself: a ban, strikes and the cooling they lead to, a count of subjects that is spent.

A spent request budget is answered 429, and that is all that one excess costs. Whoever goes on like that
stands one step lower for a while (``Cooling``), and then where it stood before. What is counted is the
*episode*, not the request:

* A browser that meets a spent budget amidst a page has forty requests under way and repeats none of them, so
  an episode lasts from its first refusal until a quiet minute has followed the wait that was told. It is one strike.
* Whoever waits as long as it is told, asks, and is refused again later has obeyed, however often: the
  same episode. Whoever asks on before the wait is over is hammering: every ``HAMMERED`` such requests are a
  strike more, one a minute at most.

Image budgets have their consequence in the picture, and lead to no strike: a page shows pictures whether its
reader has any left or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from antiscrape.core.verdict import Exceeded, Standing

if TYPE_CHECKING:
    from antiscrape.core.history import History

#: Seconds without a refusal, after the wait that was told, that end an episode; and between two strikes of one.
QUIET: Final = 60.0
#: Requests during the wait that was told that are another strike: more than a page draws (60 to 80 in galleries).
HAMMERED: Final = 100
#: Doublings of a cooling that are told apart; the longest that a policy may name is reached long before.
_MOST_LEVELS: Final = 20

#: Where one stands while cooling. Nobody is banned by this alone, and a bot has nothing left to lose.
LOWERED: Final = {
    Standing.MEMBER: Standing.BROWSER,
    Standing.PROVEN: Standing.BROWSER,
    Standing.BROWSER: Standing.UNKNOWN,
    Standing.UNKNOWN: Standing.BOT,
}


@dataclass(frozen=True, slots=True)
class CoolingRules:
    """When a standing is lowered, and for how long. All times in seconds."""

    enabled: bool = True
    strikes: int = 5
    within: float = 3600.0
    lasts: float = 900.0
    longest: float = 86_400.0
    forgets: float = 86_400.0  # without any trouble, after which the next cooling is a first one again

    def length(self, level: int) -> float:
        """Return how long the cooling of ``level`` lasts: the first has level 1, each one after it is twice as long."""
        return min(self.lasts * 2.0 ** (min(level, _MOST_LEVELS) - 1), self.longest)


class Trouble:
    """What hardly any principal has, kept apart so that nobody else pays for it.

    ``level`` counts the coolings that were not forgotten. ``strikes`` are the times of the latest,
    ``told_until`` is when the wait that was told last ends, ``quiet_at`` when the episode will have ended,
    ``hammered`` counts the requests that did not wait. ``subjects`` is the budget of subjects that had no
    room for the latest page, until ``subjects_until``.
    """

    __slots__ = (
        "banned_until", "cooled_until", "hammered", "level", "quiet_at", "strikes", "subjects", "subjects_until", "told_until",
    )  # fmt: skip

    def __init__(self) -> None:
        self.banned_until = self.cooled_until = 0.0
        self.level = self.hammered = 0
        self.strikes: tuple[float, ...] = ()
        self.told_until = self.quiet_at = self.subjects_until = 0.0
        self.subjects: Exceeded | None = None


def ban(history: History, until: float) -> None:
    """Keep a principal out until ``until``; a time that is past lifts its ban."""
    trouble = _trouble_of(history)
    trouble.banned_until = until
    history.held_until = max(until, trouble.cooled_until)


def cool(history: History, until: float, level: int) -> None:
    """Lower a principal's standing until ``until``, for the ``level``-th time; a time that is past lifts that."""
    trouble = _trouble_of(history)
    trouble.cooled_until, trouble.level, trouble.strikes = until, level, ()
    history.held_until = max(until, trouble.banned_until)


def note_excess(history: History, wait: float, rules: CoolingRules, now: float, *, told: bool = True) -> int:
    """Take note of a request beyond the request budget; return the level of the cooling that is due, mostly 0.

    ``wait`` is the number of seconds after which the next one will be answered, ``told`` whether the client
    was told so. During a cooling nothing is counted: it ends when it ends.
    """
    trouble = _trouble_of(history)
    if trouble.cooled_until > now:
        return 0
    began = trouble.quiet_at <= now
    if began:
        trouble.hammered = 0
        if now - max(trouble.quiet_at, trouble.cooled_until) > rules.forgets:
            trouble.level = 0
    elif now < trouble.told_until:
        trouble.hammered += 1
    if told:
        trouble.told_until = now + wait
    trouble.quiet_at = now + wait + QUIET
    if not began:
        if trouble.hammered < HAMMERED or (trouble.strikes and now - trouble.strikes[-1] < QUIET):
            return 0
        trouble.hammered = 0
    recent = [at for at in trouble.strikes if at > now - rules.within]
    trouble.strikes = (*recent, now)[-rules.strikes :]
    if len(trouble.strikes) < rules.strikes:
        return 0
    return min(trouble.level + 1, _MOST_LEVELS)


def cooling_left(history: History, now: float) -> float:
    """Return the seconds for which a principal's standing is still lowered, 0.0 where it is not."""
    trouble = history.trouble
    return 0.0 if trouble is None or trouble.cooled_until <= now else trouble.cooled_until - now


def strikes_of(history: History, within: float, now: float) -> int:
    """Count the strikes of the last ``within`` seconds."""
    trouble = history.trouble
    return 0 if trouble is None else sum(at > now - within for at in trouble.strikes)


def note_subjects(history: History, exceeded: Exceeded, now: float) -> None:
    """Take note of a subject's page that was asked for beyond the budget of subjects."""
    trouble = _trouble_of(history)
    trouble.subjects, trouble.subjects_until = exceeded, now + exceeded.wait


def subjects_spent(history: History, now: float) -> Exceeded | None:
    """Return the budget of subjects that the latest new one found spent, while it is.

    A page's pictures mostly do not say whose they are. While new subjects are asked for beyond the budget,
    any of them may be a new subject's.
    """
    trouble = history.trouble
    if trouble is None or trouble.subjects is None or trouble.subjects_until <= now:
        return None
    return trouble.subjects._replace(wait=trouble.subjects_until - now)


def _trouble_of(history: History) -> Trouble:
    """Return a principal's trouble, to be added to."""
    if history.trouble is None:
        history.trouble = Trouble()
    return history.trouble
