"""The two documents and the fields, as they are served: extended, never refused, with validators of their own."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from protego import Protego
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from antiscrape.asgi.preferences import TDMREP_PATH, PreferenceWriter
from antiscrape.core.crawler import Answer, Purpose
from antiscrape.core.obedience import RobotsBook
from antiscrape.core.preferences import PreferenceRules, Statements
from antiscrape.core.resource import Kind
from antiscrape.core.robots import LONGEST_FILE, ROBOTS_PATH, Robots
from tests.house import answers, drive, scope_of

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from tests.house import Answer as Response

TRAP = "/8f14e45fceea/"
SITE = b"User-agent: *\nDisallow: /x\n"
TEXT = b"text/plain"
HOST = (b"host", b"Site.test:443")


def writer_of(*, book: RobotsBook | None = None, **rules: Any) -> PreferenceWriter:
    statements = Statements(
        PreferenceRules(**rules), tokens={Purpose.AI_TRAINING: ("GPTBot",)}, traps=(TRAP,)
    )
    return PreferenceWriter(statements, book or RobotsBook(), now=lambda: 1.0)


def ask(
    writer: PreferenceWriter,
    app: ASGIApp,
    *fields: tuple[bytes, bytes],
    path: bytes = ROBOTS_PATH,
    method: str = "GET",
    **more: Any,
) -> Response:
    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await writer.serve(app, {**scope, **more}, receive, send)

    return asyncio.run(drive(served, scope_of(path, [HOST, *fields], method=method)))


def in_chunks(body: bytes, size: int, *fields: tuple[bytes, bytes], status: int = 200) -> ASGIApp:
    """Return an app that streams its answer, without a length."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(fields)})
        for start in range(0, len(body), size):
            await send({"type": "http.response.body", "body": body[start : start + size], "more_body": True})
        await send({"type": "http.response.body"})

    return app


def test_only_the_two_documents_are_wanted() -> None:
    writer = writer_of()
    assert writer.paths == {b"/robots.txt", TDMREP_PATH}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 451])
def test_where_the_site_has_no_file_ours_is_served(status: int) -> None:
    """RFC 9309 §2.3.1.3: on 4xx a crawler may fetch everything."""
    app = answers(
        b"gone",
        b"text/html",
        (b"set-cookie", b"a=b"),
        (b"retry-after", b"9"),
        (b"etag", b'"x"'),
        status=status,
    )
    got = ask(writer_of(), app)
    assert got.status == 200
    assert sorted(name for name, _ in got.fields) == [
        b"cache-control", b"content-length", b"content-type", b"etag", b"x-content-type-options",
    ]  # fmt: skip
    assert got.get(b"content-type") == b"text/plain; charset=utf-8"
    assert int(got.get(b"content-length")) == len(got.body)
    assert not Robots.parse(got.body).allows("GPTBot", b"/")
    assert Robots.parse(got.body).allows("Other", b"/")


def test_the_sites_file_is_extended_and_its_fields_kept_but_those_of_its_bytes() -> None:
    app = answers(
        SITE, b"text/html", (b"Cache-Control", b"max-age=60"), (b"ETag", b'"site"'), (b"content-md5", b"x"),
        (b"last-modified", b"Tue, 01 Jul 2025 00:00:00 GMT"), (b"accept-ranges", b"bytes"), (b"x-served-by", b"s"),
    )  # fmt: skip
    got = ask(writer_of(), app)
    assert got.status == 200
    assert int(got.get(b"content-length")) == len(got.body)
    assert got.get(b"content-type") == b"text/plain; charset=utf-8"
    assert got.get(b"cache-control") == b"max-age=60"
    assert got.get(b"x-served-by") == b"s"
    assert got.get(b"etag") not in (b"", b'"site"')
    for name in (b"last-modified", b"content-md5", b"accept-ranges"):
        assert got.get(name) == b""
    file = Protego.parse(got.body.decode())
    told = {(agent, path): file.can_fetch(f"https://site.test{path}", agent)
            for agent in ("GPTBot", "Other") for path in ("/a", "/x", TRAP)}  # fmt: skip
    assert [pair for pair, allowed in told.items() if allowed] == [("Other", "/a")]


