"""From a request path to a resource: one decision for every spelling of it.

A path that two servers could read differently (backslashes, dot segments, control characters) is
refused, because the reading that policy judged would not be the one that the site serves
(SECURITY B5, B6; the precedents are Caddy's, Envoy's and HAProxy's normalisation advisories). A
path that is merely odd (encoded slashes, empty segments, path parameters) is judged, but never
falls under a lenient rule.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.errors import ConfigurationError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.core.rules import Route

#: SECURITY C5: longer targets are answered 414 by most servers (nginx 8 kB, Apache 8190 bytes).
LONGEST_PATH = 8192

# What no URL parser that follows WHATWG URL §4.4 or RFC 3986 §3.3 leaves in a path. C0 and C1 start
# only overlong UTF-8, F5 to FF start nothing.
_AMBIGUOUS = re.compile(rb"[\x00-\x1f\x7f\\]|[\xc0\xc1\xf5-\xff]|(?:^|/)\.{1,2}(?:/|$)")
_RAW = re.compile(rb"[\x00-\x20\x7f#]")
_ODD = re.compile(rb"%2f|%25|//|;|%(?![0-9a-f]{2})", re.IGNORECASE)
_WILD = re.compile(r"(\*\*|\*|\{subject\})")
# As many as are exact where numbers are doubles: in JSON (RFC 8259 §6) and in Lua.
_DIGITS = re.compile(r"[0-9]{1,15}")
_LENIENT = frozenset({Kind.EXEMPT, Kind.ASSET})


class RouteTable:
    """The route table of a policy, compiled: the first pattern that matches a path names its resource."""

    def __init__(self, routes: Iterable[Route], *, ignore_case: bool = False) -> None:
        self._routes = tuple(routes)
        self._ignore_case = ignore_case
        parts = [
            f"(?P<r{index}>{pattern_source(route.pattern, index)})"
            for index, route in enumerate(self._routes)
        ]
        # ASCII: the long s of "/robot\u017f.txt" is no s to any server.
        flags = re.DOTALL | (re.IGNORECASE | re.ASCII if ignore_case else 0)
        self._pattern = re.compile("|".join(parts) or r"(?!)", flags)

    def classify(self, raw_path: bytes) -> Resource:
        """Return the resource at ``raw_path``; raise ``RequestError`` where it has two readings."""
        decoded = read_path(raw_path)
        # The bytes are named, not the text: "%E9" and "%C3%A9" are two files, and both read "é".
        name = decoded
        try:
            path, odd = decoded.decode("utf-8"), _ODD.search(raw_path) is not None
            if self._ignore_case:
                name = path.casefold().encode()
        except UnicodeDecodeError:
            path, odd = decoded.decode("latin-1"), True
            if self._ignore_case:
                name = decoded.lower()
        kind, size, subject = self._match(path)
        if odd and kind in _LENIENT:
            kind = Kind.UNTOLD
        if odd and size is Size.THUMBNAIL:  # Tomcat reads "/thumbs/..;/media/1.jpg" as "/media/1.jpg"
            size = Size.UNTOLD
        identity = int.from_bytes(blake2b(name, digest_size=8).digest(), "big")
        return Resource(kind, path, identity, size, subject, _number(path))

    def _match(self, path: str) -> tuple[Kind, Size, str]:
        match = self._pattern.fullmatch(path)
        if match is None or match.lastgroup is None:
            return Kind.UNTOLD, Size.UNTOLD, ""
        index = int(match.lastgroup[1:])
        route = self._routes[index]
        subject = match[f"s{index}"] if "{subject}" in route.pattern else ""
        return route.kind, route.size, subject


def read_path(raw_path: bytes) -> bytes:
    """Percent-decode a path once; raise ``RequestError`` where servers would read it in different ways."""
    if not raw_path.startswith(b"/"):
        raise RequestError("the request target is not a path")
    if len(raw_path) > LONGEST_PATH:
        raise RequestError(f"the path is longer than {LONGEST_PATH} bytes")
    if _RAW.search(
        raw_path
    ):  # a fragment (SECURITY B3: Envoy CVE-2021-32779), or what no parser should have let by
        raise RequestError("the request target has a fragment, a space or a control character")
    decoded = unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
    # UTF-8's continuation bytes are above 0x7F and never look like ASCII, so this scan of bytes is safe.
    found = _AMBIGUOUS.search(decoded)
    if found:
        raise RequestError(f"the path has {found[0]!r}, which servers read in different ways")
    return decoded


def pattern_fault(pattern: str) -> str:
    """Return what keeps ``pattern`` from being matched in linear time and in one way, or ``""``.

    SECURITY D4 wants what operators write to run on RE2 or to be refused. RE2 takes ten times as long on
    ordinary paths, so what backtracks is refused: two wildcards whose border cannot be told.
    """
    if not pattern.startswith("/"):
        return 'expected a path that starts with "/"'
    if re.search(r"[{}]", pattern.replace("{subject}", "", 1)):
        return "the one name that it may hold, once, is {subject}"
    if any(len(_WILD.findall(segment)) > 1 for segment in pattern.split("/")):
        return "one segment holds one of *, ** and {subject}, or what each of them takes could not be told"
    if pattern.removesuffix("**").count("**") > 1:
        return '"**" may stand at the end and once before'
    return ""


def pattern_source(pattern: str, index: int = 0) -> str:
    """Translate a route pattern to a regular expression; raise ``ConfigurationError`` if it is none."""
    fault = pattern_fault(pattern)
    if fault:
        raise ConfigurationError(f"route pattern {pattern!r} is none; {fault}")
    parts = []
    for part in _WILD.split(pattern):
        if part == "**":
            parts.append(".*")
        elif part == "*":
            parts.append("[^/]*")
        elif part == "{subject}":
            parts.append(f"(?P<s{index}>[^/]+)")
        else:
            parts.append(re.escape(part))
    return "".join(parts) + ("" if pattern.endswith(("/", "**")) else "/?")


def _number(path: str) -> int:
    digits = _DIGITS.search(path, path.rfind("/"))
    return int(digits[0]) if digits else -1
