"""The files of ``config/edge`` in the servers that they are for: people get originals, harvesters do not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.identity import Principal
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from tests.edge.edges import MAKERS, ORIGINALS, UNSIZED, behind
from tests.house import person, policy_of, tool

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.core.history import History
    from antiscrape.core.rules import Policy
    from tests.edge.edges import Reply, Stand

PICTURE, *PICTURES = ORIGINALS
#: These ask many questions over one connection, at the path where they are counted.
KEEPING = frozenset({"nginx", "nginx-before-a-port", "haproxy", "varnish"})
#: These serve the site's files themselves.
FROM_FILES = frozenset({"nginx", "caddy"})


def policy() -> Policy:
    """Return the default policy, told of the site's routes and of the edge, with a small budget for bots."""
    settings = {
        "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]',
        "ANTISCRAPE__STANDING__BOT__REQUESTS": "4/min",
        "ANTISCRAPE__IMAGES__FACES": "off",
    }
    base = policy_of(settings)
    routes = (
        Route("/photos/**", Kind.IMAGE, Size.ORIGINAL),
        Route("/style/**", Kind.ASSET, Size.UNTOLD),
        *base.routes,
    )
    return replace(base, routes=routes, spread=False)


def history_of(stand: Stand, address: str) -> History:
    whose = Principal(address, address.rpartition(".")[0] + ".0/24", address)
    return stand.house.gate._store.find(whose, stand.house.clock.now)


