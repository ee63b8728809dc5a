"""One request in exactly one reading: what policy judges is what the site behind it receives (SECURITY P0)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Pairs = list[tuple[bytes, bytes]]

#: More fields than any browser sends (about 25), fewer than a server's memory minds (SECURITY C5).
MOST_FIELDS = 100
#: Lines, where some are of one name.
MOST_LINES = 2 * MOST_FIELDS

# RFC 9110 §7.2 and RFC 3986 §3.2.2: a reg-name or IPv4, or a bracketed IPv6, and a port; no userinfo,
# no list, no space: each of those has routed a request past a rule somewhere (SECURITY B1, B12).
_HOST = re.compile(rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

#: RFC 1035 §2.3.4: 253 characters of a name; and a port.
_LONGEST_HOST = 262

#: Fields that RFC 9110 §5.3 lets a sender repeat and that we read; their lines are joined.
_LISTS = frozenset(
    {b"accept", b"accept-language", b"accept-encoding", b"via", b"forwarded", b"x-forwarded-for"}
)


class RequestHead(NamedTuple):
    """What one request says of itself.

    ``raw_path`` and ``query`` are bytes as received; ``host`` is lower-case, without port and
    trailing dot; ``fields`` maps lower-case names to values (repeated list fields joined by a
    comma, of other repeated fields the first, and their names in ``repeated``); ``names`` is the
    order in which the names came.
    """

    method: str
    raw_path: bytes
    query: bytes
    host: str
    scheme: str
    http_version: str
    peer: str
    fields: Mapping[bytes, bytes]
    names: tuple[bytes, ...]
    repeated: frozenset[bytes] = frozenset()


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
        if name in _LISTS:
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
