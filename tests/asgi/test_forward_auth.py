"""Verdicts for edges: the same budgets, renditions and records as in front of the site, each request judged once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from antiscrape.asgi.edges import BY_STATUS, CACHE, ENVOY, FORWARDED, TAKE
from antiscrape.asgi.forward_auth import ANEW, ForwardAuth, nowhere
from antiscrape.asgi.lengths import Lengths
from antiscrape.core.handover import LASTS, Handovers
from antiscrape.core.identity import Principal
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import trace_keys, unpack
from antiscrape.core.verdict import Mode
from antiscrape.images.splice import find_tokens
from antiscrape.stores.once import Once
from tests.edge.edges import ORIGINALS, UNSIZED, Site
from tests.house import Answer, drive, house, person, policy_of, scope_of, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiscrape.asgi.edges import Edge
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.history import History
    from antiscrape.core.rules import Policy
    from tests.house import House, Pairs

PICTURE, SECOND, *_ = ORIGINALS
UNSIZED_PICTURE = next(iter(UNSIZED))
PEER, CLIENT = "127.0.0.1", "203.0.113.7"


def rules(settings: dict[str, str] | None = None, **changes: object) -> Policy:
    trusted = {"ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]', "ANTISCRAPE__IMAGES__FACES": "off"}
    base = policy_of({**trusted, **(settings or {})})
    routes = (Route("/photos/**", Kind.IMAGE, Size.ORIGINAL), Route("/p/**", Kind.PAGE, Size.UNTOLD))
    return replace(base, routes=(*routes, *base.routes), **{"spread": False, **changes})  # type: ignore[arg-type]  # fields of a policy, by name


class Stand(NamedTuple):
    """What answers edges, with the site behind it; ``ask`` does what an edge does."""

    house: House
    app: ForwardAuth
    site: Site
    lengths: Lengths | None

    async def verdict(
        self, path: str, headers: Pairs, *, method: str = "GET", edge: Edge = BY_STATUS, peer: str = PEER, client: str = CLIENT
    ) -> Answer:  # fmt: skip
        """Ask for a verdict."""
        fields, asked = [*headers, (b"x-forwarded-for", client.encode())], edge.path.decode()
        if edge is ENVOY:
            return await drive(self.app, scope_of(asked + path, fields, method=method, peer=peer))
        said = [(edge.uri, path.encode()), (edge.method, method.encode())]
        if edge.host:
            said.append((edge.host, b"photos.example"))
        return await drive(self.app, scope_of(asked, [*said, *fields], peer=peer))

    async def take(
        self, path: str, headers: Pairs, token: bytes, *, method: str = "GET", peer: str = PEER, client: str = CLIENT
    ) -> Answer:  # fmt: skip
        """Send a client that was sent on."""
        fields = [*headers, (b"x-forwarded-for", client.encode()), (TAKE, token)]
        return await drive(self.app, scope_of(path, fields, method=method, peer=peer))

    async def ask(self, path: str, headers: Pairs, *, method: str = "GET", client: str = CLIENT) -> Answer:
        """Ask, and follow the answer; the site's own answer where it is allowed."""
        told = await self.verdict(path, headers, method=method, client=client)
        if told.status == 401:
            return await self.take(path, headers, told.get(TAKE), method=method, client=client)
        assert told.status == 200
        if self.lengths is not None:
            await asyncio.gather(*self.lengths._tasks)
        return await drive(Site(), scope_of(path, headers, method=method))

    def history(self, client: str = CLIENT) -> History:
        return history_of(self.house, client)


def history_of(protected: House, client: str = CLIENT) -> History:
    whose = Principal(client, client.rpartition(".")[0] + ".0/24", client)
    return protected.gate._store.find(whose, protected.clock.now)


@asynccontextmanager
async def stand(policy: Policy, *, site: bool = True, traced: bool = False) -> AsyncIterator[Stand]:
    served = Site()
    inner: ASGIApp = served if site else nowhere
    async with house(inner, policy, traced=traced) as protected:
        clock = protected.clock
        lengths = Lengths(served, clock=clock.monotonic) if site else None
        app = ForwardAuth(
            protected.app,
            lambda: protected.app,
            handovers=Handovers(KeyRing(policy.secrets)),
            once=Once(lasts=60.0, clock=clock.monotonic),
            lengths=lengths,
        )
        yield Stand(protected, app, served, lengths)


