"""Originals that name their taker: the same picture to the eye and the cache, with a comment that leads to whom it was given."""

from __future__ import annotations

import asyncio
import gzip
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.app import AntiscrapeMiddleware
from antiscrape.asgi.marking import MarkingResponder, confirmed, renamed, unmarked
from antiscrape.core.budgets import parse_limits
from antiscrape.core.trace import payload_for
from antiscrape.core.verdict import Mode, Rendition
from antiscrape.images.splice import LOOKED_AT, find_tokens
from tests.asgi.marked import (
    ETAG,
    HOUR,
    JPEG,
    KEYS,
    ME,
    PICTURES,
    YOU,
    Site,
    marked,
    marks,
    pixels,
    taker,
    visit,
)
from tests.asgi.proxied import proxied, request
from tests.house import (
    Clock,
    House,
    answers,
    drive,
    person,
    photo,
    policy_of,
    scope_of,
    tool,
)
from tests.swift import using

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy
    from tests.asgi.proxied import Asked
    from tests.house import Pairs


@pytest.mark.parametrize("path", ["/media/1", "/somewhere/else"])
@pytest.mark.parametrize("kind", PICTURES)
def test_an_original_names_its_taker_and_is_the_same_picture(kind: str, path: str) -> None:
    """Whether a route names it or its first chunk tells what it is; and who takes the next one is another."""
    source = PICTURES[kind]
    site = Site(source, f"image/{kind.lower()}".encode())

    async def visits(protected: House) -> None:
        answers = [await protected.ask(path, peer=who) for who in (ME, YOU, ME)]
        for answer, who in zip(answers, (ME, YOU, ME), strict=True):
            marked(answer, source, who)
            assert int(answer.get(b"content-length")) == len(answer.body) > len(source)
        assert answers[0].body == answers[2].body
        assert answers[0].get(b"etag") == answers[2].get(b"etag") != answers[1].get(b"etag")

    visit(site, visits)


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("chunk", [1, 31, 1000, LOOKED_AT - 1, LOOKED_AT, LOOKED_AT + 1, 2**20])
def test_the_same_bytes_come_of_it_however_it_is_sent(chunk: int, kind: str, length: bool) -> None:  # noqa: FBT001  a parameter of the test
    source = PICTURES[kind]
    media_type = f"image/{kind.lower()}".encode()
    bodies: list[bytes] = []
    told: list[bool] = []

    async def visits(protected: House) -> None:
        answer = await protected.ask("/media/1")
        marked(answer, source)
        told.append(bool(answer.get(b"content-length")))
        bodies.append(answer.body)

    visit(Site(source, media_type, chunk, length=length), visits)
    visit(Site(source, media_type), visits)
    assert bodies[0] == bodies[1]
    assert told == [length, True]


def test_a_picture_of_one_s_own_is_not_sent_twice() -> None:
    """From hour to hour, too: the 304 names what the client has, which names the hour that it was taken in."""
    site, clock = Site(), Clock()

    async def visits(protected: House) -> None:
        first = await protected.ask("/media/1.jpg")
        etag = first.get(b"etag")
        for _ in range(2):
            again = await protected.ask("/media/1.jpg", person((b"if-none-match", b'"other", ' + etag)))
            assert (again.status, again.body, again.get(b"etag")) == (304, b"", etag)
            assert again.get(b"cache-control") == b"private"
            clock.tick(HOUR)
        assert site.asked[-1][b"if-none-match"] == b'"other", "v1"'
        later = await protected.ask("/media/1.jpg")
        assert later.get(b"etag") != etag

    visit(site, visits, clock=clock)


@pytest.mark.parametrize("weak", [b"", b"W/"])
def test_nobody_is_told_that_anothers_copy_is_theirs(weak: bytes) -> None:
    """Or a browser that two share would keep the first one's copy, and name them for what the second does with it."""
    site = Site(etag=weak + ETAG)

    async def visits(protected: House) -> None:
        mine = (await protected.ask("/media/1.jpg", peer=ME)).get(b"etag")
        assert mine.startswith(weak + b'"v1~')
        fields = person((b"if-none-match", mine), (b"if-modified-since", b"Sun, 01 Nov 2026 00:00:00 GMT"))
        yours = await protected.ask("/media/1.jpg", fields, peer=YOU)
        assert yours.status == 200
        assert find_tokens(yours.body, [KEYS]) == [taker(YOU)]
        assert (await protected.ask("/media/1.jpg", person((b"if-none-match", mine)), peer=ME)).status == 304

    visit(site, visits)


def test_a_copy_from_before_there_were_marks_stays_fresh() -> None:
    site = Site()

    async def visits(protected: House) -> None:
        for name, value in (
            (b"if-none-match", ETAG),
            (b"if-modified-since", b"Sun, 01 Nov 2026 00:00:00 GMT"),
        ):
            answer = await protected.ask("/media/1.jpg", person((name, value)))
            assert (answer.status, answer.get(b"etag")) == (304, ETAG)

    visit(site, visits)


