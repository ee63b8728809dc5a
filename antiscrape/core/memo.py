"""A bounded memory for what is costly to work out and cheap to work out again."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """A mapping of at most ``bound`` entries that forgets what was not asked for lately.

    Two generations: what is found in the old one moves to the young one, and when the young one
    holds half the bound it becomes the old one and the old one is dropped. No order is kept and
    nothing is deleted one by one, so a look-up stays at the cost of a dictionary's.
    """

    __slots__ = ("_half", "_old", "young")

    def __init__(self, bound: int) -> None:
        self._half = max(1, bound // 2)
        #: For hot paths: a hit here is a hit. A miss has to be asked for by ``get``.
        self.young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """Return what was put under ``key``, or None."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember ``value``."""
        if len(self.young) >= self._half:
            self._old = self.young
            self.young = {}
        self.young[key] = value

    def values(self) -> list[Value]:
        """Return all that is remembered."""
        return [*self.young.values(), *self._old.values()]

    def clear(self) -> None:
        """Forget everything."""
        self.young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
