"""The collector takes the site's picture in, and answers with the rendition that is made of it.

Where the site names the picture's bytes by a validator and what was made of them is still there, they are neither
kept nor digested; and where we could tell so before the site was asked, it is asked whether the picture is still
that one, and need not send it. The client's own conditions are between the client and the rendition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.asgi.answers import send_rendition
from antiscrape.asgi.caching import keep_private
from antiscrape.asgi.media import BRANDED, is_unread
from antiscrape.asgi.sources import Known, read_source
from antiscrape.core.overload import RENDITIONS
from antiscrape.core.resource import Kind, Size
from antiscrape.ports import Wanted

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from antiscrape.asgi.responder import Responder, Tools
    from antiscrape.asgi.types import Message, Scope, Send
    from antiscrape.gate import Passage
    from antiscrape.ports import Rendered

#: Where a JPEG's frame header stands behind the usual metadata.
_LOOK: Final = 65_536
#: Under this name a start says that it stands for a picture which the site did not send again.
_HELD: Final = "antiscrape.held"


class Held(NamedTuple):
    """What was in hand before the site was asked: it cannot be lost while the site thinks."""

    known: Known
    base: Rendered


class Collector:
    """Takes one answer in, by the messages that follow ``start``."""

    __slots__ = ("_held", "_responder", "_source", "_start", "_taken", "_wanted")

    def __init__(self, responder: Responder, start: Message) -> None:
        tools, passage = responder.tools, responder.passage
        self._responder = responder
        self._start = start
        self._taken: bytearray | None = None
        self._held: Held | None = start.get(_HELD)
        self._wanted = wanted_of(tools, passage)
        if self._held is not None:
            self._source = self._held.known.source, self._held.known.etag
        elif responder.status == 200:
            self._source = read_source(self._wanted.name, passage, start["headers"])
        else:
            self._source = b"", b""
        self._wanted = self._wanted._replace(source=self._source[0])

    async def take(self, message: Message) -> None:
        """Take one message; at the end of the picture, or before where it is known, answer."""
        if message["type"] != "http.response.body":
            return
        first, body, more = self._taken is None, message.get("body", b""), message.get("more_body", False)
        if first:
            if self._responder.tools.passes_unread and is_unread(body) and (len(body) >= BRANDED or not more):
                await self._pass_on(message)
                return
            self._taken = bytearray()
            known = await self._recalled(body)
            if known is not None:
                self._responder.handle = _pass_over
                await self._answer(known)
                return
            if self._responder.tools.load.rung >= RENDITIONS:
                await self._shed()
                return
        tools, taken = self._responder.tools, self._taken
        if taken is not None and len(taken) <= tools.max_bytes:
            taken += body
        if not more:
            self._responder.handle = _pass_over
            await self._answer(await self._rendered(bytes(taken or b"")))

    async def _shed(self) -> None:
        """Answer with a card: there is more to do than can be done, and the original is no way out."""
        tools, wanted = self._responder.tools, self._wanted
        tools.load.shed["renditions"] += 1
        self._responder.handle = _pass_over
        await self._answer(tools.renderer.placeholder(wanted.rendition))

    async def _pass_on(self, message: Message) -> None:
        """Let the site's picture through, by the operator's wish: it is of a format that is not decoded here."""
        responder = self._responder
        responder.handle = responder.to if responder.passage.method != "HEAD" else responder.pass_head
        await responder.to({**self._start, "headers": keep_private(self._start["headers"])})
        await responder.handle(message)

    async def _recalled(self, body: bytes) -> Rendered | None:
        """Return what was made of this very picture before, if the site says that it is the same."""
        if not self._wanted.source:
            return None
        tools, passage = self._responder.tools, self._responder.passage
        base = None if self._held is None else self._held.base
        found = await tools.renderer.recall(self._wanted, base)
        if found is None:
            return None
        known = tools.sources.find(self._wanted.name)
        if known is None or known.source != self._wanted.source:
            known = self._note(body)
        note_size(tools, passage, known.size)
        return found

    async def _rendered(self, picture: bytes) -> Rendered:
        tools, passage = self._responder.tools, self._responder.passage
        wanted, renderer = self._wanted, tools.renderer
        if picture:
            note_size(tools, passage, size_of(tools, picture[:_LOOK]))
        # A part (206) of an image is none, one that is too long was not read, and an empty one has nothing to show.
        if not picture or self._responder.status == 206 or len(picture) > tools.max_bytes:
            return renderer.placeholder(wanted.rendition)
        if wanted.source:
            self._note(picture)
        return await renderer.render(picture, wanted)

    def _note(self, picture: bytes) -> Known:
        """Remember the picture by its name."""
        tools, (source, etag) = self._responder.tools, self._source
        known = Known(source, etag, size_of(tools, picture[:_LOOK]))
        tools.sources.note(self._wanted.name, known)
        return known

    async def _answer(self, rendered: Rendered) -> None:
        self._taken = None
        responder, passage = self._responder, self._responder.passage
        passage.taker = rendered.taker
        status = 200 if responder.status == 206 else responder.status
        await send_rendition(responder.to, rendered, passage, status, self._start["headers"])


def wanted_of(tools: Tools, passage: Passage) -> Wanted:
    """Return what a request is to be answered with in place of the picture."""
    path = passage.resource.path.encode("utf-8", "surrogateescape")
    name = b"%b%b?%b" % (passage.host.encode("ascii"), path, tools.gate.site_query(passage))
    taker = 0 if tools.takers is None else tools.takers.of(passage)
    return Wanted(passage.verdict.rendition, passage.value(b"accept") or b"", name, taker)


def size_of(tools: Tools, head: bytes) -> Size:
    """Return whether a picture that begins with ``head`` is one that the originals budget counts."""
    side = tools.long_side(head)
    return Size.THUMBNAIL if side is not None and side < tools.original_from else Size.ORIGINAL


def note_size(tools: Tools, passage: Passage, size: Size) -> None:
    """Tell the gate of an image whose size was not known when it was asked for."""
    resource = passage.resource
    if resource.kind is not Kind.IMAGE or resource.size is Size.UNTOLD:
        tools.gate.note_image(passage, size)


def asking(scope: Scope, responder: Responder) -> tuple[Scope, Send]:
    """Return the scope and the ``send`` that the site is given for a picture of which this client gets less.

    Where we hold what the client gets, the site is asked for the picture only if it is another by now. Not
    where the site tells of accounts, for it may say in its answer that this client gets the original.
    """
    tools, passage = responder.tools, responder.passage
    apart = tools.accounts is not None or tools.shadow or passage.verdict.shadowed
    if apart or passage.resource.kind is not Kind.IMAGE or b"authorization" in passage.shape.at:
        return scope, responder.send
    wanted = wanted_of(tools, passage)
    known = tools.sources.find(wanted.name)
    if known is None or not known.etag:
        return scope, responder.send
    base = tools.renderer.held(wanted._replace(source=known.source))
    if base is None:
        return scope, responder.send
    headers = [*scope["headers"], (b"if-none-match", known.etag)]
    return {**scope, "headers": headers}, _Asked(responder, Held(known, base)).send


class _Asked:
    """Stands before a responder, and lets a 304 that we asked for pass as the picture that it stands for."""

    __slots__ = ("_held", "_responder")

    def __init__(self, responder: Responder, held: Held) -> None:
        self._responder = responder
        self._held = held

    def send(self, message: Message) -> Awaitable[None]:
        """Hand one message on."""
        if message["type"] == "http.response.start" and message["status"] == 304:
            headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"content-type"]
            headers.append((b"content-type", b"image/jpeg"))  # whatever: the rendition has its own
            message = {**message, "status": 200, "headers": headers, _HELD: self._held}
        return self._responder.send(message)


async def _pass_over(_message: Message) -> None:
    """Let the rest of a picture go, and its trailers: what stands for it has been sent."""
