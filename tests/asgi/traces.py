"""Traces of requests, and all that comes of them with the accelerator and without."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from antiscrape.core.history import History
from antiscrape.core.journal import Journal
from antiscrape.core.purse import Purse
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.spread import Spread
from antiscrape.core.verdict import Mode
from antiscrape.stores.exchange import Exchange
from antiscrape.stores.memory import bounds_of
from antiscrape.stores.names import Names
from antiscrape.stores.shared import SharedStore
from loadtests.paper import PaperStore
from tests.house import Clock, House, drive, house, person, photo, policy_of, scope_of, tool, visitors
from tests.swift import using

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.swift import Relay
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
    "/media/2.jpg": (200, [(b"content-type", b"image/jpeg"), (b"content-length", b"4000")]),
    "/media/3.jpg": (
        200,
        [(b"content-length", b"70000"), (b"content-type", b"image/jpeg"), (b"etag", b'"3"')],
    ),
    "/media/4.jpg": (
        200,
        [
            (b"cache-control", b"public, max-age=60"),
            (b"content-type", b"image/jpeg"),
            (b"content-length", b"9"),
        ],
    ),
    "/media/5.jpg": (
        304,
        [(b"content-type", b"image/jpeg"), (b"cache-control", b"no-store"), (b"expires", b"0")],
    ),
    "/media/1-320.jpg": (200, [(b"content-type", b"image/jpeg"), (b"content-length", b"900")]),
    "/media/2-320.jpg": (
        200,
        [(b"content-type", b"image/jpeg"), (b"content-length", b"900"), (b"content-length", b"x")],
    ),
    "/media/odd-1": (
        200,
        [(b"content-type", b"image/jpeg"), (b"content-length", b"9x"), (b"content-length", b"7")],
    ),
    "/media/odd-2": (
        200,
        [(b"content-type", b"image/jpeg"), (b"content-length", b"9"), (b"cdn-cache-control", b"public")],
    ),
    "/media/odd-3": (
        200,
        [
            (b"content-type", b"image/jpeg"),
            (b"cache-control", b"public"),
            (b"cache-control", b"no-cache"),
            (b"content-length", b"9"),
        ],
    ),
    "/media/odd-4": (
        206,
        [(b"content-type", b"image/jpeg"), (b"Content-Length", b"9"), (b"Content-Range", b"bytes 0-8/99")],
    ),
    "/media/odd-5": (200, [(b"content-type", b"image/jpeg"), (b"content-length", b"1" * 20)]),
    "/media/odd-6": (500, [(b"content-type", b"image/jpeg"), (b"1", b"2"), (b"content-length", b"9")]),
    "/media/odd-7": (
        200,
        [(b"content-type", b"image/jpeg"), (b"content-length", b"9"), (b"set-cookie", b"a=1")],
    ),
    "/media/odd-8": (200, [(b"content-type", b"text/css"), (b"content-length", b"9")]),
    "/p/1": (200, [(b"content-type", b"text/html; charset=utf-8")]),
    "/p/closed": (403, [(b"content-type", b"text/html")]),
    "/p/gone": (410, [(b"content-type", b"text/html")]),
    "/hidden/archive/1": (200, [(b"content-type", b"text/html")]),
    "/u/ada": (200, [(b"content-type", b"text/html")]),
    "/elsewhere": (200, [(b"content-type", b"text/html")]),
    "/robots.txt": (200, [(b"content-type", b"text/plain")]),
    "/.well-known/x": (200, [(b"content-type", b"text/plain")]),
}
#: Pictures, as visits ask for them.
LOOKED_AT = ["/media/1.jpg", "/media/3.jpg", "/media/4.jpg", "/media/1-320.jpg", "/media/2-320.jpg"]
#: The status that a query asks for.
QUERIES = {b"well": 200, b"away": 302}
SIGNING = {"ANTISCRAPE__GRANTS__PREFIXES": '["/media/"]'}
RELAYED = {"ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["203.0.113.0/24"]'}
#: With sizes that the routes tell, so that a picture is judged once.
SIZED = (
    Route("/media/*-320.jpg", Kind.IMAGE, Size.THUMBNAIL),
    Route("/media/{subject}/*", Kind.IMAGE, Size.ORIGINAL),
    Route("/media/**", Kind.IMAGE, Size.ORIGINAL),
    Route("/u/{subject}", Kind.SUBJECT, Size.UNTOLD),
    Route("/p/*", Kind.PAGE, Size.UNTOLD),
    Route("/static/**", Kind.ASSET, Size.UNTOLD),
    Route("/api/**", Kind.API, Size.UNTOLD),
)
#: Where a client may have a few of everything.
FEW = {
    "ANTISCRAPE__STANDING__BROWSER__ORIGINALS": "3/10min, 5/day",
    "ANTISCRAPE__STANDING__BROWSER__BYTES": "150kB/min",
    "ANTISCRAPE__STANDING__BROWSER__REQUESTS": "30/min",
}
POLICIES: dict[str, Callable[[], Policy]] = {
    "the default": policy_of,
    "pictures": partial(policy_of, routes=SIZED),
    "few pictures": partial(policy_of, FEW, routes=SIZED),
    "pictures in shadow": partial(policy_of, FEW, routes=SIZED, mode=Mode.SHADOW),
    "pictures without bytes": partial(
        policy_of, {"ANTISCRAPE__STANDING__BROWSER__BYTES": "unlimited"}, routes=SIZED
    ),
    "signed pictures": partial(policy_of, {"ANTISCRAPE__GRANTS__PREFIXES": '["/media/"]'}, routes=SIZED),
    "behind a proxy": partial(policy_of, RELAYED),
    "few requests": partial(policy_of, {"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "7/min"}),
    "two limits": partial(policy_of, {"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "9/min, 20/hour"}),
    "no limit": partial(policy_of, {"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "unlimited"}),
    "signing": partial(policy_of, SIGNING),
    "with a trap": partial(policy_of, {"ANTISCRAPE__TRAPS__PATH": "/hidden"}),
    "in shadow": partial(policy_of, mode=Mode.SHADOW),
}


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    gallery = ANSWERS["/media/3.jpg"] if scope["path"].startswith("/media/g") else None
    status, fields = gallery or ANSWERS.get(scope["path"], (404, [(b"content-type", b"text/plain")]))
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
            person((b"if-none-match", b'"3"')),
            [*person(), (b"accept", b"a/b")],
            [*person(), (b"host", b"b")],
        ]
    ),
)
STEPS = st.builds(
    Step,
    path=st.sampled_from(
        [
            *ANSWERS,
            *list(ANSWERS)[:1] * 8,
            *LOOKED_AT * 3,
            "/media/ada/1",
            "/api/photos?page=2",
            "/media/1.jpg?w=3",
            "/%zz",
            "/a/../b",
        ]
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
#: Visits that look at one picture after another, and at pages, in whatever order and haste.
LOOKS = st.lists(
    st.tuples(
        st.builds(
            Step,
            path=st.sampled_from(
                [
                    "/p/1",
                    "/static/a.css",
                    "/media/1-320.jpg",
                    *(f"/media/g{7 * n}.jpg" for n in range(16)),
                    "/media/g8.jpg",
                ]
            ),
            headers=st.sampled_from(
                [
                    person(kind="image"),
                    person(kind="image"),
                    person((b"referer", None), kind="image"),
                    person(kind="page"),
                ]
            ),
            peer=st.sampled_from(["203.0.113.7", "203.0.113.7", "2001:db8::1"]),
            method=st.just("GET"),
            version=st.just("1.1"),
            scheme=st.just("https"),
            pause=st.sampled_from([0.0, 0.1, 2.0, 2.0, 70.0]),
        ),
        st.integers(1, 2),
    ),
    min_size=4,
    max_size=40,
)
#: The same client again and again, as clients come, with something else in between.
TRACES = st.lists(st.tuples(STEPS, st.integers(1, 12)), min_size=1, max_size=12)


#: Slots that hold objects of their own, and one that is another in every house.
APART = {"crowd", "face", "habits", "journal", "met", "rollup", "scale", "trouble"}


def values_of(part: object) -> list[object]:
    """Return what stands in an object's slots."""
    names = sorted(set(getattr(type(part), "__slots__", ())) - {"odd", "pace"})
    return [getattr(part, name) for name in names]


