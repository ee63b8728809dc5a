"""What many tests build: policies, clocks, gates, and the whole middleware with an app of a few lines behind it."""

from __future__ import annotations

import asyncio
import functools
import io
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from antiscrape.asgi.bodies import Rewriters
from antiscrape.asgi.check import Desk
from antiscrape.asgi.head import HeadReader
from antiscrape.asgi.middleware import Middleware
from antiscrape.asgi.traps import Maze
from antiscrape.browser.room import open_room
from antiscrape.core.clearance import Clearances
from antiscrape.core.obedience import RobotsBook
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import trace_keys
from antiscrape.evidence.recorder import Recorder
from antiscrape.gate import Gate
from antiscrape.gate.holders import Holders, lingering
from antiscrape.images.dimensions import long_side
from antiscrape.lookups.agents import AgentBook
from antiscrape.parts import lay_check, lay_trap, marker_of, preference_writer, takers_of
from antiscrape.settings import load_policy
from antiscrape.signing import grants_of
from antiscrape.stores.issues import Issues
from antiscrape.stores.memory import MemoryStore, memory_store
from antiscrape.stores.once import Once
from tests.pools import LentRenderer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from antiscrape.asgi.accounts import Accounts
    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from antiscrape.core.spread import Spread
    from antiscrape.gate import Passage
    from antiscrape.ports import Networks, Roles

Pairs = list[tuple[bytes, bytes]]

#: Seconds after which a test that waits has failed: a machine may be so busy that a process takes ten to start.
PATIENCE = 120.0
SECRET = "ckQ3vX9pTf2mZ7hLw0sNbYd4Rj8uEaGi"  # of the tests, and of nothing else
DATA = Path(__file__).parent / "data"
#: What a server goes without of which no picture is looked at: it costs each process two thirds of a second of a processor.
SPARE = {"ANTISCRAPE__IMAGES__FACES": "off", "ANTISCRAPE__TRACE__RENDITIONS": "[]"}


@functools.cache
def _defaults(settings: tuple[tuple[str, str], ...]) -> Policy:
    environ = {"ANTISCRAPE_SECRET": SECRET, "ANTISCRAPE__RECORD__EVENTS": "off", **dict(settings)}
    return load_policy(environ=environ)


def policy_of(settings: Mapping[str, str] | None = None, **changes: Any) -> Policy:
    """Return the default policy with settings as the environment names them, and fields replaced."""
    return replace(_defaults(tuple(sorted((settings or {}).items()))), **changes)


