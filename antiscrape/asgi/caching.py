"""Validators and caching fields: no cache, ours or anybody's, may hand one client's rendition to another.

``Vary`` cannot say "by standing", so whatever is decided per client is ``private``, and what is
lesser than the original is not stored at all (SECURITY J1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from antiscrape.asgi.types import Headers

_DIRECTIVE = re.compile(rb"([A-Za-z-]+)(?:\s*=\s*(\"[^\"]*\"|[^,\s]*))?")
#: Directives that speak to shared caches (RFC 9111 §5.2.2).
_SHARED = frozenset(
    {b"public", b"s-maxage", b"proxy-revalidate", b"stale-while-revalidate", b"stale-if-error"}
)
#: Directives by which a site keeps an answer from them.
_KEPT = frozenset({b"private", b"no-store", b"no-cache"})
#: Fields of CDNs that override Cache-Control (RFC 9213 and its forerunners).
CDN_FIELDS = frozenset(
    {b"cdn-cache-control", b"cloudflare-cdn-cache-control", b"surrogate-control", b"x-accel-expires"}
)
#: Sites say a handful of things in Cache-Control, each with every picture.
_PRIVATE: Memo[tuple[bytes, int | None], bytes] = Memo(256)
_SHORT = 256
#: Request fields that would make the site answer with less than a whole body, or with other bytes than its own.
PARTIAL = frozenset({
    b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since", b"if-range", b"range", b"accept-encoding",
})  # fmt: skip


def keep_private(headers: Headers, *, most: int | None = None) -> Headers:
    """Return ``headers`` with a Cache-Control that keeps the answer out of shared caches.

    ``most`` caps ``max-age``, in seconds.
    """
    said = b""
    kept: Headers = []
    for name, value in headers:
        if name == b"cache-control":
            said += b"," + value if said else value
        elif name not in CDN_FIELDS and not (name == b"expires" and most is not None):
            kept.append((name, value))
    kept.append((b"cache-control", _PRIVATE.young.get((said, most)) or private_value(said, most)))
    return kept


def private_value(said: bytes, most: int | None = None) -> bytes:
    """Return the Cache-Control that keeps an answer out of shared caches which ``said`` something else of itself."""
    known = _keep_private(said, most)
    if len(said) <= _SHORT:
        _PRIVATE.put((said, most), known)
    return known


def lend(headers: Headers, seconds: int) -> Headers:
    """Return ``headers`` with a Cache-Control by which shared caches may keep the answer for ``seconds`` at most.

    What the site keeps from them, or sets a cookie with, they do not get.
    """
    said = b",".join([value for name, value in headers if name == b"cache-control"])
    directives = {match[1].lower(): match[2] or b"" for match in _DIRECTIVE.finditer(said)}
    if seconds <= 0 or not _KEPT.isdisjoint(directives) or any(name == b"set-cookie" for name, _ in headers):
        return keep_private(headers)
    age = next((directives[name] for name in (b"s-maxage", b"max-age") if name in directives), b"").strip(
        b'"'
    )
    for name in _SHARED:
        directives.pop(name, None)
    shared = min(int(age), seconds) if age.isdigit() and len(age) < 12 else seconds
    written = [name + b"=" + value if value else name for name, value in directives.items()]
    lent = [pair for pair in headers if pair[0] != b"cache-control" and pair[0] not in CDN_FIELDS]
    return [*lent, (b"cache-control", b", ".join([b"public", *written, b"s-maxage=%d" % shared]))]


def _keep_private(said: bytes, most: int | None) -> bytes:
    directives = {match[1].lower(): match[2] or b"" for match in _DIRECTIVE.finditer(said)}
    for name in _SHARED:
        directives.pop(name, None)
    if most is not None and b"no-store" not in directives:
        age = directives.get(b"max-age", b"").strip(b'"')
        directives[b"max-age"] = b"%d" % min(int(age) if age.isdigit() and len(age) < 12 else 0, most)
    directives.pop(b"private", None)
    return b", ".join(
        [b"private", *[name + b"=" + value if value else name for name, value in directives.items()]]
    )


def etag_matches(field: bytes, etag: bytes) -> bool:
    """Tell whether an If-None-Match field names ``etag`` (weak comparison, RFC 9110 §8.8.3.2)."""
    if field.strip() == b"*":
        return True
    opaque = etag.removeprefix(b"W/")
    return any(tag.strip().removeprefix(b"W/") == opaque for tag in field[:4096].split(b","))


def mark_tags(headers: Headers, mark: bytes) -> Headers:
    """Return ``headers`` with ``mark`` in the ETag: what is sent under it are not the bytes that the site named."""
    marked: Headers = []
    for name, value in headers:
        if name == b"etag" and value.endswith(b'"'):
            weak = value if value.startswith(b"W/") else b"W/" + value
            marked.append((name, weak[:-1] + mark + b'"'))
        elif name != b"last-modified":  # its seconds cannot tell one window from the next
            marked.append((name, value))
    return marked


def unmark_tags(field: bytes, marks: tuple[bytes, ...]) -> bytes:
    """Return the If-None-Match that the site is asked: its own tags, as far as they have one of ``marks``."""
    tags = []
    for raw in field[:4096].split(b","):
        tag = raw.strip().removeprefix(b"W/").strip(b'"')
        for mark in marks:
            if tag.endswith(mark):
                opaque = b'"' + tag.removesuffix(mark) + b'"'
                tags += [opaque, b"W/" + opaque]
                break
    return b", ".join(tags)


_RANGE = re.compile(rb"bytes=(?:(\d{1,12})-(\d{0,12})|-(\d{1,12}))")


def read_range(field: bytes, length: int) -> tuple[int, int] | bool | None:
    """Read a Range field for a body of ``length`` bytes (RFC 9110 §14.2).

    Return ``(first, last)``; None where the whole body is to be sent (no single range: a server may
    ignore the field); False where the range lies outside the body (416).
    """
    match = _RANGE.fullmatch(field.strip()) if len(field) <= 64 else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        count = min(int(suffix), length)
        return (length - count, length - 1) if count else False
    start = int(first)
    end = min(int(last), length - 1) if last else length - 1
    if start >= length:
        return False
    return (start, end) if start <= end else None
