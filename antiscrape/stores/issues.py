"""How many clearances one address may earn of all workers together.

Each worker has its own book (``core.issuing``). Where there is a shared store, what an address may earn is laid out
there as cells of time, each as long as one clearance takes to be earned back: at most as many lie ahead as the limit
allows, and each is had once. A worker asks for the one that its own book comes to; where another worker has given
that away it takes note of it in its book, and asks for the next. So a book learns what the others gave as far as it
matters, what it costs to earn the next one included, and an address has its limit once, through however many workers
it comes. While the store is away each of them counts for itself, as with all budgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.issuing import IssueBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.budgets import Limit
    from antiscrape.stores.courier import Courier


class Issues:
    """What was issued to whom. ``clock`` never steps, ``wall`` gives the seconds since 1970 that workers agree on."""

    def __init__(
        self, *, clock: Callable[[], float], wall: Callable[[], float], courier: Courier | None = None
    ) -> None:
        self._book = IssueBook()
        self._clock, self._wall = clock, wall
        self._courier = courier

    async def issue(self, address: str, limit: Limit) -> float:
        """Take note that ``address`` is given one; return 0.0, or the seconds after which it may have another."""
        while True:
            wait = self._book.issue(address, limit, self._clock())
            if wait or self._courier is None:
                return wait
            end = self._wall() + self._book.owed(address, limit, self._clock())
            cell = f"{limit.of_requests}\n{int(end // limit.interval)}\n{address}".encode()
            if await self._courier.spend_once(cell, limit.window + limit.interval) is not False:
                return 0.0

    def doublings(self, address: str, limit: Limit) -> int:
        """Return how many times harder, as a power of two, the next one is (``IssueBook.doublings``)."""
        return self._book.doublings(address, limit, self._clock())
