"""Limits while the shared store is away: of each, one worker's share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiscrape.core.budgets import Limit
    from antiscrape.core.rules import Allowance


class Lesser:
    """The limits of a policy, divided by ``workers``: all of them together then admit what one may.

    A limit on distinct things stays at one at least where it was not nought: a person sees a picture.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # By identity: a policy has a few dozen limits, and to hash one costs more than to divide it. The original is
        # kept beside its share, so that its address is not another's.
        self._limits: dict[int, tuple[Limit, Limit]] = {}
        self._allowances: dict[int, tuple[Allowance, Allowance]] = {}

    def limit(self, limit: Limit) -> Limit:
        """Return this worker's share of a limit on requests or bytes."""
        known = self._limits.get(id(limit))
        if known is None:
            known = self._limits[id(limit)] = (limit, replace(limit, amount=limit.amount / self.workers))
        return known[1]

    def allowance(self, allowance: Allowance) -> Allowance:
        """Return this worker's share of all that a standing may have."""
        known = self._allowances.get(id(allowance))
        if known is None:
            share = replace(
                allowance,
                requests=tuple(map(self.limit, allowance.requests)),
                originals=tuple(map(self._distinct, allowance.originals)),
                subjects=tuple(map(self._distinct, allowance.subjects)),
                bytes=tuple(map(self.limit, allowance.bytes)),
            )
            known = self._allowances[id(allowance)] = (allowance, share)
        return known[1]

    def _distinct(self, limit: Limit) -> Limit:
        share = max(1.0, limit.amount // self.workers) if limit.amount else 0.0
        return replace(limit, amount=share)
