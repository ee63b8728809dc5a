"""Grants that are bound to a clearance, from the page to the picture: whose they are, and what happens in between."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.clearance import ClearanceRules
from antiscrape.core.rules import GrantRules
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Rendition
from tests.asgi.checked import cleared, fields
from tests.house import SECRET, answers, house, photo, policy_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.house import House

NUMBERS = range(1, 6)
PAGE = b"".join(b'<img src="/media/%d.jpg">' % number for number in NUMBERS)
HOME, NEIGHBOUR, ELSEWHERE = "203.0.113.7", "203.0.113.8", "198.51.100.9"
OTHER = b"Yq2-other-secret-of-32-bytes-and-more-0xZ"


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    kind, body = (b"image/jpeg", photo()) if scope["path"].startswith("/media/") else (b"text/html", PAGE)
    await answers(body, kind)(scope, receive, send)


def live(visit: Callable[[House], Awaitable[None]], *, originals: str = "40/10min") -> None:
    async def go() -> None:
        policy = policy_of(
            {"ANTISCRAPE__STANDING__BROWSER__ORIGINALS": originals},
            clearance=ClearanceRules(enabled=True),
            grants=GrantRules(prefixes=("/media/",), binding="clearance"),
        )
        async with house(site, policy) as put:
            await visit(put)

    asyncio.run(go())


def cookied(cookie: bytes) -> tuple[bytes, bytes | None]:
    return b"cookie", cookie or None


async def shown(put: House, cookie: bytes = b"", peer: str = HOME) -> list[str]:
    """Return the addresses of the pictures on a page."""
    page = await put.ask("/", fields(cookied(cookie), kind="page"), peer=peer)
    return [url.decode() for url in re.findall(rb'src="(/media/[^"]+)"', page.body)]


async def rendition(put: House, url: str, cookie: bytes = b"", peer: str = HOME) -> Rendition:
    answer = await put.ask(url, fields(cookied(cookie), kind="image"), peer=peer)
    return Rendition.ORIGINAL if answer.body == photo() else Rendition.PREVIEW


def test_a_url_is_worth_something_in_the_browser_that_it_was_shown_to() -> None:
    async def visit(put: House) -> None:
        mine, theirs = await cleared(put), await cleared(put, peer=NEIGHBOUR)
        url, *_ = await shown(put, mine)
        assert await rendition(put, url, mine) is Rendition.ORIGINAL
        assert await rendition(put, url, theirs, peer=NEIGHBOUR) is Rendition.PREVIEW, "the same network"
        assert await rendition(put, url, theirs) is Rendition.PREVIEW, "and at its own address"
        assert await rendition(put, url) is Rendition.PREVIEW, "without the cookie"
        assert await rendition(put, url, peer=ELSEWHERE) is Rendition.PREVIEW
        assert await rendition(put, url, mine, peer=ELSEWHERE) is Rendition.ORIGINAL, "a phone on its way"
        put.clock.tick(601.0)
        assert await rendition(put, url, mine, peer=ELSEWHERE) is Rendition.PREVIEW, "and no longer than that"

    live(visit)


def test_what_was_shown_before_the_clearance_stays_good_within_the_budget_of_a_browser() -> None:
    async def visit(put: House) -> None:
        early = await shown(put)
        got = [await rendition(put, url) for url in early]
        assert got == [Rendition.ORIGINAL] * 2 + [Rendition.PREVIEW] * 3
        cookie = await cleared(put)
        assert [await rendition(put, url, cookie) for url in early] == [Rendition.ORIGINAL] * 5
        assert await rendition(put, early[0], peer=ELSEWHERE) is Rendition.PREVIEW, (
            "bound to the network, till then"
        )
        late = await shown(put, cookie)
        assert not set(late) & set(early)
        assert [await rendition(put, url, cookie) for url in late] == [Rendition.ORIGINAL] * 5

    live(visit, originals="2/hour")


def test_a_rotation_between_page_and_picture_is_not_noticed() -> None:
    async def visit(put: House) -> None:
        def rekey(*secrets: bytes) -> None:
            ring = KeyRing(secrets)
            assert put.app._check is not None
            assert put.gate.grants is not None
            put.gate.grants.rekey(ring)
            put.app._check.rekey(ring)

        before, cookie = await shown(put), await cleared(put)
        during = await shown(put, cookie)
        rekey(SECRET.encode(), OTHER)
        for url in (before[0], during[1], (await shown(put, cookie))[2]):
            assert await rendition(put, url, cookie) is Rendition.ORIGINAL, url
        after = await cleared(put)
        url, *_ = await shown(put, after)
        rekey(OTHER)
        assert await rendition(put, url, after) is Rendition.ORIGINAL
        assert await rendition(put, during[0], after) is Rendition.PREVIEW
        assert await rendition(put, url, cookie) is Rendition.PREVIEW, "what the old secret sealed is over"

    live(visit)


@pytest.mark.security("G6")
def test_a_revoked_clearance_takes_its_urls_along() -> None:
    async def visit(put: House) -> None:
        cookie = await cleared(put)
        url, *_ = await shown(put, cookie)
        for last in range(1, 10):
            await rendition(put, url, cookie, peer=f"203.0.113.{last}")
        assert await rendition(put, url, cookie) is Rendition.PREVIEW

    live(visit)


@pytest.mark.security("G6")
def test_a_page_that_is_open_when_its_clearance_ends_shows_its_pictures_under_the_next() -> None:
    async def visit(put: House) -> None:
        first, stranger = await cleared(put), await cleared(put, peer=NEIGHBOUR)
        put.clock.tick(43_200 - 60.0)
        urls = await shown(put, first)
        put.clock.tick(120.0)
        assert await rendition(put, urls[0], first) is Rendition.PREVIEW, "it has ended"
        second = await cleared(put, cookied(first))
        assert second != first
        assert await rendition(put, urls[0], second) is Rendition.ORIGINAL, "as yet unseen"
        assert await rendition(put, urls[0], stranger, peer=NEIGHBOUR) is Rendition.PREVIEW
        assert await rendition(put, urls[1], await cleared(put)) is Rendition.PREVIEW, (
            "without the one before"
        )
        assert await rendition(put, urls[1], second) is Rendition.ORIGINAL, (
            "and after somebody else had tried"
        )
        late = await shown(put, second)
        assert not set(late) & set(urls)
        assert await rendition(put, late[0], second) is Rendition.ORIGINAL

    live(visit)


@pytest.mark.security("G6")
def test_what_ended_longer_ago_than_a_page_lives_or_elsewhere_is_renewed_by_nothing() -> None:
    async def visit(put: House) -> None:
        cookies = [await cleared(put) for _ in range(2)]
        put.clock.tick(43_200 - 60.0)
        urls = await shown(put, cookies[0])
        put.clock.tick(120.0)
        away = await cleared(put, cookied(cookies[0]), peer=ELSEWHERE)
        assert away
        assert await rendition(put, urls[0], away, peer=ELSEWHERE) is Rendition.PREVIEW, "found, or stolen"
        put.clock.tick(1800.0)
        late = (await cleared(put, cookied(cookies[1]))).partition(b"=")[2]
        renewed = base64.urlsafe_b64decode(late[:44])[17:27]
        assert renewed == bytes(10), "half an hour after its end it is forgotten"

    live(visit)


@pytest.mark.security("G6")
def test_one_that_was_revoked_leaves_nothing_to_the_next() -> None:
    async def visit(put: House) -> None:
        cookie = await cleared(put)
        urls = await shown(put, cookie)
        for last in range(9):
            await shown(put, cookie, peer=f"203.0.113.{last + 20}")
        assert await rendition(put, urls[0], cookie) is Rendition.PREVIEW
        put.clock.tick(43_200 + 60.0)
        after = await cleared(put, cookied(cookie))
        assert after
        assert await rendition(put, urls[0], after) is Rendition.PREVIEW

    live(visit)


def test_who_is_on_the_way_takes_an_open_page_along() -> None:
    """Another network has its own clearance within minutes, and the page that was open on the train is still open."""

    async def visit(put: House) -> None:
        home = await cleared(put)
        urls = await shown(put, home)
        away = await cleared(put, cookied(home), peer=ELSEWHERE)
        assert away not in {b"", home}
        put.clock.tick(601.0)
        assert await rendition(put, urls[0], home, peer=ELSEWHERE) is Rendition.PREVIEW
        assert await rendition(put, urls[0], away, peer=ELSEWHERE) is Rendition.ORIGINAL

    live(visit)
