"""What the site itself says of a picture's bytes: a name for them, so that they need not be read again.

A strong ETag names the bytes of one URL (RFC 9110 §8.8.3); a Last-Modified does together with the length, once it
is old enough that no second change can hide in its second (§8.8.2.2). Where the answer is one client's own, nothing
is believed: what a name stands for would be shown to others. And a name only ever leads to renditions, so a site
whose validators lie shows yesterday's previews, and to nobody an original.
"""

from __future__ import annotations

from collections import OrderedDict
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers
    from antiscrape.core.request import RequestHead
    from antiscrape.core.resource import Size

#: Pictures that are remembered: some megabytes, for a site's most asked.
MOST: Final = 16_384
_LONGEST_VALIDATOR: Final = 256
_READ: Final = frozenset({b"etag", b"last-modified", b"content-length", b"date", b"cache-control", b"vary"})
#: Selecting by these yields another picture of the same thing, and another ETag; by a cookie, anything.
_HARMLESS: Final = frozenset({b"accept", b"accept-encoding", b"origin"})
#: Seconds that a Last-Modified has to be past. RFC 9110 asks for one; clocks of two machines differ by more.
_SETTLED: Final = 60


class Known(NamedTuple):
    """A picture that was seen: 16 bytes that name what it was, the strong ETag that it had or ``b""``, its size."""

    source: bytes
    etag: bytes
    size: Size


class Sources:
    """The pictures seen last, by host, path and query."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, name: bytes) -> Known | None:
        """Return what is known of the picture of that name."""
        key = _hashed(name)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    def note(self, name: bytes, known: Known) -> None:
        """Remember a picture; the one that was asked for the longest ago is forgotten for it."""
        key = _hashed(name)
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def read_source(name: bytes, head: RequestHead, headers: Headers) -> tuple[bytes, bytes]:
    """Return 16 bytes that name a whole answer's bytes, and its strong ETag; ``b""`` for what there is not."""
    told: dict[bytes, bytes] = {}
    for field, value in headers:
        if field not in _READ:
            continue
        if field in told and field not in {b"cache-control", b"vary"}:
            return b"", b""  # two validators: no telling which is meant
        told[field] = told[field] + b"," + value if field in told else value
    if b"authorization" in head.shape.at or not _is_everybodys(told):
        return b"", b""
    etag = told.get(b"etag", b"")
    if etag:
        strong = etag.startswith(b'"') and etag.endswith(b'"') and 2 < len(etag) <= _LONGEST_VALIDATOR
        return (_hashed(b"etag\n" + etag + b"\n" + name), etag) if strong else (b"", b"")
    if not _has_settled(told):
        return b"", b""
    dated = b"date\n" + told[b"last-modified"] + b"\n" + told[b"content-length"] + b"\n"
    return _hashed(dated + name), b""


def _is_everybodys(told: dict[bytes, bytes]) -> bool:
    """Tell whether a shared cache could keep the answer (RFC 9111 §3), which is what we do with what we make of it."""
    directives = {
        part.partition(b"=")[0].strip() for part in told.get(b"cache-control", b"").lower().split(b",")
    }
    if directives & {b"private", b"no-store"}:
        return False
    selecting = {part.strip() for part in told.get(b"vary", b"").lower().split(b",")} - {b""}
    return selecting <= _HARMLESS


def _has_settled(told: dict[bytes, bytes]) -> bool:
    if not told.get(b"content-length", b"").isdigit():
        return False
    try:
        changed, sent = (
            parsedate_to_datetime(told.get(field, b"").decode("ascii")).timestamp()
            for field in (b"last-modified", b"date")
        )
    except (ValueError, TypeError, OverflowError):  # missing, or no date
        return False
    return sent - changed >= _SETTLED


def _hashed(name: bytes) -> bytes:
    return blake2b(name, digest_size=16).digest()
