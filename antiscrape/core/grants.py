"""Grants: the signature on an image URL that says the site itself put this URL on a page.

A grant is one query parameter, the last, whose value reads ``1.<start>.<signature>``: the version,
the second at which its window starts (hex), and 144 bits of HMAC-SHA-256. It is signed for the
window in which the page was made and is valid until the end of the next one, so a page shows the
same URL for a while and caches keep working, and nobody meets a URL with less than a window to live.

What is signed is the site, the path as the site reads it (percent-decoded once, case kept), the
rest of the query, and the start, each preceded by its length: no byte can move from one field to
the next (SECURITY F4). What is compared is the whole string, made again from scratch. Decoding the
given signature would let many strings stand for one grant (F1: base64 has spare bits, and decoders
skip what they do not know).
"""

from __future__ import annotations

import hmac
import re
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from itsdangerous.encoding import base64_encode

from antiscrape.core.memo import Memo
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.rules import GrantRules
    from antiscrape.core.tokens import KeyRing

#: Seconds that the clocks of two servers may differ (SECURITY F6).
SKEW: Final = 60
#: RFC 9110, section 4.1: the length of URI that every recipient should take; servers stop there too.
LONGEST_URL: Final = 8000
#: Base64 characters of a signature: 18 bytes, 144 bits, no spare bits in the last one. RFC 2104,
#: section 5, allows half of the hash, and SECURITY F7 asks for 128 bits.
_SIGNATURE: Final = 24
#: Remembered at once, for checking and for signing each: the pictures of a few pages for each of some
#: hundred visitors of one worker. What is remembered has at most ``_SHORT`` bytes, so both together
#: stay under 25 MB even for somebody who writes one signed path in many spellings. Forgeries are never
#: remembered, and so cannot push out what is.
_REMEMBERED: Final = 8192
_SHORT: Final = 512

