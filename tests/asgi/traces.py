"""Traces of requests, and all that comes of them with the accelerator and without."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from antiscrape.core.history import History
from antiscrape.core.purse import Purse
from antiscrape.core.verdict import Mode
from tests.house import Clock, House, drive, house, person, photo, policy_of, scope_of, tool, visitors
from tests.swift import using

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.types import Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from antiscrape.gate import Passage

#: What each path of the tests' site answers: a status and fields.
ANSWERS: dict[str, tuple[int, list[tuple[bytes, bytes]]]] = {
    "/api/photos": (200, [(b"content-type", b"application/json")]),
    "/api/cookie": (200, [(b"content-type", b"application/json"), (b"set-cookie", b"a=1")]),
    "/api/gone": (404, [(b"content-type", b"application/json")]),
    "/api/closed": (403, [(b"content-type", b"application/json")]),
    "/api/loud": (200, [(b"Content-Type", b"image/jpeg"), (b"Set-Cookie", b"a=1")]),
    "/api/mute": (200, []),
    "/api/picture": (200, [(b"content-type", b"image/jpeg"), (b"cache-control", b"public")]),
    "/api/twice": (200, [(b"content-type", b"text/css"), (b"content-type", b"image/jpeg")]),
    "/static/a.css": (200, [(b"content-type", b"text/css")]),
    "/media/1.jpg": (200, [(b"content-type", b"image/jpeg")]),
    "/media/2.jpg": (200, [(b"content-type", b"image/jpeg")]),
    "/p/1": (200, [(b"content-type", b"text/html; charset=utf-8")]),
    "/p/closed": (403, [(b"content-type", b"text/html")]),
    "/p/gone": (410, [(b"content-type", b"text/html")]),
    "/hidden/archive/1": (200, [(b"content-type", b"text/html")]),
    "/u/ada": (200, [(b"content-type", b"text/html")]),
    "/elsewhere": (200, [(b"content-type", b"text/html")]),
    "/robots.txt": (200, [(b"content-type", b"text/plain")]),
    "/.well-known/x": (200, [(b"content-type", b"text/plain")]),
}
#: The status that a query asks for.
QUERIES = {b"well": 200, b"away": 302}
SIGNING = {"ANTISCRAPE__GRANTS__PREFIXES": '["/media/"]'}
RELAYED = {"ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["203.0.113.0/24"]'}
POLICIES: dict[str, Callable[[], Policy]] = {
    "the default": policy_of,
    "behind a proxy": partial(policy_of, RELAYED),
    "few requests": partial(policy_of, {"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "7/min"}),
    "two limits": partial(policy_of, {"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "9/min, 20/hour"}),
    "no limit": partial(policy_of, {"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "unlimited"}),
    "signing": partial(policy_of, SIGNING),
    "with a trap": partial(policy_of, {"ANTISCRAPE__TRAPS__PATH": "/hidden"}),
    "in shadow": partial(policy_of, mode=Mode.SHADOW),
}


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    status, fields = ANSWERS.get(scope["path"], (404, [(b"content-type", b"text/plain")]))
    status = QUERIES.get(scope["query_string"], status)
    body = photo() if any(b"image/jpeg" in value for _, value in fields) else b"{}"
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body[:2], "more_body": True})
    await send({"type": "http.response.body", "body": body[2:], "more_body": False})


class Step(NamedTuple):
    """One request, ``pause`` seconds after the one before."""

    path: str
    headers: list[tuple[bytes, bytes]]
    peer: str
    method: str
    version: str
    scheme: str
    pause: float


HEADERS = st.one_of(
    st.sampled_from([person(kind=kind) for kind in ("image", "page")]),
    st.sampled_from([one.headers for file in ("people", "tools") for one in visitors(file)][:24]),
    st.sampled_from([person((b"cookie", b"a=1")), person((b"x-forwarded-for", b"198.51.100.9")), tool()]),
    st.sampled_from(
        [
            person((b"x-forwarded-for", b"198.51.100.9, 192.0.2.4")),
            [*person(), (b"accept", b"a/b")],
            [*person(), (b"host", b"b")],
        ]
    ),
)
STEPS = st.builds(
    Step,
    path=st.sampled_from(
        [*ANSWERS, *list(ANSWERS)[:1] * 8, "/api/photos?page=2", "/media/1.jpg?w=3", "/%zz", "/a/../b"]
    ),
    headers=HEADERS,
    peer=st.sampled_from(
        ["203.0.113.7", "203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:100::1"]
    ),
    method=st.sampled_from(["GET"] * 9 + ["HEAD", "POST"]),
    version=st.sampled_from(["1.1"] * 9 + ["2"]),
    scheme=st.sampled_from(["https"] * 9 + ["http"]),
    pause=st.sampled_from([0.0, 0.1, 2.0, 70.0, 1900.0]),
)
#: The same client again and again, as clients come, with something else in between.
TRACES = st.lists(st.tuples(STEPS, st.integers(1, 12)), min_size=1, max_size=12)


#: Slots that hold objects of their own.
APART = {"crowd", "face", "habits", "rollup", "scale", "trouble"}


def values_of(part: object) -> list[object]:
    """Return what stands in an object's slots."""
    names = sorted(set(getattr(type(part), "__slots__", ())) - {"odd", "pace"})
    return [getattr(part, name) for name in names]


