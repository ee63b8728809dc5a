"""Whether a request is one that the site's robots.txt asks its sender not to make.

The file that counts is the one that crawlers were served: ours, the site's, or both in one. It is learned
as it passes by, so a host is unknown until its first crawler has asked, and a client that never reads the
file is measured by what the others were told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from antiscrape.core.crawler import Answer
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from antiscrape.core.robots import Robots

#: RFC 9309 §2.4: a crawler may go by a copy of robots.txt that is this old. Seconds.
STALE_AFTER: Final = 86_400.0
#: Replaced files that are remembered of one host; a file that changes faster is not meant for crawlers.
_MOST_COPIES: Final = 8


@dataclass(frozen=True, slots=True)
class _Seen:
    """A host's file, and those before it with the end of the time in which a crawler may go by them."""

    robots: Robots
    copies: tuple[tuple[Robots, float], ...] = ()


class RobotsBook:
    """The robots.txt files of the hosts served here, as crawlers have seen them; at most ``bound`` hosts."""

    def __init__(self, bound: int = 64) -> None:
        self._files: Memo[str, _Seen] = Memo(bound)

    def learn(self, host: str, robots: Robots, now: float) -> None:
        """Take note of what ``host`` serves at ``now``, in seconds on a clock that never steps."""
        seen = self._files.get(host)
        if seen is None:
            self._files.put(host, _Seen(robots))
        elif seen.robots != robots:
            copies = (*seen.copies, (seen.robots, now + STALE_AFTER))
            self._files.put(host, _Seen(robots, copies[-_MOST_COPIES:]))

    def disallowed(self, host: str, agent_token: str, path: bytes, now: float) -> Answer:
        """Tell whether the site's robots.txt disallows ``path`` for an agent; ``""`` names no agent: ``*``.

        ``path`` is the request target as sent, with its query. YES means that the file as served now says
        so, and so does every file that was served until a day ago or later, which a crawler may still go by
        (RFC 9309 §2.4). UNKNOWN means that no file of this host has passed by since the start.

        How to weigh a YES. Robots.txt binds crawlers, not people, and disallowed paths are full of people:
        login, search, cart, sorted lists, print views, and every picture where a site keeps image search
        out of ``/media/``. So it is evidence against what claims to be a robot, by its own token, and even
        then not once: that may be a prefetch, a link from elsewhere, or a fetch that a person asked an
        assistant for. Several distinct paths within an hour are disobedience. Against what names no token,
        it says little: count only distinct pages and originals under ``*``, only where hardly anything
        else is fetched, and never enough to cost anything alone; and nothing at all where
        the file disallows everything, for then a site's every visitor would be guilty. A trap's path is no case
        of this: traps have signals of their own.
        """
        seen = self._files.get(host)
        if seen is None:
            return Answer.UNKNOWN
        files = [seen.robots, *(robots for robots, until in seen.copies if now < until)]
        return Answer.NO if any(_allows(robots, agent_token, path) for robots in files) else Answer.YES


def _allows(robots: Robots, agent_token: str, path: bytes) -> bool:
    return robots.allows(agent_token, path) if agent_token else not robots.disallows_everyone(path)