_TOKEN = re.compile(rb"1\.(0|[1-9a-f][0-9a-f]{0,11})\.[A-Za-z0-9_-]{24}")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_ORIGIN = re.compile(r"(?:https?:)?//(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
# WHATWG URL 4.4: browsers strip these from both ends, and remove tabs and newlines anywhere.
_STRIPPED = re.compile(r"\A[\x00-\x20]|[\x00-\x1f\x7f]|[\x00-\x20]\Z")
# Paths that two servers read in two ways (SECURITY B5): an encoded separator, an escape that is none; a
# backslash, a dot segment, a control, or what a second decoding would turn into one of these.
_ESCAPED = re.compile(rb"%(?:2f|5c|(?![0-9a-f]{2}))", re.IGNORECASE)
_AMBIGUOUS = re.compile(rb"[\x00-\x1f\x7f\\]|/\.{1,2}(?:/|\Z)|%(?:2e|2f|5c|00)", re.IGNORECASE)
# Everything but these, letters and digits a browser percent-encodes in a query (WHATWG URL 1.3, special-query set).
_QUERY_PLAIN: Final = "!$%&()*+,-./:;=?@[\\]^_`{|}~"
_ODD = re.compile(rb"//|/\.|[\\%;]")


class GrantState(Enum):
    """What became of an image request's grant."""

    NONE = "none"
    VALID = "valid"
    EXPIRED = "expired"  # it was valid once
    FORGED = "forged"  # not the string that was signed, or not for this URL, or from the future

    __hash__ = object.__hash__


class Grants:
    """Signs and checks the image URLs of ``site``; safe to share among threads.

    Give ``ignore_case`` where the site behind serves ``/IMG/1`` and ``/img/1`` as one resource.
    Raise ``ConfigurationError`` where ``rules`` cannot be carried out, with every problem in it.
    """

    def __init__(self, keys: KeyRing, rules: GrantRules, site: str, *, ignore_case: bool = False) -> None:
        problems = tuple(_problems(rules))
        if problems:
            raise ConfigurationError(*problems)
        signer = keys.signer("grant")
        self._keys = tuple(signer.derive_key(secret) for secret in reversed(signer.secret_keys))
        self._digest = signer.algorithm.get_signature
        self._preamble = _field(b"grant 1") + _field(site.encode())
        self._window = rules.window
        self._ignore_case = ignore_case
        self._lead = rules.parameter.encode() + b"="
        self._ours = _named(rules.parameter.encode())
        self._exact = frozenset(self._fold(prefix.encode()) for prefix in rules.prefixes)
        self._below = tuple(prefix.rstrip(b"/") + b"/" for prefix in self._exact)
        self._verified: Memo[tuple[bytes, bytes], int] = Memo(_REMEMBERED)
        self._signed: tuple[int, Memo[str, str]] = (-1, Memo(_REMEMBERED))

    def sign(self, url: str, *, now: float) -> str:
        """Return ``url`` with a grant for the window in which ``now`` (seconds since 1970) lies.

        ``url`` is path-absolute, scheme-relative or absolute (http, https). A grant that it carries
        already is replaced; every other byte of its query and fragment stays. Raise ``ValueError``
        for anything else, for a URL that a browser, a proxy and a site may read differently, and for one
        whose query, as a browser sends it, is longer than ``LONGEST_URL`` with its grant.
        """
        start = int(now // self._window) * self._window
        window, memo = self._signed
        if window != start:
            memo = Memo(_REMEMBERED)
            self._signed = (start, memo)
        signed = memo.get(url)
        if signed is None:
            signed = self._sign(url, start)
            if len(url) <= _SHORT:
                memo.put(url, signed)
        return signed

    def _sign(self, url: str, start: int) -> str:
        origin, path, query, fragment = _split(url)
        canonical = self._canonical(path.encode())
        if canonical is None or start < 0:
            msg = f"{url!r} can be read in more than one way; it was not signed"
            raise ValueError(msg)
        rest = self.strip(query.encode())
        stamp = b"%x" % start
        encoded = _as_sent(rest)
        token = self._token(self._keys[0], self._message(canonical, encoded, stamp), stamp)
        if len(encoded) + len(b"&" + self._lead + token) > LONGEST_URL:
            msg = f"a query that is signed has at most {LONGEST_URL} bytes, encoded and with its grant"
            raise ValueError(msg)
        granted = (rest + b"&" if rest else b"") + self._lead + token
        return f"{origin}{path}?{granted.decode()}{fragment}"

    def check(self, raw_path: bytes, query: bytes, *, now: float) -> GrantState:
        """Tell the state of the grant on a request; ``raw_path`` and ``query`` are bytes as received.

        ``now`` is seconds since 1970. A forgery costs the same whatever it has right, and next to
        nothing beyond ``LONGEST_URL``: nothing that long was ever signed (SECURITY D3).
        """
        if not query:
            return GrantState.NONE
        if len(query) > LONGEST_URL:
            return GrantState.FORGED
        start = self._verified.get((raw_path, query))
        if start is None:
            found = self._verify(raw_path, query)
            if isinstance(found, GrantState):
                return found
            start = found
            if len(raw_path) + len(query) <= _SHORT:
                self._verified.put((raw_path, query), start)
        if now >= start + 2 * self._window:
            return GrantState.EXPIRED
        # itsdangerous takes a date in the future for valid where no age is asked for (SECURITY F6).
        return GrantState.VALID if start <= now + SKEW else GrantState.FORGED

    def _verify(self, raw_path: bytes, query: bytes) -> int | GrantState:
        """Return the start that is signed in ``query``, or why there is none."""
        if self._ours.search(query) is None:
            return GrantState.NONE
        rest, ampersand, last = query.rpartition(b"&")
        token = last[len(self._lead) :]
        shape = _TOKEN.fullmatch(token) if last.startswith(self._lead) else None
        path = self._canonical(raw_path)
        if shape is None or path is None or bool(ampersand) != bool(rest) or self._ours.search(rest):
            return GrantState.FORGED
        message = self._message(path, _as_sent(rest), shape[1])
        for key in self._keys:
            if hmac.compare_digest(token, self._token(key, message, shape[1])):
                return int(shape[1], 16)
        return GrantState.FORGED

    def covers(self, path: str | bytes) -> bool:
        """Tell whether the rules ask for a grant at ``path``: decoded as ``str``, as received as ``bytes``.

        A path that servers read differently is covered if any of its readings is, so that no
        spelling of a picture leads around its grant.
        """
        plain = path.encode("utf-8", "surrogatepass") if isinstance(path, str) else unquote_to_bytes(path)
        plain = self._fold(plain)
        if plain in self._exact or plain.startswith(self._below):
            return True
        if _ODD.search(plain) is None:
            return False
        plain = _resolved(plain)
        return plain in self._exact or plain.startswith(self._below)

    def strip(self, query: bytes) -> bytes:
        """Return ``query`` without any grant, its other bytes untouched.

        One that is longer than ``LONGEST_URL`` holds no grant, and comes back as it is.
        """
        if len(query) > LONGEST_URL or self._ours.search(query) is None:
            return query
        return b"&".join(piece for piece in query.split(b"&") if not self._ours.match(piece))

    def _fold(self, path: bytes) -> bytes:
        # ASCII only: bytes that one server folds and another does not stay two resources, as the safer error.
        return path.lower() if self._ignore_case else path

    def _canonical(self, raw_path: bytes) -> bytes | None:
        """Decode ``raw_path`` once; return None where another server may read it differently."""
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
        return self._fold(decoded)

    def _message(self, path: bytes, query: bytes, stamp: bytes) -> bytes:
        return self._preamble + _field(path) + _field(query) + _field(stamp)

    def _token(self, key: bytes, message: bytes, stamp: bytes) -> bytes:
        return b"1." + stamp + b"." + base64_encode(self._digest(key, message))[:_SIGNATURE]


def _named(parameter: bytes) -> re.Pattern[bytes]:
    """Return what finds ``parameter``, in every way to percent-encode it, as the name of a piece of a query."""
    spelt = (b"(?:%c|(?i:%%%02x))" % (byte, byte) for byte in parameter)
    return re.compile(rb"(?<![^&])" + b"".join(spelt) + rb"(?![^&=])")


def _as_sent(query: bytes) -> bytes:
    return quote_from_bytes(query, _QUERY_PLAIN).encode()


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _split(url: str) -> tuple[str, str, str, str]:
    """Split ``url`` into origin, path, query and fragment (with its ``#``); raise ``ValueError``."""
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


def _resolved(path: bytes) -> bytes:
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


def _problems(rules: GrantRules) -> Iterator[str]:
    if rules.window < SKEW:
        yield f"grants.window is {rules.window} s; expected at least {SKEW} s, which clocks may differ by"
    if _PARAMETER.fullmatch(rules.parameter) is None:
        yield f"grants.parameter is {rules.parameter!r}; expected a letter and then letters, digits, - or _"
    for prefix in rules.prefixes:
        plain = prefix.encode("utf-8", "replace")
        if not prefix.startswith("/") or re.search(rb"[%?#*]|//", plain) or _AMBIGUOUS.search(plain):
            yield f"grants.prefixes has {prefix!r}; expected the start of a decoded path, such as '/photos/'"
