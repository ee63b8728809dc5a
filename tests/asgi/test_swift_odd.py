"""The accelerator and what is odd: scopes, fields and messages of any kind, no memory lost, no other build used."""

from __future__ import annotations

import asyncio
import copy
import gc
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.asgi import swift
from antiscrape.asgi.accelerator import PURE, load
from antiscrape.asgi.head import HeadReader
from antiscrape.asgi.responder import Tools, responder_of
from antiscrape.core.judge import PLAIN
from antiscrape.core.resource import Kind
from antiscrape.core.verdict import Standing
from antiscrape.images.dimensions import long_side
from antiscrape.images.renderer import PillowRenderer
from tests.asgi.traces import POLICIES, told_of
from tests.fuzz import times
from tests.house import Clock, gate_of, person, policy_of, scope_of, tool
from tests.swift import using

if TYPE_CHECKING:
    from antiscrape.asgi.types import Message, Scope, Send
    from antiscrape.core.rules import Policy
    from antiscrape.gate import Gate


class Rooms:
    """A gate, a reader and the ways through them."""

    def __init__(self, module: Any, policy: Policy | None = None) -> None:
        self.policy = policy or policy_of()
        self.clock = Clock()
        self.gate: Gate = gate_of(self.policy, self.clock)
        self.reader = HeadReader(self.policy.hosts)
        self.tools = Tools(self.gate, PillowRenderer(self.policy.images), long_side, None)
        with using(module):
            self.ways = swift.ways_through(self.reader, self.gate, self.tools, plain=PLAIN[Standing.BROWSER])


ODD = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5), st.booleans(), st.just(object),
    st.lists(st.binary(max_size=3), max_size=3), st.tuples(st.binary(max_size=3)), st.dictionaries(st.text(max_size=2), st.none(), max_size=2),
    st.builds(bytearray, st.binary(max_size=3)),
)  # fmt: skip
PAIR = st.one_of(
    st.tuples(st.binary(max_size=12), st.binary(max_size=12)),
    st.lists(st.binary(max_size=4), min_size=2, max_size=2),
    st.tuples(st.sampled_from([b"host", b"cookie", b"x-forwarded-for"]), st.one_of(st.binary(), ODD)),
    st.tuples(ODD, ODD),
    st.tuples(ODD, ODD, ODD),
    ODD,
)
KEYS = (
    "client",
    "headers",
    "http_version",
    "method",
    "query_string",
    "raw_path",
    "scheme",
    "extensions",
    "state",
    "path",
)


def outcome(ways: Any, scope: Scope, *, at_once: bool) -> object:
    """Return what a reading and a judgement come to: a passage's fields, or an error's type."""
    try:
        relay = ways.begin(scope, None) if at_once and ways.begin is not None else None
        passage = ways.judge(ways.read(scope)) if relay is None else relay.passage
    except Exception as error:  # noqa: BLE001  whatever it is, both are to raise it
        return type(error)
    return told_of(passage)


@pytest.mark.security("I3")
@settings(max_examples=times(120))
@given(
    headers=st.one_of(ODD, st.lists(st.one_of(PAIR, st.sampled_from(person())), max_size=230)),
    odd=st.dictionaries(st.sampled_from(KEYS), ODD, max_size=2),
    missing=st.sets(st.sampled_from(KEYS), max_size=1),
)
def test_whatever_a_scope_holds_is_read_alike_and_nothing_crashes(
    accelerator: Any, headers: object, odd: dict[str, object], missing: set[str]
) -> None:
    def scope() -> Scope:
        made = scope_of("/api/photos", person())
        changes: dict[str, Any] = {"headers": copy.copy(headers), **odd}
        return {key: value for key, value in {**made, **changes}.items() if key not in missing}

    found = []
    for module in (None, accelerator):
        ways = Rooms(module).ways
        known = outcome(ways, scope_of("/api/photos", person()), at_once=False)
        found.append([known, *[outcome(ways, scope(), at_once=at_once) for at_once in (False, True)]])
    assert found[0] == found[1]


