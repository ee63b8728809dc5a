"""The reverse proxy as an ASGI application: it forwards what the middleware before it judged, and nothing else.

It reads only the scope (raw path, query, method, fields, body), so that what the site receives is
what was judged (SECURITY P0). Bodies stream both ways; whoever is slower sets the pace.

Fields are removed first and set last, so that no ``Connection`` line of a client can take away
what this proxy says (SECURITY A7). A client cannot speak in the proxy's name, nor in a spelling
that an application behind it would take for the proxy's: WSGI and CGI read ``X_Real_IP`` and
``X-Real-IP`` as one name (SECURITY A5, A6, A8).
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from antiscrape.asgi.conversing import converse
from antiscrape.asgi.seldom import Seldom
from antiscrape.asgi.trailers import ASKING, announce, following, takes_trailers
from antiscrape.errors import AntiscrapeError, RequestError
from antiscrape.upstream import BodyError
from antiscrape.upstream.head import HOP_BY_HOP, named_by_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiscrape.asgi.types import Headers, Message, Receive, Scope, Send
    from antiscrape.upstream import Answer, Upstream

_log = logging.getLogger("antiscrape.proxy")

#: Who the client is and what it asked for is the proxy's to say. X-Original-URL and X-Rewrite-URL make some
#: frameworks serve another path than the one in the request line, X-HTTP-Method-Override and its kin another method
#: (Rack, Symfony, method-override): what was judged is the line (SECURITY P0).
OURS_TO_SAY = frozenset(
    {
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-uri",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    }
)
_NAME = re.compile(rb"[!#$%&'*+^`|~0-9A-Za-z-]+")  # a token (RFC 9110 §5.6.2) without "_" and "."
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]+")
_HANDSHAKE = b"sec-websocket-"  # RFC 6455 §11.3: each side of the proxy shakes its own hands
#: RFC 9112 §9.6: a client that was answered before it sent its body must not take the rest for another request.
_CLOSE = (b"connection", b"close")


_TRAVELS, _STAYS, _HOST, _LENGTH, _CODING, _CONNECTION = range(1, 7)
_SPECIAL: Final = {
    b"host": _HOST,
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
}
#: What became of fields by their name; clients choose names, so the memory is bounded.
_KNOWN: dict[bytes, int] = {}
_MOST_KNOWN: Final = 2048
#: What nearly every client says in Connection, and it names no field.
_PERSISTENCE: Final = frozenset({b"keep-alive", b"close"})


class ReverseProxy:
    """Forward every request to ``upstream``.

    ``rewrite_host``: send the upstream's own name as Host, in place of the one that the client asked for.
    """

    def __init__(self, upstream: Upstream, *, rewrite_host: bool = False) -> None:
        self._upstream = upstream
        self._host = upstream.authority.encode("ascii") if rewrite_host else None
        self._complaints = Seldom(_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope; raise ``UpstreamError`` where the site breaks off after its answer began."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = _Client(receive)
        try:
            await self._exchange(scope, client, send)
        except asyncio.CancelledError:
            if not client.gone:
                raise
            client.task.uncancel()  # we cancelled ourselves, to end the request to the site
        finally:
            client.forget()

    async def _exchange(self, scope: Scope, client: _Client, send: Send) -> None:
        trails = "extensions" in scope and takes_trailers(scope)
        try:
            fields, has_body = outgoing(scope, host=self._host)
            if trails:
                fields += ASKING
            answer = await self._upstream.request(
                scope["method"],
                target(scope),
                fields,
                client.body() if has_body else None,
                expects=has_body and _expects(scope),
                if_long=client.watch,
            )
        except AntiscrapeError as error:
            client.forget()
            if not client.gone:
                self._complaints.warn(str(error), now=asyncio.get_running_loop().time())
                await _apologise(error, send)
            return
        try:
            await self._pass_on(answer, client, send, trails=trails)
        finally:
            answer.close()

    async def _pass_on(self, answer: Answer, client: _Client, send: Send, *, trails: bool) -> None:
        """Send the client what the site answers, as it comes; a whole answer that is there costs two messages."""
        headers = answer.headers
        if answer.uncalled_for:
            headers = [*headers, _CLOSE]
        start: Message = {"type": "http.response.start", "status": answer.status, "headers": headers}
        trailing = answer.trailing() if trails else None
        await send(start if trailing is None else announce(start, trailing))
        while True:
            piece, ended = answer.take()
            if ended:
                client.forget()  # the server tells the end of a response as a disconnect, too
                await send({"type": "http.response.body", "body": piece, "more_body": False})
                if trailing is not None:
                    await send(following(trailing))
                return
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            else:
                await answer.wait()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect, always first
        try:
            headers, _ = outgoing(scope, host=self._host)
            headers = [pair for pair in headers if not pair[0].startswith(_HANDSHAKE)]
            socket = await self._upstream.websocket(target(scope), headers, scope["subprotocols"])
        except AntiscrapeError as error:
            self._complaints.warn(str(error), now=asyncio.get_running_loop().time())
            await _decline(error, scope, send)
            return
        try:
            await send({"type": "websocket.accept", "subprotocol": socket.subprotocol})
            await converse(socket, receive, send)
        finally:
            await socket.close(1001)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._upstream.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return
            self._upstream.start()
            await send({"type": "lifespan.startup.complete"})


class _Client:
    """The client's side of one exchange: its body, and whether it is still there.

    A client that leaves cancels the task that serves it, and with it the request to the site (fault 30:
    nobody works for a closed connection). To notice takes a task of its own, so only an exchange that
    takes its time is watched.
    """

    __slots__ = ("_listening", "_receive", "_sending", "_watched", "_watcher", "gone", "task")

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        if task is None:  # an ASGI server runs an application in a task
            raise RuntimeError("no task to serve in")
        self.task = task
        self.gone = False
        self._receive = receive
        self._listening = True
        self._sending = False
        self._watched = False
        self._watcher: asyncio.Task[None] | None = None

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the request's body as it comes, then keep watch where that was asked for meanwhile."""
        more = self._sending = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._leave()
                raise BodyError
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                yield piece
        self._sending = False
        if self._watched:
            self.watch()

    def watch(self) -> None:
        """Notice from now on when the client leaves; while its body is read, that tells."""
        self._watched = True
        if self._listening and not self._sending and self._watcher is None:
            self._watcher = asyncio.create_task(self._until_it_leaves())

    def forget(self) -> None:
        """Stop noticing: the answer is complete, or nobody waits for one."""
        self._listening = False
        if self._watcher is not None:
            self._watcher.cancel()

    async def _until_it_leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        if self._listening:
            self.gone = True
            self._listening = False
            self.task.cancel()


