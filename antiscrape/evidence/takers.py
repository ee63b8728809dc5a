"""Whom a lesser rendition names: the payload of its trace, from the same name that events give the client.

That name is a keyed hash whose key changes every week (unless the policy says ``plain``), and the payload holds a
hash of it. So whoever reads a trace can find the events of its taker, in the log of that week and in no other,
and a copy on somebody's disk gives away nothing to who lacks the secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.gate import Passage


class Takers:
    """Makes the payload of whoever a rendition is made for.

    ``name`` gives the name that events give a principal, by its store key; ``pack`` the 64 bits of a trace
    from such a name and the time in seconds since 1970, which is ``wall``'s.
    """

    __slots__ = ("_name", "_pack", "_wall")

    def __init__(
        self, *, name: Callable[[str], str], pack: Callable[[str, float], int], wall: Callable[[], float]
    ) -> None:
        self._name = name
        self._pack = pack
        self._wall = wall

    def of(self, passage: Passage) -> int:
        """Return the payload for who pays for this request, now; the one it came with, where it was judged before."""
        known: int = getattr(passage, "taker", 0)
        return known or self._pack(self._name(passage.history.key), self._wall())
