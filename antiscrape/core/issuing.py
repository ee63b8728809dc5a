"""How many clearances one address may earn, and how hard it is made for it.

A clearance is a budget, so that clearances are rationed themselves. What an address has earned lately makes the
next one dearer by doublings, until there is none: whoever mints them in rows pays in electricity first.
Thousands of people may share an address, and hardly any of them earns more than two a day.
"""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING, Final

from antiscrape.core.gcra import spend
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from antiscrape.core.budgets import Limit

#: Addresses that are remembered for having earned one.
_ADDRESSES: Final = 65_536


class IssueBook:
    """What was issued to whom: one arrival time for each address and limit (``core.gcra``).

    An address is a principal's key: of IPv6 it is the /64, of which whoever rents one machine has 2^64 addresses.
    """

    def __init__(self) -> None:
        self._tats: Memo[tuple[str, str], float] = Memo(_ADDRESSES)

    def issue(self, address: str, limit: Limit, now: float) -> float:
        """Take note that ``address`` is given one; return 0.0, or the seconds after which it may have another."""
        key = (address, limit.of_requests)
        tat, wait = spend(now, self._tats.get(key) or now, 1.0, limit.interval, limit.window)
        if not limit.amount:
            return limit.window
        self._tats.put(key, tat)
        return wait

    def owed(self, address: str, limit: Limit, now: float) -> float:
        """Return the seconds after which ``address`` has earned back all that it was given."""
        return max(0.0, (self._tats.get((address, limit.of_requests)) or now) - now)

    def doublings(self, address: str, limit: Limit, now: float) -> int:
        """Return how many times harder, as a power of two, the next one is: one for each quarter of the limit, and more.

        None below an eighth of it.
        """
        share = self.owed(address, limit, now) / limit.window
        return 0 if share <= 1 / 8 else int(log2(8 * share)) + int(4 * share)