def target(scope: Scope) -> bytes:
    """Return path and query as they were received; raise ``RequestError`` where the server does not tell."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        raise RequestError("the server does not tell the raw path")
    query: bytes = scope["query_string"]
    return raw + b"?" + query if query else raw


def outgoing(  # noqa: C901  one scan of the fields, on every request
    scope: Scope, *, host: bytes | None = None
) -> tuple[Headers, bool]:
    """Return the fields to send to the site, and whether a body follows.

    ``host`` replaces the client's Host. Raise ``RequestError`` where the body's length is told twice.
    """
    headers: Headers = scope["headers"]
    fields: Headers = []
    lengths: list[bytes] = []
    asked, chunked, named = b"", False, None
    known = _KNOWN.get
    for pair in headers:
        name = pair[0]
        kind = known(name) or _kind_of(name)
        if kind == _TRAVELS:
            fields.append(pair)
        elif kind == _STAYS:
            continue
        elif kind == _HOST:
            asked = pair[1]
            if host is None:
                fields.append(pair)
        elif kind == _LENGTH:
            lengths.append(pair[1])
        elif kind == _CODING:
            chunked = True
        elif pair[1] not in _PERSISTENCE:  # Connection
            named = named_by_connection(headers)
    if named:
        fields = [pair for pair in fields if pair[0] not in named]
    if host is not None:
        fields.append((b"host", host))
    length = _one_length(lengths) if lengths else None
    if length is not None and not chunked:  # RFC 9112 §6.3: Transfer-Encoding overrides
        fields.append((b"content-length", length))
    fields += _said_by_us(scope, asked)
    return fields, chunked or (length is not None and length.strip(b"0") != b"")


def _one_length(lengths: list[bytes]) -> bytes:
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise RequestError("the length of the body is not told in one way")
    return lengths[0]


def _expects(scope: Scope) -> bool:
    """Tell whether the client sends its body only once the site asks for it (RFC 9110 §10.1.1)."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


def _kind_of(name: bytes) -> int:
    """Work out what becomes of a field of this name, and remember it within a bound."""
    kind = _SPECIAL.get(name) or (_TRAVELS if travels(name) else _STAYS)
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[name] = kind
    return kind


def travels(name: bytes) -> bool:
    """Tell whether a client's field of this lower-case name reaches the site."""
    return (
        _NAME.fullmatch(name) is not None
        and name not in HOP_BY_HOP
        and name not in OURS_TO_SAY
        and not name.startswith((b"x-forwarded-", b"x-antiscrape-"))
    )


def _said_by_us(scope: Scope, asked: bytes) -> Headers:
    """Return what the site may believe: the client's address as judged, the scheme and host it asked for."""
    judged: Any = (scope.get("state") or {}).get("antiscrape")
    peer = scope.get("client")
    client: str = getattr(judged, "client", "") or (peer[0] if peer else "")
    scheme: str = getattr(judged, "scheme", "") or scope["scheme"]
    said = _said_of(client, scheme)
    return [*said, (b"x-forwarded-host", asked)] if asked else list(said)


@lru_cache(maxsize=4096)
def _said_of(client: str, scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    said: Headers = []
    if client and _ADDRESS.fullmatch(client):  # a unix peer has no address, and "local" is none
        address = client.encode("ascii")
        said += [(b"x-forwarded-for", address), (b"x-real-ip", address)]
    said.append((b"x-forwarded-proto", b"https" if scheme in {"https", "wss"} else b"http"))
    return tuple(said)


async def _apologise(error: AntiscrapeError, send: Send) -> None:
    """Answer in the proxy's own name; the page is never stored (SECURITY G10)."""
    body = error.public.encode() + b"\n"
    headers = _page_headers(len(body))
    await send({"type": "http.response.start", "status": int(error.status), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _page_headers(length: int) -> Headers:
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(length).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]


async def _decline(error: AntiscrapeError, scope: Scope, send: Send) -> None:
    """Refuse a websocket with the error's status where the server can say it, else with its plain 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = error.public.encode() + b"\n"
    headers = _page_headers(len(body))
    await send({"type": "websocket.http.response.start", "status": int(error.status), "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
