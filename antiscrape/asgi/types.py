"""The ASGI names (asgiref's specification 3.0, HTTP & WebSocket 2.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

#: Extensions with which a server sends a file that we would never see.
SHORTCUTS: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
#: The extension by which fields follow a body, and the type of the message that brings them.
TRAILERS: Final = "http.response.trailers"
