"""Springs: what follows at once when somebody goes into a trap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.traps import PICTURE

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.history import History
    from antiscrape.core.spread import Spread
    from antiscrape.core.traps import TrapTags
    from antiscrape.gate.passage import Passage
    from antiscrape.ports import UsageStore


class Springs:
    """Tells other workers of a trap that was sprung, and looks whom its link had been given to."""

    def __init__(
        self, store: UsageStore, tags: TrapTags | None, spread: Spread | None, wall: Callable[[], float]
    ) -> None:
        self._store = store
        self._tags = tags
        self._spread = spread
        self._wall = wall

    def spring(self, passage: Passage, history: History, habits: History, now: float) -> None:
        """See to a trap that was gone into."""
        if self._tags is not None:
            self._note_tag(passage, habits, self._tags, now)
        if not passage.resource.path.endswith(PICTURE):
            self._store.note_trapped(history, passage.look)

    def _note_tag(self, passage: Passage, habits: History, tags: TrapTags, now: float) -> None:
        """Look whom a trap's link was given to: whoever else follows it, has it from a machine."""
        found = tags.read(passage.resource.path, self._wall(), passage.principal.key, habits.key)
        if found is None:
            return
        if found.borrowed:
            habits.note_borrowed()
        if self._spread is not None:
            self._spread.note_token(found.tag.encode(), habits.key, passage.principal.rollup, now)
