"""A text goes out signed, or as the site sent it: with fields that fit, and inflated only within bounds."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.inflating import MOST_INFLATED, inflate
from antiscrape.asgi.texts import MOST_GATHERED, Bounded, Chain
from antiscrape.core.rules import GrantRules
from tests.house import Answer, Pairs, answers, changed, house, person, policy_of

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

SIGNED = re.compile(rb"as=2[A-Za-z0-9_-]{35}")
RULES = GrantRules(prefixes=("/media/",))
CSS = b"a{background:url(/media/hero.jpg)}"
PAGE = b'<html><img src="/media/1.jpg"></html>'


def ask(app: ASGIApp, path: str = "/page", headers: Pairs | None = None, rules: GrantRules = RULES) -> Answer:
    async def go() -> Answer:
        async with house(app, policy_of(grants=rules)) as put:
            return await put.ask(path, headers or person(kind="page"))

    return asyncio.run(go())


def test_a_style_sheet_is_signed_and_kept_no_longer_than_its_grants() -> None:
    fields = [(b"cache-control", b"public, max-age=31536000, immutable"), (b"etag", b'"css"')]
    answer = ask(answers(CSS, b"text/css", *fields), "/static/site.css")
    assert SIGNED.search(answer.body)
    assert b"private" in answer.get(b"cache-control")
    assert b"max-age=900" in answer.get(b"cache-control")
    assert answer.get(b"content-length") == b"%d" % len(answer.body)


@pytest.mark.parametrize("content_type", [b"text/css", b"text/html", b"application/json", b"application/rss+xml"])  # fmt: skip
def test_a_text_without_protected_urls_goes_as_the_site_sent_it(content_type: bytes) -> None:
    """A style sheet of every page that could no longer be cached would be a high price for a rare picture in it."""
    body = b'{"a": "b"} <p>nothing</p>'
    answer = ask(answers(body, content_type, (b"cache-control", b"public, max-age=600"), (b"etag", b'"x"')))
    assert answer.body == body
    assert answer.get(b"cache-control") == b"public, max-age=600"
    assert answer.get(b"content-length") == b"%d" % len(body)
    assert answer.get(b"etag").startswith(b'W/"x-as-')


def test_its_tag_is_the_sites_again_when_the_browser_comes_back() -> None:
    asked: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(dict(scope["headers"]).get(b"if-none-match", b""))
        status = 304 if b'"x"' in asked[-1] else 200
        headers = [(b"content-type", b"text/html"), (b"etag", b'"x"')]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if status == 304 else b"<p>plain</p>"})

    first = ask(app).get(b"etag")
    again = ask(app, headers=person((b"if-none-match", first), kind="page"))
    assert again.status == 304
    assert again.get(b"etag") == first
    rules = GrantRules(prefixes=("/other/",))
    assert ask(app, headers=person((b"if-none-match", first), kind="page"), rules=rules).status == 200


def test_a_compressed_text_is_signed_and_one_with_nothing_to_sign_stays_compressed() -> None:
    for body, signed in ((PAGE, True), (b"<p>nothing</p>", False)):
        coded = gzip.compress(body)
        answer = ask(answers(coded, b"text/html", (b"content-encoding", b"gzip")))
        assert answer.get(b"content-encoding") == (b"" if signed else b"gzip")
        assert bool(SIGNED.search(answer.body)) is signed
        assert answer.body == coded or signed
        assert answer.get(b"content-length") == b"%d" % len(answer.body)


@pytest.mark.security("D7")
def test_bombs_broken_and_unknown_codings_pass_as_they_are() -> None:
    bomb = gzip.compress(PAGE + b" " * MOST_INFLATED)
    large = PAGE + bytes(range(256)) * (MOST_GATHERED // 128)
    for coding, body in (
        (b"gzip", bomb),
        (b"gzip", gzip.compress(PAGE)[:-4]),
        (b"gzip", gzip.compress(PAGE) * 2),
        (b"gzip", b"no gzip"),
        (b"gzip", gzip.compress(large, 0)),
        (b"br", PAGE),
        (b"gzip, gzip", gzip.compress(gzip.compress(PAGE))),
    ):
        answer = ask(answers(body, b"text/html", (b"content-encoding", coding)))
        assert answer.body == body
        assert answer.get(b"content-encoding") == coding
    assert inflate(gzip.compress(b" " * 2_000_000)) is None
    assert inflate(gzip.compress(PAGE)) == PAGE


def test_a_style_sheet_may_come_compressed_where_a_browser_asks_for_it() -> None:
    asked: list[dict[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(dict(scope["headers"]))
        body = gzip.compress(CSS)
        headers = [(b"content-type", b"text/css"), (b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    style = changed(person(kind="page"), (b"accept", b"text/css,*/*;q=0.1"))
    assert SIGNED.search(ask(app, "/static/a.css", style).body)
    assert asked[0][b"accept-encoding"] == b"gzip"
    script = changed(person(kind="page"), (b"accept", b"*/*"))
    ask(app, "/static/a.js", script)
    assert b"br" in asked[1][b"accept-encoding"]


def test_link_fields_are_signed_and_the_page_is_then_private() -> None:
    link = b'</media/1.jpg>; rel=preload; as=image, </a.css>; rel=preload, </media/2.jpg>; imagesrcset="/media/3 1x, /media/4 2x"'
    answer = ask(answers(b"<p>", b"text/html", (b"link", link), (b"cache-control", b"public, max-age=60")))
    signed = answer.get(b"link")
    assert len(SIGNED.findall(signed)) == 4
    assert re.sub(rb"\?as=[\w.-]+", b"", signed) == link
    assert b"private" in answer.get(b"cache-control")


def test_a_part_of_a_page_is_not_taken_for_a_page() -> None:
    """What stands in the middle of a comment looks like markup where a part of a page begins."""
    answer = ask(answers(PAGE, b"text/html", (b"content-range", b"bytes 5-41/90"), status=206))
    assert answer.body == PAGE


def test_beyond_its_bound_a_body_passes() -> None:
    rules = GrantRules(prefixes=("/media/",), body_bytes=len(PAGE) + 10)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}
        )
        for number in range(3):
            await send({"type": "http.response.body", "body": PAGE, "more_body": number < 2})

    assert ask(app, rules=rules).body.count(b"?as=") == 2, "the chunk that exceeds it is read to its end"


@pytest.mark.parametrize("bodies", [("html",), ("json",), ("css",), ("xml",)])
def test_only_the_bodies_that_the_policy_names_are_signed(bodies: tuple[str, ...]) -> None:
    texts = {
        "html": (PAGE, b"text/html"),
        "json": (b'["/media/1.jpg"]', b"application/json"),
        "css": (CSS, b"text/css"),
        "xml": (b"<url><image:loc>/media/1.jpg</image:loc></url>", b"application/xml"),
    }
    rules = GrantRules(prefixes=("/media/",), bodies=bodies)  # type: ignore[arg-type]  # pytest knows no literals
    for kind, (body, content_type) in texts.items():
        assert (ask(answers(body, content_type), rules=rules).body != body) is (kind in bodies)


class Upper:
    def __init__(self) -> None:
        self.fed: list[Message] = []

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        return chunk.upper() + (b"!" if last else b"")


def test_writers_follow_each_other_and_stop_at_their_bound() -> None:
    both = Chain(Upper(), Upper())
    assert both.feed(b"a", last=False) + both.feed(b"b", last=True) == b"AB!!"
    bounded = Bounded(Upper(), 3)
    assert [bounded.feed(b"ab", last=False) for _ in range(3)] == [b"AB", b"AB!", b"ab"]