def noted(journal: Journal) -> dict[str, object]:
    """Return what a journal holds; while the clock stands still, what is had is noted as if it were charged anew."""
    own = {name: getattr(journal, name) for name in Journal.__slots__}
    return own | {"originals": set(journal.originals or ()), "subjects": set(journal.subjects or ())}


def told(found: object) -> object:
    """Return what is to be compared of a record, a passage or a value: slots by name, times as they are."""
    if not isinstance(found, Purse):
        return found
    names = {name for kind in type(found).__mro__ for name in getattr(kind, "__slots__", ())}
    own = {name: getattr(found, name) for name in sorted(names - APART)} | {"rollup": told(found.rollup)}
    own["journal"] = None if found.journal is None else noted(found.journal)
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
        "charged": [getattr(passage, name, None) for name in ("allowance", "grant")],
        "history": told(passage.history),
        "habits": told(passage.habits),
        "profile": passage.profile,
        "role": passage.role,
    }


def spread_of(clock: Clock) -> Spread:
    """Return what tells groups, which counts from a hundred seconds on."""
    return Spread(key=b"k" * 32, started=clock.now - 200.0)


def sharing_store(policy: Policy, clock: Clock) -> tuple[SharedStore, Callable[[], list[object]]]:
    """Return a store whose journals rest, and what tells a server on paper what is due, and returns that.

    Who was told of has a name, and rests.
    """
    store = SharedStore(clock=clock.monotonic, origin=b"12345678", **bounds_of(policy))
    store.rests = 1 / 64
    exchange, paper = Exchange(store, Names(b"k" * 32, "site")), PaperStore()

    def tell() -> list[object]:
        now = clock.monotonic()
        tellings = exchange.collect(now)
        said = [
            (purse.key, noted(journal)) for one in tellings for purse, journal in (*one.lights, *one.fulls)
        ]
        for one in tellings:
            exchange.apply(one, paper.exchange(one.keys, one.arguments, 1e9 + now), now, now)
        return sorted(said, key=repr)

    return store, tell


