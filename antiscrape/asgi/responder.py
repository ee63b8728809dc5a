"""The responder stands between the site's answer and the client and sees to the verdict.

What is not an image and needs no signing passes through untouched and unbuffered. An image of a
client that may have it passes too, kept out of shared caches; where its size is not known yet, its
first chunk is looked at before anything is sent. Any other image is collected, and what the
renderer makes of it is sent in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from antiscrape.asgi.caching import keep_private, lend
from antiscrape.asgi.collecting import Collector, size_of
from antiscrape.asgi.media import KINDS, SNIFFED, Media, known_media, looks_like_image, read_media
from antiscrape.asgi.sources import Sources
from antiscrape.asgi.texts import TextAnswer
from antiscrape.asgi.unjudged import settle_for_default
from antiscrape.core.overload import Load
from antiscrape.core.resource import Kind, Size
from antiscrape.core.verdict import Mode, Rendition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiscrape.asgi.accounts import Accounts
    from antiscrape.asgi.bodies import Rewriters
    from antiscrape.asgi.marking import Marker
    from antiscrape.asgi.types import Headers, Message, Send
    from antiscrape.core.verdict import Verdict
    from antiscrape.evidence.takers import Takers
    from antiscrape.gate import Gate, Passage
    from antiscrape.ports import Renderer

    LongSide = Callable[[bytes], int | None]


# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_UNTOLD: Final = Kind.UNTOLD
_KIND_IMAGE: Final = Kind.IMAGE
_UNSIZED: Final = Size.UNTOLD
_ORIGINAL: Final = Rendition.ORIGINAL
_IMAGE: Final = Media.IMAGE
_DRAWING: Final = Media.DRAWING
_XML: Final = Media.XML
_VAGUE: Final = frozenset({Media.OTHER, Media.VAGUE, Media.XML})
_REFUSALS: Final = frozenset({403, 410, 429})


class Tools:
    """What all responders of one middleware share."""

    __slots__ = (
        "accounts",
        "fault",
        "gate",
        "lending",
        "load",
        "long_side",
        "marker",
        "max_bytes",
        "original_from",
        "passes_unread",
        "passing",
        "renderer",
        "rewriters",
        "shadow",
        "sources",
        "takers",
    )

    def __init__(
        self,
        gate: Gate,
        renderer: Renderer,
        long_side: LongSide,
        rewriters: Rewriters | None,
        accounts: Accounts | None = None,
        takers: Takers | None = None,
        marker: Marker | None = None,
        sources: Sources | None = None,
        load: Load | None = None,
    ) -> None:
        self.gate = gate
        self.accounts = accounts
        self.renderer = renderer
        self.long_side = long_side
        self.sources = Sources() if sources is None else sources
        #: Told of what raised while a picture was judged.
        self.fault: Callable[[Exception], None] = _nobody_told
        self.load = Load() if load is None else load
        self.takers = takers
        #: Where originals name their takers.
        self.marker = marker
        self.rewriters = rewriters
        self.shadow = gate.policy.mode is Mode.SHADOW
        self.max_bytes = gate.policy.images.max_bytes
        #: Where a CDN may keep what unbound grants open.
        self.lending = gate.grants if gate.policy.grants.shared_caches else None
        self.original_from = gate.policy.images.original_from
        looks = gate.policy.images.renditions
        #: Whether pictures that are not decoded here are everybody's.
        self.passes_unread = looks.other_formats == "pass"
        drawings = frozenset() if looks.svg == "pass" else frozenset({_DRAWING})
        kept = _VAGUE | {_IMAGE} | drawings | (frozenset() if rewriters is None else rewriters.media)
        #: The classes of answers that pass wherever they come from.
        self.passing = frozenset(Media) - kept


class Responder:
    """Answers one request. ``send`` is what the site is given in place of the server's.

    ``to`` is the server's. Made by ``responder_of``: without arguments and told the rest, which is half a call less.
    """

    __slots__ = ("_start", "handle", "held", "news", "passage", "status", "to", "tools")

    tools: Tools
    passage: Passage
    to: Send
    #: What takes the next message; None until the answer begins.
    handle: Callable[[Message], Awaitable[None]] | None
    #: The status that the site answered with; 0 until it does.
    status: int
    #: Whether the answer told whose it is, or whom it shows, and the verdict did not know.
    news: bool
    # set by the handlers that need them
    _start: Message
    held: bytes  # of an answer that may turn out to be a picture

    def send(self, message: Message) -> Awaitable[None]:  # noqa: C901  one scan of the fields, on every answer
        """Take one message of the site; what passes costs no coroutine of ours."""
        if self.handle is not None:
            return self.handle(message)
        if message["type"] != "http.response.start":  # informational responses, server push, trailers
            return self.to(message)
        self.status = status = message["status"]
        if self.tools.accounts is not None:
            message = self._told(message, self.tools.accounts)
        content_type, cookie = b"", False
        headers = message.get("headers", ())  # optional in ASGI
        for name, value in headers:
            if name == b"content-type":
                content_type = value
            elif name == b"set-cookie":
                cookie = True
        if not content_type and any(name != name.lower() for name, _ in headers):
            return self.send(lowered(message))
        passage = self.passage
        if cookie or status == 404:
            passage.habits.note_answer(found=status != 404, cookie_offered=cookie)
        elif status in _REFUSALS:
            passage.habits.note_refused(passage.resource)
        media = known_media(content_type) or read_media(content_type)
        if media not in self.tools.passing:
            return self._begin(message, media, content_type)
        if passage.resource.kind is _UNTOLD:
            self._learn(media)
        self.handle = handle = self.to if passage.method != "HEAD" else self.pass_head
        return handle(message)

    def _begin(self, message: Message, media: Media, content_type: bytes) -> Awaitable[None]:
        """Begin an answer that may have to be changed."""
        if media is _IMAGE:
            passing = self._passing(message)
            return self._begin_image(message) if passing is None else self.to(passing)
        if media is _DRAWING:
            return self._begin_drawing(message)
        if media in _VAGUE and self._may_be_image(media):
            return self._wait(message)
        if self.passage.resource.kind is _UNTOLD:
            self._learn(media)
        rewriters = self.tools.rewriters
        if media is _XML and self.status == 200 and b"sitemap" in self.passage.raw_path:
            self.passage.habits.note_sitemap()
        if rewriters is not None and (media in rewriters.media or (media is _XML and self.status == 200)):
            return self._begin_text(message, rewriters, media, content_type)
        self.handle = handle = self.to if self.passage.method != "HEAD" else self.pass_head
        return handle(message)

    def _told(self, message: Message, accounts: Accounts) -> Message:
        """Take what the site's answer says of whose it is and whom it shows; return it without that."""
        passage, told = self.passage, accounts.of_answer(self.passage, message.get("headers", ()))
        if told.account is not None:
            self.news = self.tools.gate.name(passage, told.account)
        if told.owner and not passage.resource.subject:
            passage.resource = passage.resource._replace(subject=told.owner)
            self.news = True
        return {**message, "headers": told.headers}

    def _may_be_image(self, media: Media) -> bool:
        """Tell whether an answer whose type says nothing could be a picture all the same.

        A browser shows it as one wherever a page asks for one (WHATWG MIME Sniffing §6.1), and so
        does a harvester's disk.
        """
        kind = self.passage.resource.kind
        return kind is Kind.IMAGE or (media is Media.VAGUE and kind is _UNTOLD)

    async def _wait(self, message: Message) -> None:
        """Wait for the first bytes of an answer whose type says nothing."""
        self._start = lowered(message)
        if self.passage.resource.kind is Kind.IMAGE and (self.passage.method == "HEAD" or self.status == 304):
            # A 304 has no type, and its fields become those of what caches hold (RFC 9111 §4.3.4).
            await self._begin_image(self._start)
        elif self.status in {204, 304} or self.passage.method == "HEAD":
            await self._give_up(self._start)
        else:
            self.held = b""
            self.handle = self._sniff

    async def _sniff(self, message: Message) -> None:
        held = self.held + message.get("body", b"")
        if len(held) < SNIFFED and message.get("more_body", False):  # too little to tell
            self.held = held
            return
        if looks_like_image(held):
            await self._begin_image(self._start)
        else:
            await self._give_up(self._start)
        await self.send({**message, "body": held})

    @property
    def is_silent(self) -> bool:
        """Whether the site has begun its answer, and the client has heard nothing of it yet."""
        return getattr(self.handle, "__func__", None) in self._silent

    async def _give_up(self, start: Message) -> None:
        """Pass an answer that is no picture."""
        self.handle = self.to if self.passage.method != "HEAD" else self.pass_head
        await self.to(start)

    def _learn(self, media: Media) -> None:
        """Remember what a path holds that no route names."""
        if media not in _VAGUE and self.status < 300:
            self.tools.gate.note_kind(self.passage, KINDS[media])
            self.tools.gate.learn(self.passage, KINDS[media])

    async def pass_head(self, message: Message) -> None:
        """Pass an answer to HEAD; where the site was asked GET in its place, its body goes nowhere."""
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self.to(message)

    def _passing(self, message: Message) -> Message | None:
        """Return the start of an image that may pass and needs no second look, as it goes on; None for any other."""
        passage = self.passage
        resource, verdict = passage.resource, passage.verdict
        if resource.kind is not _KIND_IMAGE or resource.size is _UNSIZED or self.news:
            return None
        if (verdict.rendition is not _ORIGINAL and not verdict.shadowed) or passage.method == "HEAD":
            return None
        message = lowered(message)
        self.handle = self.to
        self._count_bytes(message["headers"])
        if self.tools.shadow:
            return message
        keep = keep_private if self.tools.lending is None else self._lend
        return {**message, "headers": keep(message["headers"])}

    def _lend(self, headers: Headers) -> Headers:
        """Return the fields of an original that shared caches may keep by its URL, for as long as its grant lives."""
        passage, grants = self.passage, self.tools.lending
        until = 0 if grants is None else grants.shared_until(passage.raw_path, passage.query)
        return lend(headers, until - int(self.tools.gate.wall()))

    async def _begin_image(self, message: Message) -> None:
        message = lowered(message)
        passage = self.passage
        verdict = passage.verdict
        size = passage.resource.size if passage.resource.kind is Kind.IMAGE else Size.UNTOLD
        told = passage.resource.kind is Kind.IMAGE and (
            size is not Size.UNTOLD or verdict.rendition is not Rendition.ORIGINAL
        )
        self._start = message
        if told or passage.method == "HEAD" or self.status not in {200, 206}:
            if self.news and size is Size.ORIGINAL and self.status in {200, 206, 304}:
                verdict = await self._judge(size)
            await self._answer_image(verdict)
        elif self.status == 206:  # a part does not tell the size of the whole
            await self._answer_image(await self._judge(Size.ORIGINAL))
        else:
            self.handle = self._look

    async def _begin_drawing(self, message: Message) -> None:
        """Begin a drawing, which is whole for those who get originals, and charged to nobody: most are icons."""
        self._start = lowered(message)
        told = self.passage.resource.kind is Kind.IMAGE or self.status not in {200, 206}
        await self._answer_image(self.passage.verdict if told else await self._judge(Size.THUMBNAIL))

    async def _look(self, message: Message) -> None:
        """Judge an image by its first chunk."""
        tools, passage = self.tools, self.passage
        size = size_of(tools, message.get("body", b""))
        verdict = await self._judge(size)
        tools.gate.learn(passage, Kind.IMAGE, size)
        await self._answer_image(verdict)
        await self.send(message)

    async def _judge(self, size: Size) -> Verdict:
        """Judge anew, now that this is an image of ``size``."""
        gate = self.tools.gate
        try:
            verdict = gate.judge_image(self.passage, size)
            return verdict if gate.ledger is None else await gate.settle(self.passage, gate.ledger)
        except Exception as error:  # noqa: BLE001  SECURITY section 2: no silent allow, and no trace for the client
            self.tools.fault(error)
            return settle_for_default(self.passage, gate)

    async def _answer_image(self, verdict: Verdict) -> None:
        """Let the image through, or begin to collect it."""
        if verdict.rendition is Rendition.ORIGINAL or verdict.shadowed:
            self.handle = self.to if self.passage.method != "HEAD" else self.pass_head
            headers = self._start["headers"]
            self._count_bytes(headers)
            if self.tools.shadow:
                await self.to(self._start)
            else:
                keep = keep_private if self.tools.lending is None else self._lend
                await self.to({**self._start, "headers": keep(headers)})
        elif self.status == 304:  # the client has the bytes already; none are sent
            self.handle = self.to
            await self.to({**self._start, "headers": keep_private(self._start["headers"])})
        else:
            self.handle = Collector(self, self._start).take

    def _count_bytes(self, headers: Headers) -> None:
        if self.status == 304 or self.passage.method == "HEAD":
            return
        for name, value in headers:
            if name == b"content-length" and value.isdigit():
                self.tools.gate.note_bytes(self.passage, int(value))
                return
        self.handle = self._count

    async def _count(self, message: Message) -> None:
        """Pass an image whose length nobody told, and charge what goes by."""
        if message["type"] == "http.response.body":
            self.tools.gate.note_bytes(self.passage, len(message.get("body", b"")))
            if not message.get("more_body", False):
                # a handler of our own that stays is a cycle, and work for the garbage collector
                self.handle = self.to
        await self.to(message)

    async def _begin_text(
        self, message: Message, rewriters: Rewriters, media: Media, content_type: bytes
    ) -> None:
        start = lowered(message)
        headers, passage = start["headers"], self.passage
        plan = None if self.status == 206 else rewriters.plan(media, content_type, headers, passage)
        if passage.method == "HEAD" or plan is None or self.status == 304:
            if plan is not None:
                headers = [
                    pair for pair in rewriters.unsent(headers, passage) if pair[0] != b"content-length"
                ]
            self.handle = self.to if passage.method != "HEAD" else self.pass_head
            await self.to({**start, "headers": headers})
            return
        self.handle = TextAnswer(plan, start, self.to).take

    #: What takes messages while the client is told nothing.
    _silent: ClassVar = frozenset({Collector.take, _sniff, _look})


def responder_of(tools: Tools, passage: Passage, to: Send) -> Responder:
    """Return a responder that answers one request."""
    responder = Responder()
    responder.tools, responder.passage, responder.to = tools, passage, to
    responder.handle, responder.status, responder.news = None, 0, False
    return responder


def _nobody_told(_: Exception) -> None: ...


def lowered(message: Message) -> Message:
    """Return a response's start with its field names in lower case, as ASGI asks for.

    Django's handler and Quart's write them as they stand in their own tables ("Content-Type").
    """
    for name, _ in message.get("headers", ()):
        if not name.islower():
            break
    else:
        if "headers" in message:
            return message
    return {**message, "headers": [(name.lower(), value) for name, value in message.get("headers", ())]}
