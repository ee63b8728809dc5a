"""Refusals: an honest wait, in the form that the client reads, with nothing of what it sent and nothing for suspects."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.asgi.refusals import form_of, send_verdict, spoken
from antiscrape.core.budgets import parse_limits
from antiscrape.core.quota import Quota, Tell
from antiscrape.core.resource import Kind
from antiscrape.core.verdict import Action, Budget, Exceeded, Rendition, Standing, Verdict
from tests.house import (
    Answer,
    answers,
    changed,
    drive,
    head_of,
    house,
    person,
    policy_of,
    scope_of,
    tool,
    visitor,
)

if TYPE_CHECKING:
    from antiscrape.asgi.types import Message
    from antiscrape.core.rules import Policy

SITE = answers(b"x", b"text/html")
READER = visitor("firefox page")
REFUSAL = Verdict(Action.REFUSE, Rendition.REFUSED, Standing.BANNED, 200)
QUOTAS = (Quota("requests-min", 60, 60, 0, 3), Quota("requests-day", 1000, 86_400, 800, 0))


def limit(wait: float, text: str = "600/5min", *, shared: bool = False) -> Verdict:
    spent = Exceeded(Budget.REQUESTS, text, wait, shared)
    return Verdict(Action.LIMIT, Rendition.REFUSED, Standing.BROWSER, 0, (), spent)


def said(
    verdict: Verdict,
    *fields: tuple[bytes, bytes | None],
    method: str = "GET",
    kind: Kind = Kind.IMAGE,
    quotas: tuple[Quota, ...] = (),
) -> Answer:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    head = head_of("/<script>", changed(person(), *fields), method=method)
    asyncio.run(send_verdict(send, verdict, head, kind, quotas))
    return Answer(sent[0]["status"], sent[0]["headers"], tuple(message["body"] for message in sent[1:]))


@pytest.mark.security("I6")
@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(0.2, b"1"), (1.0, b"1"), (1.01, b"2"), (86_401.0, b"86401"), (2_678_400.0, b"2678400")],
)
def test_the_wait_is_whole_seconds_rounded_up(wait: float, seconds: bytes) -> None:
    assert said(limit(wait)).get(b"retry-after") == seconds


@pytest.mark.security("I6")
@pytest.mark.parametrize("verdict", [limit(float("inf")), limit(86_400.0, "0"), limit(60.0, "10/min, 0")])
def test_who_is_never_answered_is_told_no_wait(verdict: Verdict) -> None:
    for kind, fields in (
        (Kind.PAGE, (b"accept", b"text/html")),
        (Kind.API, (b"accept", b"application/json")),
    ):
        got = said(verdict, fields, kind=kind)
        assert got.status == 429
        assert got.get(b"retry-after") == b""
        assert b"again" not in got.body


@pytest.mark.security("C7")
@pytest.mark.security("G10")
@pytest.mark.security("G11")
@pytest.mark.parametrize(("verdict", "status"), [(limit(3.0), 429), (REFUSAL, 403)])
def test_refusals_are_words_for_people_and_problems_for_programs(verdict: Verdict, status: int) -> None:
    plain = said(verdict, (b"user-agent", b"<b>\r\nx"))
    assert plain.status == status
    assert plain.get(b"content-type").startswith(b"text/plain")
    problem = said(verdict, (b"accept", b"application/problem+json"))
    assert problem.get(b"content-type") == b"application/problem+json"  # RFC 9457
    assert json.loads(problem.body)["status"] == status
    page = said(verdict, (b"accept", b"text/html"), kind=Kind.PAGE)
    assert page.get(b"content-type") == b"text/html; charset=utf-8"
    for form in (plain, problem, page):
        assert b"script" not in form.body
        assert b"<b>" not in form.body
        assert form.get(b"cache-control") == b"private, no-store"
        assert form.get(b"x-content-type-options") == b"nosniff"
    for fields in ((), ((b"accept", b"text/html"),)):
        whole, head = (said(verdict, *fields, kind=Kind.PAGE, method=method) for method in ("GET", "HEAD"))
        assert head.body == b""
        assert head.fields == whole.fields
        assert int(head.get(b"content-length")) == len(whole.body)


FORMS = [
    (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Kind.PAGE, "html"),
    (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Kind.UNTOLD, "html"),
    (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Kind.IMAGE, "text"),
    (b"image/avif,image/webp,*/*", Kind.IMAGE, "text"),
    (b"*/*", Kind.PAGE, "text"),
    (b"", Kind.PAGE, "text"),
    (b"application/json", Kind.PAGE, "json"),
    (b"application/ld+json;q=0.5, text/html;q=0.4", Kind.PAGE, "json"),
    (b"application/json;q=0.5, text/html;q=0.9", Kind.PAGE, "html"),
    (b"application/json, text/html", Kind.API, "json"),
    (b"application/json;q=0, text/html;q=0", Kind.PAGE, "text"),
    (b"TEXT/HTML ; Q=0.3", Kind.PAGE, "html"),
    (b"text/html;q=nan, application/json;q=0.9", Kind.PAGE, "html"),
    (b"text/html;level=1;q=0.1,application/json;q=0.2", Kind.PAGE, "json"),
    (b"text/html," * 2000, Kind.PAGE, "text"),
    (b"\xff\xfe;q=;;==,,;,text/html", Kind.PAGE, "html"),
]


@pytest.mark.parametrize(("accept", "kind", "form"), FORMS)
def test_the_form_is_the_one_that_accept_names(accept: bytes, kind: Kind, form: str) -> None:
    fields = changed(person(), (b"accept", accept), (b"sec-fetch-dest", None))
    assert form_of(head_of("/x", fields), kind) == form


def test_a_picture_opened_in_a_tab_is_a_page_to_its_reader() -> None:
    assert form_of(head_of("/x", visitor("firefox opens an image in a tab")), Kind.IMAGE) == "html"
    assert form_of(head_of("/x", visitor("curl")), Kind.PAGE) == "text"


class Page(HTMLParser):
    """A page's elements with their attributes, and the text that stands in each."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag = self.elements[-1][0] if self.elements else ""
        self.texts[tag] = self.texts.get(tag, "") + data.strip()