def spent(history: History) -> tuple[object, ...]:
    """Return all that a client was charged, at every level."""
    network = history.rollup
    wide = None if network is None else (network.tat, dict(network.tats or {}))
    return history.tat, dict(history.tats or {}), set(history.originals or ()), history.requests, wide


def judged(protected: House) -> int:
    return sum(protected.recorder.verdicts.values()) + sum(protected.recorder.plain.values())


@pytest.mark.security("I4")
def test_budgets_count_as_they_do_in_front_of_the_site() -> None:
    """The same requests, asked about and followed, leave the same charges: requests, originals, bytes, networks."""
    visits = [
        ("/p/1", person(kind="page"), "GET"), (PICTURE, person(), "GET"), (PICTURE, person(), "HEAD"), (SECOND, person(), "GET"),
        (PICTURE, person((b"if-none-match", b'"/photos/1.jpg"')), "GET"), (SECOND, person((b"range", b"bytes=0-99")), "GET"),
        (UNSIZED_PICTURE, person(), "GET"), (UNSIZED_PICTURE, person(), "GET"), (PICTURE, tool(), "GET"), ("/nothing", tool(), "GET"),
        (SECOND, tool((b"range", b"bytes=0-9")), "GET"), ("/api/echo", person(kind="page"), "POST"),
    ]  # fmt: skip

    async def main() -> None:
        async with house(Parts(), rules()) as plain, stand(rules()) as edge:
            for path, headers, method in visits:
                fields = [*headers, (b"x-forwarded-for", CLIENT.encode())]
                before = await plain.ask(path, fields, method=method, peer=PEER)
                after = await edge.ask(path, headers, method=method)
                if before.status == 200:  # the test's site answers no ranges and no conditions past us
                    assert (after.status, after.body) == (before.status, before.body)
                assert spent(edge.history()) == spent(history_of(plain)), (path, method)
            assert judged(edge.house) == judged(plain) == len(visits)

    asyncio.run(main())


class Parts(Site):
    """The site, which answers conditions and ranges as a file server does."""

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  ASGI, as in Site
        fields = dict(scope["headers"])

        async def partly(message) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001  ASGI, as in Site
            if message["type"] == "http.response.start" and b"if-none-match" in fields:
                message = {**message, "status": 304}
            elif message["type"] == "http.response.start" and b"range" in fields:
                first, last = fields[b"range"].removeprefix(b"bytes=").split(b"-")
                length = int(last) - int(first) + 1
                headers = [pair for pair in message["headers"] if pair[0] != b"content-length"]
                message = {
                    **message,
                    "status": 206,
                    "headers": [*headers, (b"content-length", b"%d" % length)],
                }
            await send(message)

        await super().__call__(scope, receive, partly)


@pytest.mark.security("B9")
@pytest.mark.security("A3")
def test_only_trusted_peers_ask_and_send() -> None:
    async def main() -> None:
        async with stand(rules()) as edge:
            for peer in ("203.0.113.9", "127.0.0.2", "", "::1"):
                assert (await edge.verdict(PICTURE, person(), peer=peer)).status == 403
                assert (await edge.take(PICTURE, person(), ANEW, peer=peer)).status == 403
            assert edge.site.asked == []
            assert judged(edge.house) == 0

    asyncio.run(main())


def test_an_original_is_allowed_and_nobody_elses() -> None:
    async def main() -> None:
        async with stand(rules()) as edge:
            for kind in (BY_STATUS, FORWARDED, ENVOY):
                told = await edge.verdict(PICTURE, person(), edge=kind)
                assert (told.status, told.body, told.get(CACHE), told.get(TAKE)) == (
                    200,
                    b"",
                    b"private",
                    b"",
                )
                assert told.get(b"cache-control") == b"private, no-store"
                page = await edge.verdict("/p/1", person(kind="page"), edge=kind)
                assert (page.status, page.get(CACHE), page.get(TAKE)) == (200, b"", b"")
            assert edge.lengths is not None
            await asyncio.gather(*edge.lengths._tasks)
            assert edge.site.asked == [("HEAD", PICTURE)]

    asyncio.run(main())


