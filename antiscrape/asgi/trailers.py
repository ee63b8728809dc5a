"""Trailers: fields behind a body, passed on where whoever asked wants them and the body is the site's own to the byte.

RFC 9110 §6.5.1 lets an intermediary drop them, so they pass only where nothing speaks against it. What they say, a
digest or a signature most of all, is true of the site's bytes: with a rendition, a marked original or a page into
which something was written it would be false, and so none go there.

What follows a request's body is dropped: it arrives when the request has been judged, and the site would be told
what was not (SECURITY P0).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.types import TRAILERS

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers, Message, Scope
    from antiscrape.upstream import Trailing

#: By which a hop asks for trailers; §10.1.4 has the sender of TE name it in Connection, too.
ASKING: Final = ((b"te", b"trailers"), (b"connection", b"te"))

_NAME = re.compile(rb"[!#$%&'*+^`|~0-9a-z-]+")  # a token without "_" and ".", which some readers take for "-"
#: RFC 9530 §2 makes this for trailers; all else that begins so says how the content is to be read.
_DIGEST: Final = b"content-digest"
#: What frames a message, routes it, modifies or conditions a request, authenticates or controls a response has no
#: place in a trailer (RFC 9110 §6.5.1): a reader that merges trailers into the head would act on it after all checks.
_NEVER: Final = frozenset(
    {
        b"accept-ranges", b"age", b"alt-svc", b"authorization", b"cache-control", b"clear-site-data",
        b"connection", b"cookie", b"cookie2", b"date", b"expect", b"expires", b"forwarded", b"host",
        b"http2-settings", b"keep-alive", b"last-modified", b"link", b"location", b"max-forwards", b"origin", b"pragma",
        b"range", b"referer", b"referrer-policy", b"refresh", b"retry-after", b"set-cookie", b"set-cookie2",
        b"strict-transport-security", b"surrogate-control", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"vary",
        b"via", b"warning", b"www-authenticate",
    }
)  # fmt: skip
#: Families of the same: conditions, codings and policies, who may read an answer, what other hops say to each other.
_FAMILIES: Final = (
    b"access-control-", b"authentication-", b"cdn-", b"content-", b"cross-origin-", b"if-", b"permissions-",
    b"proxy-", b"sec-", b"x-accel-", b"x-antiscrape-", b"x-content-", b"x-forwarded-", b"x-frame-", b"x-sendfile",
)  # fmt: skip


def may_trail(name: bytes) -> bool:
    """Tell whether a field of this lower-case name may stand behind a body."""
    if _NAME.fullmatch(name) is None or name in _NEVER:
        return False
    return name == _DIGEST or not name.startswith(_FAMILIES)


def wants_trailers(headers: Headers) -> bool:
    """Tell whether a request's TE field says that trailers will not be thrown away (RFC 9110 §10.1.4)."""
    said = [value.lower() for name, value in headers if name == b"te"]
    return any(part.strip(b" \t") == b"trailers" for value in said for part in value.split(b","))


def takes_trailers(scope: Scope) -> bool:
    """Tell whether trailers can be passed to the client, and it asked for them."""
    return TRAILERS in (scope.get("extensions") or {}) and wants_trailers(scope["headers"])


def announce(start: Message, trailing: Trailing) -> Message:
    """Return the start of a response behind whose body trailers will be sent, with those of the announced names that may be."""
    names = b", ".join(name for name in trailing.announced if may_trail(name))
    said: Headers = [(b"trailer", names)] if names else []
    return {**start, "headers": [*start["headers"], *said], "trailers": True}


def following(trailing: Trailing) -> Message:
    """Return the message that ends a response which was announced so."""
    fields = [pair for pair in trailing.fields if may_trail(pair[0])]
    return {"type": TRAILERS, "headers": fields, "more_trailers": False}


def without_trailers(scope: Scope) -> Scope:
    """Return the scope of a request whose answer shall have none."""
    extensions = scope.get("extensions") or {}
    if TRAILERS not in extensions:
        return scope
    return {**scope, "extensions": {name: extensions[name] for name in extensions if name != TRAILERS}}


def unannounced(start: Message) -> Message:
    """Return the start of a response whose body will not be the site's, so that no trailers follow it."""
    if not start.get("trailers"):
        return start
    headers = [pair for pair in start["headers"] if pair[0] != b"trailer"]
    return {**start, "headers": headers, "trailers": False}
