"""Forward-auth: verdicts for an edge that serves the site itself, and what it cannot serve.

The edge (nginx, Caddy, Traefik, Envoy, HAProxy, Varnish) asks about every request before it answers it. Most
are allowed, and their bytes never pass through Python. A client that gets another rendition, or a refusal that the
edge has no words for, is sent to us inside the edge, by a redirect that it never sees, with its own
request and the verdict in a field (``core.handover``): that request is carried out as it was judged, charged once.

Some requests cannot be judged before their answer is seen: what no route names, and pictures whose size no route
tells. The edge is told to send these to us unjudged (``ANEW``), and the middleware serves them as the proxy does. What it
learns of a path decides the next request to it, so an original passes through Python once and not again.

Whatever an edge does with a field that is not ours, nothing opens: a request that comes without a handover, or with one
that is not good, is judged like any other.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Protocol

from antiscrape.asgi.answers import send_error
from antiscrape.asgi.edges import CACHE, PREFIX, TAKE, asked_of, edge_of, taken_of
from antiscrape.core.handover import NAME, Bound, Handover
from antiscrape.core.resource import Kind, Size
from antiscrape.core.verdict import Action, Mode, Rendition
from antiscrape.errors import RequestError, StrangerError
from antiscrape.gate.adoption import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.edges import Edge
    from antiscrape.asgi.lengths import Lengths
    from antiscrape.asgi.middleware import Middleware
    from antiscrape.asgi.types import ASGIApp, Headers, Message, Receive, Scope, Send
    from antiscrape.core.handover import Handovers
    from antiscrape.core.resource import Resource
    from antiscrape.gate import Gate, Passage

#: What an edge hands over where nothing was judged.
ANEW: Final = b"anew"
_ADMIT: Final = Action.ADMIT
_ORIGINAL: Final = Rendition.ORIGINAL
_IMAGE: Final = Kind.IMAGE
_UNTOLD: Final = Kind.UNTOLD
_OFF: Final = Mode.OFF
_UNSIZED: Final = Size.UNTOLD
_EMPTY: Final = (b"content-length", b"0")
# The edge may keep a verdict for a second, by a rule of its own; nobody else keeps it at all.
_NO_STORE: Final = (b"cache-control", b"private, no-store")
_BODY: Final[Message] = {"type": "http.response.body", "body": b"", "more_body": False}
_ALLOWED: Final[Headers] = [_EMPTY, _NO_STORE]
#: ``Vary`` cannot say "by standing": what the edge serves to one client is nobody else's (SECURITY J1).
_ALLOWED_PICTURE: Final[Headers] = [_EMPTY, _NO_STORE, (CACHE, b"private")]


class Spends(Protocol):
    """Remembers what is good for one use, in all workers."""

    async def spend_once(self, token: bytes) -> bool:
        """Spend ``token``; tell whether it had not been spent."""
        ...


class ForwardAuth:
    """Answers edges' questions, and the clients that they send here.

    ``app`` is the site behind its middleware, and ``house`` gives the middleware that stands there at the moment.
    Without ``lengths`` there is no site to ask: then what only an answer tells is judged by the request alone, and
    lesser renditions are placeholders.
    """

    def __init__(
        self,
        app: ASGIApp,
        house: Callable[[], Middleware],
        *,
        handovers: Handovers,
        once: Spends,
        lengths: Lengths | None,
    ) -> None:
        self._app = app
        self._house = house
        self._handovers = handovers
        self._once = once
        self._lengths = lengths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        house, client, raw_path = self._house(), scope.get("client"), scope["raw_path"]
        if not house.gate.clients.trusts(client[0] if client else ""):
            error = StrangerError("a peer that is none of identity.trusted_proxies")
            await _turn_away(house, scope, send, error)
        elif not raw_path.startswith(PREFIX):
            await self._take(house, scope, receive, send)
        elif (edge := edge_of(raw_path)) is None:
            await _turn_away(house, scope, send, StrangerError("no kind of edge asks here"))
        else:
            await self._answer(house, edge, scope, send)

    async def _answer(self, house: Middleware, edge: Edge, scope: Scope, send: Send) -> None:
        """Answer an edge's question."""
        gate = house.gate
        if gate.policy.mode is _OFF:
            await _allow(send, _ALLOWED)
            return
        try:
            asked = asked_of(edge, scope)
            path: bytes = asked["raw_path"]
            place = gate.shortcuts.places.young.get(path) or gate.place(path)
            if place.resource.path.startswith("/.antiscrape/"):
                raise StrangerError("a client asks for what only edges ask for")
            if self._is_to_be_seen(house, path, place.resource):
                await _send_on(edge, send, ANEW)
                return
            asked, passage = await house.judge(asked)
        except RequestError as error:
            house.recorder.refuse(error)
            await _refuse_malformed(edge, send, error)
            return
        verdict = passage.verdict
        picture = passage.resource.kind is _IMAGE
        if verdict.shadowed or (
            verdict.action is _ADMIT and not (picture and verdict.rendition is not _ORIGINAL)
        ):
            house.recorder.record(passage, 200)
            if picture and self._lengths is not None:
                self._lengths.charge(gate, passage, asked)
            await _allow(send, _ALLOWED_PICTURE if picture and not verdict.shadowed else _ALLOWED)
        elif verdict.action is _ADMIT:
            house.note_lesser(passage)
            await _send_on(edge, send, self._hand_over(gate, passage, asked))
        else:
            house.note_refusal(passage)
            if edge.by_field:
                await house.tell_refusal(send, passage)
            else:
                await _send_on(edge, send, self._hand_over(gate, passage, asked))

    def _is_to_be_seen(self, house: Middleware, raw_path: bytes, resource: Resource) -> bool:
        """Tell whether the middleware has to see the answer, or gives it itself, whoever asks."""
        kind = resource.kind
        if house.is_ours(raw_path, kind):
            return True
        if self._lengths is None:
            return False
        return kind is _UNTOLD or (kind is _IMAGE and (resource.size is _UNSIZED or house.marks))

    def _hand_over(self, gate: Gate, passage: Passage, asked: Scope) -> bytes:
        handover = Handover(passage.verdict, getattr(passage, "taker", 0), secrets.token_bytes(NAME))
        return self._handovers.seal(handover, _bound(passage, asked), now=gate.wall())

    async def _take(self, house: Middleware, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a client that an edge sent here: as it was judged, or judging it now."""
        scope, brought = taken_of(scope)
        if brought and brought != ANEW and house.gate.policy.mode is not _OFF:
            passage = await self._adopted(house, scope, brought)
            if passage is not None:
                await house.carry_out(scope, receive, send, passage)
                return
        await self._app(scope, receive, send)

    async def _adopted(self, house: Middleware, scope: Scope, brought: bytes) -> Passage | None:
        """Return the passage of a request whose verdict was handed over, None where it has to be judged."""
        gate = house.gate
        try:
            passage = house.read(scope)
            passage.find = gate.shortcuts.find
            known = self._handovers.open(brought, _bound(passage, scope), now=gate.wall())
            if known is None or not await self._once.spend_once(known.name):
                return None
            adopt(gate, passage, known.verdict)
        except RequestError:  # the middleware meets it again, and says so
            return None
        passage.taker = known.taker
        return passage

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is no request: websockets that an edge sent here, and the server's own start and end."""
        if scope["type"] == "lifespan" and self._lengths is not None:
            receive = _at_the_end(receive, self._lengths)
        await self._app(scope, receive, send)


async def _turn_away(house: Middleware, scope: Scope, send: Send, error: RequestError) -> None:
    house.recorder.refuse(error)
    await send_error(send, error, http_version=scope.get("http_version", "1.1"))


def _bound(passage: Passage, scope: Scope) -> Bound:
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return Bound(passage.method, passage.host, target, passage.client)


async def _allow(send: Send, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(_BODY)


async def _send_on(edge: Edge, send: Send, token: bytes) -> None:
    """Have the edge send the client here, with what it is to bring."""
    headers = [_EMPTY, _NO_STORE, (TAKE, token)]
    await send({"type": "http.response.start", "status": 200 if edge.by_field else 401, "headers": headers})
    await send(_BODY)


async def _refuse_malformed(edge: Edge, send: Send, error: RequestError) -> None:
    """Refuse what has no single reading: with its own status, where the edge can pass that on."""
    body = (error.public + "\n").encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        _NO_STORE,
    ]
    status = int(error.status) if edge.by_field else 403
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _at_the_end(receive: Receive, lengths: Lengths) -> Receive:
    async def ending() -> Message:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await lengths.aclose()
        return message

    return ending


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the site where there is none to ask: pictures that have nothing to show, and 404 for all else."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
    else:
        judged = scope["state"]["antiscrape"]
        picture = judged.resource.kind is _IMAGE and judged.verdict.rendition is not _ORIGINAL
        headers = [(b"content-type", b"image/jpeg"), _EMPTY] if picture else [_EMPTY, _NO_STORE]
        await send({"type": "http.response.start", "status": 200 if picture else 404, "headers": headers})
        await send(_BODY)
