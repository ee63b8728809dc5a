"""What may be spent once: the challenges that were answered, remembered for as long as they could be answered again.

Each worker keeps its own memory of them, and asks the shared store where there is one: whoever comes first to both
has spent it. While the store is away, one challenge is worth one clearance in each worker at most (SECURITY G2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.stores.courier import Courier

#: Of one generation: 16 bytes each and their place in a set, some 20 MB when all is full. To fill it takes as many
#: genuine challenges, so that beyond it nothing is spent any more, until the generation is over.
MOST: Final = 100_000


class Once:
    """Tokens that were spent. ``lasts`` is how long one could be spent, in seconds; ``clock`` never steps.

    Two generations, each as long: what is found in neither was not spent, or cannot be spent any more.
    """

    def __init__(
        self, *, lasts: float, clock: Callable[[], float], courier: Courier | None = None, most: int = MOST
    ) -> None:
        self._lasts = lasts
        self._clock = clock
        self._courier = courier
        self._most = most
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turned = clock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    async def spend_once(self, token: bytes) -> bool:
        """Spend ``token``; tell whether it had not been spent, here or by any worker that can be asked."""
        if not self._spend_here(token):  # before the first wait: of those that come together here one goes on
            return False
        if self._courier is None:
            return True
        return await self._courier.spend_once(token, self._lasts) is not False

    def _spend_here(self, token: bytes) -> bool:
        gone = self._clock() - self._turned
        if gone >= self._lasts:
            self._old = self._young if gone < 2 * self._lasts else set()
            self._young = set()
            self._turned = self._clock()
        if token in self._young or token in self._old or len(self._young) >= self._most:
            return False
        self._young.add(token)
        return True