@pytest.mark.parametrize("fields", [(), ((b"expires", b"0"),), ((b"set-cookie", b"a=b"),)])
def test_an_hour_is_how_long_it_may_be_kept_unless_the_site_says_otherwise(
    fields: tuple[tuple[bytes, bytes], ...],
) -> None:
    got = ask(writer_of(), answers(SITE, TEXT, *fields))
    assert got.get(b"cache-control") == (b"" if fields else b"max-age=3600")


@pytest.mark.parametrize("app", [answers(SITE, TEXT), answers(b"no", TEXT, status=404)])
def test_head_has_the_fields_of_get_and_no_body(app: ASGIApp) -> None:
    got, head = ask(writer_of(), app), ask(writer_of(), app, method="HEAD")
    assert (head.status, head.fields, head.body) == (got.status, got.fields, b"")


def test_only_the_tag_of_what_is_served_is_answered_304() -> None:
    writer = writer_of()
    tag = ask(writer, answers(SITE, TEXT)).get(b"etag")
    other = ask(writer, answers(SITE + b"Disallow: /y\n", TEXT)).get(b"etag")
    assert tag != other
    for condition, status in (
        (tag, 304),
        (b"W/" + tag, 304),
        (b'"a", ' + tag, 304),
        (b"*", 304),
        (other, 200),
    ):
        got = ask(writer, answers(SITE, TEXT, (b"etag", other)), (b"if-none-match", condition))
        assert (got.status, got.get(b"etag"), bool(got.body)) == (status, tag, status == 200)
        assert bool(got.get(b"content-length")) is (status == 200)


def test_a_changed_policy_is_a_changed_tag() -> None:
    assert ask(writer_of(), answers(SITE, TEXT)).get(b"etag") != ask(
        writer_of(content_signal=False), answers(SITE, TEXT)
    ).get(b"etag")


def test_the_site_is_asked_for_the_whole_of_it_in_plain_bytes() -> None:
    asked: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope)
        await answers(SITE, TEXT)(scope, receive, send)

    fields = (
        (b"accept-encoding", b"gzip, br"), (b"if-none-match", b'"x"'), (b"if-modified-since", b"x"),
        (b"range", b"bytes=0-3"), (b"if-range", b"x"), (b"user-agent", b"Foo"),
    )  # fmt: skip
    extensions: dict[str, object] = {"http.response.pathsend": {}, "http.response.trailers": {}, "tls": {}}
    got = ask(writer_of(), app, *fields, method="HEAD", extensions=extensions)
    assert got.status == 200
    assert asked[0]["headers"] == [HOST, (b"user-agent", b"Foo"), (b"accept-encoding", b"identity")]
    assert asked[0]["method"] == "GET"
    assert asked[0]["extensions"] == {"tls": {}}


@pytest.mark.parametrize("status", [204, 206, 301, 302, 304, 500, 502, 503])
@pytest.mark.parametrize("path", [ROBOTS_PATH, TDMREP_PATH])
def test_anything_else_passes_as_it_is(status: int, path: bytes) -> None:
    """RFC 9309 §2.3.1.4: a 5xx tells crawlers to stay away for now, and they must hear it."""
    body = b"" if status in {204, 304} else b"Disallow"
    app = answers(
        body, TEXT, (b"location", b"/r.txt"), (b"retry-after", b"9"), (b"etag", b'"site"'), status=status
    )
    plain = asyncio.run(drive(app, scope_of(path, [HOST])))
    assert ask(writer_of(), app, path=path) == plain
    head = ask(writer_of(), app, path=path, method="HEAD")
    assert (head.status, head.fields, head.body) == (plain.status, plain.fields, b"")


def test_what_comes_compressed_all_the_same_passes_as_it_is() -> None:
    book = RobotsBook()
    for body, coding in ((gzip.compress(SITE), b"gzip"), (b"\x8b\x0dcoded\x03", b"br")):
        got = ask(writer_of(book=book), answers(body, TEXT, (b"content-encoding", coding), (b"etag", b'"z"')))
        assert (got.body, got.get(b"etag"), got.get(b"content-encoding")) == (body, b'"z"', coding)
    assert book.disallowed("site.test", "Foo", b"/x", 1.0) is Answer.UNKNOWN
    assert ask(writer_of(), answers(SITE, TEXT, (b"content-encoding", b"identity"))).body != SITE


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_where_its_chunks_end_changes_nothing(size: int) -> None:
    whole = ask(writer_of(), answers(SITE, TEXT))
    assert ask(writer_of(), in_chunks(SITE, size)).body == whole.body
    assert (
        ask(writer_of(), in_chunks(b"not found", size, status=404)).body
        == ask(writer_of(), answers(b"", status=404)).body
    )


