"""Reads a body that came compressed, within bounds: a bomb is passed on as it is, and read by nobody here."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers

#: Bytes of a body, inflated. Pages and style sheets have a tenth of it; 194 kB of gzip may be 200 MB (SECURITY D7).
MOST_INFLATED: Final = 4 * 2**20
#: Text shrinks to a tenth, deflate's best is a thousandth.
MOST_RATIO: Final = 100
_GZIP: Final = 16 + zlib.MAX_WBITS
_NAMES: Final = frozenset({b"gzip", b"x-gzip"})  # RFC 9110 §8.4.1.3


def coding_of(headers: Headers) -> bytes:
    """Return the Content-Encoding of a body, in lower case; ``b""`` where it has none."""
    codings = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    return b",".join(coding for coding in codings if coding not in {b"", b"identity"})


def can_inflate(coding: bytes) -> bool:
    """Tell whether ``inflate`` reads what is in this coding."""
    return coding in _NAMES


def inflate(data: bytes, *, most: int = MOST_INFLATED) -> bytes | None:
    """Return what the gzip member ``data`` holds; None where it is broken, has more than one, or is too large."""
    bound = min(most, MOST_RATIO * len(data))
    reader = zlib.decompressobj(_GZIP)
    try:
        body = reader.decompress(data, bound + 1)
    except zlib.error:
        return None
    return body if reader.eof and not reader.unused_data and len(body) <= bound else None
