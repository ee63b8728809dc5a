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
        description='Which carry one: "marked", "preview". Needs the extra antiscrape[trace]; without it none does, '
        "and the log says so. Empty: none.",
    )
    required: bool = Field(
        default=False, description="Refuse to start where these traces cannot be put into pictures."
    )
    cache_bytes: Annotated[Bytes, sized("0B", "64GiB")] = Field(
        default=2**24,
        description="Memory for traced copies, one for each client and picture; images.cache_bytes holds what they "
        "are copied from. 0: none.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield renditions that hold no picture of the site's, and traces that nothing would carry."""
        for place, rendition in enumerate(self.renditions):
            if rendition not in _TRACEABLE:
                yield (
                    ("renditions", place),
                    f'"{rendition.value}" cannot carry a trace; marked and preview can',
                )
        if self.required and not self.renditions:
            yield ("required",), "asks for traces, and no rendition carries one"

    def rules(self) -> TraceRules:
        """Return the table as the rooms read it."""
        return TraceRules(**dict(self))