@pytest.mark.security("E7")
@pytest.mark.parametrize("condition", [None, ETAG, b"theirs"])
def test_no_part_of_a_picture_is_had_and_so_none_without_its_mark(condition: bytes | None) -> None:
    """Two ranges, of the site's own bytes, would make an original that names nobody."""
    site = Site()

    async def visits(protected: House) -> None:
        if condition == b"theirs":
            etag: bytes | None = (await protected.ask("/media/1.jpg")).get(b"etag")
        else:
            etag = condition
        answer = await protected.ask("/media/1.jpg", person((b"range", b"bytes=10-99"), (b"if-range", etag)))
        marked(answer, JPEG)
        assert not {b"range", b"if-range"} & set(site.asked[-1])

    visit(site, visits)


def test_a_part_of_what_nobody_knew_for_a_picture_is_what_it_is() -> None:
    """A range of a path that no route names may be a film's, so it is asked for; it is counted, and not spliced."""
    site = Site()

    async def visits(protected: House) -> None:
        answer = await protected.ask("/somewhere/else", person((b"range", b"bytes=0-99")))
        assert (answer.status, answer.body) == (206, JPEG[:100])
        assert answer.get(b"content-range") == b"bytes 0-99/%d" % len(JPEG)
        assert protected.app._tools.marker is not None
        assert protected.app._tools.marker.counts == {"part": 1}

    visit(site, visits)


@pytest.mark.parametrize("path", ["/media/1.jpg", "/somewhere/else"])
def test_head_says_what_get_says_but_for_the_length(path: str) -> None:
    """The length is seen from the first bytes, of which HEAD has none (RFC 9110 §9.3.2)."""
    site = Site(fields=[(b"x-of-the-site", b"1")])

    async def visits(protected: House) -> None:
        got = await protected.ask(path)
        head = await protected.ask(path, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert sorted(head.fields) == sorted(pair for pair in got.fields if pair[0] != b"content-length")

    visit(site, visits)


def test_digests_of_the_sites_bytes_are_not_said_of_others() -> None:
    names = (b"content-md5", b"content-digest", b"repr-digest", b"digest")
    site = Site(fields=[(name, b"sha-256=:AAAA:") for name in names])

    async def visits(protected: House) -> None:
        for method in ("GET", "HEAD"):
            answer = await protected.ask("/media/1.jpg", method=method)
            assert not set(names) & {name for name, _ in answer.fields}

    visit(site, visits)


AS_IT_WAS: dict[str, tuple[bytes, bytes, Pairs]] = {
    "encoded": (gzip.compress(JPEG), b"image/jpeg", [(b"content-encoding", b"gzip")]),
    "unfit": (b"BM" + bytes(6000), b"image/bmp", []),
    "": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"image/svg+xml", []),
}


@pytest.mark.parametrize("why", AS_IT_WAS)
def test_what_has_no_place_for_a_mark_passes_as_it_was_and_is_counted(why: str) -> None:
    body, media_type, fields = AS_IT_WAS[why]
    policy = marks()

    async def visits(protected: House) -> None:
        answer = await protected.ask("/media/1")
        assert (answer.status, answer.body) == (200, body)
        assert answer.get(b"content-length") == b"%d" % len(body)
        assert protected.app._tools.marker is not None
        assert protected.app._tools.marker.counts == ({why: 1} if why else {})

    visit(Site(body, media_type, fields=fields), visits, policy)


@pytest.mark.parametrize("body", [b"", b"\xff", JPEG[:3], JPEG[:20]])
def test_what_breaks_off_passes_with_its_length(body: bytes) -> None:
    async def visits(protected: House) -> None:
        answer = await protected.ask("/media/1.jpg")
        assert (answer.status, answer.get(b"content-length")) == (200, b"%d" % len(answer.body))
        assert re.sub(rb"\xff\xfe\0\x29.{39}", b"", answer.body, flags=re.DOTALL) == body

    visit(answers(body), visits)


@pytest.mark.security("J1")
def test_who_gets_a_preview_gets_the_preview_with_its_own_fields() -> None:
    async def visits(protected: House) -> None:
        mine = (await protected.ask("/media/1.jpg")).get(b"etag")
        answer = await protected.ask("/media/1.jpg", tool((b"if-none-match", mine)))
        assert (answer.status, answer.get(b"cache-control")) == (200, b"private, no-store")
        assert pixels(answer.body) != pixels(JPEG)
        assert find_tokens(answer.body, [KEYS]) == [taker()]

    visit(Site(), visits)


