"""From the site's picture to the rendition: what is read of it, what is asked of the site, and what is sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from tests.house import House, house, person, photo, policy_of, tool
from tests.swift import put_inside

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from antiscrape.asgi.types import Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from antiscrape.gate import Passage
    from tests.house import Answer, Pairs

PICTURE, OTHER, SMALL = photo(), photo(seed=2), photo(200, 150)
ETAG = b'"v1"'


@dataclass
class Site:
    """A site that keeps RFC 9110 §13: it answers conditions, HEAD and ranges, in chunks of 4 kB."""

    body: bytes = PICTURE
    etag: bytes = ETAG
    fields: Pairs = field(default_factory=list)
    asked: list[Pairs] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    sent: int = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["headers"])
        self.passages.append(scope["state"]["antiscrape"])
        body = self.body
        fields = [(b"etag", self.etag), *self.fields] if self.etag else [*self.fields]
        conditions = dict(scope["headers"])
        if self.etag and conditions.get(b"if-none-match") == self.etag:
            await send({"type": "http.response.start", "status": 304, "headers": fields})
            await send({"type": "http.response.body"})
            return
        fields += [(b"content-type", b"image/jpeg"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        if scope["method"] != "HEAD":
            for at in range(0, len(body), 4096):
                piece = body[at : at + 4096]
                self.sent += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    def conditions(self) -> list[bytes | None]:
        """Return the If-None-Match of every request."""
        return [dict(headers).get(b"if-none-match") for headers in self.asked]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


async def bot(site: House, path: str = "/media/1.jpg", *fields: tuple[bytes, bytes], **more: Any) -> Answer:
    answer = await site.ask(path, tool(*fields), **more)
    assert answer.body not in {PICTURE, OTHER}
    return answer


def test_the_second_request_reads_nothing_of_the_picture() -> None:
    """The site is asked whether it is still the same, says so, and sends no byte."""
    site = Site()

    async def main() -> None:
        async with house(site) as protected:
            first, second = await bot(protected), await bot(protected)
            assert (first.status, second.status) == (200, 200)
            assert first.body == second.body
            assert first.get(b"etag") == second.get(b"etag") != ETAG
            assert second.get(b"content-type") == b"image/jpeg"
            assert second.get(b"cache-control") == b"private, no-store"
            assert protected.renderer.counts == {"jpeg": 1, "cached": 1}

    run(main())
    assert site.conditions() == [None, ETAG]
    assert site.sent == len(PICTURE)


def test_a_picture_that_changed_is_made_anew() -> None:
    site = Site()

    async def main() -> None:
        async with house(site) as protected:
            first = await bot(protected)
            site.body, site.etag = OTHER, b'"v2"'
            second, third = await bot(protected), await bot(protected)
            assert first.body != second.body == third.body
            assert first.get(b"etag") != second.get(b"etag")

    run(main())
    assert site.conditions() == [None, ETAG, b'"v2"']


def test_where_the_site_answers_no_conditions_its_validator_spares_the_digest() -> None:
    """The body comes and is let go: it is neither kept nor hashed nor decoded."""
    site = Site()

    async def main() -> None:
        async with house(site) as protected:
            first = await bot(protected)
            await bot(protected, "/media/1.jpg?v=2")  # another name: made of its own
            protected.app._tools.sources._known.clear()  # as after a restart: no condition is sent
            second = await bot(protected)
            assert first.body == second.body
            assert protected.renderer.counts == {"jpeg": 2, "cached": 1}

    run(main())
    assert site.conditions() == [None, None, None]


@pytest.mark.security("E7")
def test_the_clients_conditions_are_the_renditions() -> None:
    """Its own If-None-Match never reaches the site, ours never answers it."""
    site = Site()

    async def main() -> None:
        async with house(site) as protected:
            first = await bot(protected)
            etag = first.get(b"etag")
            fresh = await bot(protected, "/media/1.jpg", (b"if-none-match", etag))
            assert (fresh.status, fresh.body, fresh.get(b"etag")) == (304, b"", etag)
            stale = await bot(protected, "/media/1.jpg", (b"if-none-match", ETAG))
            assert (stale.status, stale.body) == (200, first.body)
            part = await bot(protected, "/media/1.jpg", (b"range", b"bytes=5-9"))
            assert (part.status, part.body) == (206, first.body[5:10])
            head = await bot(protected, method="HEAD")
            assert (head.status, head.body) == (200, b"")
            assert sorted(head.fields) == sorted(first.fields)

    run(main())
    assert site.conditions() == [None, ETAG, ETAG, ETAG, ETAG]
    assert site.sent == len(PICTURE)


@pytest.mark.security("J1")
def test_a_person_who_follows_gets_the_original_whatever_is_known_of_it() -> None:
    site = Site()

    async def main() -> None:
        async with house(site) as protected:
            lesser = await bot(protected)
            await bot(protected)
            mine = await protected.ask("/media/1.jpg", person(), peer="198.51.100.9")
            assert (mine.status, mine.body, mine.get(b"etag")) == (200, PICTURE, ETAG)
            mixed = person((b"if-none-match", lesser.get(b"etag")))
            assert (await protected.ask("/media/1.jpg", mixed, peer="198.51.100.9")).body == PICTURE

    run(main())
    assert site.conditions()[:3] == [None, ETAG, None]


@pytest.mark.security("J1")
@pytest.mark.parametrize(
    "fields",
    [
        [(b"cache-control", b"private")],
        [(b"vary", b"Cookie")],
        [(b"cache-control", b"no-store")],
    ],
)
def test_a_picture_that_is_one_clients_own_is_told_by_its_bytes(fields: Pairs) -> None:
    site = Site(fields=fields)

    async def main() -> None:
        async with house(site) as protected:
            first = await bot(protected)
            site.body = OTHER  # another client's, under the same ETag
            second = await bot(protected)
            assert first.body != second.body

    run(main())
    assert site.conditions() == [None, None]


@pytest.mark.security("J1")
def test_a_site_that_lies_about_its_validator_shows_old_previews_and_no_original() -> None:
    site = Site()

    async def main() -> None:
        async with house(site) as protected:
            first = await bot(protected)
            site.body = OTHER
            protected.app._tools.sources._known.clear()
            second = await bot(protected)
            assert first.body == second.body  # of the former picture, as the site says
            site.etag = b""
            assert (await bot(protected)).body != first.body

    run(main())


def test_what_is_gone_from_memory_is_not_asked_for_by_condition() -> None:
    """A 304 would leave us with nothing to send."""
    site = Site()
    policy = policy_of({"ANTISCRAPE__IMAGES__CACHE_BYTES": "0"})

    async def main() -> None:
        async with house(site, policy) as protected:
            assert (await bot(protected)).body == (await bot(protected)).body

    run(main())
    assert site.conditions() == [None, None]


def test_what_is_held_when_the_site_is_asked_cannot_be_lost_before_it_answers() -> None:
    site = Site()

    async def main() -> None:
        async with house(site) as protected:
            first = await bot(protected)

            async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
                protected.renderer._cache._entries.clear()
                await site(scope, receive, send)

            put_inside(protected.app, forgetful)
            assert (await bot(protected)).body == first.body

    run(main())
    assert site.conditions() == [None, ETAG]


def test_a_304_of_another_kind_still_stands_for_the_picture() -> None:
    """Servers put all sorts of fields into a 304, a Content-Type of their own among them."""
    site = Site(fields=[(b"Content-Type", b"text/html"), (b"x-site", b"1")])

    async def main() -> None:
        async with house(site) as protected:
            site.fields = []
            first = await bot(protected)
            site.fields = [(b"Content-Type", b"text/html"), (b"x-site", b"1")]
            again = await bot(protected)
            assert (again.status, again.body) == (200, first.body)
            assert again.get(b"content-type") == b"image/jpeg"
            assert again.get(b"x-site") == b"1"

    run(main())


def untold(policy: Policy) -> Policy:
    return replace(policy, routes=(Route("/media/**", Kind.IMAGE, Size.UNTOLD), *policy.routes))


@pytest.mark.parametrize(("body", "size"), [(PICTURE, Size.ORIGINAL), (SMALL, Size.THUMBNAIL)])
def test_the_size_is_remembered_with_the_name(body: bytes, size: Size) -> None:
    """The gate is told of it each time, though nothing of the picture is looked at again."""
    site = Site(body)

    async def main() -> None:
        async with house(site, untold(policy_of())) as protected:
            for _ in range(3):
                await protected.ask("/media/1.jpg", tool())
            assert [passage.resource.size for passage in site.passages] == [size] * 3

    run(main())
    assert site.conditions() == [None, ETAG, ETAG]


@pytest.mark.security("J1")
def test_a_persons_304_is_as_private_as_the_picture() -> None:
    """A cache that holds the picture takes the 304's fields over (RFC 9111 §4.3.4), "public" among them."""
    site = Site(fields=[(b"cache-control", b"public, max-age=60")])

    async def main() -> None:
        async with house(site) as protected:
            answer = await protected.ask("/media/1.jpg", person((b"if-none-match", ETAG)))
            assert (answer.status, answer.body) == (304, b"")
            assert answer.get(b"cache-control") == b"private, max-age=60"

    run(main())


def test_the_event_names_the_trace_that_was_sent() -> None:
    """Each bot is sent a copy of its own, also where the site only said that the picture is the same."""
    site = Site()

    async def main() -> None:
        async with house(site, traced=True) as protected:
            sent = [await bot(protected, peer=peer) for peer in ("203.0.113.7", "203.0.113.8", "203.0.113.7")]
            assert sent[0].body == sent[2].body != sent[1].body
            assert sent[0].get(b"etag") == sent[2].get(b"etag") != sent[1].get(b"etag")
            traces = [event["trace"] for event in protected.ledger.events]
            assert traces[0] == traces[2] != traces[1]
            broken = await protected.ask("/media/2.jpg", tool((b"range", b"bytes=0-5")))
            assert broken.status == 206

    run(main())
    assert site.conditions()[1:3] == [ETAG, ETAG]


def test_a_placeholder_names_nobody() -> None:
    site = Site(body=b"\xff\xd8\xff no picture")

    async def main() -> None:
        async with house(site, traced=True) as protected:
            await bot(protected)
            assert all("trace" not in event for event in protected.ledger.events)

    run(main())
