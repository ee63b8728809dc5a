"""The table ``[grants]``: which pictures need a signed URL, what signs them, and what one without is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, Field

from antiscrape.core.grant_tokens import CEILINGS
from antiscrape.core.locations import is_prefix
from antiscrape.core.rules import GrantRules
from antiscrape.core.verdict import Rendition
from antiscrape.settings.names import Listed, Parameter, Prefix
from antiscrape.settings.table import Remark, RenditionName, Table
from antiscrape.settings.units import Bytes, Duration, lasting, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANK: Final = {rendition: rank for rank, rendition in enumerate(Rendition)}


def _opens(rendition: Rendition) -> Rendition:
    if rendition not in CEILINGS:
        msg = f"{rendition.value} is nothing that a grant opens; expected original, marked or preview"
        raise ValueError(msg)
    return rendition


def _folder(text: str) -> str:
    if text and not (is_prefix(text) and text.endswith("/") and text != "/"):
        msg = f"{text!r} is no folder; expected the start of a path that ends in a slash, such as /p/"
        raise ValueError(msg)
    return text


Outside = Literal["unsigned", "preview", "marked", "original"]
Ceiling = Annotated[RenditionName, AfterValidator(_opens)]
Body = Literal["html", "json", "css", "xml"]


class Grants(Table):
    """Signed image URLs: who walks the site's pages has them, who counts up ids has not."""

    prefixes: Annotated[tuple[Prefix, ...], Listed] = Field(
        default=(),
        description='Paths whose images need a grant, such as "/media/". Empty: nothing is signed, no grant is asked for.',
    )
    window: Annotated[Duration, lasting("1min", "7d")] = Field(
        default=900.0,
        description="A grant is good for the window it was made in and the next. Within a window a page shows the "
        "same URLs, so caches keep working.",
    )
    parameter: Parameter = Field(default="as", description="The query parameter that holds the grant.")
    rewrite: bool = Field(
        default=True,
        description="Sign the URLs found in bodies and Link fields on their way out. false: the site calls sign_url itself.",
    )
    bodies: Annotated[tuple[Body, ...], Listed] = Field(
        default=("html", "json", "css", "xml"),
        description="The bodies in which URLs are signed; xml means feeds and sitemaps.",
    )
    body_bytes: Annotated[Bytes, sized("64KiB", "1GiB")] = Field(
        default=16 * 2**20,
        description="Of one body, how much is searched for URLs; what comes after that passes as it is.",
    )
    binding: Literal["none", "network", "account", "clearance"] = Field(
        default="none",
        description="Whom the grants of a page are made for. none: whoever has the URL. network: the network around the "
        "visitor's address, as wide as its roll-up. account: the account, and the network where nobody is signed in. clearance: the "
        "browser that earned one ([clearance]), and the network until then.",
    )
    ceiling: Ceiling = Field(
        default=Rendition.ORIGINAL,
        description="The best that the grants of a page open: original, marked or preview.",
    )
    cards: Outside = Field(
        default="marked",
        description="The same of grants in og:image and twitter:image, which other sites fetch for a link to a page; "
        "unsigned: these URLs stay as they are. Such a grant is bound to nobody.",
    )
    feeds: Outside = Field(
        default="marked", description="The same of grants in feeds and sitemaps, which are read for days."
    )
    outside: Annotated[Duration, lasting("1min", "90d")] = Field(
        default=604_800.0, description="The window of grants in cards and feeds."
    )
    shared_caches: bool = Field(
        default=False,
        description="Let a CDN keep the originals that grants open, by URL and until the grant ends. Whoever has the URL then "
        "has the picture from the CDN, and what it serves is judged by nobody and counts in no budget.",
    )
    opaque: Annotated[str, AfterValidator(_folder)] = Field(
        default="",
        max_length=64,
        description='A path such as "/p/": the pictures in signed URLs then have sealed paths below it, from which nobody can '
        "tell the site's own, or the next one. Their own paths stay, and are worth what a missing grant is. Empty: no.",
    )
    missing: RenditionName = Field(
        default=Rendition.PREVIEW,
        description="What an image request without a grant gets at best. original, for this and the next two: grants are "
        "made and none is asked for, which is how to introduce them.",
    )
    expired: RenditionName = Field(
        default=Rendition.PREVIEW,
        description="The same with a grant that has run out: a page left open, a bookmark.",
    )
    foreign: RenditionName = Field(
        default=Rendition.PREVIEW,
        description="The same with one that was made for somebody else. People change their networks and pass "
        "addresses on, so nothing else follows.",
    )
    forged: RenditionName = Field(
        default=Rendition.PREVIEW,
        description="The same with one that nobody made for this URL; what is counted of these, the signal grants-made-up tells.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield what defeats its own purpose: sealed paths that need grants as they are, or less for a grant than for none."""
        for prefix in self.prefixes if self.opaque else ():
            if self.opaque.startswith(prefix.rstrip("/") + "/"):
                yield ("opaque",), f"lies within {prefix}, which grants.prefixes protects"
        for name in ("expired", "foreign"):
            if _RANK[getattr(self, name)] > _RANK[self.missing]:
                words = f"is less than grants.missing ({self.missing.value}): whoever leaves the grant away gets more"
                yield (name,), words

    def doubts(self) -> Iterator[Remark]:
        """Yield a cache that has nothing to keep."""
        if self.shared_caches and self.binding != "none":
            yield (
                ("shared_caches",),
                f"is no use where every {self.binding} has URLs of its own (grants.binding)",
            )

    def rules(self) -> GrantRules:
        """Return what the core is told."""
        # a grant's window is numbered, and numbers have no fractions
        changed = {
            "window": round(self.window),
            "outside": round(self.outside),
            "cards": None if self.cards == "unsigned" else Rendition(self.cards),
            "feeds": None if self.feeds == "unsigned" else Rendition(self.feeds),
        }
        return GrantRules(**dict(self) | changed)
