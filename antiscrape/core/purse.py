"""What was spent, and by whom: the records that every store keeps, and every budget is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiscrape.core.journal import Journal


class Scale:
    """What the records of one store weigh together, in bytes, as far as they were told to it."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Purse:
    """What was spent, by one principal or by all of a network: what every store keeps, and every budget is held against.

    ``key`` is the store's name for it, ``gone`` tells that the store has let it go. ``rollup`` is the next wider
    network, which is charged with it. ``tat`` is the theoretical arrival time of requests (``gcra``), ``tats`` those
    of several limits and of bytes; ``originals`` and ``subjects`` map identities to the time they were charged.

    A store that shares its counts writes a ``journal`` of what it has yet to tell, and keeps the ``name`` of the record
    there and when all of it was last ``seen`` (on that store's clock).
    """

    __slots__ = ("gone", "journal", "key", "name", "originals", "rollup", "seen", "subjects", "tat", "tats")

    def __init__(self, now: float, rollup: Network | None = None, *, key: str = "") -> None:
        self.key = key
        self.gone = False
        self.rollup = rollup
        self.tat = now
        self.tats: dict[str, float] | None = None
        self.originals: dict[int, float] | None = None
        self.subjects: dict[int, float] | None = None
        self.journal: Journal | None = None
        self.name = b""
        self.seen = 0.0

    @property
    def network(self) -> str:
        """The key of the widest network around it, ``""`` where there is none."""
        wider = self.rollup
        if wider is None:
            return ""
        while wider.rollup is not None:
            wider = wider.rollup
        return wider.key


class Network(Purse):
    """A wider network's record: the budgets of its members, ``factor`` times as large.

    ``members`` is how many records of the store are charged with it; ``orphans`` how many of the things that were
    charged to it, at most, no member has any more: the store dropped that member.
    """

    __slots__ = ("factor", "members", "orphans")

    def __init__(
        self, now: float, rollup: Network | None = None, *, key: str = "", factor: float = 1.0
    ) -> None:
        super().__init__(now, rollup, key=key)
        self.factor = factor
        self.members = self.orphans = 0
