"""What a request may look like on the wire, where httptools takes more than one hop in front of it would.

Whatever two hops can read in two ways is refused, never repaired (RFC 9112 §11.2). The parser itself refuses
Content-Length beside Transfer-Encoding, folded lines, bare line feeds and spaces before a colon; here is
what it lets through.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus

from antiscrape import clock
from antiscrape.core.request import read_host
from antiscrape.errors import RequestError

#: RFC 9112 §2.1: an empty line ends the head, and the trailers after the last chunk.
END = b"\r\n\r\n"
#: The request line (RFC 9112 §3): one space between its parts, HTTP/1.0 or 1.1. httptools knows RTSP, ICE, 0.9 and
#: 2.0, too, and any number of spaces. One empty line before it is old clients' habit (RFC 9112 §2.2).
_REQUEST_LINE = re.compile(rb"(?:\r\n)?[A-Z-]+ [^ \r\n]+ HTTP/1\.[01]\r\n")
_LINE_BEGUN = re.compile(rb"(?:\r\n?)?[A-Z-]*(?: |\Z)|\r\Z")
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?@]+)(/[^?]*)?(\?.*)?", re.DOTALL)
_UPGRADE = re.compile(rb"\r\n(?:upgrade|http2-settings)[ \t]*:[^\r\n]*", re.IGNORECASE)
#: What a request line has besides its target: the longest method that httptools knows, the version, two spaces.
_AROUND_TARGET = 32
_PORTS = {b"http": b":80", b"https": b":443"}

#: What browsers and tools call their fields, as they write it, and in small letters: found quicker than made, and
#: one object for each name makes every comparison after this one quicker, too.
PLAIN = {
    spelt: name.encode()
    for name in [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "access-control-request-headers",
        "access-control-request-method",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-type",
        "cookie",
        "device-memory",
        "dnt",
        "downlink",
        "dpr",
        "ect",
        "forwarded",
        "from",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "purpose",
        "range",
        "referer",
        "rtt",
        "save-data",
        "sec-ch-ua",
        "sec-ch-ua-arch",
        "sec-ch-ua-bitness",
        "sec-ch-ua-full-version-list",
        "sec-ch-ua-mobile",
        "sec-ch-ua-model",
        "sec-ch-ua-platform",
        "sec-ch-ua-platform-version",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-gpc",
        "sec-purpose",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
        "viewport-width",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
        "x-requested-with",
    ]
    for spelt in (name.encode(), name.title().encode())
}


class Refused(Exception):  # noqa: N818  it is an answer, not a failure
    """The request is answered with ``status``, and the connection ends."""

    def __init__(self, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(status)
        self.status = status


def check_line(head: bytes) -> None:
    """Raise ``Refused`` unless ``head`` begins with a request line of HTTP/1.0 or 1.1."""
    if _REQUEST_LINE.match(head) is None:
        raise Refused


def check_unfinished(head: bytes, known: int, *, longest: int, target: int) -> None:
    """Raise ``Refused`` as soon as what came of a head cannot become one; the first ``known`` bytes were looked at.

    ``longest`` and ``target`` are the most bytes of a head and of a request target. A TLS greeting, or lines
    that end in half a line's end, need not wait for the head's time to run out.
    """
    line = head.find(b"\r\n") if len(head) > target else 0
    if line < 0 or line > target + _AROUND_TARGET:
        raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
    if len(head) > longest:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    if _BARE.search(head, max(0, known - 1)) or (not known and _LINE_BEGUN.match(head) is None):
        raise Refused


def check_host(value: bytes) -> None:
    """Raise ``Refused`` where a Host field's value is no host (SECURITY B12)."""
    try:
        read_host(value)
    except RequestError:
        raise Refused from None


def origin_form(target: bytes, method: bytes, host: bytes) -> bytes:
    """Return the path and query of a request target in absolute form; raise ``Refused`` for any other form.

    RFC 9112 §3.2.2 has the target's authority override Host. A client that names two hosts means to be
    misread by somebody, so both must be the same. ``*`` belongs to OPTIONS (§3.2.4).
    """
    if target == b"*" and method == b"OPTIONS":
        return target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise Refused
    port = _PORTS[target.partition(b":")[0].lower()]
    if match[1].lower().removesuffix(port) != host.lower().removesuffix(port):
        raise Refused
    return (match[2] or b"/") + (match[3] or b"")


def without_upgrade(head: bytes) -> bytes:
    """Return a head without the fields that ask for another protocol (SECURITY C4: h2c smuggling).

    The parser takes what follows a request with Upgrade for the other protocol's, so a body would
    become a second request. Without them it is a request as any other.
    """
    return _UPGRADE.sub(b"", head)


def answer(status: HTTPStatus) -> bytes:
    """Return a whole response that tells the status and ends the connection; no cache keeps it."""
    body = status.phrase.encode() + b"\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\n"
        "cache-control: no-store\r\n"
        f"date: {formatdate(clock.wall(), usegmt=True)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
