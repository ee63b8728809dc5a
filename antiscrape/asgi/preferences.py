"""Serves what the site says about being crawled: two documents, and fields on its answers.

``/robots.txt`` and ``/.well-known/tdmrep.json`` are asked of the site first. What it answers 200 is
extended, 4xx means that it has none, so ours is served (a crawler that is answered 4xx may fetch
everything, RFC 9309 §2.3.1.3), and anything else passes: a 5xx tells crawlers to stay away (§2.3.1.4),
and to hide it would invite them to a site in trouble. Nobody is refused or limited here.

The site is asked for the whole document, uncompressed, and its validators are replaced, because they name
other bytes than the ones that are sent. What comes compressed all the same, or exceeds 500 KiB, passes as
it is. A redirect passes too: the file behind it is another site's business, or this one's under another
name, and is not extended.
"""

from __future__ import annotations

import re
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.asgi.caching import PARTIAL, etag_matches
from antiscrape.asgi.media import KINDS, read_media
from antiscrape.core.memo import Memo
from antiscrape.core.request import read_host
from antiscrape.core.resource import Kind
from antiscrape.core.robots import LONGEST_FILE, ROBOTS_PATH, Robots
from antiscrape.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiscrape.asgi.types import ASGIApp, Headers, Message, Receive, Scope, Send
    from antiscrape.core.obedience import RobotsBook
    from antiscrape.core.preferences import Fields, Statements
    from antiscrape.gate import Passage

TDMREP_PATH: Final = b"/.well-known/tdmrep.json"

#: By these a body goes around us, or has fields behind it that speak of other bytes.
_SHORTCUTS: Final = frozenset(
    {"http.response.pathsend", "http.response.zerocopysend", "http.response.trailers"}
)
#: What describes the site's bytes says nothing true of ours.
_OF_THE_BYTES: Final = frozenset({
    b"content-length", b"content-type", b"content-encoding", b"content-range", b"content-md5", b"content-digest",
    b"repr-digest", b"digest", b"etag", b"last-modified", b"accept-ranges", b"transfer-encoding",
    b"x-content-type-options",
})  # fmt: skip
_LICENCE = re.compile(rb";\s{0,8}rel\s{0,8}=\s{0,8}\"?[^\";,]{0,200}\blicense\b")
#: With one of these the site has decided itself how long its answer may be kept, or whether at all.
_KEEPING: Final = frozenset({b"cache-control", b"expires", b"set-cookie"})
# An hour: a changed policy is read soon, and no crawler asks more often.
_CACHED: Final = (b"cache-control", b"max-age=3600")
#: Answers that bring a resource, or say that the client has it.
_SPEAKING: Final = frozenset({200, 203, 206, 304})
#: Documents of so many hosts are kept as they were last made; each is bounded by LONGEST_FILE.
_MOST_MADE: Final = 8


class _Made(NamedTuple):
    """A document as it is served: ``body`` is None where the site's own passes unchanged."""

    body: bytes | None
    etag: bytes
    robots: Robots | None


class _Document:
    """One of the documents: what it is made of, and what was made lately."""

    def __init__(
        self, content_type: bytes, compose: Callable[[bytes | None], bytes | None], *, read: bool
    ) -> None:
        self.content_type = content_type
        self._compose = compose
        self.read = read  # as robots.txt
        self._made: Memo[bytes | str, _Made] = Memo(_MOST_MADE)

    def make(self, site: bytes | None) -> _Made:
        """Return what is served where the site's own document is ``site``, or where it has none."""
        key: bytes | str = "none" if site is None else site
        made = self._made.get(key)
        if made is None:
            body = self._compose(site)
            served = (site or b"") if body is None else body
            tag = b'"' + blake2b(served, digest_size=12).hexdigest().encode() + b'"'
            made = _Made(body, tag, Robots.parse(served) if self.read else None)
            self._made.put(key, made)
        return made


class PreferenceWriter:
    """Serves and extends the documents, adds the fields, and lets ``book`` learn what crawlers were told.

    ``now`` is a clock that never steps, in seconds.
    """

    def __init__(self, statements: Statements, book: RobotsBook, *, now: Callable[[], float]) -> None:
        self._statements = statements
        self._book = book
        self._now = now
        self._documents = {
            ROBOTS_PATH: _Document(b"text/plain; charset=utf-8", statements.robots, read=True),
            TDMREP_PATH: _Document(b"application/json", statements.tdmrep, read=False),
        }

    @property
    def paths(self) -> frozenset[bytes]:
        """The raw paths, without a query, whose requests are for ``serve``."""
        return frozenset(self._documents)

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of the documents; any method but GET and HEAD is the site's own affair."""
        document = self._documents[_path_of(scope)]
        if scope["method"] not in {"GET", "HEAD"}:
            await app(scope, receive, send)
            return
        learn = partial(self._learn, _host_of(scope))
        await app(_whole(scope), receive, _Exchange(document, scope, send, learn).take)

    def fields(self, kind: Kind) -> Fields:
        """Return the fields that an answer of this kind carries, before what the site says itself is known."""
        return self._statements.fields(kind)

    def add(self, headers: Headers, kind: Kind) -> Headers:
        """Return an answer's fields with ours, as far as the site does not say the same or otherwise itself."""
        ours = self._statements.fields(kind)
        if not ours:
            return headers
        said = {name.lower() for name, _ in headers}
        added = list(headers)
        for name, value in ours:
            if name == b"x-robots-tag":
                added = _tagged(added, value) if name in said else [*added, (name, value)]
            elif name == b"link":
                if not any(_names_licence(*pair) for pair in headers):
                    added.append((name, value))
            elif name not in said and not (name == b"tdm-policy" and b"tdm-reservation" in said):
                added.append((name, value))
        return added

    def _learn(self, host: str, robots: Robots) -> None:
        self._book.learn(host, robots, self._now())


