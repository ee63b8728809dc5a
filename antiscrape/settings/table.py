"""What every settings table is: frozen, closed, strict, and checked for contradictions within itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Strict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from antiscrape.core.resource import Kind, Size
from antiscrape.core.verdict import Mode, Rendition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Where in a table something stands (``("browser", "originals")``), and what is wrong with it.
Remark = tuple[tuple[str | int, ...], str]

# Enums are written by their values. Strictness would ask for members, which no file holds; looking a
# value up among the members coerces nothing.
ModeName = Annotated[Mode, Strict(strict=False)]
RenditionName = Annotated[Rendition, Strict(strict=False)]
KindName = Annotated[Kind, Strict(strict=False)]
SizeName = Annotated[Size, Strict(strict=False)]


class Table(BaseModel):
    """One table of the settings file."""

    # strict: "yes" is not true and "5" is not 5, in a file that decides who sees whose face
    # defer_build: the whole file's validator holds those of its hundred tables, which nobody asks for one by one
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,
    )

    @classmethod
    def usual(cls) -> Self:
        """Return the table of all defaults, without a validator of its own: pydantic takes milliseconds to build one."""
        return cls.model_construct()

    def contradictions(self) -> Iterator[Remark]:
        """Yield what cannot be meant, although each value by itself is right."""
        return iter(())

    def doubts(self) -> Iterator[Remark]:
        """Yield what can be meant but mostly is not: said, not refused."""
        return iter(())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse(self.contradictions())
        return self


def refuse(remarks: Iterable[Remark]) -> None:
    """Raise a ``ValidationError`` that holds each of ``remarks`` at its place, where there are any."""
    found = [
        InitErrorDetails(
            type=PydanticCustomError("contradiction", "{words}", {"words": words}), loc=where, input=None
        )
        for where, words in remarks
    ]
    if found:
        raise ValidationError.from_exception_data("settings", found)
