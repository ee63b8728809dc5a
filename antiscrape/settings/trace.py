"""The table of traces: which renditions name, invisibly, whom they were made for."""

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
    """Invisible marks in renditions, which name whom each copy was made for, and the hour."""

    renditions: Annotated[tuple[RenditionName, ...], Listed] = Field(
        default=(Rendition.MARKED, Rendition.PREVIEW),
        description='Which carry one: "marked", "preview". Events of those who took them hold it, too, and '
        "antiscrape trace read finds it in a copy. Empty: none.",
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
