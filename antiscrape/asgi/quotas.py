"""Quotas in answers that are admitted: for policies that tell every client how much is left, and for no other.

Where a policy does not, this stands nowhere on a request's way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.asgi.media import Media, read_media
from antiscrape.core.quota import left_field, policy_field
from antiscrape.core.resource import Kind

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp, Headers, Message, Receive, Scope, Send
    from antiscrape.gate import Gate

_PAGES: Final = frozenset({Kind.PAGE, Kind.SUBJECT, Kind.API})
_TEXTS: Final = frozenset({Media.HTML, Media.JSON})
_OURS: Final = frozenset({b"ratelimit", b"ratelimit-policy"})
#: What a shared cache may keep is answered to others, who have other quotas (RFC 9111 §5.2.2).
_SHARED: Final = (b"public", b"s-maxage")


class Teller:
    """Stands between the middleware and the site, and adds what is left to the answers to pages and API requests.

    Pictures are never told of: where their budget ends is not for a harvester to know.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        passage = scope.get("state", {}).get("antiscrape") if scope["type"] == "http" else None
        if passage is None or passage.resource.kind not in {*_PAGES, Kind.UNTOLD}:
            await self._app(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start" and _may_tell(message, passage.resource.kind):
                quotas = self._gate.quotas(passage)
                if quotas:
                    told = [
                        (b"ratelimit-policy", policy_field(quotas)),
                        (b"ratelimit", left_field(quotas)),
                    ]
                    message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        await self._app(scope, receive, tell)


def _may_tell(message: Message, kind: Kind) -> bool:
    """Tell whether an answer is one client's own, and not a step to another (draft-10 asks for care with 3xx)."""
    if 300 <= message["status"] < 400:
        return False
    headers: Headers = [(name.lower(), value) for name, value in message.get("headers", ())]
    media = Media.VAGUE
    for name, value in headers:
        if name in _OURS:  # the site has limits of its own
            return False
        if name == b"cache-control" and any(word in value.lower() for word in _SHARED):
            return False
        if name == b"content-type":
            media = read_media(value)
    return kind in _PAGES or media in _TEXTS