def is_preview(got: Reply, original: bytes) -> bool:
    return (
        got.status == 200
        and got.fields[b"content-type"].startswith(b"image/")
        and got.fields[b"cache-control"] == b"private, no-store"
        and 0 < len(got.body) != len(original)
    )


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.security("J1")
@pytest.mark.security("B9")
def test_an_edge_serves_everybody_what_the_verdict_says(name: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with behind(name, tmp_path, policy()) as stand:
            await people_get_originals_that_pass_by_python(stand)
            await harvesters_get_previews(stand)
            await nobody_speaks_for_the_edge(stand)
            await a_picture_of_no_known_size_passes_through_python_once(stand)
            await whoever_is_banned_is_refused(stand)
            await what_no_picture_is_comes_from_the_site(stand, name)
            await beyond_the_budget_there_is_a_wait(stand)
            if "nginx" in name:
                await nginx_calls_no_client_its_own_fault(stand)
            if name in KEEPING:
                assert len(stand.forward.peers) < stand.forward.questions / 2
            await without_a_verdict_nothing_is_served(stand)

    asyncio.run(main())


async def people_get_originals_that_pass_by_python(stand: Stand) -> None:
    got = await stand.ask(PICTURE, person(), client="127.1.1.1")
    assert (got.status, got.body == ORIGINALS[PICTURE]) == (200, True)
    assert b"private" in got.fields[b"cache-control"]
    assert stand.asked.asked in ([], [("HEAD", PICTURE)])  # its length, beside the traffic
    assert not {name for name in got.fields if name.startswith(b"x-antiscrape")}
    assert len(history_of(stand, "127.1.1.1").originals or ()) == 1  # charged as by the proxy


async def harvesters_get_previews(stand: Stand) -> None:
    before = dict(stand.house.recorder.verdicts)
    got = await stand.ask(PICTURE, tool(), client="127.1.2.1")
    assert is_preview(got, ORIGINALS[PICTURE])
    head = await stand.ask(PICTURE, tool(), client="127.1.2.1", method="HEAD")
    assert int(head.fields[b"content-length"]) == len(got.body)
    part = await stand.ask(PICTURE, [*tool(), (b"range", b"bytes=0-9")], client="127.1.2.1")
    assert (part.status, part.body) == (206, got.body[:10])
    again = stand.house.recorder.verdicts
    assert sum(again.values()) - sum(before.values()) == 3  # each judged once, though it came twice


async def nobody_speaks_for_the_edge(stand: Stand) -> None:
    """Whatever a client says in the fields by which edges speak, it is a harvester."""
    lies = [
        (b"x-antiscrape-take", b"anew"), (b"x-antiscrape-cache-control", b"public"), (b"x-original-uri", b"/style/site.css"),
        (b"x-original-method", b"POST"), (b"x-forwarded-uri", b"/style/site.css"), (b"x-forwarded-for", b"203.0.113.1"),
        (b"x-forwarded-method", b"POST"), (b"x-forwarded-host", b"else.example"), (b"x-antiscrape-step", b"site"),
    ]  # fmt: skip
    got = await stand.ask(PICTURES[0], [*tool(), *lies], client="127.1.3.1")
    assert is_preview(got, ORIGINALS[PICTURES[0]])
    for path in ("/.antiscrape/verdict", "/.antiscrape/forward", "/.antiscrape/envoy/"):
        got = await stand.ask(path, [*person(), (b"x-original-uri", b"/"), (b"x-original-method", b"GET")])
        assert got.status in {403, 404}, path
        assert b"x-antiscrape-take" not in got.fields


async def a_picture_of_no_known_size_passes_through_python_once(stand: Stand) -> None:
    (path, body), *_ = UNSIZED.items()
    stand.asked.asked.clear()
    for _ in range(2):
        got = await stand.ask(path, person(), client="127.1.4.1")
        assert (got.status, got.body == body) == (200, True)
        assert b"private" in got.fields[b"cache-control"]
    assert [asked for asked in stand.asked.asked if asked[0] == "GET"] == [("GET", path)]
    assert is_preview(await stand.ask(path, tool(), client="127.1.4.2"), body)


async def whoever_is_banned_is_refused(stand: Stand) -> None:
    clock = stand.house.clock
    stand.house.gate._store.ban(history_of(stand, "127.1.5.1"), clock.now + 3600)
    for path in (PICTURE, "/style/site.css"):
        got = await stand.ask(path, person(), client="127.1.5.1")
        assert got.status == 403
        assert b"no-store" in got.fields.get(b"cache-control", b"no-store")


async def what_no_picture_is_comes_from_the_site(stand: Stand, name: str) -> None:
    stand.asked.asked.clear()
    got = await stand.ask("/style/site.css", person(kind="page"), client="127.1.6.1")
    assert (got.status, got.body) == (200, b"body { margin: 0 }")
    assert b"private" not in got.fields.get(b"cache-control", b"")
    if name not in FROM_FILES:
        got = await stand.ask(
            "/api/echo", person(kind="page"), client="127.1.6.1", method="POST", body=b"hello"
        )
        assert (got.status, got.body) == (200, b"POST hello")
        assert not {field for field in stand.direct.fields[-1] if field.startswith(b"x-antiscrape")}
    assert stand.asked.asked == []


async def beyond_the_budget_there_is_a_wait(stand: Stand) -> None:
    # nginx keeps a verdict for a second, so no two of them are of one URL
    paths = [f"/style/site.css?{number}" for number in range(6)]
    answers = [await stand.ask(path, tool(), client="127.1.7.1") for path in paths]
    assert [got.status for got in answers] == [200] * 4 + [429] * 2
    assert 1 <= int(answers[-1].fields[b"retry-after"]) <= 60
    assert b"no-store" in answers[-1].fields[b"cache-control"]
    stand.house.clock.tick(float(answers[-1].fields[b"retry-after"]))
    assert (await stand.ask("/style/site.css?7", tool(), client="127.1.7.1")).status == 200


async def nginx_calls_no_client_its_own_fault(stand: Stand) -> None:
    """A head that antiscrape does not read is refused, not failed at; a long cookie's verdict is kept as any other."""
    got = await stand.ask(PICTURE, [*person(), (b"x-control", b"a\x01b")], client="127.1.9.1")
    assert got.status == 403
    cookie = (b"cookie", b"; ".join(b"a%d=b" % number for number in range(900)))
    got = await stand.ask(PICTURE, [*person(), cookie], client="127.1.9.2")
    assert (got.status, got.body == ORIGINALS[PICTURE]) == (200, True)
    errors = (stand.folder / "error.log").read_text()
    assert "auth request unexpected status" not in errors
    assert "not enough for cache key" not in errors


async def without_a_verdict_nothing_is_served(stand: Stand) -> None:
    stand.forward.off = True
    for path in (PICTURE, "/style/site.css"):
        got = await stand.ask(path, person(), client="127.1.8.1")
        assert got.status >= 500
        assert got.body not in {ORIGINALS[PICTURE], b"body { margin: 0 }"}