@pytest.mark.security("F1")
@pytest.mark.security("F8")
def test_a_handover_is_good_once_and_then_it_is_judged() -> None:
    async def main() -> None:
        async with stand(rules()) as edge:
            token = (await edge.verdict(PICTURE, tool())).get(TAKE)
            assert (judged(edge.house), len(edge.house.ledger.events)) == (1, 1)
            charged = spent(edge.history())
            first = await edge.take(PICTURE, tool(), token)
            assert (first.status, first.get(b"cache-control")) == (200, b"private, no-store")
            assert first.body != ORIGINALS[PICTURE]
            assert (judged(edge.house), len(edge.house.ledger.events)) == (1, 1)
            assert spent(edge.history()) == charged
            again = await edge.take(PICTURE, tool(), token)
            assert (again.status, again.body) == (200, first.body)
            assert judged(edge.house) == 2

    asyncio.run(main())


def test_another_request_has_no_use_for_a_handover() -> None:
    """Another path, method, client, or a later moment: judged like any request, and a harvester by any of them."""

    async def main() -> None:
        async with stand(rules()) as edge:
            for change in ("path", "method", "client", "late", "garbled"):
                token, before = (await edge.verdict(PICTURE, tool())).get(TAKE), judged(edge.house)
                path, more = PICTURE, {}
                match change:
                    case "path":
                        path = SECOND
                    case "method":
                        more = {"method": "HEAD"}
                    case "client":
                        more = {"client": "203.0.113.99"}
                    case "late":
                        edge.house.clock.tick(LASTS)
                    case "garbled":
                        token = token[:-1] + b"!"
                got = await edge.take(path, tool(), token, **more)
                assert (got.status, got.get(b"cache-control")) == (200, b"private, no-store"), change
                assert judged(edge.house) == before + 1, change

    asyncio.run(main())


def test_a_spent_budget_is_handed_to_another_worker() -> None:
    """That worker knows nothing of the client: it would give the original, had the verdict not come along."""

    async def main() -> None:
        policy = rules({"ANTISCRAPE__STANDING__BROWSER__ORIGINALS": "1/hour"})
        async with stand(policy) as one, stand(policy) as other:
            assert (await one.verdict(PICTURE, person())).status == 200
            told = await one.verdict(SECOND, person())
            got = await other.take(SECOND, person(), told.get(TAKE))
            assert (got.status, got.get(b"cache-control")) == (200, b"private, no-store")
            assert got.body != ORIGINALS[SECOND]
            nothing = (0, other.house.clock.now, 0)
            assert (judged(other.house), other.history().tat, other.history().requests) == nothing
            assert (await other.verdict(SECOND, person())).status == 200

    asyncio.run(main())


