"""Originals that pass carry the token of whoever takes them in their first bytes, where the policy says so.

No pixel changes and nothing is decoded: a comment goes into the first chunk, the length is told anew, and the rest
streams on as it comes. For that, a beginning that comes in small pieces is held back until there is enough of it, a few
kilobytes; the same cut each time, so that the same bytes come of it however the site sends them.

What is sent are no longer the bytes that the site named, so the site's validators and digests do not hold for it. Its
ETag goes on with a mark of who takes it and the hour, which is taken off again before the site is asked: a copy of
one's own stays fresh from hour to hour, and nobody is told that another's copy is his. Parts of a marked original
cannot be had: a range would count from other bytes, and who asks for all in two parts would have it without its mark.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.caching import keep_private
from antiscrape.asgi.media import Media, known_media, read_media
from antiscrape.asgi.responder import Responder
from antiscrape.asgi.trailers import without_trailers
from antiscrape.core.resource import Kind
from antiscrape.core.trace import CODE_BITS
from antiscrape.core.verdict import Rendition

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.responder import Tools
    from antiscrape.asgi.types import Headers, Message, Scope, Send
    from antiscrape.core.verdict import Verdict
    from antiscrape.evidence.takers import Takers
    from antiscrape.gate import Passage
    from antiscrape.ports import Spliced

#: Request fields that ask for less than a whole body (RFC 9110 §13.1.5, §14.2).
_PARTS: Final = frozenset({b"range", b"if-range"})
#: Those that name bodies by their ETags.
_TAGS: Final = frozenset({b"if-none-match", b"if-match"})
_TOUCHED: Final = _PARTS | _TAGS
#: Fields of an answer that are true of the site's bytes alone. The seconds of a Last-Modified cannot tell takers apart.
_OF_THE_SITES: Final = frozenset(
    {b"accept-ranges", b"last-modified", b"content-md5", b"content-digest", b"repr-digest", b"digest"}
)
_MARK: Final = re.compile(rb'~[0-9a-f]{14}(?=")')
_CODE: Final = (1 << CODE_BITS) - 1
_LONGEST_FIELD: Final = 4096


class Marker:
    """What all responders that mark originals share.

    ``splice`` puts what says a payload into the beginning of a file, and looks at as many bytes as ``reach`` says of it. ``counts``
    tells how many originals passed ``marked``, and how many as they were: ``unfit`` (of no format that has a place for
    it, or broken), ``encoded`` (by a Content-Encoding), or a ``part``.
    """

    __slots__ = ("_reach", "_splice", "_takers", "counts")

    def __init__(
        self, takers: Takers, splice: Callable[[bytes, int], Spliced | None], *, reach: Callable[[bytes], int]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._takers = takers
        self._splice = splice
        self._reach = reach

    def asked(self, scope: Scope, passage: Passage) -> Scope:
        """Return the scope that the site is given: no part of a picture is asked for, and conditions name its own ETags.

        Nor are trailers, which tell of the site's own bytes.
        """
        at, scope = passage.shape.at, without_trailers(scope)
        if _TOUCHED.isdisjoint(at):
            return scope
        left_out = set(_PARTS) if passage.resource.kind is Kind.IMAGE else set()
        if _MARK.search((passage.value(b"if-none-match") or b"")[:_LONGEST_FIELD]):
            # Not all sites heed RFC 9110 §13.1.3, by which the date has no say beside a tag.
            left_out.add(b"if-modified-since")
        payload = self._takers.of(passage)
        headers = [
            (name, unmarked(value, payload) if name in _TAGS else value)
            for name, value in scope["headers"]
            if name not in left_out
        ]
        return {**scope, "headers": headers}

    def payload(self, passage: Passage) -> int:
        """Return what names who takes an original, now."""
        return self._takers.of(passage)

    def spliced(self, held: bytes, payload: int) -> tuple[bytes, bytes, int] | None:
        """Return a body's beginning with the payload in it, what comes after its end, and the growth; None where there is no place."""
        reach = self._reach(held)
        made = self._splice(held[:reach], payload)
        if made is None:
            self.counts["unfit"] += 1
            return None
        self.counts["marked"] += 1
        rest = memoryview(held)[reach:]
        return b"".join((made.head, rest)), made.tail, made.growth

    def awaits(self, held: bytes) -> bool:
        """Tell whether more of a body has to be seen."""
        return len(held) < self._reach(held)