@pytest.mark.parametrize("length", [LONGEST_FILE + 1, 3 * LONGEST_FILE])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_beyond_500_kib_passes_untouched_and_is_learned_as_far_as_crawlers_read(
    length: int, method: str
) -> None:
    body = SITE + b"#" * (length - len(SITE) - 1) + b"\n"
    book = RobotsBook()
    got = ask(writer_of(book=book), in_chunks(body, 65_536, (b"etag", b'"big"')), method=method)
    assert got.fields == [(b"etag", b'"big"')]
    assert got.body == (body if method == "GET" else b"")
    assert max(map(len, got.chunks)) <= LONGEST_FILE + 65_536
    assert book.disallowed("site.test", "Foo", b"/x", 1.0) is Answer.YES


def test_a_file_that_there_is_nothing_to_add_to_keeps_its_validators() -> None:
    silent: Any = {"disallow": (), "content_usage": False, "content_signal": False, "tdmrep": False}
    writer = PreferenceWriter(Statements(PreferenceRules(**silent), tokens={}), RobotsBook(), now=lambda: 1.0)
    app = answers(SITE, TEXT, (b"etag", b'"site"'))
    assert ask(writer, app) == asyncio.run(drive(app, scope_of("/robots.txt", [HOST])))
    gone = answers(b"no", TEXT, status=404)
    for path in (ROBOTS_PATH, TDMREP_PATH):
        assert ask(writer, gone, path=path) == asyncio.run(drive(gone, scope_of(path, [HOST])))


def test_what_was_served_is_learned_by_host() -> None:
    book = RobotsBook()
    writer = writer_of(book=book)
    for status in (500, 301):
        ask(writer, answers(SITE, TEXT, status=status))
    assert book.disallowed("site.test", "Foo", b"/x", 1.0) is Answer.UNKNOWN
    ask(writer, answers(SITE, TEXT))
    told = [book.disallowed("site.test", agent, path, 1.0) for agent, path in
            (("Foo", b"/x"), ("Foo", TRAP.encode()), ("Foo", b"/"), ("GPTBot", b"/"), ("", b"/x"))]  # fmt: skip
    assert told == [Answer.YES, Answer.YES, Answer.NO, Answer.YES, Answer.YES]
    assert book.disallowed("other.test", "Foo", b"/x", 1.0) is Answer.UNKNOWN


def test_a_site_without_a_file_is_learned_too() -> None:
    book = RobotsBook()
    ask(writer_of(book=book), answers(b"", status=404))
    assert book.disallowed("site.test", "GPTBot", b"/", 1.0) is Answer.YES
    assert book.disallowed("site.test", "Foo", b"/", 1.0) is Answer.NO


def test_another_method_is_the_sites_own_affair() -> None:
    app = answers(b"no", TEXT, (b"allow", b"GET"), status=405)
    assert ask(writer_of(), app, method="POST") == asyncio.run(drive(app, scope_of("/robots.txt", [HOST])))


def test_a_scope_without_raw_path_and_a_request_without_a_host_are_served() -> None:
    got = ask(writer_of(), answers(SITE, TEXT), raw_path=None, headers=[])
    assert got.status == 200
    assert TRAP.encode() in got.body


def test_informational_messages_pass() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": []})
        await answers(SITE, TEXT)(scope, receive, send)

    sent: list[Message] = []

    async def main() -> None:
        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        await writer_of().serve(app, scope_of("/robots.txt", [HOST]), receive, send)

    asyncio.run(main())
    assert [message["type"] for message in sent] == [
        "http.response.early_hint", "http.response.start", "http.response.body",
    ]  # fmt: skip


