"""A request's head as it goes on the wire: what was judged, byte for byte, or nothing at all (SECURITY P0)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from antiscrape.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")  # origin-form, RFC 9112 §3.2.1: no space, no "#", only ASCII
# RFC 9110 §9.1: a token, case-sensitive; a lower-case "get" is not GET to every server. CONNECT is no request
# for a resource.
_METHOD = re.compile(r"(?!CONNECT\Z)[A-Z][A-Z0-9!#$%&'*+.^_`|~-]{0,31}")

_COMMON = {
    method: method.encode("ascii") + b" " for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
}
_join = b": ".join


def head_of(method: str, target: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request; raise ``RequestError`` for what could be read as another one.

    ``target`` is path and query. Names are tokens already. A value with CR, LF or NUL would end its
    line early in somebody's parser (RFC 9110 §5.5); any other byte goes as it came.
    """
    verb = _COMMON.get(method) or _read_method(method)
    if _TARGET.fullmatch(target) is None:
        raise RequestError("the request target is not one that can be forwarded unchanged")
    lines = [verb + target + b" HTTP/1.1", *map(_join, fields), b"\r\n"]
    head = b"\r\n".join(lines)
    breaks = len(lines)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise RequestError("a field of the request has a line break or a NUL in it")
    return head


def _read_method(method: str) -> bytes:
    if _METHOD.fullmatch(method) is None:
        raise RequestError("the request's method is not one that can be forwarded unchanged")
    return method.encode("ascii") + b" "
