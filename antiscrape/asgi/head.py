"""From an ASGI scope to a request head: the one reading that is judged and passed on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from antiscrape.core.memo import Memo
from antiscrape.core.request import (
    MOST_FIELDS,
    MOST_LINES,
    RequestHead,
    read_fields,
    read_host,
)
from antiscrape.errors import MisdirectedError, RequestError

if TYPE_CHECKING:
    from antiscrape.asgi.types import Scope

_NONE: frozenset[bytes] = frozenset()
#: A named tuple's own constructor is a Python function around this one.
_new = tuple.__new__
#: Hosts whose plain http a browser trusts like https (W3C Secure Contexts §3.1).
_LOOPBACK = re.compile(r"(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\]")


class HeadReader:
    """Reads request heads for one set of hosts. ``hosts`` empty: any valid Host is served."""

    def __init__(self, hosts: tuple[str, ...] = ()) -> None:
        self._allowed = frozenset(host.lower().rstrip(".") for host in hosts)
        self._hosts: Memo[bytes, tuple[str, bool]] = Memo(4096)

    def read(self, scope: Scope) -> tuple[RequestHead, bool]:
        """Return the head, and whether the browser held the site for trustworthy; raise ``RequestError``."""
        headers = scope["headers"]
        fields: dict[bytes, bytes] = dict(headers)
        repeated = _NONE
        if len(fields) != len(headers):
            if len(headers) > MOST_LINES:
                raise RequestError(f"more than {MOST_LINES} header lines")
            fields, repeated = read_fields(headers)
        if len(fields) > MOST_FIELDS:
            raise RequestError(f"more than {MOST_FIELDS} header fields")
        value = fields.get(b"host", b"")
        host, loopback = self._hosts.young.get(value) or self._host(fields, value)
        client = scope.get("client")
        # optional in ASGI; without it the server's decoded path is all there is
        raw_path = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode("ascii")
        scheme = scope.get("scheme", "http")
        head = _new(
            RequestHead,
            (
                scope.get("method", "GET"),
                raw_path,
                scope.get("query_string", b""),
                host,
                scheme,
                scope.get("http_version", "1.1"),
                client[0] if client else "",
                fields,
                tuple(fields),
                repeated,
            ),
        )
        return head, loopback or scheme in {"https", "wss"} or fields.get(b"x-forwarded-proto") == b"https"

    def _host(self, fields: dict[bytes, bytes], value: bytes) -> tuple[str, bool]:
        """Read a Host not seen lately."""
        known = self._hosts.get(value)
        if known is None:
            host = read_host(value if b"host" in fields else None)
            if self._allowed and host not in self._allowed:
                raise MisdirectedError(f"{host} is not served here")
            known = host, _LOOPBACK.fullmatch(host) is not None
            self._hosts.put(value, known)
        return known