@dataclass
class Clock:
    """Time that stands still until a test moves it."""

    now: float = 1000.0
    epoch: float = 1_700_000_000.0

    def tick(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self.now += seconds
        self.epoch += seconds

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.epoch


@dataclass
class Ledger:
    """A sink that keeps its events."""

    events: list[dict[str, object]] = field(default_factory=list)

    def emit(self, event: Mapping[str, object]) -> None:
        self.events.append(dict(event))

    def close(self) -> None: ...


@functools.cache
def agent_book() -> AgentBook:
    """Return the book of agents, which takes a while to compile and has no state but a memo."""
    return AgentBook()


def store_of(policy: Policy) -> MemoryStore:
    return memory_store(policy)


def gate_of(policy: Policy, clock: Clock, store: MemoryStore | None = None, **rooms: Any) -> Gate:
    """Return a gate with the real store and the real book of agents, on a clock that the test moves."""
    grants = grants_of(policy) if policy.grants.prefixes else None
    return Gate(
        policy,
        store=store_of(policy) if store is None else store,
        agents=agent_book(),
        grants=grants,
        clock=clock.monotonic,
        wall=clock.wall,
        **rooms,
    )


def desk_of(policy: Policy, keys: KeyRing, gate: Gate, clock: Clock) -> Desk | None:
    """Return the browser check of a policy that has one, over the gate's own store."""
    rules = policy.clearance
    if not rules.enabled:
        return None
    times: dict[str, Any] = {"clock": clock.monotonic, "wall": clock.wall}
    made = Clearances(keys, policy.site)
    holders = Holders(rules, made, store=gate._store, agents=agent_book(), lingers=lingering(policy), **times)
    once = Once(lasts=360.0, clock=clock.monotonic)
    return Desk(open_room(rules, keys, holders=holders, once=once, issues=Issues(**times), wall=clock.wall))


class House(NamedTuple):
    """The middleware with everything that a test may want to look at."""

    app: Middleware
    gate: Gate
    recorder: Recorder
    ledger: Ledger
    clock: Clock
    renderer: LentRenderer

    async def ask(
        self,
        path: str | bytes = "/",
        headers: Pairs | None = None,
        *,
        method: str = "GET",
        peer: str = "203.0.113.7",
        body: bytes = b"",
        **more: Any,
    ) -> Answer:
        """Send one request in process, as a server would hand it over."""
        headers = person() if headers is None else headers
        return await drive(self.app, scope_of(path, headers, method=method, peer=peer, **more), body)


@asynccontextmanager
async def house(
    app: ASGIApp,
    policy: Policy | None = None,
    clock: Clock | None = None,
    *,
    networks: Networks | None = None,
    roles: Roles | None = None,
    accounts: Accounts | None = None,
    traced: bool = False,
    spread: Spread | None = None,
    store: MemoryStore | None = None,
    patience: float = PATIENCE,
) -> AsyncIterator[House]:
    """Put ``app`` behind every room that the site would run, with the test's clock and ledger; end its workers.

    ``networks``, ``roles``, ``accounts``, ``spread`` and ``store`` are the test's; the site would make them of files, DNS and keys.
    ``patience`` is how many seconds all of it may take. ``traced``: put traces into what the policy says, which takes workers of their own.
    """
    policy, clock, ledger = policy or policy_of(), clock or Clock(), Ledger()
    keys = KeyRing(policy.secrets)
    policy, trap = lay_trap(policy, keys)
    policy = lay_check(policy)
    grants = grants_of(policy) if policy.grants.prefixes else None
    tags = None if trap is None else trap.tags
    robots = RobotsBook()
    gate = gate_of(
        policy, clock, store, networks=networks, roles=roles, account_key=keys.derive("account"), trap_tags=tags,
        robots=robots, spread=spread,
    )  # fmt: skip
    recorder = Recorder(
        ledger,
        site=policy.site,
        keys=keys,
        addresses=policy.record.addresses,
        wall=clock.wall,
        networks=networks,
    )
    renderer = LentRenderer(
        policy.images,
        key=keys.derive("renditions"),
        trace=policy.trace,
        trace_keys=trace_keys(keys)[0] if traced else None,
    )
    takers = takers_of(policy, keys, recorder, clock.wall) if traced else None
    rewriters, check = None, desk_of(policy, keys, gate, clock)
    tag = None if check is None else check.tag
    if (grants is not None and policy.grants.rewrite) or trap is not None or tag is not None:
        rewriters = Rewriters(policy, grants, clock.wall, trap, tag)
    middleware = Middleware(
        app,
        gate=gate,
        renderer=renderer,
        recorder=recorder,
        long_side=long_side,
        rewriters=rewriters,
        preferences=preference_writer(policy, robots),
        accounts=accounts,
        maze=None if trap is None else Maze(keys, trap.base),
        partners=getattr(roles, "partners", None),
        takers=takers,
        check=check,
        marker=marker_of(policy, keys, takers),
    )
    try:
        async with asyncio.timeout(patience):
            yield House(middleware, gate, recorder, ledger, clock, renderer)
    finally:
        await renderer.aclose()


class Answer(NamedTuple):
    """What a server would have written: the status, the fields, and the body in the pieces that were sent."""

    status: int
    fields: Pairs
    chunks: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def get(self, name: bytes) -> bytes:
        """Return the one value of a field, ``b""`` if it is not there; two are a failure."""
        values = [value for field_, value in self.fields if field_.lower() == name]
        assert len(values) <= 1, f"{name!r} came {len(values)} times"
        return values[0] if values else b""


async def drive(app: ASGIApp, scope: Scope, body: bytes = b"") -> Answer:
    """Hand one request to an ASGI app and hold its answer to the protocol: one start, then bodies, one end."""
    start: list[Message] = []
    chunks: list[bytes] = []
    ended = False
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal ended
        assert not ended, f"{message['type']} after the end of the answer"
        if message["type"] == "http.response.start":
            assert not start, "two starts"
            start.append(message)
        elif message["type"] == "http.response.body":
            assert start, "a body before its start"
            chunks.append(bytes(message.get("body", b"")))
            ended = not message.get("more_body", False)

    await app(scope, receive, send)
    assert start, "nothing was answered"
    assert ended, "the answer has no end"
    fields = [(bytes(name), bytes(value)) for name, value in start[0].get("headers", [])]
    return Answer(start[0]["status"], fields, tuple(chunks))


def scope_of(
    path: str | bytes,
    headers: Pairs,
    *,
    method: str = "GET",
    peer: str | None = "203.0.113.7",
    scheme: str = "https",
    http_version: str = "1.1",
    kind: str = "http",
    **more: Any,
) -> Scope:
    """Return an ASGI scope as uvicorn makes it; ``path`` is as it stands on the request line."""
    raw = path.encode("latin-1") if isinstance(path, str) else path
    raw_path, _, query = raw.partition(b"?")
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": http_version,
        "method": method,
        "scheme": scheme,
        "path": raw_path.decode("latin-1"),
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": (peer, 40_000) if peer is not None else None,
        "server": ("127.0.0.1", 443),
        "extensions": {},
        "state": {},
    }
    if kind == "websocket":
        del scope["method"]
        scope |= {"subprotocols": [], "scheme": scheme.replace("http", "ws")}
    return scope | more