def test_tdmrep_is_served_and_extended() -> None:
    ours = {"location": "/", "tdm-reservation": 1}
    got = ask(writer_of(), answers(b"no", status=404), path=TDMREP_PATH)
    assert (got.status, got.get(b"content-type"), json.loads(got.body)) == (200, b"application/json", [ours])
    site = [{"location": "/open/", "tdm-reservation": 0}]
    got = ask(writer_of(), answers(json.dumps(site).encode(), b"application/json"), path=TDMREP_PATH)
    assert json.loads(got.body) == [*site, ours]
    page = answers(b"<html>", b"text/html", (b"etag", b'"p"'))
    assert ask(writer_of(), page, path=TDMREP_PATH).get(b"etag") == b'"p"'
    assert ask(writer_of(tdmrep=False), answers(b"no", status=404), path=TDMREP_PATH).status == 404


def test_a_real_static_server_behind_compression_is_extended(tmp_path: Path) -> None:
    """Starlette's files: validators, ranges and gzip of their own."""
    (tmp_path / "robots.txt").write_bytes(SITE * 100)
    app = Starlette(
        routes=[Mount("/", StaticFiles(directory=tmp_path))],
        middleware=[Middleware(GZipMiddleware, minimum_size=1)],
    )
    writer = writer_of()
    first = ask(writer, app, (b"accept-encoding", b"gzip"))
    assert (first.status, first.get(b"content-encoding")) == (200, b"")
    assert first.body.count(TRAP.encode()) == 100
    for method in ("GET", "HEAD"):
        again = ask(writer, app, (b"range", b"bytes=0-9"), method=method)
        assert (again.status, again.fields) == (200, first.fields)
    assert ask(writer, app, (b"if-none-match", first.get(b"etag"))).status == 304
    assert ask(writer, app, path=TDMREP_PATH).status == 200  # the site has none


FIELDS = [
    (b"content-usage", b"train-ai=n"),
    (b"tdm-reservation", b"1"),
    (b"tdm-policy", b"https://site.test/p"),
    (b"x-robots-tag", b"noai, noimageai"),
    (b"link", b'<https://site.test/l.xml>; rel="license"; type="application/rsl+xml"'),
]


@pytest.mark.parametrize(
    ("site", "added"),
    [
        ([], FIELDS),
        ([(b"Content-Usage", b"train-ai=y")], FIELDS[1:]),
        ([(b"tdm-reservation", b"0")], [FIELDS[0], *FIELDS[3:]]),
        ([(b"tdm-policy", b"https://site.test/own")], [*FIELDS[:2], *FIELDS[3:]]),
        ([(b"link", b'</l>; rel="license"')], FIELDS[:4]),
        ([(b"Link", b"</s.css>; rel=preload, </l>; rel=license")], FIELDS[:4]),
        ([(b"link", b'</l>; rel="author license"')], FIELDS[:4]),
        ([(b"link", b'</license>; rel="preload"; title="license"')], FIELDS),
        ([(b"x-robots-tag", b"NOAI, noindex, noimageai")], [*FIELDS[:3], FIELDS[4]]),
    ],
)  # fmt: skip
def test_a_field_that_the_site_sets_itself_is_not_doubled(
    site: list[tuple[bytes, bytes]], added: list[tuple[bytes, bytes]]
) -> None:
    writer = writer_of(tdm_policy="https://site.test/p", license="https://site.test/l.xml")
    before = list(site)
    assert sorted(writer.add(site, Kind.IMAGE)) == sorted([*site, *added])
    assert site == before
    assert writer.add(site, Kind.ASSET) is site


def test_our_directives_stand_before_those_that_the_site_has_for_one_agent() -> None:
    """img2dataset reads a line up to its first colon as an agent's name, and a proxy may join the two lines."""
    writer = writer_of()
    site = [
        (b"x-a", b"1"),
        (b"x-robots-tag", b"googlebot: noindex"),
        (b"X-Robots-Tag", b"noai"),
        (b"x-b", b"2"),
    ]
    tags = [value for name, value in writer.add(site, Kind.PAGE) if name.lower() == b"x-robots-tag"]
    assert tags == [b"noimageai", b"googlebot: noindex", b"noai"]
    assert writer.fields(Kind.PAGE) == tuple(
        pair for pair in FIELDS if pair[0] in {b"content-usage", b"tdm-reservation", b"x-robots-tag"}
    )
