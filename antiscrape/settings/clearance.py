"""The table [clearance]: how a browser earns the proven budget without its person noticing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from antiscrape.core.budgets import parse_limits
from antiscrape.core.clearance import ClearanceRules
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Duration, lasting

if TYPE_CHECKING:
    from collections.abc import Iterator


def _path(text: str) -> str:
    if not re.fullmatch(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]{1,64}){1,6}", text):
        msg = 'is not a path for the check; expected one without a slash at its end, such as "/.well-known/antiscrape"'
        raise ValueError(msg)
    return text


def _cookie(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", text):
        msg = 'is not a cookie\'s name for this; expected a letter, then letters, digits, "-" and "_"'
        raise ValueError(msg)
    return text


def _one_limit(text: str) -> str:
    if len(parse_limits(text)) != 1:
        msg = 'is not one limit; expected an amount per window, such as "30/hour"'
        raise ValueError(msg)
    return text


CheckPath = Annotated[str, AfterValidator(_path)]
CheckCookie = Annotated[str, AfterValidator(_cookie)]
OneLimit = Annotated[str, AfterValidator(_one_limit)]


class Clearance(Table):
    """The browser check: a script does a little work unseen, and its browser has the budget of [standing.proven].

    Off until you turn it on, because it adds a script to your pages and sets a cookie, which your privacy notice has
    to name first (docs/privacy-notice.md has the text). The policies photo and social turn it on.
    """

    enabled: bool = Field(
        default=False,
        description="Serve the check, and honour the clearances that it gives. Needs antiscrape[browser].",
    )
    path: CheckPath = Field(
        default="/.well-known/antiscrape",
        description="Below this path the script and its answers are served, whatever the routes say.",
    )
    cookie: CheckCookie = Field(default="clearance", description="The name of the cookie.")
    inject: bool = Field(
        default=True,
        description="Put the script into HTML pages, where their Content-Security-Policy lets it run. false: your pages name it "
        'themselves, <script type="module" async src="PATH/script/check.js"></script>, PATH being the setting above.',
    )
    link: bool = Field(
        default=True,
        description="Put a link for those who run no script (inside <noscript>) beside it: to a page with one button.",
    )
    lasts: Annotated[Duration, lasting("5min", "30d")] = Field(
        default=43_200.0, description="How long a clearance is good for."
    )
    roaming: Annotated[Duration, lasting("0s", "1d")] = Field(
        default=600.0,
        description="How long one is honoured in another network (IPv4 /24, IPv6 /64) than it was given to, "
        "in which the browser earns a new one. 0: not at all.",
    )
    addresses: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="From how many addresses (of IPv6: /64) one cookie may come within ten minutes; with one more it is revoked.",
    )
    issues: OneLimit = Field(
        default="30/hour",
        description="Clearances that one address (of IPv6: one /64) may earn. The nearer it comes, the harder the work.",
    )
    steps: OneLimit = Field(
        default="6/hour",
        description="The same for clearances without a browser's traits (no script, or a solver without a browser), "
        "which never give more than the budget of [standing.browser].",
    )
    wait: Annotated[Duration, lasting("1s", "1min")] = Field(
        default=5.0, description="The least time that the page without a script has to stay open."
    )
    work: int = Field(
        default=0,
        ge=0,
        le=6,
        description="Doublings of the work that everybody does. 0 takes a desktop about 0.05 s and a slow phone half a second.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a roaming that outlasts what roams, and scriptless clearances that come easier than others."""
        if self.roaming > self.lasts:
            yield ("roaming",), "is longer than a clearance lasts"
        (issues,), (steps,) = parse_limits(self.issues), parse_limits(self.steps)
        if steps.amount / steps.window > issues.amount / issues.window:
            yield ("steps",), "gives more than issues does to those who bring more"

    def rules(self) -> ClearanceRules:
        """Return the table as the core reads it."""
        (issues,), (steps,) = parse_limits(self.issues), parse_limits(self.steps)
        return ClearanceRules(**{**dict(self), "issues": issues, "steps": steps})
