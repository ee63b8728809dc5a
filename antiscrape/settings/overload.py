"""What is left undone when there is more to do than can be done, and from when on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from antiscrape.core.rules import OverloadRules
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Bytes, Duration, lasting, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

Share = Annotated[float, Field(gt=0, le=1)]


class Overload(Table):
    """What is shed under overload: check pages first, then the making of renditions, then requests of strangers."""

    enabled: bool = Field(
        default=True,
        description="Whether anything is shed. A bot that is shed gets a card that shows nothing, or a 503; never the original.",
    )
    lag_checks: Annotated[Duration, lasting("10ms", "1min")] = Field(
        default=0.25,
        description="From this lag of the event loop on, no browser checks are given out: they answer 503.",
    )
    lag_renditions: Annotated[Duration, lasting("10ms", "1min")] = Field(
        default=0.5,
        description="From this lag on, no renditions are made: who would get one that is not at hand gets a card.",
    )
    lag_requests: Annotated[Duration, lasting("10ms", "1min")] = Field(
        default=1.0,
        description="From this lag on, requests are answered with 503, but those of known clients in good standing.",
    )
    memory_checks: Share = Field(
        default=0.85, description="From this share of memory on, no browser checks are begun."
    )
    memory_renditions: Share = Field(
        default=0.9, description="From this share of memory on: no renditions either, but placeholders."
    )
    memory_requests: Share = Field(
        default=0.95, description="From this share of memory on: no requests of strangers either."
    )
    memory: Annotated[Bytes, sized("0B", "1024GiB")] = Field(
        default=0,
        description="How much memory one worker may take, of which these are shares. 0: what the container (cgroup) allows "
        "to all in it, and without a container there is no limit.",
    )
    calm: Annotated[Duration, lasting("1s", "10min")] = Field(
        default=5.0,
        description="How long lag and memory have to be a fifth below a mark before what it sheds is done again.",
    )
    retry: Annotated[Duration, lasting("1s", "1hour")] = Field(
        default=10.0, description="After what time who got a 503 is told to come again (Retry-After)."
    )

    def rules(self) -> OverloadRules:
        """Return the rules."""
        return OverloadRules(
            enabled=self.enabled,
            lag=(self.lag_checks, self.lag_renditions, self.lag_requests),
            memory=(self.memory_checks, self.memory_renditions, self.memory_requests),
            limit=self.memory,
            calm=self.calm,
            retry=round(self.retry),
        )

    def contradictions(self) -> Iterator[Remark]:
        """Yield marks that stand in another order than what they shed."""
        order = ("checks", "renditions", "requests")
        for measure in ("lag", "memory"):
            for lower, higher in pairwise(order):
                below, above = f"{measure}_{lower}", f"{measure}_{higher}"
                if getattr(self, below) > getattr(self, above):
                    yield (above,), f"must not be below {below}: {lower} are shed before {higher}"
