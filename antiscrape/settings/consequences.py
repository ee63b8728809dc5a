"""The tables of what follows when a budget is spent: what the client is told, and what it costs to go on like that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, Strict

from antiscrape.core.consequences import QUIET, CoolingRules
from antiscrape.core.quota import Tell
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Duration, lasting

if TYPE_CHECKING:
    from collections.abc import Iterator

TellName = Annotated[Tell, Strict(strict=False)]


class Budgets(Table):
    """What clients are told of their budgets. The amounts stand in [standing], [crawler] and [[partners]]."""

    tell: TellName = Field(
        default=Tell.REFUSALS,
        description="Which answers name the request budgets and what is left of them (RateLimit, RateLimit-Policy): "
        "refusals (429 only), always (pages and API answers, too) or never. An honest Retry-After is told in any case, "
        "and nothing else to whoever is suspected. How many images are left is told to nobody.",
    )


class Cooling(Table):
    """Whoever spends the request budget again and again stands one step lower for a while, then where it stood before.

    A member or proven browser is treated as a browser, a browser as unknown, unknown as a bot; nobody is banned by it.
    """

    enabled: bool = Field(
        default=True, description="false: a spent request budget is answered 429, and that is all."
    )
    strikes: int = Field(
        default=5,
        ge=1,
        le=100,
        description="How many strikes begin a cooling. A strike is not a refused request but an episode of them, which "
        "ends with a quiet minute after the wait that was told; a page full of pictures is one. Whoever does not wait "
        "gets another for every 100 requests, one a minute at most.",
    )
    within: Annotated[Duration, lasting("1min", "31d")] = Field(
        default=3600.0, description="The time in which so many strikes have to come together."
    )
    lasts: Annotated[Duration, lasting("1min", "31d")] = Field(
        default=900.0, description="How long the first cooling lasts. Each one after it lasts twice as long."
    )
    longest: Annotated[Duration, lasting("1min", "31d")] = Field(
        default=86_400.0, description="How long one lasts at most."
    )
    forgets: Annotated[Duration, lasting("1min", "31d")] = Field(
        default=86_400.0,
        description="After so long without a spent request budget the next cooling is a first one again.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a longest cooling that is shorter than the first, and strikes that can never come together."""
        if self.longest < self.lasts:
            yield ("longest",), "is shorter than lasts, the first cooling"
        if (self.strikes - 1) * QUIET >= self.within:
            words = (
                f"strikes are a minute apart at least, so {self.strikes} of them never come within this time"
            )
            yield ("within",), words

    def rules(self) -> CoolingRules:
        """Return the rules, compiled."""
        return CoolingRules(**dict(self))
