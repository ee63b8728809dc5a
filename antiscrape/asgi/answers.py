"""Answers that antiscrape gives itself in place of the site's: renditions, and malformed requests.

Nothing that a client sent is repeated in any of them, and none is stored by any cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.asgi.caching import CDN_FIELDS, etag_matches, read_range

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers, Send
    from antiscrape.core.request import RequestHead
    from antiscrape.errors import AntiscrapeError
    from antiscrape.ports import Rendered

#: What describes the original's bytes, or lets a cache keep them, says nothing true of a rendition.
_OF_THE_ORIGINAL = CDN_FIELDS | {
    b"content-length", b"content-type", b"content-encoding", b"content-range", b"content-md5", b"content-digest",
    b"repr-digest", b"digest", b"etag", b"last-modified", b"accept-ranges", b"cache-control", b"expires", b"age",
    b"vary", b"transfer-encoding", b"server-timing", b"trailer", b"x-content-type-options",
}  # fmt: skip
_NO_STORE = (b"cache-control", b"private, no-store")
#: The browser check's script reads it (W3C Server Timing §2): which pictures to load again once it is done.
_NAMED = (b"server-timing", b"rendition")
_NOSNIFF = (b"x-content-type-options", b"nosniff")


async def send_rendition(
    send: Send, rendered: Rendered, head: RequestHead, status: int, headers: Headers
) -> None:
    """Answer with a rendition in place of the site's image, whose other fields are kept.

    Conditions and ranges are answered from the rendition itself, and HEAD like GET without the body
    (SECURITY E7).
    """
    etag = b'"' + rendered.etag.encode("ascii") + b'"'
    kept = [pair for pair in headers if pair[0] not in _OF_THE_ORIGINAL]
    kept += [(b"etag", etag), _NO_STORE, _NOSNIFF, _NAMED, (b"accept-ranges", b"bytes")]
    kept.append((b"content-type", rendered.content_type.encode("ascii")))
    body, length = rendered.body, len(rendered.body)
    if status == 200:
        condition = head.fields.get(b"if-none-match")
        if condition is not None and etag_matches(condition, etag):
            await _send(send, 304, [pair for pair in kept if pair[0] != b"content-type"], b"")
            return
        field = head.fields.get(b"range")
        wanted = read_range(field, length) if field and head.method == "GET" and _same(head, etag) else None
        if wanted is False:
            kept += [(b"content-range", b"bytes */%d" % length), (b"content-length", b"0")]
            await _send(send, 416, kept, b"")
            return
        if isinstance(wanted, tuple):
            first, last = wanted
            kept.append((b"content-range", b"bytes %d-%d/%d" % (first, last, length)))
            status, body = 206, body[first : last + 1]
    kept.append((b"content-length", b"%d" % len(body)))
    await _send(send, status, kept, b"" if head.method == "HEAD" else body)


def _same(head: RequestHead, etag: bytes) -> bool:
    """Tell whether If-Range, where it is sent, names this rendition (RFC 9110 §13.1.5: strong comparison)."""
    field = head.fields.get(b"if-range")
    return field is None or field.strip() == etag


async def send_error(send: Send, error: AntiscrapeError, *, http_version: str = "1.1") -> None:
    """Answer a request that could not be judged or passed on; the connection is not used again."""
    body = (error.public + "\n").encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), _NO_STORE, _NOSNIFF]
    if http_version.startswith("1"):  # RFC 9113 §8.2.2: HTTP/2 knows no Connection field
        headers.append((b"connection", b"close"))
    await _send(send, int(error.status), [*headers, (b"content-length", b"%d" % len(body))], body)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
