"""What a trap answers, and how its links get into sitemaps."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import parsel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from antiscrape.asgi.traps import (
    DEEPEST,
    PER_MINUTE,
    Maze,
    SitemapWriter,
    answers_itself,
    private_fields,
    send_trap,
)
from antiscrape.core.resource import Kind, Resource
from antiscrape.core.tokens import KeyRing
from antiscrape.core.traps import ARCHIVE, PICTURE, TrapLinks
from antiscrape.core.verdict import Action, Rendition, Standing, Verdict
from tests.costs import ends
from tests.fuzz import times
from tests.house import SECRET, head_of, person

if TYPE_CHECKING:
    from antiscrape.asgi.types import Message
    from antiscrape.gate import Passage

BASE = "/3f9a"
KEYS = KeyRing([SECRET.encode()])


def passage_to(
    path: str,
    standing: Standing = Standing.BOT,
    *,
    method: str = "GET",
    kind: Kind = Kind.TRAP,
    **verdict: Any,
) -> Passage:
    passage = head_of(path, person(), method=method)
    passage.resource = Resource(kind, path, 1)
    passage.verdict = Verdict(Action.ADMIT, Rendition.PREVIEW, standing, 50)._replace(**verdict)
    return passage


def answer(path: str, *, method: str = "GET", maze: Maze | None = None) -> tuple[dict[bytes, bytes], bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    maze = maze or Maze(KEYS, BASE)
    assert asyncio.run(send_trap(send, passage_to(path, method=method), maze, 50.0)) == 200
    start, body = sent
    assert start["status"] == 200
    assert not body.get("more_body", False)
    return dict(start["headers"]), body["body"]


def links_in(page: bytes) -> list[str]:
    return re.findall(r'href="(/3f9a/[^"]*)"', page.decode())


def test_a_page_leads_on_and_is_kept_out_of_caches_and_indexes() -> None:
    fields, body = answer(BASE + ARCHIVE)
    assert 3 <= len(set(links_in(body))) <= 5
    assert fields[b"cache-control"] == b"private, no-store"
    assert fields[b"x-robots-tag"] == b"noindex, nofollow"
    assert b'<meta name="robots" content="noindex, nofollow">' in body
    assert int(fields[b"content-length"]) == len(body) < 2000
    assert (fields, b"") == answer(BASE + ARCHIVE, method="HEAD")


def test_a_page_is_the_same_in_every_worker_and_another_one_at_another_path() -> None:
    pages = {Maze(KEYS, BASE).page(f"{BASE}{ARCHIVE}/{n}", 0.0) for n in (2, 2, 3)}
    assert len(pages) == 2


def test_a_crawler_that_follows_every_link_comes_to_an_end() -> None:
    """The maze is finite: it wastes a crawler's time, and a crawler of good will is not caught for ever."""
    maze = Maze(KEYS, BASE, per_minute=1_000_000)
    seen, level = set[str](), {BASE + ARCHIVE}
    for _ in range(DEEPEST + 1):
        seen |= level
        level = {link for path in level for link in links_in(maze.page(path, 0.0))} - seen
    assert not level
    assert 3**DEEPEST < len(seen) <= sum(5**depth for depth in range(DEEPEST + 1))


