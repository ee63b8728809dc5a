"""The table of traces: which pictures name, invisibly, who took them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from antiscrape.core.rules import TraceRules
from antiscrape.core.verdict import Rendition
from antiscrape.settings.names import Listed
from antiscrape.settings.table import RenditionName, Table
from antiscrape.settings.units import Bytes, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.settings.table import Remark

#: What is made of pixels here, and shows the picture.
_TRACEABLE = frozenset({Rendition.MARKED, Rendition.PREVIEW})


class Trace(Table):
    """Invisible marks in pictures, which name who took each copy, and the hour."""

    renditions: Annotated[tuple[RenditionName, ...], Listed] = Field(
        default=(Rendition.MARKED, Rendition.PREVIEW),
        description='Which carry one: "marked", "preview". Events of those who took them hold it, too, and '
        "antiscrape trace read finds it in a copy. Empty: none.",
    )
    originals: bool = Field(
        default=False,
        description="Whether originals carry one, too: a signed comment in their first bytes, and not a pixel changes. "
        "Each taker then has an ETag of their own, ranges are not served, and the accelerator stands aside.",
    )
    cache_bytes: Annotated[Bytes, sized("0B", "64GiB")] = Field(
        default=2**24,
        description="Memory for traced copies, one for each client and picture; images.cache_bytes holds what they "
        "are copied from. 0: none.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield renditions that hold no picture of the site's."""
        for place, rendition in enumerate(self.renditions):
            if rendition not in _TRACEABLE:
                yield (
                    ("renditions", place),
                    f'"{rendition.value}" cannot carry a trace; marked and preview can',
                )

    def rules(self) -> TraceRules:
        """Return the table as the rooms read it."""
        return TraceRules(**dict(self))
