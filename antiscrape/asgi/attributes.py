"""Signs the URLs in one HTML attribute: a single URL, a srcset, a list, or URLs within JSON, CSS or markup."""

from __future__ import annotations

import re
from typing import Final

from antiscrape.asgi.spelling import HTML, JSON_IN_HTML, Urls

_URL_ATTRIBUTES: Final = frozenset(
    {b"src", b"href", b"poster", b"content", b"background", b"data", b"xlink:href"}
)
_DQ, _SQ = rb"(?:\"|&quot;|&#34;|&#[xX]22;)", rb"(?:'|&apos;|&#0?39;|&#[xX]27;)"
_BODY = rb"(?=https?:|\\?/|&#)([^%(quote)b<>&]*+(?:&(?!%(names)b)[^%(quote)b<>&]*+)*)"
_EMBEDDED = re.compile(
    _DQ + _BODY % {b"quote": b'"', b"names": b"quot;|#34;|#[xX]22;"} + rb"(?=" + _DQ + rb")|"
    + _SQ + _BODY % {b"quote": b"'", b"names": b"apos;|#0?39;|#[xX]27;"} + rb"(?=" + _SQ + rb")|"
    + rb"url\(\s*+([^\s\"'()<>&]*+(?:&(?!quot;|apos;|#0?3[49];|#[xX]2[27];)[^\s\"'()<>&]*+)*)(?=\s*+\))"
)  # fmt: skip
_LISTED = re.compile(rb"(,\s*+(?=https?:|\\?/|&#))")
_DESCRIPTOR = re.compile(rb"\s[0-9.]{1,10}[wxh]\Z")


def sign_attribute(urls: Urls, element: bytes, name: bytes, raw: bytes) -> bytes:
    """Return the value ``raw``, as written, of attribute ``name`` of ``element`` (both lower-case), signed.

    An attribute that no browser fetches from comes back as it is, and so does ``base href``, which
    would pass its query on to nothing.
    """
    if name in _URL_ATTRIBUTES:
        if element == b"base":
            return raw
        bare = raw.strip(b" \t\n\f\r")
        if len(bare) == len(raw):
            return urls.sign(raw, HTML)
        return raw.replace(bare, urls.sign(bare, HTML), 1)
    if name.endswith(b"srcset"):
        return urls.sign_candidates(raw, HTML)
    if name.startswith(b"data-"):
        if urls.wanted(raw.strip(), JSON_IN_HTML):
            return b"".join(_listed(urls, part) for part in _LISTED.split(raw))
        return _embedded(urls, raw)
    if name in {b"style", b"srcdoc"}:
        return _embedded(urls, raw)
    return raw


def _listed(urls: Urls, part: bytes) -> bytes:
    """Sign one member of a list of URLs, or pass the comma between two."""
    bare = part.strip()
    descriptor = _DESCRIPTOR.search(bare, max(0, len(bare) - 12))
    url = bare[: descriptor.start()].rstrip() if descriptor else bare
    return part.replace(url, urls.sign(url, JSON_IN_HTML), 1) if url else part


def _embedded(urls: Urls, raw: bytes) -> bytes:
    """Sign what is quoted or in ``url()``, and is a protected URL as a whole."""

    def sign(match: re.Match[bytes]) -> bytes:
        url = match[match.lastindex or 0]
        start = match.start(match.lastindex or 0) - match.start()
        return match[0][:start] + urls.sign(url, JSON_IN_HTML) + match[0][start + len(url) :]

    return _EMBEDDED.sub(sign, raw)