def test_an_event_of_who_took_an_original_names_the_trace() -> None:
    """Plain answers leave no event; one for which a budget had no room does, and holds what the copy says."""
    policy = marks()
    standings = {
        standing: replace(allowance, originals=parse_limits("1/day"), beyond=Rendition.ORIGINAL)
        for standing, allowance in policy.standings.items()
    }

    async def visits(protected: House) -> None:
        await protected.ask("/media/1.jpg")
        assert not protected.ledger.events
        marked(await protected.ask("/media/2.jpg"), photo())
        (event,) = protected.ledger.events
        assert event["rendition"] == "original"
        assert event["trace"] == f"{payload_for(KEYS, str(event['client']), Clock.epoch):016x}"

    visit(Site(photo()), visits, replace(policy, standings=standings))


def test_bytes_are_charged_as_the_site_sends_them() -> None:
    """Known beforehand or counted on the way, and the mark is no client's to pay."""
    charged: list[int] = []

    async def visits(protected: House) -> None:
        note = protected.gate.note_bytes

        def noting(passage: Any, amount: int) -> None:
            charged.append(amount)
            note(passage, amount)

        protected.gate.note_bytes = noting  # type: ignore[method-assign]  # watched, and done
        await protected.ask("/media/1.jpg")

    visit(Site(), visits)
    assert charged == [len(JPEG)]
    charged.clear()
    visit(Site(length=False), visits)
    assert sum(charged) == len(JPEG)
    assert len(charged) > 2


@pytest.mark.parametrize("policy", [policy_of(), marks(mode=Mode.SHADOW)], ids=["off", "shadow"])
def test_where_nothing_is_marked_nothing_is_different(policy: Policy) -> None:
    async def visits(protected: House) -> None:
        assert protected.app._tools.marker is None
        assert not isinstance(protected.app._answer, MarkingResponder)
        answer = await protected.ask("/media/1.jpg")
        assert (answer.body, answer.get(b"etag")) == (JPEG, ETAG)

    visit(Site(), visits, policy)


def test_the_accelerator_stands_aside(accelerator: Any) -> None:
    """It lets pictures pass by itself: of a known client's second and third, too, the mark must not be missing."""

    async def visits(protected: House) -> None:
        for _ in range(4):
            marked(await drive(protected.app, scope_of("/media/1.jpg", person())), JPEG)

    with using(accelerator):
        visit(Site(), visits)


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
@pytest.mark.parametrize("chunked", [False, True])
def test_over_the_wire_every_length_is_true(chunked: bool, kind: str) -> None:  # noqa: FBT001  a parameter of the test
    """From a real site through the real proxy: growth in front and behind, with a length and in chunks."""
    source = PICTURES[kind]
    start = b"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: %b\r\nContent-Type: image/%b\r\n" % (
        ETAG,
        kind.lower().encode(),
    )

    async def behaviour(asked: Asked) -> None:
        assert not asked.all(b"range")
        if asked.all(b"if-none-match") == [ETAG]:
            await asked.reply(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: %b\r\n\r\n" % ETAG)
        elif asked.line.startswith(b"HEAD "):
            await asked.reply(start + b"Content-Length: %d\r\n\r\n" % len(source))
        elif chunked:
            pieces = [source[at : at + 700] for at in range(0, len(source), 700)]
            await asked.reply(start + b"Transfer-Encoding: chunked\r\n\r\n")
            for piece in [*pieces, b""]:
                await asked.reply(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            await asked.reply(start + b"Content-Length: %d\r\n\r\n" % len(source), source)

    lines = [
        f"{name.decode()}: {value.decode()}" for name, value in person((b"host", None), (b"connection", None))
    ]

    async def main() -> None:
        async with proxied(behaviour, wrap=lambda app: AntiscrapeMiddleware(app, policy=marks())) as setup:
            answer = await setup.get("/media/1", *lines, "Range: bytes=0-9")
            assert (answer.status, answer.complete) == (200, True)
            assert len(find_tokens(answer.body, [KEYS])) == 1
            assert pixels(answer.body) == pixels(source)
            (etag,) = answer.all(b"etag")
            again = await setup.get("/media/1", *lines, f"If-None-Match: {etag.decode()}")
            assert (again.status, again.body, again.all(b"etag")) == (304, b"", [etag])
            head = await setup.ask(request("HEAD", "/media/1", *lines))
            assert (head.status, head.all(b"etag"), head.body) == (200, [etag], b"")

    asyncio.run(main())


def test_tags_are_marked_and_unmarked() -> None:
    mine, yours = payload_for(KEYS, "me", 0.0), payload_for(KEYS, "you", 0.0)
    later = payload_for(KEYS, "me", 7200.0)
    ((_, tag),) = renamed([(b"etag", b'W/"a~b"')], mine)
    assert unmarked(tag + b', "x"', later) == b'W/"a~b", "x"'
    assert unmarked(tag, yours) == tag
    assert renamed([(b"etag", b"bad"), (b"digest", b"x")], mine) == [(b"etag", b"bad")]
    assert confirmed([(b"etag", b'"a~b"')], b'"z", ' + tag) == [(b"etag", tag.removeprefix(b"W/"))]
    assert confirmed([(b"etag", b'"other"')], tag) == [(b"etag", b'"other"')]