@pytest.mark.security("I6")
def test_a_refusal_has_its_words_wherever_it_is_said() -> None:
    async def main() -> None:
        policy = rules({"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "2/min"})
        async with stand(policy) as edge:
            headers = person(kind="page")
            for _ in range(2):
                assert (await edge.verdict("/p/1", headers)).status == 200
            said = await edge.verdict("/p/1", headers, edge=FORWARDED)
            handed = await edge.ask("/p/1", headers)
            for got in (said, handed, await edge.verdict("/p/1", headers, edge=ENVOY)):
                assert got.status == 429
                assert int(got.get(b"retry-after")) == 30
                assert got.get(b"ratelimit") == said.get(b"ratelimit") != b""
                assert got.get(b"cache-control") == b"private, no-store"
                assert got.body == said.body
                assert got.get(TAKE) == b""
            assert [event["status"] for event in edge.house.ledger.events] == [429] * 3

    asyncio.run(main())


def test_what_only_an_answer_tells_is_sent_on_unjudged() -> None:
    async def main() -> None:
        settings = {
            "ANTISCRAPE__CLEARANCE__ENABLED": "true",
            "ANTISCRAPE__TRAPS__INJECT": "true",
            "ANTISCRAPE__TRAPS__PATH": "/trap",
        }
        async with stand(rules(settings)) as edge:
            for path in (
                "/nothing-known",
                UNSIZED_PICTURE,
                "/.well-known/antiscrape/step",
                "/trap/archive",
                "/trap/x.png",
            ):
                for kind, status in ((BY_STATUS, 401), (FORWARDED, 200), (ENVOY, 200)):
                    told = await edge.verdict(path, person(), edge=kind)
                    assert (told.status, told.get(TAKE)) == (status, ANEW), path
            assert judged(edge.house) == 0
            got = await edge.ask(UNSIZED_PICTURE, person())
            assert got.body == UNSIZED[UNSIZED_PICTURE]
            assert (await edge.verdict(UNSIZED_PICTURE, person())).status == 200  # by now it is known
            assert (await edge.ask("/trap/archive", person())).body.startswith(b"<!doctype html>")
            step = await edge.ask("/.well-known/antiscrape/step", person(kind="page"))
            assert b"<form" in step.body

    asyncio.run(main())


def test_what_cannot_be_judged_is_refused_as_far_as_the_edge_can_say_it() -> None:
    async def main() -> None:
        async with stand(rules(hosts=("photos.example",))) as edge:
            for path in (
                "/a%00b",
                "/.antiscrape/verdict",
                "/%2Eantiscrape/verdict",
                "/.antiscrape/",
                "nothing",
            ):
                assert (await edge.verdict(path, person())).status == 403, path
                assert (await edge.verdict(path, person(), edge=FORWARDED)).status in {400, 403}, path
            other = person((b"host", b"else.example"))
            assert (await edge.verdict("/p/1", other)).status == 403
            assert (await edge.verdict("/p/1", other, edge=ENVOY)).status == 421
            assert (await drive(edge.app, scope_of("/.antiscrape/else", person(), peer=PEER))).status == 403
            assert edge.house.recorder.malformed == 13
            assert judged(edge.house) == 0

    asyncio.run(main())


def test_in_shadow_and_off_everything_is_allowed() -> None:
    async def main() -> None:
        async with stand(rules({"ANTISCRAPE__SITE__MODE": "shadow"})) as edge:
            told = await edge.verdict(PICTURE, tool())
            assert (told.status, told.get(CACHE), told.get(TAKE)) == (200, b"", b"")
            assert [event["rendition"] for event in edge.house.ledger.events] == ["preview"]
        async with stand(rules(mode=Mode.OFF)) as edge:
            assert (await edge.verdict(UNSIZED_PICTURE, tool())).status == 200
            assert (await edge.take(PICTURE, tool(), b"anything")).body == ORIGINALS[PICTURE]
            assert judged(edge.house) == 0

    asyncio.run(main())


def test_the_copy_names_whom_the_event_names() -> None:
    """The event is written with the verdict, the copy made when the client is sent on: both have one name for it."""

    async def main() -> None:
        async with stand(rules(), traced=True) as edge:
            edge.house.clock.tick(3600 - edge.house.clock.wall() % 3600 - 5)
            told = await edge.verdict(PICTURE, tool())
            edge.house.clock.tick(10)  # another hour, which would be another copy
            got = await edge.take(PICTURE, tool(), told.get(TAKE))
            (found,) = find_tokens(got.body, trace_keys(KeyRing(edge.house.gate.policy.secrets)))
            (event,) = edge.house.ledger.events
            assert found.payload == unpack(int(str(event["trace"]), 16))

    asyncio.run(main())


def test_without_a_site_a_lesser_rendition_shows_nothing() -> None:
    async def main() -> None:
        async with stand(rules(), site=False) as edge:
            assert (await edge.verdict(UNSIZED_PICTURE, person())).status == 200  # nobody could tell its size
            told = await edge.verdict(PICTURE, tool())
            got = await edge.take(PICTURE, tool(), told.get(TAKE))
            assert (got.status, got.get(b"content-type").partition(b"/")[0]) == (200, b"image")
            assert got.body
            assert (await edge.take("/p/1", person(kind="page"), ANEW)).status == 404

    asyncio.run(main())


@pytest.mark.parametrize("marks", [True, False])
def test_originals_that_are_marked_pass_through_python(*, marks: bool) -> None:
    async def main() -> None:
        policy = rules({"ANTISCRAPE__TRACE__ORIGINALS": str(marks).lower()})
        async with stand(policy, traced=True) as edge:
            told = await edge.verdict(PICTURE, person())
            assert (told.status, told.get(TAKE)) == ((401, ANEW) if marks else (200, b""))

    asyncio.run(main())