class Visitor(NamedTuple):
    """One recorded kind of request: who made it, for what, with which fields in which order."""

    name: str
    kind: str
    headers: Pairs
    version: str


@functools.cache
def visitors(file: str) -> tuple[Visitor, ...]:
    """Return the header sets of ``people``, ``small_browsers`` or ``tools``."""
    rows = json.loads((DATA / f"{file}.json").read_text())
    return tuple(
        Visitor(
            row["name"],
            row["kind"],
            [(name.encode(), value.encode()) for name, value in row["headers"]],
            row.get("version", "1.1"),
        )
        for row in rows
    )


def visitor(name: str) -> Pairs:
    """Return a copy of the header set of that name."""
    for file in ("people", "tools", "small_browsers"):
        for one in visitors(file):
            if one.name == name:
                return list(one.headers)
    raise LookupError(name)


def person(*changes: tuple[bytes, bytes | None], kind: str = "image") -> Pairs:
    """Return Firefox's fields, with some set or (``None``) left out."""
    return changed(visitor(f"firefox {kind}"), *changes)


def tool(*changes: tuple[bytes, bytes | None]) -> Pairs:
    """Return curl's fields, with some set or left out."""
    return changed(visitor("curl"), *changes)


def changed(headers: Pairs, *changes: tuple[bytes, bytes | None]) -> Pairs:
    """Return ``headers`` with fields set in place, appended, or (``None``) left out."""
    for name, value in changes:
        if value is None:
            headers = [pair for pair in headers if pair[0] != name]
        elif any(pair[0] == name for pair in headers):
            headers = [(name, value) if pair[0] == name else pair for pair in headers]
        else:
            headers = [*headers, (name, value)]
    return headers


def head_of(path: str | bytes, headers: Pairs, **more: Any) -> Passage:
    """Return the head that the middleware would read."""
    return HeadReader().read(scope_of(path, headers, **more))


@functools.cache
def photo(width: int = 800, height: int = 600, seed: int = 1) -> bytes:
    """Return a JPEG with something in it, the same for the same ``seed``."""
    picture = Image.effect_mandelbrot((width, height), (-2.0 + seed / 97, -1.5, 1.0, 1.5), 60)
    out = io.BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=85)
    return out.getvalue()


def answers(
    body: bytes, content_type: bytes = b"image/jpeg", *fields: tuple[bytes, bytes], status: int = 200
) -> ASGIApp:
    """Return an app that answers everything alike, HEAD without the body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *fields]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        sent = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": sent, "more_body": False})

    return app
