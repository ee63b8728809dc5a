"""Breaking off: what becomes of an answer in the middle of which the site is gone.

What has begun at the client is cut off there, too, so that nobody takes a part for the whole (RFC 9112 §8). But a picture
that somebody gets less of is collected first, and an answer of no type is looked into: then the client has heard
nothing, and can be told plainly.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from antiscrape.asgi.answers import send_error
from antiscrape.asgi.responder import Responder

if TYPE_CHECKING:
    from antiscrape.asgi.swift import Relay
    from antiscrape.asgi.types import Scope
    from antiscrape.errors import UpstreamError

_log = logging.getLogger(__name__)


async def excuse(error: UpstreamError, answer: Relay | Responder, scope: Scope) -> None:
    """Answer for a site that broke off; raise ``error`` where the client has heard the beginning."""
    responder = answer if isinstance(answer, Responder) else answer.responder
    if responder is None or not responder.is_silent:
        raise error
    _log.warning("%s", error)
    responder.status = int(error.status)
    await send_error(responder.to, error, http_version=scope.get("http_version", "1.1"))
