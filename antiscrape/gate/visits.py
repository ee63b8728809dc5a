"""Visits: whose habits a request adds to, where several share an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.habits import ALONE, Crowd
from antiscrape.core.history import History
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.observation import Profile

#: A visit's signals are read at every original, after a trap, and at every eighth of all other requests (whose count
#: has none of these bits), where it has news.
REVIEW: Final = 7
#: Visits that are recorded beside an address's first: in all, and at one address within a visit's time.
_VISITS: Final = 65_536
_LOOKS: Final = 64


class Visits:
    """Keeps the visits of different client software at one address apart. ``review`` reads a visit's signals.

    Habits add up to evidence, and those of a hundred people behind one address would add up to a bot's. A visit
    that has drawn pages has a budget of its own, too (``purse_of``), under the wider network's; one that has not
    shares the address's, so that to come with many looks and nothing else buys nothing. Whoever comes with very
    many has the rest of them counted as one.

    Where many have drawn pages, one visit may be that of several people with one browser: signals that count what one
    person does are told so by ``crowd``. A harvester that comes as such a crowd, and draws its pages, takes sooner what
    its visits' budgets give it, and no picture more.
    """

    def __init__(self, review: Callable[[History], Profile]) -> None:
        self._review = review
        self._known: Memo[tuple[str, bytes], History] = Memo(_VISITS)

    def follow(self, former: Visits) -> None:
        """Go on with the visits that another kept: some have budgets of their own."""
        self._known = former._known

    def unread(self) -> None:
        """Have the signals of every visit read anew. Any thread may call this."""
        for history in self._known.values():
            history.news = True

    def find(self, history: History, look: bytes, now: float) -> History:
        """Return the record of what the software ``look`` does at the address of ``history``."""
        if not history.look:
            history.look = look
            return history
        crowd = history.crowd
        if crowd is ALONE:
            history.crowd = crowd = Crowd(now)
        crowd.age(now)
        known = self._known.get((history.key, look))
        if known is None:
            if crowd.looks >= _LOOKS:
                return history
            crowd.looks += 1
            known = History(now, history.rollup, key=history.key)
            self._known.put((history.key, look), known)
        if known.thumbnails or known.assets:
            crowd.note_drawn(look)
        known.crowd = crowd
        history.last = now
        if known.outside is not history.outside:
            known.outside = history.outside
            self._review(known)
        return known
