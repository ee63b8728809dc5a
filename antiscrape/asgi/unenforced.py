"""What the server that an application runs in lets through, which no middleware can make good.

An application sees requests when they have been parsed, and whole connections never. So it is looked, as
for neighbouring workers, at what called us: once, when the server starts the application's lifespan, for
then its configuration is settled. ``antiscrape serve`` has limits of its own, and nothing is said of it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_log = logging.getLogger("antiscrape.server")

_NO_LIMITS = "it bounds neither slow clients nor endless requests"
_H11 = "h11 parses requests, and takes some that the next hop reads otherwise"
_OTHER_PARSER = "its parser takes requests that the next hop reads otherwise"


def shortcomings(frame: FrameType | None) -> tuple[str, tuple[str, ...]]:
    """Return the server that called ``frame``, as far as it is known, and what cannot be enforced in it."""
    while frame is not None:
        server = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if server == "uvicorn":
            config = getattr(frame.f_locals.get("self"), "config", None)
            if config is not None:
                return server, tuple(_of_uvicorn(config))
        elif server == "hypercorn":
            return server, (_NO_LIMITS, _H11)
        elif server == "granian":
            return server, (_NO_LIMITS, _OTHER_PARSER)
        frame = frame.f_back
    return "", ()


def _of_uvicorn(config: object) -> Iterator[str]:
    if hasattr(config, "rules"):  # our own
        return
    yield _NO_LIMITS
    parser = getattr(config, "http_protocol_class", None)
    if parser is not None and "httptools" not in parser.__module__:
        yield f"{_H11 if 'h11' in parser.__module__ else _OTHER_PARSER} (--http httptools)"
    if getattr(config, "proxy_headers", False):
        trusted = getattr(config, "forwarded_allow_ips", "")
        named = trusted if isinstance(trusted, str) else ", ".join(map(str, trusted))
        yield f"whoever connects from {named} may name the client, before antiscrape is asked (--no-proxy-headers)"


@functools.cache
def warn_of_server() -> None:
    """Say in the log what cannot be enforced in the server that calls, and what to do: once in a process."""
    server, found = shortcomings(inspect.currentframe())
    if found:
        _log.warning(
            "what %s does not enforce, no middleware can: %s; put nginx or HAProxy before it, or use antiscrape serve",
            server,
            "; ".join(found),
        )