def test_a_header_list_that_changes_its_mind_is_read_by_what_it_was(accelerator: Any) -> None:
    """Another order of the same lengths falls on the same place among the orders that came lately."""
    rooms = Rooms(accelerator)
    read = rooms.ways.read
    one = [(b"host", b"photos.example"), (b"aa", b"1"), (b"bb", b"2")]
    other = [(b"host", b"photos.example"), (b"bb", b"1"), (b"aa", b"2")]
    for headers in (one, other, one, one, other):
        passage = read(scope_of("/", headers))
        assert passage.fields == dict(headers)
        assert passage.names == tuple(name for name, _ in headers)


def test_who_is_held_is_the_judges_business(accelerator: Any) -> None:
    """A ban, or a cooling: until it is over nothing is usual."""
    rooms = Rooms(accelerator)
    ways: Any = rooms.ways
    history = ways.judge(ways.read(scope_of("/api/photos", person()))).history
    history.held_until = rooms.clock.now + 60
    assert ways.begin(scope_of("/api/photos", person()), len) is None
    rooms.clock.tick(61)
    assert ways.begin(scope_of("/api/photos", person()), len) is not None


def test_a_visit_that_asks_for_this_and_that_has_its_faces_looked_up_once(accelerator: Any) -> None:
    """Pages, pictures and scripts have faces of their own, and a visit's requests come in any order."""
    rooms = Rooms(accelerator, POLICIES["pictures"]())
    looked_up: list[object] = []
    find = rooms.gate.shortcuts.face

    def face(*asked: Any) -> Any:
        looked_up.append(asked)
        return find(*asked)

    rooms.gate.shortcuts = rooms.gate.shortcuts._replace(face=face)
    with using(accelerator):
        ways: Any = swift.ways_through(rooms.reader, rooms.gate, rooms.tools, plain=PLAIN[Standing.BROWSER])
    paths = ("/api/photos", "/static/a.css", "/media/1-320.jpg")
    ways.judge(ways.read(scope_of("/p/1", person(kind="page"))))
    for path in paths * 2:
        ways.judge(ways.read(scope_of(path, person(kind="image"))))
    before, seen = len(looked_up), []
    for path in paths * 4:
        scope = scope_of(path, person(kind="image"))
        relay = ways.begin(scope, len)
        passage = ways.judge(ways.read(scope)) if relay is None else relay.passage
        seen.append(relay is not None and passage.history.face.kind)
    assert len(looked_up) == before
    assert {Kind.API, Kind.ASSET, Kind.IMAGE} <= set(seen)


MESSAGES = st.one_of(
    ODD,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["http.response.start", "http.response.body", "http.response.debug", 3])},
        optional={
            "status": st.one_of(st.sampled_from([200, 206, 304, 403, 404, 429]), ODD),
            "headers": st.one_of(
                ODD,
                st.lists(
                    st.one_of(
                        st.sampled_from([(b"content-type", b"text/css"), (b"content-type", b"text/html"), (b"set-cookie", b"a=1")]),
                        st.sampled_from([(b"content-type", b"image/jpeg"), (b"content-length", b"12"), (b"cache-control", b"public")]),
                        PAIR,
                    ),
                    max_size=5,
                ),
            ),
            "body": st.one_of(st.binary(max_size=4), ODD),
        },
    ),
)  # fmt: skip


