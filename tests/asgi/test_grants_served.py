"""What a grant in each state is worth, from the page that it is made for to the picture that it opens."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from antiscrape.core.rules import GrantRules
from antiscrape.core.verdict import Rendition
from tests.house import House, answers, house, person, photo, policy_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiscrape.asgi.types import Receive, Scope, Send

URL = re.compile(rb'src="([^"]+)"')
PAGE = (
    b'<html><head><meta content="https://photos.example/media/card.jpg" property="og:image"><meta name=twitter:image '
    b'content="/media/card.jpg"><meta name="author" content="/media/author.jpg"></head>'
    b'<body><img src="/media/1.jpg"></body></html>'
)
FEED = b'<rss><enclosure url="/media/1.jpg"/></rss>'
HOME, OTHER = "203.0.113.7", "198.51.100.9"
RULES = GrantRules(prefixes=("/media/",))


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"].startswith("/media/"):
        await answers(photo(), b"image/jpeg")(scope, receive, send)
    elif scope["path"] == "/feed":
        await answers(FEED, b"application/rss+xml")(scope, receive, send)
    else:
        await answers(PAGE, b"text/html", (b"etag", b'"page"'))(scope, receive, send)


def live(rules: GrantRules, visit: Callable[[House], Awaitable[None]]) -> None:
    async def go() -> None:
        async with house(site, policy_of(grants=rules)) as put:
            await visit(put)

    asyncio.run(go())


async def shown(put: House, peer: str = HOME) -> str:
    page = await put.ask("/page", person(kind="page"), peer=peer)
    found = URL.search(page.body)
    assert found
    return found[1].decode().replace("&amp;", "&")


async def rendition(put: House, url: str, peer: str = HOME) -> Rendition:
    """Return what a person gets at ``url``."""
    answer = await put.ask(url, person(), peer=peer)
    return Rendition.ORIGINAL if answer.body == photo() else Rendition.PREVIEW


@pytest.mark.parametrize("binding", ["none", "network", "account"])
def test_whoever_was_shown_a_picture_gets_it(binding: Literal["none", "network", "account"]) -> None:
    async def visit(put: House) -> None:
        url = await shown(put)
        assert await rendition(put, url) is Rendition.ORIGINAL
        passed_on = await rendition(put, url, peer=OTHER)
        assert passed_on is (Rendition.ORIGINAL if binding == "none" else Rendition.PREVIEW)
        assert await rendition(put, await shown(put, peer=OTHER), peer=OTHER) is Rendition.ORIGINAL

    live(replace(RULES, binding=binding), visit)


def test_a_foreign_grant_costs_the_picture_and_nothing_else() -> None:
    async def visit(put: House) -> None:
        theirs = await shown(put, peer=OTHER)
        for _ in range(40):
            await put.ask(theirs, person())
        answer = await put.ask(await shown(put), person())
        assert answer.body == photo()

    live(replace(RULES, binding="network"), visit)


@pytest.mark.parametrize("state", ["missing", "expired", "foreign", "forged"])
def test_each_state_has_a_line_of_policy(state: str) -> None:
    async def visit(put: House) -> None:
        url = await shown(put, peer=OTHER if state == "foreign" else HOME)
        if state == "missing":
            url = url.partition("?")[0]
        elif state == "forged":
            url = url.replace("/1.jpg", "/2.jpg")
        elif state == "expired":
            put.clock.tick(1800)
        assert await rendition(put, url) is Rendition.ORIGINAL

    async def strict(put: House) -> None:
        with pytest.raises(AssertionError):
            await visit(put)

    everything = dict.fromkeys(("missing", "expired", "foreign", "forged"), Rendition.ORIGINAL)
    live(replace(RULES, binding="network", **everything), visit)  # type: ignore[arg-type]  # names of fields
    live(
        replace(RULES, binding="network", **everything | {state: Rendition.PREVIEW}),  # type: ignore[arg-type]  # as above
        strict,
    )


def test_whoever_makes_grants_up_is_told_apart_from_whoever_breaks_one() -> None:
    async def visit(put: House) -> None:
        url = await shown(put)
        for number in range(2, 9):
            await put.ask(f"/media/{number}.jpg?{url.partition('?')[2]}&utm=x", person())
        clean = await put.ask("/page", person(kind="page"))
        assert clean.status == 200
        assert not named(put)
        for number in range(2, 9):
            await put.ask(f"/media/{number}.jpg?{url.partition('?')[2][:-1]}{number}", person())
        await put.ask("/media/1.jpg", person())
        assert named(put)

    def named(put: House) -> bool:
        return any("grants-made-up" in str(event) for event in put.ledger.events)

    live(RULES, visit)


def test_cards_and_feeds_have_grants_of_their_own() -> None:
    async def visit(put: House) -> None:
        page = (await put.ask("/page", person(kind="page"))).body
        card, small, author = re.findall(rb'content="([^"]+)"', page)
        assert card.split(b"as=")[1] == small.split(b"as=")[1]
        assert card.split(b"as=")[1][2:3] == b"B", "its ceiling is the marked rendition"
        assert author.split(b"as=")[1][2:3] == b"A"
        feed = (await put.ask("/feed", person(kind="page"))).body
        put.clock.tick(6 * 86_400)
        url = re.findall(rb'url="([^"]+)"', feed)[0].decode()
        assert (await put.ask(url, person())).body not in {b"", photo()}
        assert put.ledger.events[-1]["rendition"] == "marked"

    async def unsigned(put: House) -> None:
        assert b"card.jpg?" not in (await put.ask("/page", person(kind="page"))).body
        assert (await put.ask("/feed", person(kind="page"))).body == FEED

    live(RULES, visit)
    live(replace(RULES, cards=None, feeds=None), unsigned)


def test_a_page_that_is_bound_is_not_current_in_another_network() -> None:
    async def visit(put: House) -> None:
        first = await put.ask("/page", person(kind="page"))
        tag = first.get(b"etag")
        again = await put.ask("/page", person((b"if-none-match", tag), kind="page"), peer=OTHER)
        assert again.get(b"etag") != tag
        assert again.get(b"etag").startswith(b'W/"page-as')

    live(replace(RULES, binding="network"), visit)


@pytest.mark.security("J1")
def test_a_cdn_keeps_what_everybody_with_the_url_may_have_and_no_longer() -> None:
    async def visit(put: House) -> None:
        url = await shown(put)
        put.clock.tick(100)
        lent = (await put.ask(url, person())).get(b"cache-control")
        assert lent.startswith(b"public, s-maxage=")
        ends = (int(put.clock.epoch) - 100) // 900 * 900 + 1800
        assert int(lent.rpartition(b"=")[2]) <= ends - put.clock.epoch
        for other in (url.partition("?")[0], url + "x", url.replace("/1.jpg", "/2.jpg")):
            answer = await put.ask(other, person())
            assert b"public" not in answer.get(b"cache-control")
        put.clock.tick(1800)
        assert b"public" not in (await put.ask(url, person())).get(b"cache-control")

    async def kept(put: House) -> None:
        answer = await put.ask(await shown(put), person())
        assert answer.body == photo()
        assert answer.get(b"cache-control") == b"private"

    live(replace(RULES, shared_caches=True), visit)
    live(RULES, kept)
    live(replace(RULES, shared_caches=True, binding="network"), kept)
