"""Reads HTML as far as it takes to know in which attribute, style or script a protected URL stands, and signs it there.

This is a scan, not a parser. It is linear: every pattern is possessive, so no input is read more than a
fixed number of times (SECURITY D6; the standard library's parser takes seconds for kilobytes of ``<a``). It
is bounded: of one attribute or string at most ``LONGEST`` bytes (16 kB) are held back, and a longer one
passes as it is. And where the chunks begin and end changes nothing, because each decision depends on what
was read and never on how it came.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.attributes import sign_attribute
from antiscrape.asgi.quoted import LONGEST, CssStrings, JsonStrings, Strings
from antiscrape.asgi.skimming import ATTRIBUTES, NAME, OPAQUE, SKIMMER, S, Skimmer
from antiscrape.asgi.spelling import Occurrences, Urls

if TYPE_CHECKING:
    from collections.abc import Callable

_BLANK = re.compile(rb"[ \t\n\f\r/]*+")
_ATTRIBUTE = re.compile(
    rb"(?P<name>" + NAME + rb")(?:" + S + rb"*+=" + S
    + rb"*+(?:\"(?P<dq>[^\"]*+)\"|'(?P<sq>[^']*+)'|(?P<uq>[^ \t\n\f\r\"'>][^ \t\n\f\r>]*+)(?=[ \t\n\f\r>])|(?=>))"
    + rb"|(?=" + S + rb"*+[^ \t\n\f\r=]))"
)  # fmt: skip
_BEGUN = re.compile(NAME + rb"(?P<space>" + S + rb"++)?(?P<equals>=" + S + rb"*+(?P<quote>[^ \t\n\f\r>])?)?")
# Open Graph (ogp.me), Twitter cards, and what search engines read beside them.
_CARD = re.compile(
    rb"\s(?:property|name|itemprop)\s*+=\s*+[\"']?(?:og:(?:image|video)|twitter:(?:image|player)|thumbnail|image)",
    re.IGNORECASE,
)
_TO_ITS_END = re.compile(ATTRIBUTES)
_PASSED_ATTRIBUTES = re.compile(
    rb"(?>(?:[ \t\n\f\r/]++|" + re.sub(rb"\?P<[a-z]+>", b"?:", _ATTRIBUTE.pattern) + rb")*)"
)
_CLOSING = {name: re.compile(rb"</" + name + rb"(?=[ \t\n\f\r/>])", re.IGNORECASE) for name in OPAQUE}
# By a pattern, not by "in data.lower()": it takes half the time.
_BODY_ENDS = re.compile(rb"</body", re.IGNORECASE)
_COMMENT_END = re.compile(rb"--!?>")
_COMMENT_TAIL = re.compile(rb"-(?:-!?)?\Z")
_UNTIL = {
    "tag name": re.compile(rb"[^ \t\n\f\r/>]*+"),
    "name": re.compile(rb"[^ \t\n\f\r/>=]*+"),
    "space": re.compile(rb"[ \t\n\f\r]*+"),
    "unquoted": re.compile(rb"[^ \t\n\f\r>]*+"),
}
_LONGEST_NAME = 64  # no element or attribute that matters here has a name of half the length
# What a document begins with and no part of one does (HTML 13.1, 13.1.2.4); "<body>" is among what may be left out.
_DOCUMENT = re.compile(
    rb"(?:\xef\xbb\xbf)?(?>(?:[ \t\n\f\r]++|<!--(?>.*?-->)|<\?[^>]*+>)*)<(?:!doctype[ \t\n\f\r]++html|html|head|body)[ \t\n\f\r/>]",
    re.DOTALL | re.IGNORECASE,
)
_OPENING: Final = 2048  # bytes in which it has to begin; licences and conditional comments stand before some


class MarkupSigner:
    """Signs the protected URLs in the tags of an HTML body, and puts ``insert`` before ``</body>``, once.

    HTML lets authors leave ``</body>`` out (13.1.2.4). Then it is put to the end of what began as a document, has no
    more than ``within`` bytes and ended in its text: not in a comment, a tag, a script or a text field.

    Signed are the attributes that name a picture (``src``, ``href``, ``srcset``, ``poster``, ``content``,
    ``data-*``, ``style`` and their like), the ``url()`` of style elements, and the strings of scripts
    whose type is a JSON one. Comments, text and other scripts stay as they are. What ``meta`` elements tell
    other sites to show of a page (Open Graph, Twitter cards) is signed by ``cards``.
    """

    def __init__(
        self,
        urls: Urls,
        insert: bytes = b"",
        *,
        within: int = 0,
        cards: Urls | None = None,
        skimmer: Skimmer = SKIMMER,
    ) -> None:
        self._skim, self._whole_tag, self._value_at = skimmer
        self._urls = urls
        self._cards = cards or urls
        self._insert = insert
        self._within = within
        self._opening, self._size = b"", 0
        self._held = self._data = b""
        self._places = Occurrences(self._urls, b"")
        self._out: list[bytes] = []
        self._done = 0
        self._last = self._waits = self._torn = False
        self._state: Callable[[int], int] = self._in_text
        # of the tag being read
        self._element = b""
        self._closes_itself = self._is_json = self._is_card = False
        self._quote = b""
        # of the element whose content has no tags
        self._strings: Strings | None = None

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Return what of the body is settled; all of it with the ``last`` chunk."""
        data = self._held + chunk
        self._size += len(chunk)
        if len(self._opening) < _OPENING:
            self._opening += chunk[: _OPENING - len(self._opening)]
        self._data, self._places, self._last = data, Occurrences(self._urls, data), last
        self._out, self._done = [], 0
        at, self._waits = 0, False
        while at < len(data) and not self._waits:
            at = self._state(at)
        self._out.append(data[self._done : at])
        self._held = data[at:]
        if last and self._strings:  # of an element that never ended
            self._out.append(self._strings.feed(b"", last=True))
        if last and self._insert and self._ends_a_document():
            self._out.append(self._insert)
        return b"".join(self._out)

    def _ends_a_document(self) -> bool:
        if self._torn or self._state != self._in_text or self._size > self._within:
            return False
        return _DOCUMENT.match(self._opening) is not None

    @property
    def awaits(self) -> re.Pattern[bytes] | None:
        """What comes before the end of the body, while that is still waited for."""
        return _BODY_ENDS if self._insert else None

    @property
    def pending(self) -> bytes:
        """What was read and is not settled."""
        return (self._strings.pending if self._strings else b"") + self._held

    # A state reads on from `at` and returns how far it came.

    def _wait(self, at: int) -> int:
        """Read no further than ``at`` until more is there; what never comes passes as it is."""
        self._waits, self._torn = not self._last, self._last
        return at if self._waits else len(self._data)

    def _replace(self, start: int, end: int, new: bytes) -> None:
        self._out += self._data[self._done : start], new
        self._done = end

    def _in_text(self, at: int) -> int:
        data, place = self._data, self._places.after(at)
        at = self._skim(data, at, place)
        if at == len(data):
            return at
        if at == place:
            return at + 1
        tag = self._whole_tag(data, at) if place < len(data) else None
        return self._markup(at) if tag is None else self._sign_tag(place, *tag)

    def _sign_tag(self, place: int, element: bytes, at: int, end: int) -> int:
        """Sign what has a value in a whole tag, from ``place`` on; ``at`` is where the element's name ends."""
        data, self._is_card = self._data, False
        urls = self._urls
        if element == b"meta" and _CARD.search(data, at, min(end, at - len(b"<meta") + LONGEST)):
            urls, self._is_card = self._cards, True
        while place < end:
            value = self._value_at(data, at, place) if place >= at else None  # it may stand in the name
            if value is None or value[3] - at > LONGEST:
                self._element, self._state = element, self._in_tag
                return at
            name, start, stop, at = value
            raw = data[start:stop]
            signed = sign_attribute(urls, element, name, raw)
            if signed is not raw:
                self._replace(start, stop, signed)
            place = self._places.after(at)
        return end

    def _markup(self, at: int) -> int:
        """Tell what a ``<`` begins (HTML 13.2.5.6 to 13.2.5.7, and 13.2.5.42)."""
        head = self._data[at : at + 4]
        second, third = head[1:2], head[2:3]
        if second.isalpha():
            return self._tag(at, at + 1)
        if not second or (second == b"/" and not third) or (head != b"<!--" and b"<!--".startswith(head)):
            return self._wait(at)
        if third.isalpha() and second == b"/":
            return self._tag(at, at + 2)
        if head == b"<!--":
            self._state = self._comment_begins
            return at + 4
        if head[1:3] == b"/>":
            return at + 3
        if second in b"/!?":
            self._state = self._in_bogus_comment
            return at + 2
        return at + 1

    def _tag(self, at: int, start: int) -> int:
        named = _UNTIL["tag name"].match(self._data, start, start + _LONGEST_NAME)
        end = named.end() if named else start
        if end == len(self._data) and end - start < _LONGEST_NAME:
            return self._wait(at)
        name = self._data[start:end].lower()
        if name == b"meta":
            whole = _TO_ITS_END.match(self._data, end, at + LONGEST)
            if whole is None and len(self._data) - at < LONGEST and not self._last:
                return self._wait(at)
            self._is_card = _CARD.search(self._data, end, whole.end() if whole else at + LONGEST) is not None
        closing = start - at == 2
        if closing and name == b"body" and self._insert:
            self._replace(at, at, self._insert)
            self._insert = b""
        self._element = b"" if closing else name
        self._closes_itself = self._is_json = False
        self._state = self._in_tag_name
        return end

    def _in_tag_name(self, at: int) -> int:
        return self._until("tag name", at, self._in_tag)

    def _in_tag(self, at: int) -> int:
        data = self._data
        if self._element not in OPAQUE:
            passed = _PASSED_ATTRIBUTES.match(data, at, self._places.after(at))
            at = passed.end() if passed else at
        blank = _BLANK.match(data, at)
        if blank and blank.end() > at:
            at = blank.end()
            self._closes_itself = data.endswith(b"/", 0, at)
        if at == len(data):
            return at
        if data.startswith(b">", at):
            self._state = self._content()
            return at + 1
        attribute = _ATTRIBUTE.match(data, at, at + LONGEST)
        if attribute is None:
            if len(data) - at < LONGEST:
                return self._wait(at)
            return self._overlong(at)
        self._closes_itself = False
        self._attribute(attribute)
        return attribute.end()

    def _attribute(self, attribute: re.Match[bytes]) -> None:
        kind = attribute.lastgroup or "name"
        if kind == "name" or not self._element:
            return
        name, raw = attribute["name"].lower(), attribute[kind]
        if name == b"type" and self._element == b"script":
            self._is_json = b"json" in raw.lower()
        if self._urls.occur_in(raw):
            urls = self._cards if self._element == b"meta" and self._is_card else self._urls
            signed = sign_attribute(urls, self._element, name, raw)
            if signed is not raw:
                self._replace(*attribute.span(kind), signed)

    def _overlong(self, at: int) -> int:
        """Pass ``LONGEST`` bytes of an attribute, and find out what its rest has to be skipped as."""
        begun = _BEGUN.match(self._data, at, at + LONGEST)
        quote, equals, space = begun.group("quote", "equals", "space") if begun else (None, None, None)
        if quote in (b'"', b"'"):
            self._quote = quote
            self._state = self._in_quotes
        elif quote:
            self._state = self._in_unquoted
        elif equals:
            self._state = self._after_equals
        else:
            self._state = self._after_name if space else self._in_name
        return at + LONGEST

    def _until(self, what: str, at: int, state: Callable[[int], int]) -> int:
        """Skip ``what``; once its end is seen, go on in ``state``."""
        match = _UNTIL[what].match(self._data, at)
        end = match.end() if match else at
        if end < len(self._data):
            self._state = state
        return end

    def _in_name(self, at: int) -> int:
        return self._until("name", at, self._after_name)

    def _after_name(self, at: int) -> int:
        at = self._until("space", at, self._in_tag)
        if self._data.startswith(b"=", at):
            self._state = self._after_equals
            at += 1
        return at

    def _after_equals(self, at: int) -> int:
        at = self._until("space", at, self._in_unquoted)
        first = self._data[at : at + 1]
        if first in (b'"', b"'"):
            self._quote, self._state = first, self._in_quotes
            at += 1
        elif first == b">":
            self._state = self._in_tag
        return at

    def _in_unquoted(self, at: int) -> int:
        return self._until("unquoted", at, self._in_tag)

    def _in_quotes(self, at: int) -> int:
        end = self._data.find(self._quote, at)
        if end < 0:
            return len(self._data)
        self._state = self._in_tag
        return end + 1

    def _content(self) -> Callable[[int], int]:
        """Return the state that follows the start tag of the element."""
        # "<title/>" closes itself in SVG, where it is common; in HTML it does not, where it is a mistake.
        if self._element not in OPAQUE or self._closes_itself:
            return self._in_text
        self._strings = None
        if self._is_json:
            self._strings = JsonStrings(self._urls)
        elif self._element == b"style":
            self._strings = CssStrings(self._urls)
        return self._in_content

    def _in_content(self, at: int) -> int:
        data, name = self._data, self._element
        closing = _CLOSING[name].search(data, at)
        end = len(data)
        if closing:
            end = closing.start()
            self._state = self._in_text
        elif not self._last:
            partial = data.rfind(b"<", max(at, end - len(name) - 2))
            end = partial if partial >= 0 else end
            self._waits = end < len(data)
        if self._strings:
            last = self._last or closing is not None
            self._replace(at, end, self._strings.feed(data[at:end], last=last))
        return end

    def _comment_begins(self, at: int) -> int:
        # HTML 13.2.5.43: "<!-->" and "<!--->" are comments already
        head = self._data[at : at + 2]
        if head == b"-" and not self._last:
            return self._wait(at)
        ended = head[:1] == b">" or head == b"->"
        self._state = self._in_text if ended else self._in_comment
        return at + head.index(b">") + 1 if ended else at

    def _in_comment(self, at: int) -> int:
        ended = _COMMENT_END.search(self._data, at)
        if ended:
            self._state = self._in_text
            return ended.end()
        partial = _COMMENT_TAIL.search(self._data, max(at, len(self._data) - 3))
        return self._wait(partial.start() if partial else len(self._data))

    def _in_bogus_comment(self, at: int) -> int:
        end = self._data.find(b">", at)
        if end < 0:
            return len(self._data)
        self._state = self._in_text
        return end + 1
