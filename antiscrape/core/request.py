"""One request in exactly one reading: what policy judges is what the site behind it receives (SECURITY P0)."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING

from antiscrape.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Pairs = list[tuple[bytes, bytes]]

#: More fields than any browser sends (about 25), fewer than a server's memory minds (SECURITY C5).
MOST_FIELDS = 100
#: Lines, where some are of one name.
MOST_LINES = 2 * MOST_FIELDS

# RFC 9110 §7.2 and RFC 3986 §3.2.2: a reg-name or IPv4, or a bracketed IPv6, and a port; no userinfo,
# no list, no space: each of those has routed a request past a rule somewhere (SECURITY B1, B12).
_HOST = re.compile(rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

#: Bytes of the names in an order that is remembered.
_LONGEST_SHAPE = 1024

#: RFC 1035 §2.3.4: 253 characters of a name; and a port.
_LONGEST_HOST = 262

#: Fields that RFC 9110 §5.3 lets a sender repeat and that we read; their lines are joined.
JOINED = frozenset({
    b"accept", b"accept-language", b"accept-encoding", b"via", b"forwarded", b"x-forwarded-for",
    b"signature", b"signature-input", b"signature-agent",
})  # fmt: skip

#: What a request has that follows an earlier answer: RFC 9110 §13.1.2, §13.1.3, §13.1.5 and §14.2.
_REMEMBERING = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})


class Shape:
    """One order of field names, and what that order alone tells: worked out once, for a browser has few.

    ``names`` is the order, each name once; ``at`` gives a name's place in it; ``repeated`` holds the
    names that came on several lines. The places of fields that every request is asked for have
    attributes of their own, -1 where a field is missing. ``conditional`` tells that it asks for what is new, or for
    a part. ``kept`` tells that it is short enough to be remembered. ``pick`` takes the values that signals
    read, which stand at ``places``.
    """

    __slots__ = (
        "at",
        "chain",
        "conditional",
        "cookie",
        "host",
        "kept",
        "names",
        "pick",
        "places",
        "proto",
        "repeated",
    )

    def __init__(
        self,
        names: tuple[bytes, ...],
        repeated: frozenset[bytes] = frozenset(),
        *,
        picked: tuple[bytes, ...] = (),
        chain: bytes = b"",
    ) -> None:
        self.names = names
        self.repeated = repeated
        self.kept = sum([len(name) for name in names]) <= _LONGEST_SHAPE
        self.at = at = {name: place for place, name in enumerate(names)}
        self.host = at.get(b"host", -1)
        self.proto = at.get(b"x-forwarded-proto", -1)
        self.chain = at.get(chain, -1)
        self.cookie = b"cookie" in at
        self.conditional = not _REMEMBERING.isdisjoint(at)
        self.places = places = tuple([at[name] for name in picked if name in at])
        self.pick: Callable[[tuple[bytes, ...]], object] = itemgetter(*places) if places else _nothing


class RequestHead:
    """What one request says of itself.

    ``raw_path`` and ``query`` are bytes as received; ``host`` is lower-case, without port and
    trailing dot; ``values`` are the fields' values in the order of ``shape.names`` (repeated list
    fields joined by a comma, of other repeated fields the first). ``secure`` tells that the browser
    held the site for trustworthy: https, or loopback.
    """

    __slots__ = (
        "_fields", "host", "http_version", "method", "peer", "query", "raw_path", "scheme", "secure", "shape", "values",
    )  # fmt: skip

    method: str
    raw_path: bytes
    query: bytes
    host: str
    scheme: str
    http_version: str
    peer: str
    secure: bool
    shape: Shape
    values: tuple[bytes, ...]
    _fields: Mapping[bytes, bytes]

    @property
    def fields(self) -> Mapping[bytes, bytes]:
        """Lower-case names to values. Made at the first request for it: most requests pass without."""
        try:
            return self._fields
        except AttributeError:
            self._fields = dict(zip(self.shape.names, self.values, strict=True))
            return self._fields

    @property
    def names(self) -> tuple[bytes, ...]:
        """The order in which the names came."""
        return self.shape.names

    @property
    def repeated(self) -> frozenset[bytes]:
        """The names that came on several lines."""
        return self.shape.repeated

    def value(self, name: bytes) -> bytes | None:
        """Return a field's value, or None."""
        place = self.shape.at.get(name)
        return None if place is None else self.values[place]


def _nothing(_values: tuple[bytes, ...]) -> object:
    return ()


def read_fields(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], frozenset[bytes]]:
    """Fold header lines into a mapping, and name the fields that were repeated.

    Raise ``RequestError`` for two Host lines (SECURITY B12).
    """
    fields: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for name, value in headers:
        if name not in fields:
            fields[name] = value
            continue
        if name == b"host":
            raise RequestError("two Host lines")
        repeated.add(name)
        if name in JOINED:
            fields[name] += b", " + value
        elif name == b"cookie":  # RFC 9113 §8.2.3: HTTP/2 may split a cookie; "; " joins it
            fields[name] += b"; " + value
    return fields, frozenset(repeated)


def read_host(value: bytes | None) -> str:
    """Return the host of a Host field, canonical; raise ``RequestError`` where it is missing or no host."""
    if value is None:
        raise RequestError("no Host")
    if len(value) > _LONGEST_HOST or _HOST.fullmatch(value) is None:
        raise RequestError("the Host is not a host")
    text = value.decode("ascii").lower()
    if text.startswith("["):
        return text[: text.index("]") + 1]
    name = text.partition(":")[0].rstrip(".")
    if not name:
        raise RequestError("the Host is empty")
    return name
