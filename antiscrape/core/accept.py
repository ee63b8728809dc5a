"""Which media types a request's Accept field names (RFC 9110 §12.5.1), with their weights."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Ranges that are read of one field; browsers send nine at most.
MOST_RANGES: Final = 64
_NONE: Final[Mapping[bytes, float]] = MappingProxyType({})


def media_ranges(field: bytes) -> Mapping[bytes, float]:
    """Return the weight of every media range in ``field``, by its name in lower case (``b"image/*"``).

    A range that stands there twice, say with other parameters, has the higher weight. What is no
    media range, or has a weight that is none (RFC 9110 §12.4.2: 0 to 1), is passed over. Never raise.
    """
    if not field:
        return _NONE
    found: dict[bytes, float] = {}
    for element in field.lower().split(b",")[:MOST_RANGES]:
        name, *parameters = element.split(b";")
        name = name.strip()
        kind, slash, sub = name.partition(b"/")
        weight = _weight(parameters)
        if kind and slash and sub and weight is not None:
            found[name] = max(weight, found.get(name, 0.0))
    return found


def weight_of(media_type: bytes, ranges: Mapping[bytes, float]) -> float | None:
    """Return the weight of ``media_type`` by the most specific of ``ranges`` that holds it, ``None`` where none does."""
    for name in (media_type, media_type.partition(b"/")[0] + b"/*", b"*/*"):
        weight = ranges.get(name)
        if weight is not None:
            return weight
    return None


def _weight(parameters: list[bytes]) -> float | None:
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            return _qvalue(value.strip())
    return 1.0


def _qvalue(text: bytes) -> float | None:
    """Read 0 to 1 with at most three decimals (RFC 9110 §12.4.2); ``float`` alone would take "nan" and "1e9"."""
    whole, _, decimals = text.partition(b".")
    if whole not in {b"0", b"1"} or len(decimals) > 3 or (decimals and not decimals.isdigit()):  # noqa: PLR2004 - RFC 9110 §12.4.2
        return None
    weight = float(text)
    return weight if weight <= 1 else None