async def walk(
    trace: list[tuple[Step, int]],
    policy: Policy,
    module: Any,
    *,
    shared: bool = False,
    forgetful: bool = False,
) -> tuple[list[Any], int]:
    """Send a trace; return all that came of it, and how many requests went the swift way.

    ``shared``: what is charged is noted for other workers, and told them before each step; no two requests are at one time.
    ``forgetful``: who asked lately is not found at once.
    """
    swift_ones = 0
    seen: list[Any] = []

    with using(module):
        stack = AsyncExitStack()
        told_by = spread_of(clock := Clock())
        shares = sharing_store(policy, clock) if shared else None
        store = None if shares is None else shares[0]
        home: House = await stack.enter_async_context(house(site, policy, clock, spread=told_by, store=store))
    way: Any = home.app.way
    begin: Any = getattr(way, "begin", None)

    def watched(scope: Scope, send: Send) -> Relay | None:
        nonlocal swift_ones
        relay: Relay | None = begin(scope, send)
        swift_ones += relay is not None
        return relay

    if begin is not None:
        way.begin = watched
    async with stack:
        for step, times in trace:
            if shares is not None:
                seen.append(("told", shares[1]()))
            for _ in range(times):
                home.clock.tick(step.pause + (2**-10 if shared else 0.0))
                if forgetful:
                    home.gate.clients.direct.clear()
                    for memo in home.gate.clients.relayed.values():
                        memo.clear()
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
        members = {key: (one.images, one.last) for key, one in told_by.members.young.items()}
        recorder = home.recorder
        seen.append((recorder.plain, recorder.verdicts, recorder.malformed, home.ledger.events, members))
        if store is not None:
            seen.append(
                (
                    sorted([told(one) for one in store.touched], key=repr),
                    [(*bed[:2], [told(one) for one in bed.purses]) for bed in store.resting],
                )
            )
    return seen, swift_ones
