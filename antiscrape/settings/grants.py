"""The table ``[grants]``: which pictures need a signed URL, what signs them, and what one without is worth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from antiscrape.core.rules import GrantRules
from antiscrape.core.verdict import Rendition
from antiscrape.settings.names import Listed, Parameter, Prefix
from antiscrape.settings.table import RenditionName, Table
from antiscrape.settings.units import Bytes, Duration, lasting, sized

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
    without: RenditionName = Field(
        default=Rendition.PREVIEW,
        description="What an image request without a valid grant gets at best. original: grants are made, none is "
        "asked for, which is how to introduce them.",
    )

    def rules(self) -> GrantRules:
        """Return what the core is told."""
        values = dict(self)
        # a grant's window is numbered, and numbers have no fractions
        return GrantRules(**values | {"window": round(self.window)})
