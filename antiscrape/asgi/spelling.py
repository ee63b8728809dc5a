"""How a protected URL is spelt in HTML and in JSON: finding it in bytes, reading it, writing it signed."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from html import unescape
from html.entities import html5
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# HTML 4.8.4.2.1: a URL that ends in a comma has no descriptors; else these reach to a comma outside of
# parentheses. It matches wherever the last match ended, at the end too: a scan that could fail would
# begin again at each of the spaces that it has just passed.
_CANDIDATE = re.compile(rb"([ \t\n\f\r,]*+)(?:([^ \t\n\f\r]++)((?<=,)|[^,(]*+(?:\([^)]*+\)?[^,(]*+)*)|\Z)")


#: A slash may also be written "\/" or "&#x2F;": these are the last bytes of all of them.
_SLASHES = b"/;"
_SLASH = re.compile(rb"[/;]")


class Codec(NamedTuple):
    """One way in which a URL is written: how to read it, how to write it, and its ampersand."""

    decode: Callable[[str], str]
    encode: Callable[[str, bytes], str]
    ampersand: str


def _named(match: re.Match[str]) -> str:
    """Resolve a character reference as HTML 13.2.5.73 has it for attributes."""
    name, semicolon = match[1], match[2]
    if name.startswith("#"):
        return unescape(match[0])
    if semicolon:
        return html5.get(name + ";", match[0])
    following = match.string[match.end() : match.end() + 1]
    return match[0] if following == "=" else html5.get(name, match[0])


_REFERENCE = re.compile(r"&(#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31})(;?)")


def _from_html(text: str) -> str:
    return _REFERENCE.sub(_named, text) if "&" in text else text


def _from_json(text: str) -> str:
    if "\\" not in text:
        return text
    decoded = json.loads(f'"{text}"')
    return decoded if isinstance(decoded, str) else text


_HTML_ESCAPES = str.maketrans({"&": "&amp;", '"': "&quot;", "'": "&#39;", "<": "&lt;", ">": "&gt;"})


def _to_html(url: str, _raw: bytes) -> str:
    return url.translate(_HTML_ESCAPES)


def _to_json(url: str, raw: bytes) -> str:
    # "<" stays escaped: this string may stand in a script element, which "</script" would end.
    text = json.dumps(url, ensure_ascii=False)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e")
    return text.replace("/", "\\/") if b"\\/" in raw else text


HTML = Codec(_from_html, _to_html, "&amp;")
JSON = Codec(_from_json, _to_json, "&")
JSON_IN_HTML = Codec(
    lambda text: _from_json(_from_html(text)),
    lambda url, raw: _to_json(url, raw).translate(_HTML_ESCAPES) if b"\\" in raw else _to_html(url, raw),
    "&amp;",
)
#: A URL as it is: in CSS without escapes, in a header field.
PLAIN = Codec(str, lambda url, _raw: url, "&")
#: HTML that stands, escaped, in the text of an XML element.
HTML_IN_XML = Codec(
    lambda text: _from_html(_from_html(text)),
    lambda url, raw: _to_html(_to_html(url, raw), raw),
    "&amp;amp;",
)


class Urls:
    """Knows which URLs are protected, how to find them in bytes, and how to sign one where it stands."""

    def __init__(self, sign: Callable[[str], str], prefixes: Iterable[str], host: str, *, fold: bool) -> None:
        self._sign = sign
        self._fold = fold
        #: The first segments of the prefixes: what is searched for, because searching is quicker the longer it is.
        self._wanted, self.segments = _compiled(tuple(prefixes), fold=fold)
        self._hosts = {host.lower(), f"{host}:80".lower(), f"{host}:443".lower()} if host else set()
        #: Bytes from the opening of a string to the end of a segment, at most: "https:\/\/host".
        self.reach = 65 + 2 * len(host) + max(map(len, self.segments), default=0)

    def hay(self, data: bytes) -> bytes:
        """Return ``data`` as the segments are to be searched in."""
        return data.lower() if self._fold else data

    def occur_in(self, data: bytes) -> bool:
        """Tell whether ``data`` may hold a protected URL."""
        return Occurrences(self, data).after(0) < len(data)

    def wanted(self, raw: bytes, codec: Codec) -> str:
        """Return the protected URL that ``raw`` spells, or ``""``."""
        try:
            url = codec.decode(raw.decode())
        except ValueError:  # not UTF-8, or not a JSON string
            return ""
        match = self._wanted.match(url)
        return url if match and (match[1] is None or match[1].lower() in self._hosts) else ""

    def sign(self, raw: bytes, codec: Codec) -> bytes:
        """Return ``raw`` with its URL signed, or as it is if that is not protected or cannot be signed."""
        url = self.wanted(raw, codec)
        if not url:
            return raw
        try:
            signed = self._sign(url)
        except ValueError:
            return raw
        if signed == url:
            return raw
        if "#" not in url and signed.startswith(url):  # what is added stands at the end, as nearly always
            added = signed[len(url) :]
            return raw + (added if "&" not in added else added.replace("&", _ampersand(raw, codec))).encode()
        body, hash_, fragment = url.partition("#")
        cut = _end_of(raw, body, hash_ + fragment, codec) if signed.startswith(body) else -1
        if cut >= 0:
            added = signed[len(body) : len(signed) - len(hash_ + fragment)]
            added = added.replace("&", _ampersand(raw, codec))
            return raw[:cut] + added.encode() + raw[cut:]
        return codec.encode(signed, raw).encode()

    def sign_candidates(self, raw: bytes, codec: Codec) -> bytes:
        """Sign the image candidates of a srcset (HTML 4.8.4.2.1); commas may be part of their URLs."""

        def sign(match: re.Match[bytes]) -> bytes:
            before, written, descriptors = match.groups(b"")
            url = written.rstrip(b",")
            return before + self.sign(url, codec) + written[len(url) :] + descriptors

        return _CANDIDATE.sub(sign, raw)


def _ampersand(raw: bytes, codec: Codec) -> str:
    return "\\u0026" if b"\\u0026" in raw else codec.ampersand


def _end_of(raw: bytes, body: str, tail: str, codec: Codec) -> int:
    """Return where in ``raw`` the fragment ``tail`` (with its ``#``) begins, or -1 where that cannot be told."""
    if raw.endswith(tail.encode()):
        return len(raw) - len(tail.encode())
    cut = raw.find(b"#")
    while cut > 0 and raw[cut - 1 : cut] == b"&":  # "&#x2F;"
        cut = raw.find(b"#", cut + 1)
    try:
        return cut if cut > 0 and codec.decode(raw[:cut].decode()) == body else -1
    except ValueError:  # cut within an escape
        return -1


@lru_cache(maxsize=32)
def _compiled(prefixes: tuple[str, ...], *, fold: bool) -> tuple[re.Pattern[str], tuple[bytes, ...]]:
    """Return what matches a protected URL (its first group is the authority), and the prefixes' first segments.

    The host is no part of the pattern: a client chooses it, and could make us compile one for each request.
    """
    spellings = {spelling for prefix in prefixes for spelling in _spellings(prefix)}
    paths = (re.escape(path) + ("" if path.endswith("/") else r"(?=[/?#]|\Z)") for path in spellings)
    origin = r"(?:(?:(?i:https?):)?//([^/?#@\\]*)|(?!//))"
    wanted = re.compile(f"{origin}(?:{'|'.join(paths)})", re.IGNORECASE if fold else 0)
    segments = {spelling.split("/")[1].encode() for spelling in spellings}
    return wanted, tuple(sorted({segment.lower() if fold else segment for segment in segments}))


def _spellings(prefix: str) -> set[str]:
    encoded = quote(prefix)
    return {prefix, encoded, re.sub("%..", lambda escape: escape[0].lower(), encoded)}


class Occurrences:
    """The places in one buffer at which the first segment of a prefix follows a slash; each is searched for once.

    They are asked for in their order.
    """

    __slots__ = ("_end", "_hay", "_next", "_only", "_place")

    def __init__(self, urls: Urls, data: bytes) -> None:
        self._hay = urls.hay(data)
        self._next = dict.fromkeys(urls.segments, -1)
        self._only = urls.segments[0] if len(urls.segments) == 1 else b""
        self._place = -1
        self._end = len(data)

    def after(self, start: int) -> int:
        """Return the first at or after ``start``, or the buffer's length."""
        if self._only:
            if self._place < start:
                self._place = self._find(self._only, start)
            return self._place
        for segment, place in self._next.items():
            if place < start:
                self._next[segment] = self._find(segment, start)
        return min(self._next.values(), default=self._end)

    def _find(self, segment: bytes, start: int) -> int:
        hay = self._hay
        if not segment:  # everything is protected
            slash = _SLASH.search(hay, start)
            return slash.start() if slash else self._end
        found = hay.find(segment, start + 1)
        while found > 0 and hay[found - 1] not in _SLASHES:
            found = hay.find(segment, found + 1)
        return found - 1 if found > 0 else self._end