class MarkingResponder(Responder):
    """A responder that marks what passes of originals."""

    __slots__ = ()

    def _passing(self, message: Message) -> Message | None:  # noqa: ARG002  nothing passes without a second look
        return None

    async def _answer_image(self, verdict: Verdict) -> None:
        marker, start = self.tools.marker, self._start
        passes = verdict.rendition is Rendition.ORIGINAL or verdict.shadowed
        if marker is None or not passes or self.tools.shadow or not self._has_place(marker, start["headers"]):
            await super()._answer_image(verdict)
            return
        headers = keep_private(start["headers"])
        if self.status == 304:
            condition = self.passage.value(b"if-none-match") or b""
            self.handle = self.to
            await self.to({**start, "headers": confirmed(headers, condition[:_LONGEST_FIELD])})
            return
        payload = marker.payload(self.passage)
        start = {**start, "headers": renamed(headers, payload)}
        if self.passage.method != "HEAD":
            self.handle = Marked(self, marker, start, payload).take
            return
        # How long it will be is seen from its first bytes, and of those there are none (RFC 9110 §9.3.2).
        self.handle = self.pass_head
        fields = [pair for pair in start["headers"] if pair[0] != b"content-length"]
        await self.to({**start, "headers": fields})

    def _has_place(self, marker: Marker, headers: Headers) -> bool:
        """Tell whether an answer that passes is a picture in whose bytes there may be a place, or stands for one."""
        if self.status == 206:
            marker.counts["part"] += 1
            return False
        if self.status not in {200, 304}:
            return False
        for name, value in headers:
            if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                marker.counts["encoded"] += 1
                return False
            if name == b"content-type" and (known_media(value) or read_media(value)) is Media.DRAWING:
                return False
        return True


class Marked:
    """Sends one original with its mark, by the messages that follow ``start``."""

    __slots__ = ("_charges", "_held", "_marker", "_payload", "_responder", "_start", "_tail")

    def __init__(self, responder: Responder, marker: Marker, start: Message, payload: int) -> None:
        self._responder = responder
        self._marker = marker
        self._start = start
        self._payload = payload
        self._held = self._tail = b""
        length = length_of(start["headers"])
        #: Whether bytes are charged as they go by, for nobody told how many there are.
        self._charges = length is None
        if length is not None:
            responder.tools.gate.note_bytes(responder.passage, length)

    async def take(self, message: Message) -> None:
        """Take one message; send nothing before there is enough to see how long the answer will be."""
        responder = self._responder
        if message["type"] != "http.response.body":
            await responder.to(message)
            return
        body, more = self._charged(message), message.get("more_body", False)
        held = self._held + body if self._held else body
        if more and self._marker.awaits(held):
            self._held = held
            return
        spliced, start, self._held = self._marker.spliced(held, self._payload), self._start, b""
        if spliced is not None:
            held, self._tail, growth = spliced
            start = {**start, "headers": grown(start["headers"], growth)}
            responder.passage.taker = self._payload
        responder.handle = self._last if more and (self._tail or self._charges) else responder.to
        await responder.to(start)
        await responder.to({**message, "body": held if more else held + self._tail})

    async def _last(self, message: Message) -> None:
        """Let the rest pass, and send after its end what belongs there."""
        responder = self._responder
        if message["type"] == "http.response.body":
            body = self._charged(message)
            if not message.get("more_body", False):
                # a handler of our own that stays is a cycle, and work for the garbage collector
                responder.handle = responder.to
                message = {**message, "body": body + self._tail}
        await responder.to(message)

    def _charged(self, message: Message) -> bytes:
        body: bytes = message.get("body", b"")
        if self._charges:
            self._responder.tools.gate.note_bytes(self._responder.passage, len(body))
        return body


def marking_of(tools: Tools, passage: Passage, to: Send) -> Responder:
    """Return a responder that answers one request, and marks the original that it may be for."""
    responder = MarkingResponder()
    responder.tools, responder.passage, responder.to = tools, passage, to
    responder.handle, responder.status, responder.news = None, 0, False
    return responder


def renamed(headers: Headers, payload: int) -> Headers:
    """Return the fields of a marked original: its ETag its taker's, and nothing that is true of the site's bytes alone."""
    mark = b'~%014x"' % payload
    return [
        (name, value[:-1] + mark if name == b"etag" and value.endswith(b'"') else value)
        for name, value in headers
        if name not in _OF_THE_SITES
    ]


def unmarked(field: bytes, payload: int) -> bytes:
    """Return a list of ETags with the marks taken off of whom ``payload`` names, whatever the hour.

    Others stay: there is nothing that they match.
    """

    def bare(match: re.Match[bytes]) -> bytes:
        mine = (int(match[0][1:], 16) ^ payload) & _CODE == 0
        return b"" if mine else match[0]

    return _MARK.sub(bare, field)


def confirmed(headers: Headers, condition: bytes) -> Headers:
    """Return the fields of a 304 with the ETag as the client named it, for a 304 renews what has that (RFC 9111 §4.3.4)."""
    tag = next((value for name, value in headers if name == b"etag" and value.endswith(b'"')), b"")
    opaque = tag.removeprefix(b"W/")
    match = re.search(re.escape(opaque[:-1]) + rb'(~[0-9a-f]{14})"', condition) if opaque else None
    if match is None:
        return headers
    return [
        (name, value[:-1] + match[1] + b'"' if name == b"etag" else value)
        for name, value in headers
        if name not in _OF_THE_SITES
    ]


def length_of(headers: Headers) -> int | None:
    """Return the Content-Length, None where there is none."""
    return next(
        (int(value) for name, value in headers if name == b"content-length" and value.isdigit()), None
    )


def grown(headers: Headers, growth: int) -> Headers:
    """Return the fields with a Content-Length of so many bytes more."""
    return [
        (name, b"%d" % (int(value) + growth) if name == b"content-length" and value.isdigit() else value)
        for name, value in headers
    ]