@pytest.mark.parametrize("path", ["/api/photos", "/media/3.jpg"])
@settings(max_examples=times(80))
@given(messages=st.lists(MESSAGES, max_size=4))
def test_whatever_a_site_sends_is_passed_on_alike(accelerator: Any, path: str, messages: list[Any]) -> None:
    results = []
    for module in (None, accelerator):
        rooms = Rooms(module, POLICIES["pictures"]())
        sent: list[object] = []

        async def to(message: Message, sent: list[object] = sent) -> None:
            sent.append(message)

        scope = scope_of(path, person())
        for _ in range(3):
            rooms.ways.judge(rooms.ways.read(scope))
        if rooms.ways.begin is not None:
            relay: Any = rooms.ways.begin(scope, to)
            passage, send = relay.passage, relay
        else:
            passage = rooms.ways.judge(rooms.ways.read(scope))
            relay = responder_of(rooms.tools, passage, to)
            send = relay.send
        errors: list[object] = [asyncio.run(_sent(send, message)) for message in copy.deepcopy(messages)]
        results.append((sent, errors, relay.status, told_of(passage)))
    assert results[0] == results[1]


async def _sent(send: Send, message: Any) -> object:
    try:
        await send(message)
    except Exception as error:  # noqa: BLE001  whatever it is, both are to raise it
        return type(error)
    return None


def test_no_request_leaves_anything_behind(accelerator: Any) -> None:
    """A hundred thousand requests, the plain and the odd ones, and not an object or a byte more than before."""
    rooms = Rooms(accelerator, POLICIES["pictures"]())
    ways: Any = rooms.ways
    begin, judge, read, relay_of = ways.begin, ways.judge, ways.read, ways.relay
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/css")]}
    picture = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"image/jpeg"),
            (b"cache-control", b"public"),
            (b"content-length", b"9"),
        ],
    }
    odd = {**start, "headers": [(b"content-type", b"text/css"), (b"set-cookie", b"a=1")]}
    scopes = [
        scope_of(path, person((b"cookie", b"a=1"), kind=kind))
        for path, kind in (("/api/photos", "image"), ("/static/a.css", "image"), ("/media/3.jpg", "image"))
    ]
    off: list[Any] = [
        scope_of("/api/photos", [*person(), *[(b"x%d" % place, b"") for place in range(101)]]),
        scope_of("/api/photos", tool()),
        {**scopes[0], "client": None},
    ]

    def once(number: int) -> None:
        rooms.clock.tick(1.0)
        relay: Any = begin(scopes[number % 3], len)
        if relay is not None:
            relay(odd if number % 5 == 0 else picture if number % 3 == 2 else start)
            relay.status  # noqa: B018  it makes an object
        if number % 10 == 0:
            begin(off[number // 10 % 3], len)
            judge(read(scopes[number // 10 % 3]))
            passage = judge(read(scopes[2]))
            assert passage.verdict is PLAIN[Standing.BROWSER]
            relay_of(passage, len)(picture)

    def many(count: int) -> tuple[int, list[int]]:
        for number in range(count):
            once(number)
        gc.collect()
        shared = (None, True, False, len, rooms.tools, PLAIN[Standing.BROWSER], scopes[0]["raw_path"])
        return tracemalloc.get_traced_memory()[0], [sys.getrefcount(one) for one in shared]

    tracemalloc.start()
    try:
        before, counts = many(3_000)
        after, later = many(100_000)
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert all(abs(one - other) < 50 for one, other in zip(counts, later, strict=True))


def test_it_is_told_where_slots_are_and_takes_no_others(accelerator: Any) -> None:
    class Memo:
        young: dict[object, object]

    with pytest.raises(TypeError, match="Memo has no slot named young"):
        accelerator.bind(*(Memo if one.__name__ == "Memo" else one for one in swift.CLASSES))
    accelerator.bind(*swift.CLASSES)


def test_the_environment_keeps_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PURE, "1")
    assert load() == (None, "not in use: ANTISCRAPE_PURE is set")


def test_one_of_another_source_is_not_used(accelerator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        SOURCE = "0" * 64

    monkeypatch.delenv(PURE, raising=False)
    monkeypatch.setitem(sys.modules, "antiscrape.asgi._swift", Old)
    module, state = load()
    assert module is None
    assert "another source" in state
    monkeypatch.setitem(sys.modules, "antiscrape.asgi._swift", accelerator)
    assert load() == (accelerator, "in use")
