"""The middleware: pure ASGI, for http and websocket; every other scope passes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from antiscrape.asgi.breaking import excuse
from antiscrape.asgi.caching import PARTIAL
from antiscrape.asgi.collecting import asking
from antiscrape.asgi.head import HeadReader
from antiscrape.asgi.inner import (
    asks_for_style,
    paths_of_ours,
    unconditioned,
    without_key,
    without_shortcuts,
)
from antiscrape.asgi.lifetime import Lifetime
from antiscrape.asgi.marking import marking_of
from antiscrape.asgi.opaque import opening
from antiscrape.asgi.preferences import Speaker
from antiscrape.asgi.quotas import Teller
from antiscrape.asgi.refusals import send_verdict
from antiscrape.asgi.responder import Tools, responder_of
from antiscrape.asgi.shedding import send_shed, shed_of
from antiscrape.asgi.swift import door_of, ways_through
from antiscrape.asgi.trailers import without_trailers
from antiscrape.asgi.traps import answers_itself, send_trap
from antiscrape.asgi.unjudged import see_to
from antiscrape.core.judge import PLAIN
from antiscrape.core.quota import Tell
from antiscrape.core.resource import Kind
from antiscrape.core.verdict import Action, Mode, Rendition, Standing
from antiscrape.errors import RequestError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from antiscrape.asgi.accounts import Accounts
    from antiscrape.asgi.bodies import Rewriters
    from antiscrape.asgi.check import Desk
    from antiscrape.asgi.inspection import Inspection
    from antiscrape.asgi.lifetime import Keeper
    from antiscrape.asgi.marking import Marker
    from antiscrape.asgi.preferences import PreferenceWriter
    from antiscrape.asgi.responder import LongSide, Responder
    from antiscrape.asgi.sources import Sources
    from antiscrape.asgi.swift import Begin, Relay, Way
    from antiscrape.asgi.traps import Maze
    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.core.overload import Load
    from antiscrape.core.partner import PartnerBook
    from antiscrape.evidence.recorder import Recorder
    from antiscrape.evidence.takers import Takers
    from antiscrape.gate import Gate, Passage
    from antiscrape.ports import Renderer

    #: Makes what takes the site's answer.
    Answer = Callable[[Passage, Send], Relay | Responder]

# Bound once: reading a member off its Enum class costs 0.2 µs in Python 3.11.
_ADMIT: Final = Action.ADMIT
_ORIGINAL: Final = Rendition.ORIGINAL
_EXEMPT: Final = Kind.EXEMPT
_ASSET: Final = Kind.ASSET
_TRAP: Final = Kind.TRAP
_BROWSER: Final = Standing.BROWSER
#: Kinds whose answer may be a picture that is not for this client.
_PICTURES: Final = frozenset({Kind.IMAGE, Kind.UNTOLD})

#: Kinds whose bodies are never rewritten.
_AS_THEY_ARE = frozenset({Kind.IMAGE, Kind.ASSET, Kind.EXEMPT})
#: RFC 6455 §7.4.1: the endpoint received what violates its policy.
_POLICY_VIOLATION = 1008


class Middleware:
    """Judges each request and sees to it that the answer is the one that the verdict names."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        gate: Gate,
        renderer: Renderer,
        recorder: Recorder,
        long_side: LongSide,
        rewriters: Rewriters | None,
        preferences: PreferenceWriter | None = None,
        keepers: Sequence[Keeper] = (),
        accounts: Accounts | None = None,
        maze: Maze | None = None,
        partners: PartnerBook | None = None,
        takers: Takers | None = None,
        check: Desk | None = None,
        marker: Marker | None = None,
        inspection: Inspection | None = None,
        sources: Sources | None = None,
        load: Load | None = None,
    ) -> None:
        tell, mode = gate.policy.tell, gate.policy.mode
        self.app = Teller(app, gate) if tell is Tell.ALWAYS and mode is Mode.ENFORCE else app
        self._tells = tell is not Tell.NEVER
        self.gate = self._gate = gate
        self.recorder = self._recorder = recorder
        self._rewriters = rewriters
        #: Whether what the site is asked may have to differ from what was asked here.
        self._changes = (rewriters is not None and rewriters.signs) or marker is not None
        self._inner = self._inner_scope if marker is None else partial(self._marked_scope, marker)
        # The verdict on nearly every request is this one object, and to be counted is all that it needs.
        self._plain = PLAIN[_BROWSER]
        self._allowed = recorder.plain
        self._off = mode is Mode.OFF
        self._accounts = accounts
        self._ledger = gate.ledger
        self._maze, self._check, self._inspection = maze, check, inspection
        #: Kinds of what may be asked of us.
        there = ((Kind.API, check), (Kind.TRAP, check or maze), (_EXEMPT, inspection))
        self._ours = frozenset(kind for kind, desk in there if desk is not None)
        self._partners = partners or None
        self._tools = Tools(gate, renderer, long_side, rewriters, accounts, takers, marker, sources, load)
        self._load, self._tools.fault = self._tools.load, recorder.fault
        self._preferences = preferences
        self._lifetime = Lifetime(self.app, renderer, keepers)
        self._documents = frozenset[bytes]() if preferences is None else preferences.paths
        reader = HeadReader(gate.policy.hosts, chain=gate.policy.identity.header)
        self._read, self._judge, begin, relay = ways_through(reader, gate, self._tools, plain=self._plain)
        sealed = gate.grants is not None and gate.grants.opaque != ""
        self._below = paths_of_ours(check, gate.grants, inspection)
        if gate.grants is not None and sealed:
            self._read = opening(self._read, gate.grants)
        #: Where all that is done to a plain request is to let it pass.
        passes = not sealed and accounts is None and preferences is None and self._ledger is None
        swift = passes and not self._partners and not self._changes and not self._off
        self._respond = partial(responder_of if marker is None else marking_of, self._tools)
        self._answer: Answer = (relay if accounts is None and marker is None else None) or self._respond
        #: What serves one ASGI connection: the shorter way where there is one, for those that it is for.
        self.way: Way = self._serve if begin is None or not swift else self._door(begin)

    def _door(self, begin: Begin) -> Way:
        signs = None if self._check is None else self._check.signs
        return door_of(
            begin, app=self.app, others=self._serve, plain=self._plain, recorder=self._recorder, beside=signs
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self.way(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901, PLR0912  the request path, where a call costs more than a branch
        if scope["type"] != "http" or self._off:
            await self._other(scope, receive, send)
            return
        try:
            passage = self._read(scope)
            if self._accounts is None and (self._check is None or not passage.shape.cookie):
                self._judge(passage)
            else:
                scope = self._judge_told(scope, passage)
            if self._ledger is not None:
                await self._gate.settle(passage, self._ledger)
        except Exception as error:  # noqa: BLE001  whatever is wrong with the judge, it is not the client's to see
            if (found := await see_to(error, self, self._accounts, scope, send)) is None:
                return
            scope, passage = found
        scope.setdefault("state", {})["antiscrape"] = passage
        verdict = passage.verdict
        if (verdict.action is not _ADMIT or self._load.rung) and await self._refused(send, passage):
            return
        if self._partners is not None:
            scope = without_key(scope, self._partners)
        ours = passage.resource.kind in self._ours or passage.raw_path in self._documents
        if ours and await self._answered(passage, scope, receive, send):
            return
        if self._preferences is not None:
            send = Speaker(self._preferences, passage, send).send
        if verdict.rendition is not _ORIGINAL:
            answer, scope, to = self._give_less(scope, passage, send)
        else:
            to = (answer := self._answer(passage, send)).send
            if self._changes or passage.query:
                scope = self._inner(scope, passage)
        if "extensions" in scope:
            scope = without_shortcuts(scope)
        try:
            await self.app(scope, receive, to)
        except UpstreamError as error:
            await excuse(error, answer, scope)
        finally:
            if passage.verdict is self._plain:
                self._allowed[_BROWSER] += 1
            else:
                self._recorder.record(passage, answer.status)

    def _give_less(self, scope: Scope, passage: Passage, send: Send) -> tuple[Relay | Responder, Scope, Send]:
        """Return what takes the answer where this client gets no originals, and what the site is given."""
        responder, scope = self._respond(passage, send), self._inner(scope, passage)
        return responder, *asking(scope if passage.verdict.shadowed else without_trailers(scope), responder)

    async def _answered(self, passage: Passage, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer what is asked of us: the browser check, the trap, the doctor, what may be done with pictures; or not."""
        if self._preferences is not None and passage.raw_path in self._documents:
            status = 200
            await self._preferences.serve(self.app, scope, receive, send)
        elif self._check is not None and self._check.owns(passage):
            status = await self._check.answer(passage, receive, send)
        elif self._inspection is not None and passage.resource.kind is _EXEMPT:
            status = await self._inspection.answer(passage, scope, send)
            if not status:
                return False
        elif self._maze is not None and answers_itself(passage):
            status = await send_trap(send, passage, self._maze, self._gate.clock())
        else:
            return False
        self._recorder.record(passage, status)
        return True

    async def judge(self, scope: Scope) -> tuple[Scope, Passage]:
        """Read, judge and charge one request; return it, and the scope without what is between the site and us.

        Raise ``RequestError`` where it has no single reading.
        """
        passage = self._read(scope)
        if self._accounts is None and (self._check is None or not passage.shape.cookie):
            self._judge(passage)
        else:
            scope = self._judge_told(scope, passage)
        if self._ledger is not None:
            await self._gate.settle(passage, self._ledger)
        return scope, passage

    @property
    def marks(self) -> bool:
        """Whether originals are changed on their way."""
        return self._tools.marker is not None

    def is_ours(self, raw_path: bytes, kind: Kind) -> bool:
        """Tell whether the site itself has no answer to what is asked at a path: the check, a trap, a sealed picture."""
        if raw_path.startswith(self._below) or raw_path in self._documents:
            return True
        return kind is _TRAP and self._maze is not None

    def read(self, scope: Scope) -> Passage:
        """Read one request; raise ``RequestError`` where it has no single reading."""
        return self._read(scope)

    async def _refused(self, send: Send, passage: Passage) -> bool:
        """Answer what is not admitted, or shed; tell whether the request was."""
        if passage.verdict.action is not _ADMIT and not passage.verdict.shadowed:
            self.note_refusal(passage)
            await self.tell_refusal(send, passage)
            return True
        shed = shed_of(self._load, passage, self._check) if self._load.rung else ""
        if shed:
            await send_shed(send, self._load, passage, shed)
            self._recorder.record(passage, 503)
        return bool(shed)

    def note_refusal(self, passage: Passage) -> None:
        """Take note of a request that is not admitted."""
        passage.habits.note_refused(passage.resource)
        self._recorder.record(passage, 429 if passage.verdict.action is Action.LIMIT else 403)

    def note_lesser(self, passage: Passage) -> None:
        """Take note of a picture that will be answered with less than the original, and of whose copy it will be."""
        takers = self._tools.takers
        if takers is not None:
            passage.taker = takers.of(passage)
        self._recorder.record(passage, 200)

    async def tell_refusal(self, send: Send, passage: Passage) -> None:
        """Answer a request that is not admitted."""
        quotas = self._gate.quotas(passage) if self._tells else ()
        await send_verdict(send, passage.verdict, passage, passage.resource.kind, quotas)

    async def carry_out(self, scope: Scope, receive: Receive, send: Send, passage: Passage) -> None:
        """Answer a request that was judged, charged and noted before, as its verdict says."""
        scope["state"] = {**scope.get("state", {}), "antiscrape": passage}
        if passage.verdict.action is not _ADMIT:
            await self.tell_refusal(send, passage)
            return
        if self._partners is not None:
            scope = without_key(scope, self._partners)
        if self._preferences is not None:
            send = Speaker(self._preferences, passage, send).send
        answer, scope, to = self._give_less(scope, passage, send)
        try:
            await self.app(without_shortcuts(scope), receive, to)
        except UpstreamError as error:
            await excuse(error, answer, scope)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._off:
            await self._off_duty(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifetime(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _off_duty(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve without judging; what is between the site, its partners and us goes no further all the same."""
        accounts = self._accounts
        if scope["type"] in {"http", "websocket"}:
            if self._partners is not None:
                scope = without_key(scope, self._partners)
            if accounts is not None:
                scope, to = {**scope, "headers": accounts.without(scope["headers"])}, send

                async def send(message: Message) -> None:
                    if "headers" in message:
                        message = {**message, "headers": accounts.without(message["headers"])}
                    await to(message)

        await self.app(scope, receive, send)

    def _inner_scope(self, scope: Scope, passage: Passage) -> Scope:
        """Return the scope that the site is given: the same one, wherever nothing has to differ."""
        kind, verdict = passage.resource.kind, passage.verdict
        if kind is _EXEMPT or self._tools.shadow:
            return scope
        changed: dict[str, object] = {}
        query = self._gate.site_query(passage)
        if query != passage.query:
            changed["query_string"] = query
        if verdict.rendition is not _ORIGINAL and kind in _PICTURES:
            changed["headers"] = [pair for pair in scope["headers"] if pair[0] not in PARTIAL]
            if passage.method == "HEAD":
                changed["method"] = "GET"
        elif self._rewriters is not None and self._rewriters.signs:
            style = kind is _ASSET and self._rewriters.signs_styles and asks_for_style(passage)
            if style or kind not in _AS_THEY_ARE:
                changed["headers"] = unconditioned(scope, self._rewriters, passage, style=style)
        return {**scope, **changed} if changed else scope

    def _marked_scope(self, marker: Marker, scope: Scope, passage: Passage) -> Scope:
        """Return the scope that the site is given where originals are marked."""
        return self._inner_scope(marker.asked(scope, passage), passage)

    def _judge_told(self, scope: Scope, passage: Passage) -> Scope:
        """Judge a request of which the site may say whose it is, or a cookie; return the scope without what is ours."""
        held, accounts = None, self._accounts
        if self._check is not None:
            passage.find = self._gate.shortcuts.find
            held = self._check.holders.find(passage)
            if held is None and accounts is None:
                self._judge(passage)
                return scope
        if accounts is None:
            self._gate.judge(passage, held=held)
            return scope
        self._gate.judge(passage, accounts.of_request(scope, passage), accounts.owner_of(scope), held)
        return accounts.for_site(scope, passage)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope, passage = await self.judge(scope)
        except Exception as error:  # noqa: BLE001  a handshake that cannot be judged is declined, whatever raises
            if isinstance(error, RequestError):
                self._recorder.refuse(error)
            else:
                self._recorder.fault(error)
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        scope.setdefault("state", {})["antiscrape"] = passage
        verdict = passage.verdict
        if verdict.action is _ADMIT or verdict.shadowed:
            self._recorder.record(passage, 101)
            if self._partners is not None:
                scope = without_key(scope, self._partners)
            await self.app(scope, receive, send)
            return
        self._recorder.record(passage, 429 if verdict.action is Action.LIMIT else 403)
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return

        async def deny(message: Message) -> None:
            await send({**message, "type": message["type"].replace("http.", "websocket.http.")})

        await send_verdict(deny, verdict, passage, passage.resource.kind)