def told(found: object) -> object:
    """Return what is to be compared of a record, a passage or a value: slots by name, times as they are."""
    if not isinstance(found, Purse):
        return found
    names = {name for kind in type(found).__mro__ for name in getattr(kind, "__slots__", ())}
    own = {name: getattr(found, name) for name in sorted(names - APART)} | {"rollup": told(found.rollup)}
    if isinstance(found, History):
        face = [
            getattr(found.face, name, None) for name in ("kind", "secure", "scheme", "picked", "odd", "look")
        ]
        apart = [found.habits, found.odd, found.pace, found.crowd, found.trouble, found.scale]
        own |= {"face": face, "apart": [values_of(part) for part in apart]}
    return own


SAID = ("account", "client", "fields", "host", "http_version", "look", "method", "peer", "query", "raw_path", "resource", "scheme", "secure", "verdict")  # fmt: skip


def told_of(passage: Passage | None) -> object:
    if passage is None:
        return None
    return {name: getattr(passage, name) for name in SAID} | {
        "history": told(passage.history),
        "habits": told(passage.habits),
        "profile": passage.profile,
        "role": passage.role,
    }


async def walk(trace: list[tuple[Step, int]], policy: Policy, module: Any) -> tuple[list[Any], int]:
    """Send a trace; return all that came of it, and how many requests went the swift way."""
    swift_ones = 0
    seen: list[Any] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal swift_ones
        swift_ones += type(send).__name__ == "Relay"
        await site(scope, receive, send)

    with using(module):
        stack = AsyncExitStack()
        home: House = await stack.enter_async_context(house(watched, policy, Clock()))
    async with stack:
        for step, times in trace:
            for _ in range(times):
                home.clock.tick(step.pause)
                scope = scope_of(
                    step.path,
                    [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in step.headers],
                    peer=step.peer,
                    method=step.method,
                    http_version=step.version,
                    scheme=step.scheme,
                )
                answer = await drive(home.app, scope)
                seen.append((answer, told_of(scope["state"].get("antiscrape"))))
        seen.append(
            (home.recorder.plain, home.recorder.verdicts, home.recorder.malformed, home.ledger.events)
        )
    return seen, swift_ones


def step(
    path: str,
    *,
    kind: str = "image",
    peer: str = "203.0.113.7",
    method: str = "GET",
    cookie: bytes | None = b"a=1",
    pause: float = 0.0,
) -> Step:
    """Return a request of a person."""
    return Step(path, person((b"cookie", cookie), kind=kind), peer, method, "1.1", "https", pause)


#: What a plain request turns into something else by, one thing each: the policy's name, and the trace.
TURNS: dict[str, tuple[str, list[tuple[Step, int]]]] = {
    "a page that is refused": (
        "the default",
        [(step("/p/closed?well", kind="page"), 1), (step("/p/closed", kind="page", pause=20), 3)],
    ),
    "HEAD": ("the default", [(step("/api/photos"), 2), (step("/api/photos", method="HEAD"), 2)]),
    "a trap": (
        "with a trap",
        [
            (step("/hidden/archive/1", peer="192.0.2.1"), 1),
            (step("/api/photos"), 9),
            (step("/hidden/archive/1"), 1),
            (step("/api/photos"), 3),
        ],
    ),
    "a cookie that comes back": (
        "the default",
        [
            (step("/api/photos", peer="192.0.2.1"), 1),
            (step("/api/photos", cookie=None), 2),
            (step("/api/photos"), 12),
        ],
    ),
    "a line that is spent": (
        "few requests",
        [(step("/api/photos", peer=f"2001:db8:0:{number}::1"), 7) for number in range(6)],
    ),
    "a network that is spent": (
        "few requests",
        [(step("/api/photos", peer=f"2001:db8:0:{number:x}00::1"), 7) for number in range(22)],
    ),
    "a path that no route names": (
        "the default",
        [(step("/elsewhere?away", kind="page"), 2), (step("/elsewhere", kind="page", pause=20), 3)],
    ),
    "a review": ("the default", [(step("/static/a.css"), 20)]),
    "a budget that is spent again and again": (
        "few requests",
        [
            *[(step("/api/photos"), 9), (step("/api/photos", pause=61), 1)] * 6,
            (step("/api/photos", pause=9), 5),
        ],
    ),
    "a tick that is not over": ("the default", [(step("/api/photos", pause=0.25), 30)]),
    "a visit that is over": ("the default", [(step("/api/photos"), 9), (step("/api/photos", pause=1801), 3)]),
    "a cookie that is offered": ("the default", [(step("/api/photos"), 2), (step("/api/cookie"), 3)]),
    "an image": (
        "the default",
        [(step("/api/photos"), 2), (step("/api/picture"), 3), (step("/media/1.jpg"), 3)],
    ),
}
