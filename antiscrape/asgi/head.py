"""From an ASGI scope to a request head: the one reading that is judged and passed on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from antiscrape.core.memo import Memo
from antiscrape.core.request import MOST_FIELDS, MOST_LINES, Shape, read_fields, read_host
from antiscrape.core.signals import READ
from antiscrape.errors import MisdirectedError, RequestError
from antiscrape.gate import Passage

if TYPE_CHECKING:
    from antiscrape.asgi.types import Scope

#: Orders of names: each browser has one for each kind of request.
_SHAPES = 2048
#: Hosts whose plain http a browser trusts like https (W3C Secure Contexts §3.1).
_LOOPBACK = re.compile(r"(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\]")


class HeadReader:
    """Reads request heads for one set of hosts. ``hosts`` empty: any valid Host is served.

    ``chain`` names the field in which trusted proxies write the client's address.
    """

    def __init__(self, hosts: tuple[str, ...] = (), *, chain: str = "x-forwarded-for") -> None:
        self._allowed = frozenset(host.lower().rstrip(".") for host in hosts)
        #: Hosts, and whether they are loopback's, and shapes by their lines, that came lately.
        self.hosts: Memo[bytes, tuple[str, bool]] = Memo(4096)
        self.shapes: Memo[tuple[bytes, ...], Shape] = Memo(_SHAPES)
        self._chain = chain.lower().encode("latin-1")
        # What came last comes next more often than not, and to compare is cheaper than to hash.
        self._lines: tuple[bytes, ...] = ()
        self._shape = Shape(())
        self._host: bytes | None = None
        self._hosted = "", False

    def read(self, scope: Scope) -> Passage:
        """Return a passage that begins; raise ``RequestError`` where the request has no single reading."""
        head = Passage()
        names, values = zip(*scope["headers"]) if scope["headers"] else ((), ())  # noqa: B905  the keyword would cost a dictionary
        if names == self._lines:
            shape = self._shape
        else:
            shape = self.shapes.young.get(names) or self._shape_of(names)
            self._lines, self._shape = names, shape
        if shape.repeated:
            head._fields = fields = read_fields(scope["headers"])[0]
            values = tuple(fields.values())
        head.shape = shape
        head.values = values
        value = values[shape.host] if shape.host >= 0 else b""
        if value != self._host:
            self._hosted, self._host = self.hosts.young.get(value) or self._read_host(shape, value), value
        head.host, loopback = self._hosted
        try:
            head.peer = scope["client"][0]
            head.raw_path = scope["raw_path"]
            head.query = scope["query_string"]
            head.method = scope["method"]
            head.http_version = scope["http_version"]
            head.scheme = scheme = scope["scheme"]
        except (KeyError, TypeError):  # a websocket has no method, and servers may leave out all but the path
            scheme = _read_sparse(scope, head)
        if not head.raw_path:
            head.raw_path = quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode("ascii")
        # A wrong "https" among a client's own fields only adds to what is expected of it.
        head.secure = (
            loopback or scheme in {"https", "wss"} or (shape.proto >= 0 and values[shape.proto] == b"https")
        )
        return head

    def _shape_of(self, lines: tuple[bytes, ...]) -> Shape:
        """Read an order of names not seen lately; ``lines`` has a name as often as it came."""
        shape = self.shapes.get(lines)
        if shape is not None:
            return shape
        if len(lines) > MOST_LINES:
            raise RequestError(f"more than {MOST_LINES} header lines")
        fields, repeated = read_fields((name, b"") for name in lines)
        if len(fields) > MOST_FIELDS:
            raise RequestError(f"more than {MOST_FIELDS} header fields")
        shape = Shape(tuple(fields), repeated, picked=READ, chain=self._chain)
        if shape.kept:
            self.shapes.put(lines, shape)
        return shape

    def _read_host(self, shape: Shape, value: bytes) -> tuple[str, bool]:
        """Read a Host not seen lately."""
        known = self.hosts.get(value)
        if known is None:
            host = read_host(value if shape.host >= 0 else None)
            if self._allowed and host not in self._allowed:
                raise MisdirectedError(f"{host} is not served here")
            known = host, _LOOPBACK.fullmatch(host) is not None
            self.hosts.put(value, known)
        return known


def _read_sparse(scope: Scope, head: Passage) -> str:
    """Read what ASGI lets a server leave out; return the scheme."""
    client = scope.get("client")
    head.peer = client[0] if client else ""
    head.raw_path = scope.get("raw_path") or b""
    head.query = scope.get("query_string", b"")
    head.method = scope.get("method", "GET")
    head.http_version = scope.get("http_version", "1.1")
    head.scheme = scheme = scope.get("scheme", "http")
    return str(scheme)