@pytest.mark.parametrize(("gap", "most"), [(0.0, PER_MINUTE // 2), (0.1, PER_MINUTE), (0.7, 86)])
def test_no_minute_has_more_than_its_ration_of_pages_that_lead_on(gap: float, most: int) -> None:
    maze, times = Maze(KEYS, BASE), [9.0 + n * gap for n in range(1200)]
    led = [now for n, now in enumerate(times) if links_in(maze.page(f"{BASE}{ARCHIVE}/{n}", now))]
    busiest = max(sum(start <= now < start + 60.0 for now in led) for start in led)
    assert most * 9 // 10 <= busiest <= most
    assert links_in(maze.page(BASE + ARCHIVE, 10_000.0)), "what was spent is earned back"


def test_who_asks_for_a_long_or_foreign_path_gets_a_page_that_leads_nowhere() -> None:
    maze = Maze(KEYS, BASE)
    for path in (
        BASE,
        BASE + "/x",
        f"{BASE}{ARCHIVE}/{'a' * 600}",
        "/elsewhere/archive",
        f"{BASE}{ARCHIVE}" + "/a" * DEEPEST,
    ):
        assert not links_in(maze.page(path, 0.0))


def test_nothing_of_a_path_can_leave_its_attribute() -> None:
    page = Maze(KEYS, BASE).page(f"{BASE}/\"><script>'&{ARCHIVE}/\udc80é", 0.0)
    assert b"<script" not in page
    assert parsel.Selector(page.decode()).xpath("//script").get() is None
    assert len(parsel.Selector(page.decode()).xpath("//template/a/@href").getall()) >= 3


def test_a_person_who_gets_there_is_told_so_and_sees_no_link_but_the_way_home() -> None:
    page = parsel.Selector(answer(BASE + ARCHIVE)[1].decode())
    assert page.xpath("//a[not(ancestor::template)]/@href").getall() == ["/"]
    assert "nothing here for people" in "".join(page.xpath("//p//text()").getall())


def test_the_picture_is_a_plain_grey_one_of_a_photographs_size() -> None:
    fields, body = answer(BASE + PICTURE)
    with Image.open(io.BytesIO(body)) as picture:
        assert (picture.format, picture.size, picture.getcolors()) == ("PNG", (640, 640), [(640 * 640, 128)])
    assert fields[b"content-type"] == b"image/png"
    assert answer(BASE + PICTURE, method="HEAD") == (fields, b"")


@pytest.mark.parametrize("standing", [s for s in Standing if s not in {Standing.CRAWLER, Standing.PARTNER}])
def test_the_trap_answers_whoever_is_not_verified(standing: Standing) -> None:
    assert answers_itself(passage_to(BASE, standing))
    assert answers_itself(passage_to(BASE, standing, method="HEAD"))


@pytest.mark.parametrize(
    "passage",
    [
        passage_to(BASE, Standing.CRAWLER),
        passage_to(BASE, Standing.PARTNER),
        passage_to(BASE, kind=Kind.PAGE),
        passage_to(BASE, method="POST"),
        passage_to(BASE, shadowed=True),
        passage_to(BASE, action=Action.LIMIT),
        passage_to(BASE, Standing.BANNED, action=Action.REFUSE),
    ],
)
def test_the_trap_leaves_to_others_what_is_theirs(passage: Passage) -> None:
    assert not answers_itself(passage)


@pytest.mark.security("J1")
def test_a_page_with_tags_is_kept_by_nobody_but_its_own_browser_for_an_hour() -> None:
    fields = dict(private_fields([
        (b"content-type", b"text/html"), (b"cache-control", b"public, max-age=86400, s-maxage=9"), (b"etag", b'"a"'),
        (b"cdn-cache-control", b"max-age=600"), (b"expires", b"Thu, 01 Jan 2032 00:00:00 GMT"), (b"accept-ranges", b"bytes"),
    ]))  # fmt: skip
    said = {part.strip() for part in fields.pop(b"cache-control").split(b",")}
    assert said == {b"private", b"max-age=3600"}
    assert fields == {b"content-type": b"text/html", b"etag": b'W/"a"'}
    assert dict(private_fields([(b"etag", b'W/"a"')]))[b"etag"] == b'W/"a"'


TRAPS = ("https://photos.example/3f9a/archive/2?a=1&b=<2>", "https://photos.example/3f9a/archive/3")
SITEMAP = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- </urlset> -->'
    b'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    b"<url><loc>https://photos.example/</loc></url><![CDATA[</urlset>]]><?pi </urlset>?>"
    b"<url><loc>https://photos.example/p/1</loc></url>\n</urlset>\n<!-- </urlset> made at noon -->\n"
)
NAMESPACE = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def rewritten(body: bytes, *cuts: int, urls: tuple[str, ...] = TRAPS) -> bytes:
    writer = SitemapWriter(urls)
    edges = [0, *sorted(cuts), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]
    return b"".join([writer.feed(piece, last=n == len(pieces) - 1) for n, piece in enumerate(pieces)])


def locations(body: bytes) -> list[str | None]:
    root = ET.fromstring(body)
    assert root.tag == NAMESPACE + "urlset"
    return [url.findtext(NAMESPACE + "loc") for url in root.iter(NAMESPACE + "url")]


@pytest.mark.security("J2")
def test_traps_come_last_in_a_sitemap_and_no_other_byte_is_touched() -> None:
    made = rewritten(SITEMAP)
    assert locations(made) == ["https://photos.example/", "https://photos.example/p/1", *TRAPS]
    at = SITEMAP.index(b"\n</urlset>\n<!--") + 1
    added = len(made) - len(SITEMAP)
    assert made[:at] + made[at + added :] == SITEMAP


@pytest.mark.security("J2")
@settings(max_examples=times(50))
@given(st.lists(st.integers(0, len(SITEMAP)), max_size=12))
def test_where_the_chunks_of_a_sitemap_end_changes_nothing(cuts: list[int]) -> None:
    assert rewritten(SITEMAP, *cuts) == rewritten(SITEMAP)


def test_a_sitemap_that_comes_byte_by_byte_is_the_same_and_little_is_held_back() -> None:
    more = (
        b"<url><loc>https://photos.example/p/2</loc></url>" * 40
        + b"<!-- </urlset> --><![CDATA[</urlset>]]>" * 9
    )
    long = SITEMAP.replace(b"</urlset>\n<!--", more + b"</urlset>\n<!--")
    assert locations(rewritten(long))[-2:] == list(TRAPS)
    writer, sent = SitemapWriter(TRAPS), b""
    for n in range(len(long)):
        sent += writer.feed(long[n : n + 1], last=n == len(long) - 1)
        assert n + 1 - len(sent) <= 260
    assert sent == rewritten(long)


@pytest.mark.parametrize(
    "body",
    [
        SITEMAP.replace(b"<url", b"<sm:url").replace(b"</url", b"</sm:url").replace(b"loc>", b"sm:loc>").replace(
            b"xmlns=", b"xmlns:sm="),
        b"\xef\xbb\xbf" + SITEMAP,
        SITEMAP.replace(b'encoding="UTF-8"', b"encoding='iso-8859-1'"),
        b'<urlset\txmlns="http://www.sitemaps.org/schemas/sitemap/0.9"></urlset >',
        b"\n" * 700 + SITEMAP.partition(b"?>")[2],
    ],
    ids=["prefix", "byte order mark", "latin", "bare", "blank lines"],
)  # fmt: skip
def test_sitemaps_are_written_in_several_ways(body: bytes) -> None:
    assert locations(rewritten(body))[-2:] == list(TRAPS)
    assert rewritten(body, *range(0, len(body), 7)) == rewritten(body)


@pytest.mark.security("J2")
@pytest.mark.parametrize(
    "body",
    [
        b'<?xml version="1.0"?><sitemapindex><sitemap></sitemap></sitemapindex></urlset>',
        b'<?xml version="1.0"?><rss><channel>&lt;/urlset></channel></rss>',
        SITEMAP.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        SITEMAP.decode().replace("UTF-8", "UTF-16").encode("utf-16-le"),
        SITEMAP.replace(b"UTF-8", b"ISO-2022-JP"),
        b'<!DOCTYPE urlset [<!ENTITY x "</urlset>">]><urlset>&x;</urlset>',
        b"<urlset/>",
        b"<urlset><url></url>",
        b"<urlsets></urlsets>",
        b"<urlset><!-- </urlset>",
        b"\x1f\x8b\x08 </urlset>",
        b"<html><urlset></urlset>",
        b"",
        b"<",
        b" \n ",
    ],
)
def test_what_is_no_sitemap_passes_as_it_is(body: bytes) -> None:
    assert rewritten(body) == body
    assert rewritten(body, *range(len(body))) == body


@settings(max_examples=times(50))
@given(st.lists(st.sampled_from([
    b"<urlset>", b"</urlset>", b"<urlset ", b"<url>", b"</url>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?xml ", b"?>", b"<", b">",
    b" ", b"a", b"\xef\xbb\xbf", b"-" * 300,
]), max_size=12), st.lists(st.integers(0, 400), max_size=5))  # fmt: skip
def test_of_any_bytes_none_is_lost_and_chunks_change_nothing(parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(parts)
    made = rewritten(body, *[min(cut, len(body)) for cut in cuts])
    assert made == rewritten(body)
    assert made in {
        body,
        *(body[:at] + made[at : at + len(made) - len(body)] + body[at:] for at in range(len(body))),
    }


def test_a_sitemap_never_grows_beyond_what_the_protocol_allows() -> None:
    for listed, room in ((49_998, True), (49_999, False)):
        body = b"<urlset>" + b"<url/><url></url>" * listed + b"</urlset>"
        assert (len(rewritten(body)) > len(body)) is room
    large = b"<urlset><!--" + b"-" * 52_428_800 + b"></urlset>"
    assert len(rewritten(large)) == len(large)


@pytest.mark.security("D6")
@pytest.mark.parametrize(
    "piece", [b"<", b"<!--", b"</urlset", b"<![CDATA[", b"<?", b" ", b"</url>", b"-->", b"<url "]
)
def test_a_sitemap_is_read_in_linear_time(piece: bytes) -> None:
    body = b"<urlset>" + piece * (2_000_000 // len(piece))
    with ends():
        assert rewritten(body, *range(0, len(body), 4096)) == body


def test_that_a_sitemap_was_read_is_told_once_and_of_nothing_else() -> None:
    told: list[int] = []
    for body in (SITEMAP, b"<rss></rss>"):
        writer = SitemapWriter(TRAPS, found=lambda: told.append(1))
        for n in range(len(body)):
            writer.feed(body[n : n + 1], last=n == len(body) - 1)
    assert told == [1]


def test_a_program_that_reads_markup_finds_the_link_and_the_picture() -> None:
    page = parsel.Selector(f"<html><body>{TrapLinks(BASE).snippet('', 0.0).decode()}</body></html>")
    assert page.css("img::attr(src)").getall() == [BASE + PICTURE]
    assert page.css("a::attr(href)").getall() == [BASE + ARCHIVE]
