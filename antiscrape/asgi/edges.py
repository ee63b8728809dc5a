"""Edges: how nginx, Traefik, Caddy and Envoy ask for a verdict, and what of their requests is the client's.

Each writes the request that it asks about into a request of its own. What it writes is read here and nowhere else,
for a client that could say it itself would be judged for one path and served another (SECURITY B9, GHSA-6wcg-mqvh-fcvg).
Said twice, or not as a request line could say it, it is no request at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from antiscrape.errors import RequestError

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers, Scope

#: What edges are answered lies below; no client's request for anything here is ever admitted.
PREFIX: Final = b"/.antiscrape/"
#: Where a client is to be sent, and with what: a verdict that was handed over, or ``ANEW``.
TAKE: Final = b"x-antiscrape-take"
#: What is said of a picture's caching, for the edge to add to the answer.
CACHE: Final = b"x-antiscrape-cache-control"

# Origin-form (RFC 9112 §3.2.1) in ASCII, without "#": nothing else can be forwarded unchanged.
_TARGET: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*+")
_LONGEST_TARGET: Final = 8192
# RFC 9110 §9.1; registered methods are upper-case letters.
_METHOD: Final = re.compile(rb"[A-Z][A-Z-]{0,31}")
#: What edges add beside the client's address and scheme. A client's own fields of these names mean nothing.
_EDGES_OWN: Final = frozenset({
    b"x-original-uri", b"x-original-method", b"x-forwarded-uri", b"x-forwarded-method", b"x-forwarded-host",
    b"x-forwarded-port", b"x-forwarded-server", TAKE, CACHE,
})  # fmt: skip


class Edge(NamedTuple):
    """How one kind of edge asks, and what it can pass on.

    ``uri`` and ``method`` name the fields that tell what was asked for, ``host`` the one that tells of whom; empty
    where the edge's own request tells it, behind ``path``. ``by_field``: the edge passes any status but 200 on to the
    client, and sends it to us where an answer of 200 has ``TAKE``; else 401 sends it to us, and 403 refuses it.
    """

    path: bytes
    uri: bytes = b""
    method: bytes = b""
    host: bytes = b""
    by_field: bool = False

    @property
    def reads(self) -> tuple[bytes, ...]:
        """The fields that are read of this edge, and may come once."""
        return self.uri, self.method, self.host


#: nginx's auth_request passes 401 and 403 on and nothing else; HAProxy and Varnish are told what to do by hand.
BY_STATUS: Final = Edge(PREFIX + b"verdict", b"x-original-uri", b"x-original-method")
#: Traefik's ForwardAuth and Caddy's forward_auth.
FORWARDED: Final = Edge(
    PREFIX + b"forward", b"x-forwarded-uri", b"x-forwarded-method", b"x-forwarded-host", by_field=True
)
#: Envoy's ext_authz over HTTP sends the request's own method, Host, and path behind a prefix.
ENVOY: Final = Edge(PREFIX + b"envoy", by_field=True)
_EXACT: Final = {edge.path: edge for edge in (BY_STATUS, FORWARDED)}
_ENVOYS: Final = ENVOY.path + b"/"


def edge_of(raw_path: bytes) -> Edge | None:
    """Return what kind of edge asks at a path, None where none does."""
    found = _EXACT.get(raw_path)
    return ENVOY if found is None and raw_path.startswith(_ENVOYS) else found


def asked_of(edge: Edge, scope: Scope) -> Scope:
    """Return the scope of the request that an edge asks about; raise ``RequestError`` where it does not tell one."""
    said: dict[bytes, bytes] = {}
    kept: Headers = []
    for pair in scope["headers"]:
        name = pair[0]
        if name not in _EDGES_OWN:
            kept.append(pair)
        elif name in edge.reads:
            if name in said:
                raise RequestError(f"the edge says {name.decode()} twice")
            said[name] = pair[1]
    if edge is ENVOY:
        query = scope["query_string"]
        uri = scope["raw_path"][len(ENVOY.path) :] + (b"?" + query if query else b"")
        method = scope["method"].encode("latin-1")
    else:
        uri, method = said.get(edge.uri, b""), said.get(edge.method, b"")
    if len(uri) > _LONGEST_TARGET or _TARGET.fullmatch(uri) is None:
        raise RequestError("the edge tells no path that was asked for")
    if _METHOD.fullmatch(method) is None:
        raise RequestError("the edge tells no method")
    if edge.host:
        kept = _hosted(kept, said.get(edge.host))
    path, _, query = uri.partition(b"?")
    told = {**scope, "method": method.decode("ascii"), "raw_path": path, "query_string": query}
    told["path"] = unquote(path.decode("ascii"))
    told["headers"] = kept
    return told


def taken_of(scope: Scope) -> tuple[Scope, bytes]:
    """Return the scope of a client that an edge sent here, without what the edge said, and what it brings.

    ``b""`` stands for nothing, or for more than one thing.
    """
    kept, brought = [], []
    for pair in scope["headers"]:
        if pair[0] not in _EDGES_OWN:
            kept.append(pair)
        elif pair[0] == TAKE:
            brought.append(pair[1])
    return {**scope, "headers": kept}, brought[0] if len(brought) == 1 else b""


def _hosted(headers: Headers, host: bytes | None) -> Headers:
    """Return the fields with the client's Host in the place of the edge's."""
    if host is None:
        raise RequestError("the edge tells no host")
    return [(name, host) if name == b"host" else (name, value) for name, value in headers]
