"""Where a URL leads, read in the one way in which a browser, a proxy and a site agree on it, or not at all."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

#: RFC 9110, section 4.1: the length of URI that every recipient should take; servers stop there too.
LONGEST_URL: Final = 8000

_ORIGIN = re.compile(r"(?:https?:)?//(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
# WHATWG URL 4.4: browsers strip these from both ends, and remove tabs and newlines anywhere.
_STRIPPED = re.compile(r"\A[\x00-\x20]|[\x00-\x1f\x7f]|[\x00-\x20]\Z")
# Paths that two servers read in two ways (SECURITY B5): an encoded separator, an escape that is none; a
# backslash, a dot segment, a control, or what a second decoding would turn into one of these.
_ESCAPED = re.compile(rb"%(?:2f|5c|(?![0-9a-f]{2}))", re.IGNORECASE)
_AMBIGUOUS = re.compile(rb"[\x00-\x1f\x7f\\]|/\.{1,2}(?:/|\Z)|%(?:2e|2f|5c|00)", re.IGNORECASE)
# Everything but these, letters and digits a browser percent-encodes in a query (WHATWG URL 1.3, special-query set).
_QUERY_PLAIN: Final = "!$%&()*+,-./:;=?@[\\]^_`{|}~"
# Paths of pictures as they nearly always are: there is nothing in one that could be read in two ways.
_USUAL = re.compile(r"(?>(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+)/?")
_USUAL_BYTES = re.compile(_USUAL.pattern.encode())
_ODD = re.compile(rb"//|/\.|[\\%;]")


def canonical_path(raw_path: bytes) -> bytes | None:
    """Decode ``raw_path`` once; return None where another server may read it differently."""
    if _USUAL_BYTES.fullmatch(raw_path):
        return raw_path
    decoded = raw_path
    if b"%" in raw_path:
        if _ESCAPED.search(raw_path):
            return None
        decoded = unquote_to_bytes(raw_path)
    if not decoded.startswith(b"/") or _AMBIGUOUS.search(decoded):
        return None
    try:
        decoded.decode()
    except UnicodeDecodeError:
        return None
    return decoded


def may_differ(path: bytes) -> bool:
    """Tell whether servers may read the decoded ``path`` in more than one way."""
    return _ODD.search(path) is not None


def is_prefix(text: str) -> bool:
    """Tell whether ``text`` is the start of a decoded path, and of one path only."""
    plain = text.encode("utf-8", "replace")
    return text.startswith("/") and not re.search(rb"[%?#*]|//", plain) and not _AMBIGUOUS.search(plain)


def as_sent(query: bytes) -> bytes:
    """Return ``query`` as a browser sends it."""
    return quote_from_bytes(query, _QUERY_PLAIN).encode() if query else query


def split_url(url: str) -> tuple[str, str, str, str]:
    """Split ``url`` into origin, path, query and fragment (with its ``#``); raise ``ValueError``."""
    if len(url) <= LONGEST_URL and _USUAL.fullmatch(url):
        return "", url, "", ""
    if len(url) > LONGEST_URL or _STRIPPED.search(url):
        msg = f"a URL that is signed has at most {LONGEST_URL} characters, and no controls or outer spaces"
        raise ValueError(msg)
    located, hash_, fragment = url.partition("#")
    located, _, query = located.partition("?")
    origin = _ORIGIN.match(located)
    path = located[origin.end() :] if origin else located
    if not path.startswith("/") or (origin is None and path.startswith("//")):
        msg = f"{url!r} is not a path, nor an http or https URL with one"
        raise ValueError(msg)
    return (origin[0] if origin else "", path, query, hash_ + fragment)


def path_of(url: str) -> tuple[str, str]:
    """Return the host (lower-case, no port, ``""`` if none is named) and the path, as written, of ``url``.

    What is no path-absolute, scheme-relative, http or https URL has neither: ``("", "")``.
    """
    located = url.partition("#")[0].partition("?")[0]
    if located.startswith("/") and not located.startswith("//"):
        return "", located
    origin = _ORIGIN.match(located)
    if origin is None or not located.startswith("/", origin.end()):
        return "", ""
    authority = origin[0].rpartition("//")[2]
    host = authority if authority.endswith("]") else re.sub(r":[0-9]*\Z", "", authority)
    return host.lower().rstrip("."), located[origin.end() :]


def resolved(path: bytes) -> bytes:
    """Return the path that the most lenient server makes of ``path``."""
    if b"%" in path:
        path = unquote_to_bytes(path)
    kept: list[bytes] = []
    segments = [segment.partition(b";")[0] for segment in path.replace(b"\\", b"/").split(b"/")]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment not in {b"", b"."}:
            kept.append(segment)
    return b"/" + b"/".join(kept) + (b"/" if kept and segments[-1] in {b"", b".", b".."} else b"")
