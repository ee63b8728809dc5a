"""Traps through the whole middleware: what pages and sitemaps are given, and who is convicted by it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from antiscrape.core.verdict import Standing
from tests.house import answers, changed, house, person, policy_of, tool, visitor

if TYPE_CHECKING:
    from tests.house import House

TRAPS = {
    "ANTISCRAPE__TRAPS__INJECT": "true",
    "ANTISCRAPE__TRAPS__TAGGED": "true",
    "ANTISCRAPE__TRAPS__PATH": "/archive-1",
}
PAGE = b"<!doctype html><html><body><p>hello</p></body></html>"
SITEMAP = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    b"<url><loc>https://photos.example/p/1</loc></url></urlset>"
)
BROWSER = visitor("chromium page")


def link_in(body: bytes) -> str:
    found = re.search(rb'<a href="(/archive-1/[^"]+)"', body)
    assert found is not None
    return found[1].decode()


async def follow(site: House, link: str, peer: str) -> tuple[int, bytes, set[str]]:
    answer = await site.ask(link, BROWSER, peer=peer)
    event = dict(site.ledger.events[-1]) if site.ledger.events else {}
    signals = event.get("signals", [])
    assert isinstance(signals, list)
    return answer.status, answer.body, {one["name"] for one in signals}


def test_a_link_convicts_whoever_has_it_from_somebody_else_and_not_whom_it_was_given_to() -> None:
    async def job() -> None:
        async with house(answers(PAGE, b"text/html; charset=utf-8"), policy_of(TRAPS)) as site:
            first = await site.ask("/page", BROWSER, peer="203.0.113.7")
            again = await site.ask("/page", BROWSER, peer="203.0.113.8")
            link = link_in(first.body)
            assert link != link_in(again.body)  # each visitor's own
            assert b"private" in dict(first.fields)[b"cache-control"]
            status, body, _ = await follow(site, link, "203.0.113.7")
            assert (status, body != PAGE) == (200, True)  # the trap answers, not the site
            assert link_in(body).startswith(link)  # and leads on
            *_, signals = await follow(site, link, "198.51.100.1")
            assert "trap-link-borrowed" in signals
            assert site.ledger.events[-1]["standing"] == Standing.BOT.value

    asyncio.run(job())


def test_the_sitemap_has_entries_for_crawlers_that_nobody_has_proven() -> None:
    async def job() -> None:
        async with house(answers(SITEMAP, b"application/xml"), policy_of(TRAPS)) as site:
            answer = await site.ask("/sitemap.xml", tool())
            assert answer.body.count(b"/archive-1/") == 3
            assert answer.body.endswith(b"</urlset>")
            assert b"<loc>https://photos.example/p/1</loc>" in answer.body
            head = await site.ask("/sitemap.xml", tool(), method="HEAD")
            assert head.body == b""
        async with house(answers(SITEMAP, b"application/xml")) as site:
            assert (await site.ask("/sitemap.xml", tool())).body == SITEMAP

    asyncio.run(job())


def test_without_tags_a_page_is_the_same_for_everybody() -> None:
    plain = {**TRAPS, "ANTISCRAPE__TRAPS__TAGGED": "false"}

    async def job() -> None:
        async with house(answers(PAGE, b"text/html"), policy_of(plain)) as site:
            one = await site.ask("/page", BROWSER, peer="203.0.113.7")
            other = await site.ask("/page", changed(person(), (b"cookie", b"a=b")), peer="203.0.113.8")
            assert one.body == other.body != PAGE
            assert b"cache-control" not in dict(one.fields)

    asyncio.run(job())
