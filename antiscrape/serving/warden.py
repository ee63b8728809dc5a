"""One timer for all connections of a server: a request costs no timer of its own, and a tick a look at each.

uvicorn has no bound on how long a client may take to say something, or to hear it (slowloris, slow
readers: SECURITY C5, C6). The time of the last tick stands in ``now``: whoever marks when something began
reads it there. So a limit is kept to within a tick, a tenth of the shortest limit and at most a second.

It is a clock of its own, which never runs ahead by more than two ticks at once: what clients sent while this
process itself stood still has yet to be read, and is not held against them.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.server import ServerState

    from antiscrape.core.rules import ServeRules


class Watched(Protocol):
    """A connection that is looked at."""

    def look(self, now: float) -> None:
        """End what takes too long; ``now`` in seconds of the warden's clock."""


class Warden:
    """Looks at every connection of one server, as long as there is any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rules: ServeRules) -> None:
        self.now = 0.0
        self._loop = loop
        shortest = min(rules.first_byte, rules.head, rules.body, rules.send, rules.keep_alive)
        self._tick = min(1.0, max(0.02, shortest / 10))
        self._then = loop.time()
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connection: Watched) -> None:
        """Look at ``connection`` from now on."""
        self._watched.add(connection)
        if self._timer is None:
            self._then = self._loop.time()
            self._timer = self._loop.call_later(self._tick, self._look)

    def forget(self, connection: Watched) -> None:
        """Look at it no more."""
        self._watched.discard(connection)

    def _look(self) -> None:
        before, self._then = self._then, self._loop.time()
        self.now += min(self._then - before, 2 * self._tick)
        # armed first: whatever goes wrong with one connection, the others stay watched
        self._timer = self._loop.call_later(self._tick, self._look) if self._watched else None
        for connection in tuple(self._watched):
            connection.look(self.now)


_WARDENS: weakref.WeakKeyDictionary[ServerState, Warden] = weakref.WeakKeyDictionary()


def warden_of(state: ServerState, loop: asyncio.AbstractEventLoop, rules: ServeRules) -> Warden:
    """Return the warden of the server whose state this is."""
    found = _WARDENS.get(state)
    if found is None:
        found = _WARDENS[state] = Warden(loop, rules)
    return found
