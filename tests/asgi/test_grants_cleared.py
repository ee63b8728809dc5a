"""Grants that are bound to a clearance, from the page to the picture: whose they are, and what happens in between."""

from __future__ import annotations

import asyncio
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
