"""The trailer section of a chunked answer (RFC 9112 §7.1.2), which uvicorn does not write.

Only a client that asked for trailers is offered the extension (ASGI, "HTTP Trailers"), and only its answers come by here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from antiscrape.asgi.trailers import wants_trailers
from antiscrape.asgi.types import TRAILERS

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from antiscrape.asgi.types import Headers, Message

# RFC 9110 §5.6.2 and §5.5, as the parser behind us will have it.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def asks_for_trailers(headers: Headers) -> bool:
    """Tell whether an HTTP/1.1 client takes trailers.

    Whoever sends TE says so in Connection (RFC 9110 §10.1.4): without that it may be a line of another hop, which a
    proxy between us passed on unread.
    """
    named = {
        option.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for option in value.split(b",")
    }
    return b"te" in named and wants_trailers(headers)


class Trailing:
    """Takes the application's messages in the place of one cycle, and writes its trailers behind the last chunk."""

    __slots__ = ("_announced", "_cycle", "_fields", "_send", "_waits")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send: Any = cycle.send
        self._announced = False
        self._waits = False  # the body is there to its end, which was not written
        self._fields: Headers = []

    async def send(self, message: Any) -> None:
        """Take one message; raise ``RuntimeError`` for a field that is none, as the server does for those of a head."""
        kind = message["type"]
        if kind == "http.response.body" and self._announced and not message.get("more_body", False):
            self._announced = False
            if self._cycle.chunked_encoding:
                self._waits = True
                message = {**message, "more_body": True}
        elif kind == TRAILERS:
            await self._take(message)
            return
        elif kind == "http.response.start" and not self._cycle.response_started:
            self._announced = bool(message.get("trailers", False))
            if not self._announced:
                fields = message.get("headers", ())
                message = {**message, "headers": [pair for pair in fields if pair[0].lower() != b"trailer"]}
        await self._send(message)

    async def _take(self, message: Message) -> None:
        """Take trailers; they go nowhere where none were announced, or the body has another end than that of chunks."""
        if not self._waits:
            return
        self._fields += message.get("headers", ())
        if message.get("more_trailers", False):
            return
        self._waits = False
        section = b"".join([b"0\r\n", *map(_line, self._fields), b"\r\n"])
        # To uvicorn the section is the rest of a body of this length, so that it ends the exchange as any other.
        self._cycle.chunked_encoding = False
        self._cycle.expected_content_length = len(section)
        await self._send({"type": "http.response.body", "body": section, "more_body": False})


def _line(pair: tuple[bytes, bytes]) -> bytes:
    name, value = pair
    if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None or name.lower() in _FRAMING:
        raise RuntimeError(f"no trailer: {name!r}")
    return b"%b: %b\r\n" % (name, value)