@pytest.mark.security("G10")
@pytest.mark.parametrize("verdict", [limit(3.0), limit(700.0, shared=True), limit(9.0, "0"), REFUSAL])
def test_the_page_can_be_read_by_everybody_and_runs_nothing(verdict: Verdict) -> None:
    got = said(verdict, (b"accept", b"text/html"), kind=Kind.PAGE)
    page = Page(got.body)
    tags = [tag for tag, _ in page.elements]
    assert got.body.startswith(b"<!doctype html>")
    assert page.elements[0] == ("html", {"lang": "en", "dir": "ltr"})
    assert page.texts["title"] == page.texts["h1"] != ""
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    assert "viewport" in {attributes.get("name") for _, attributes in page.elements}
    assert set(tags) <= {"html", "head", "meta", "title", "style", "body", "main", "h1", "p", "a"}
    links = [attributes for tag, attributes in page.elements if tag == "a"]
    assert links == ([{"href": ""}] if got.get(b"retry-after") else [])
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {"lang", "dir", "charset", "name", "content", "href"}
    style = base64.b64encode(hashlib.sha256(page.texts["style"].encode()).digest()).decode()
    assert got.get(b"content-security-policy").decode() == (
        f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


WAITS = [(1, "1 second"), (2, "2 seconds"), (119, "119 seconds"), (120, "2 minutes"), (121, "3 minutes"),
         (7200, "120 minutes"), (7201, "3 hours"), (172_801, "3 days")]  # fmt: skip


@pytest.mark.parametrize(("seconds", "words"), WAITS)
def test_the_wait_in_words_is_never_too_short(seconds: int, words: str) -> None:
    assert spoken(seconds) == words


def test_the_words_say_how_long_and_whose_requests_they_were() -> None:
    own = said(limit(241.0), (b"accept", b"text/html"), kind=Kind.PAGE).body.decode()
    assert "<h1>Please wait 5 minutes</h1>" in own
    assert "from you" in own
    shared = said(limit(12.0, shared=True)).body.decode()
    assert "12 seconds" in shared
    assert "network that you share with others" in shared


def test_the_quotas_are_told_as_the_draft_says() -> None:
    """draft-ietf-httpapi-ratelimit-headers-10 §3, §4, §5: Retry-After is not earlier than any ``t``."""
    got = said(limit(3.0), (b"accept", b"application/json"), kind=Kind.API, quotas=QUOTAS)
    assert got.get(b"ratelimit-policy") == b'"requests-min";q=60;w=60, "requests-day";q=1000;w=86400'
    assert got.get(b"ratelimit") == b'"requests-min";r=0;t=3, "requests-day";r=800'
    assert got.get(b"retry-after") == b"3"
    problem = json.loads(got.body)
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["requests-min"]
    assert set(problem) == {"type", "title", "status", "detail", "violated-policies"}


def few(tell: Tell = Tell.REFUSALS, **changes: Any) -> Policy:
    known = policy_of()
    rows = {
        standing: replace(row, requests=parse_limits("3/min, 50/hour"))
        for standing, row in known.standings.items()
        if not row.refuse
    }
    return replace(known, standings={**known.standings, **rows}, tell=tell, **changes)


async def limited(policy: Policy, headers: Any, **more: Any) -> Answer:
    async with house(SITE, policy) as site:
        for _ in range(40):
            got = await site.ask("/about", headers, **more)
            if got.status == 429:
                return got
    raise AssertionError("never limited")


JSON = (b"accept", b"application/json")
#: Nothing of a quantity: no digit but those of the status, and of the wait.
_NUMBERS = re.compile(r"\d+")


@pytest.mark.parametrize("tell", list(Tell))
def test_an_unsuspected_client_is_told_what_the_policy_says(tell: Tell) -> None:
    got = asyncio.run(limited(few(tell), changed(READER, JSON)))
    problem = json.loads(got.body)
    if tell is Tell.NEVER:
        assert (got.get(b"ratelimit"), got.get(b"ratelimit-policy")) == (b"", b"")
        assert "violated-policies" not in problem
    else:
        assert got.get(b"ratelimit-policy") == b'"requests-min";q=3;w=60, "requests-hour";q=50;w=3600'
        assert got.get(b"ratelimit") == b'"requests-min";r=0;t=20, "requests-hour";r=47'
        assert problem["violated-policies"] == ["requests-min"]
    assert int(got.get(b"retry-after")) == 20


UNKNOWN = [pair for pair in tool() if pair[0] != b"user-agent"]


@pytest.mark.parametrize("tell", list(Tell))
@pytest.mark.parametrize("headers", [tool(JSON), changed(UNKNOWN, JSON)])
def test_a_suspect_is_told_the_wait_and_no_other_number(tell: Tell, headers: Any) -> None:
    got = asyncio.run(limited(few(tell), headers))
    wait = got.get(b"retry-after").decode()
    assert not [name for name, _ in got.fields if name.startswith(b"ratelimit")]
    problem = json.loads(got.body)
    assert "violated-policies" not in problem
    assert set(_NUMBERS.findall(got.body.decode())) == {"429", wait}


def test_what_a_network_has_left_is_told_to_nobody() -> None:
    async def main() -> None:
        known = few()
        async with house(SITE, replace(known, identity=replace(known.identity, rollup_factor=1.0))) as site:
            for host in range(4):
                got = await site.ask("/about", changed(READER, JSON), peer=f"203.0.113.{host}")
            assert got.status == 429
            assert got.get(b"retry-after")
            assert got.get(b"ratelimit") == b""
            assert "network" in json.loads(got.body)["detail"]

    asyncio.run(main())


def test_a_websockets_handshake_is_refused_in_plain_words() -> None:
    async def main() -> None:
        async with house(SITE, few()) as site:
            sent: list[Message] = []

            async def receive() -> Message:
                return {"type": "websocket.connect"}

            async def send(message: Message) -> None:
                sent.append(message)

            for _ in range(3):
                await site.ask("/about", READER)
            more: Any = {"extensions": {"websocket.http.response": {}}}
            await site.app(scope_of("/ws", READER, kind="websocket", **more), receive, send)
            start = next(message for message in sent if message["type"] == "websocket.http.response.start")
            assert start["status"] == 429
            names = {name for name, _ in start["headers"]}
            assert b"retry-after" in names
            assert b"ratelimit" not in names

    asyncio.run(main())


@pytest.mark.security("I6")
def test_obeying_retry_after_is_enough_through_the_whole_middleware() -> None:
    async def main() -> None:
        async with house(SITE, few()) as site:
            told = 0
            while told < 60:
                got = await site.ask("/about", READER)
                if got.status == 200:
                    continue
                assert got.status == 429
                told += 1
                site.clock.tick(float(got.get(b"retry-after")))
                assert (await drive(site.app, scope_of("/about", READER))).status == 200

    asyncio.run(main())
