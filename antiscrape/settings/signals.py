"""The tables ``[signals.<name>]``, one for every row of ``core.signals.SIGNALS``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model

from antiscrape.core.signals import SIGNALS
from antiscrape.core.verdict import Mode
from antiscrape.settings.table import ModeName, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A score has no more than three digits, or nobody reads it.
MOST_WEIGHT = 1000

Weight = Annotated[
    int,
    Field(
        ge=0,
        le=MOST_WEIGHT,
        description="What the signal adds to the score (see [score] for what the sums mean). Evidence costs: none is negative.",
    ),
]
SignalMode = Annotated[
    ModeName,
    Field(
        description="enforce: it counts. shadow: it is recorded and weighs nothing. off: it is not looked at."
    ),
]


class SignalTable(Table):
    """One kind of evidence."""

    weight: Weight = 0
    mode: SignalMode = Mode.ENFORCE


class SignalTables(Table):
    """The evidence: what each signal adds to a score. Weights come in steps of five."""

    def rows(self) -> Iterator[tuple[str, SignalTable]]:
        """Yield each signal's name and table."""
        for name in type(self).model_fields:
            yield name, getattr(self, name)


def _table_of(name: str) -> tuple[type[SignalTable], SignalTable]:
    row = SIGNALS[name]
    kind = create_model(
        "".join(word.capitalize() for word in name.split("-")),
        __base__=SignalTable,
        __doc__=f"{row.sentence} ({row.source})",
        weight=(Weight, row.weight),
    )
    return kind, kind.usual()


def _tables() -> type[SignalTables]:
    # Signals are data of another room; fields made of its rows let an editor complete their names
    fields: dict[str, Any] = {name: _table_of(name) for name in SIGNALS}
    return create_model("Signals", __base__=SignalTables, __doc__=SignalTables.__doc__, **fields)


if TYPE_CHECKING:
    Signals = SignalTables  # its fields are made of another room's rows, which no type checker runs
else:
    Signals = _tables()
