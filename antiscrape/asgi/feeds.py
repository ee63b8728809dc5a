"""Signs the URLs in feeds and sitemaps (XML), also in the HTML that feeds carry, escaped or in CDATA.

Signed are the values of attributes that name a picture (``enclosure url``, ``media:content url``, ``link
href``, ``img src``) and the text of elements that are made of one URL (``image:loc``, ``url``, ``logo``).
What identifies an entry (``guid``, ``id``, ``rdf:about``) stays: a reader would show it as a new one in every
window. Comments stay, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.asgi.quoted import LONGEST
from antiscrape.asgi.spelling import HTML, HTML_IN_XML, Occurrences

if TYPE_CHECKING:
    from antiscrape.asgi.spelling import Urls

#: Bytes of one token that are looked at, at most.
_LONGEST_TOKEN: Final = 320
# RSS 2.0, Media RSS 1.5, RFC 4287 (Atom), sitemaps 0.9 with Google's image and video extensions.
_ELEMENT = rb"(?:[A-Za-z_][\w.-]{0,31}:)?(?:(?:\w{1,16}_)?loc|url|link|icon|logo|image|thumbnail)"
# Each begins with one of two bytes, and so the text between them, which is most of a feed, is passed at the speed of a search.
_TOKEN = re.compile(
    rb"[<=](?:(?<=<)(?:(?P<comment>!--)"
    rb"|" + _ELEMENT + rb"(?:[ \t\r\n][^<>]{0,160})?+(?<!/)>(?P<cdata><!\[CDATA\[)?(?P<text>))"
    rb"|(?<==)[ \t\r\n]{0,16}(?P<quote>[\"']|&quot;|&apos;|&#34;|&#39;))"
)  # fmt: skip
# What has to stand before the "=" of a value that is looked at, and how many bytes that is at most.
_NAME = re.compile(
    rb"(?<![\w.-])((?:[A-Za-z_][\w.-]{0,31}:)?(?:src|href|url|poster|background|srcset)|data-[\w-]{1,48})[ \t\r\n]{0,16}\Z"
)
_LONGEST_NAME: Final = 80
# One of these does, which is told quicker.
_NAMES: Final = (b"src", b"href", b"url", b"poster", b"background", b"srcset")
# What ends a value: the quote that begins it, and whatever cannot stand in it.
_END: Final = {
    b'"': re.compile(rb"[\"<>]"),
    b"'": re.compile(rb"['<>]"),
    b"&quot;": re.compile(rb"&quot;|[<>]|&[lg]t;"),
    b"&#34;": re.compile(rb"&#34;|[<>]|&[lg]t;"),
    b"&apos;": re.compile(rb"&apos;|[<>]|&[lg]t;"),
    b"&#39;": re.compile(rb"&#39;|[<>]|&[lg]t;"),
    b"<![CDATA[": re.compile(rb"\]\]>|<"),
    b"": re.compile(rb"</?"),
}
_CLOSING: Final = {b"": b"</", b"<![CDATA[": b"]]>"}
_ENCODING: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?<\?xml[ \t\r\n][^>]{0,200}?encoding[ \t\r\n]*=[ \t\r\n]*[\"']([^\"'>]{1,40})"
)
#: Encodings in which every byte below 0x80 means ASCII, wherever it stands.
_ASCII: Final = re.compile(rb"utf-?8|us-ascii|iso-?8859-\d{1,2}|windows-125[0-8]", re.IGNORECASE)


class _Begun(NamedTuple):
    start: int  # of what begins a value
    name: bytes  # of the attribute; ``b""`` for the text of an element


class _Signed(NamedTuple):
    start: int
    value: bytes


def _next(data: bytes, at: int) -> tuple[re.Match[bytes], _Begun] | None:
    """Return the next token, and where it begins; of values those alone whose names are looked for."""
    for token in _TOKEN.finditer(data, at):
        start = token.start()
        if token.lastgroup != "quote":
            return token, _Begun(start, b"")
        floor = max(at, start - _LONGEST_NAME)
        before = data[floor:start].rstrip()
        if before.endswith(_NAMES) or b"data-" in before:
            named = _NAME.search(data, floor, start)
            if named:
                return token, _Begun(named.start(), named[1])
    return None


class FeedSigner:
    """Signs the protected URLs of an XML body; where the chunks begin and end changes nothing."""

    def __init__(self, urls: Urls) -> None:
        self._urls = urls
        self._places = Occurrences(urls, b"")
        #: What is not settled, and the byte before it.
        self._held = self._before = b""
        self._begun = self._in_comment = self._idle = False
        #: Whether the last tag is one that stands, escaped, in a text; and how far in a chunk that was looked for.
        self._escaped, self._seen = False, 0

    @property
    def awaits(self) -> re.Pattern[bytes] | None:
        """Return what is waited for: nothing but URLs."""
        return None

    @property
    def pending(self) -> bytes:
        """What was read and is not settled."""
        return self._held

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Return what of the body is settled; all of it with the ``last`` chunk."""
        data = self._held + chunk
        if not self._begun:
            if len(data) < _LONGEST_TOKEN and not last:
                self._held = data
                return b""
            encoding = _ENCODING.match(data)
            self._begun, self._idle = True, encoding is not None and not _ASCII.fullmatch(encoding[1])
        if self._idle:
            self._held = b""
            return data
        done = self._seen = len(self._before)
        data = self._before + data
        self._places = Occurrences(self._urls, data)
        out: list[bytes] = []
        stop = at = done
        while at >= 0:
            at, stop, signed = self._step(data, at, last=last)
            if signed is not None:
                out += data[done : signed.start], signed.value
                done = at
        stop = len(data) if last else stop
        if not self._in_comment:
            self._look(data, stop)
        out.append(data[done:stop])
        self._before, self._held = data[max(0, stop - 1) : stop], data[stop:]
        return b"".join(out)

    def _look(self, data: bytes, end: int) -> None:
        """Find out whether the last tag that begins before ``end`` is an escaped one."""
        plain, escaped = data.rfind(b"<", self._seen, end), data.rfind(b"&lt;", self._seen, end + 3)
        if plain >= 0 or escaped >= 0:
            self._escaped = escaped > plain
        self._seen = end

    def _step(self, data: bytes, at: int, *, last: bool) -> tuple[int, int, _Signed | None]:
        """Read one token; return where to read on (-1: nowhere yet), how far all is settled, and what was signed."""
        tail = len(data) - _LONGEST_TOKEN  # behind it, a token may not be whole, nor even look like one
        if self._in_comment:
            ended = data.find(b"-->", at)
            if ended < 0:
                return -1, max(at, tail), None
            self._in_comment, at = False, ended + 3
            self._seen = at
        found = _next(data, at)
        if found is None or (found[1].start > tail and not last):
            return -1, max(at, tail), None
        token, begun = found
        self._look(data, begun.start)
        if token.lastgroup != "comment":
            return self._value(data, token, begun, last=last)
        self._in_comment = True
        return token.end(), token.end(), None

    def _value(
        self, data: bytes, token: re.Match[bytes], begun: _Begun, *, last: bool
    ) -> tuple[int, int, _Signed | None]:
        """Read the value that a token begins, and sign it; the result is that of ``_step``."""
        start = token.end()
        self._escaped = self._escaped and token.lastgroup == "quote"
        opener = token["quote"] or token["cdata"] or b""
        ended = _END[opener].search(data, start, start + LONGEST)
        if ended is None or (not last and ended.end() == len(data)):
            waits = not last and len(data) - start < LONGEST
            if waits:
                return -1, begun.start, None
            self._seen = start
            return start, start, None
        end = self._seen = ended.start()
        raw = data[start:end]
        closed = data.startswith(_CLOSING.get(opener, opener), end)
        if closed and self._places.after(start) < end and self._urls.occur_in(raw):
            return end, end, _Signed(start, self._signed(token, begun.name, raw))
        return end, end, None

    def _signed(self, token: re.Match[bytes], name: bytes, raw: bytes) -> bytes:
        twice = token.lastgroup == "quote" and (self._escaped or token["quote"].startswith(b"&"))
        codec = HTML_IN_XML if twice else HTML
        if name.endswith(b"srcset"):
            return self._urls.sign_candidates(raw, codec)
        bare = raw.strip()
        return raw.replace(bare, self._urls.sign(bare, codec), 1) if bare else raw