class Speaker:
    """Adds the fields to one answer on its way out, whatever it was made into."""

    __slots__ = ("_passage", "_to", "_writer")

    def __init__(self, writer: PreferenceWriter, passage: Passage, to: Send) -> None:
        self._writer = writer
        self._passage = passage
        self._to = to

    def send(self, message: Message) -> Awaitable[None]:
        """Pass one message."""
        if message["type"] != "http.response.start" or message["status"] not in _SPEAKING:
            return self._to(message)
        kind, headers = self._passage.resource.kind, message.get("headers", ())
        if kind is Kind.UNTOLD:  # its Content-Type tells
            told = next((value for name, value in headers if name.lower() == b"content-type"), b"")
            kind = KINDS.get(read_media(told), kind)
        return self._to({**message, "headers": self._writer.add(headers, kind)})


class _Exchange:
    """Takes the site's answer, and sends what is made of it."""

    def __init__(
        self, document: _Document, scope: Scope, send: Send, learn: Callable[[Robots], None]
    ) -> None:
        self._document = document
        self._head = scope["method"] == "HEAD"
        self._condition = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
        self._send = send
        self._learn = learn
        self._start: Message = {}
        self._held: bytearray | None = None  # the site's document, as far as it has come
        self._missing = False

    async def take(self, message: Message) -> None:
        """Take one message of the site."""
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self._held is not None:
            await self._hold(self._held, message)
        elif not self._missing:
            await self._send({**message, "body": b""} if self._head else message)
        elif not message.get("more_body", False):
            await self._answer(self._document.make(None), [])

    async def _begin(self, message: Message) -> None:
        headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        self._start = {**message, "headers": headers}
        coded = any(name == b"content-encoding" and value.lower() != b"identity" for name, value in headers)
        if message["status"] == 200 and not coded:
            self._held = bytearray()
            return
        if 400 <= message["status"] < 500:
            made = self._document.make(None)
            self._note(made)
            self._missing = made.body is not None
        if not self._missing:
            await self._send(self._start)

    def _note(self, made: _Made) -> None:
        if made.robots is not None:
            self._learn(made.robots)

    async def _hold(self, held: bytearray, message: Message) -> None:
        """Gather the document; let it go where it grows too long."""
        held += message.get("body", b"")
        more = message.get("more_body", False)
        if len(held) > LONGEST_FILE:
            self._held = None
            if self._document.read:
                self._note(self._document.make(bytes(held[: LONGEST_FILE + 1])))
            await self._send(self._start)
            await self._send({**message, "body": b"" if self._head else bytes(held)})
        elif not more:
            made = self._document.make(bytes(held))
            self._note(made)
            if made.body is not None:
                await self._answer(made, self._start["headers"])
                return
            await self._send(self._start)
            await self._send({**message, "body": b"" if self._head else bytes(held)})

    async def _answer(self, made: _Made, headers: Headers) -> None:
        """Answer with a document of ours and validators of its own."""
        body = made.body or b""
        kept = [pair for pair in headers if pair[0] not in _OF_THE_BYTES]
        if not any(name in _KEEPING for name, _ in kept):
            kept.append(_CACHED)
        kept.append((b"etag", made.etag))
        if self._condition is not None and etag_matches(self._condition, made.etag):
            await self._send({"type": "http.response.start", "status": 304, "headers": kept})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        kept += [
            (b"content-type", self._document.content_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-content-type-options", b"nosniff"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": kept})
        sent = b"" if self._head else body
        await self._send({"type": "http.response.body", "body": sent, "more_body": False})


def _whole(scope: Scope) -> Scope:
    """Return the request by which the site is asked for the whole document, in plain bytes."""
    headers = [pair for pair in scope["headers"] if pair[0] not in PARTIAL]
    headers.append((b"accept-encoding", b"identity"))
    extensions = scope.get("extensions") or {}
    kept = {name: value for name, value in extensions.items() if name not in _SHORTCUTS}
    return {**scope, "method": "GET", "headers": headers, "extensions": kept}


def _path_of(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0]


def _host_of(scope: Scope) -> str:
    """Return the host that is asked, as the judge names it; ``""`` where it is none."""
    try:
        return read_host(next((value for name, value in scope["headers"] if name == b"host"), None))
    except RequestError:
        return ""


def _tagged(headers: Headers, ours: bytes) -> Headers:
    """Put our directives before the site's X-Robots-Tag, on a line of their own.

    Dataset tools read a line up to its first colon as an agent's name, and proxies join lines by commas:
    behind ``googlebot: noindex`` ours would be Google's alone.
    """
    lines = [
        value.lower() for name, value in headers if name.lower() == b"x-robots-tag" and b":" not in value
    ]
    said = {part.strip() for line in lines for part in line.split(b",")}
    missing = [part for part in ours.split(b", ") if part not in said]
    if not missing:
        return headers
    first = next(at for at, (name, _) in enumerate(headers) if name.lower() == b"x-robots-tag")
    return [*headers[:first], (b"x-robots-tag", b", ".join(missing)), *headers[first:]]


def _names_licence(name: bytes, value: bytes) -> bool:
    """Tell whether a field links to a licence (RFC 8288 §3.3)."""
    return name.lower() == b"link" and _LICENCE.search(value.lower()) is not None
