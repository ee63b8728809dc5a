"""The middleware over whole answers: people get the site's bytes, nobody else gets an original."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.budgets import parse_limits
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import ImageRules, Route
from antiscrape.core.verdict import Mode, Rendition, Standing
from tests.house import (
    Clock,
    answers,
    changed,
    drive,
    house,
    person,
    photo,
    policy_of,
    scope_of,
    tool,
    visitor,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from tests.house import Pairs

PICTURE = photo()
SMALL = photo(200, 150)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>'


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def with_limits(policy: Policy, standing: Standing = Standing.BROWSER, **limits: str) -> Policy:
    """Return ``policy`` with other budgets for one standing."""
    parsed: Any = {name: parse_limits(text, sizes=name == "bytes") for name, text in limits.items()}
    return replace(
        policy,
        standings={**policy.standings, standing: replace(policy.standings[standing], **parsed)},
    )


def pieces(body: bytes, size: int, *fields: tuple[bytes, bytes]) -> ASGIApp:
    """Return an app that sends ``body`` in chunks and no Content-Length."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"image/jpeg"), *fields]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(body), size):
            await send({"type": "http.response.body", "body": body[at : at + size], "more_body": True})
        await send({"type": "http.response.body"})

    return app


@pytest.mark.parametrize("path", ["/media/1.jpg", "/p/8842", "/page"])
def test_a_person_gets_the_bytes_in_the_pieces_that_the_site_sends(path: str) -> None:
    async def main() -> None:
        async with house(pieces(PICTURE, 4096)) as site:
            answer = await site.ask(path)
            assert (answer.status, answer.body) == (200, PICTURE)
            assert answer.chunks[:-1] == tuple(PICTURE[at : at + 4096] for at in range(0, len(PICTURE), 4096))
            assert site.ledger.events == []

    run(main())


def test_a_picture_is_told_by_its_content_type_and_not_by_its_name() -> None:
    async def main() -> None:
        async with house(answers(PICTURE, b"Image/JPEG; q=1")) as site:
            for path in ("/p/8842", "/download?id=7", "/api/v1/photo", "/static/x.css", "/.well-known/a"):
                assert (await site.ask(path)).body == PICTURE
                assert (await site.ask(path, tool(), peer="192.0.2.1")).body != PICTURE
        async with house(answers(b"a {}", b"text/css")) as site:
            assert (await site.ask("/media/x.jpg", tool())).body == b"a {}"

    run(main())


@pytest.mark.security("E9")
def test_a_drawing_is_passed_as_it_is() -> None:
    async def main() -> None:
        async with house(answers(SVG, b"image/svg+xml", (b"etag", b'"svg"'))) as site:
            answer = await site.ask("/logo", tool())
            assert (answer.body, answer.get(b"etag")) == (SVG, b'"svg"')

    run(main())


@pytest.mark.security("E7")
@pytest.mark.parametrize("status", [200, 203, 404, 410, 500])
def test_a_picture_of_any_status_is_a_preview_of_that_status(status: int) -> None:
    async def main() -> None:
        async with house(answers(PICTURE, status=status)) as site:
            answer = await site.ask("/media/1.jpg", tool())
            assert answer.status == status
            assert answer.get(b"content-type") == b"image/jpeg"
            assert answer.body not in (PICTURE, b"")

    run(main())


def test_a_part_that_the_site_sends_unasked_shows_a_robot_nothing() -> None:
    """Conditions and ranges are taken off the request; a site that answers 206 all the same tells no whole."""

    async def main() -> None:
        app = answers(PICTURE[:9000], b"image/jpeg", (b"content-range", b"bytes 0-8999/33415"), status=206)
        async with house(app) as site:
            answer = await site.ask("/media/1.jpg", tool((b"range", b"bytes=0-8999")))
            assert answer.status in {200, 206}
            assert PICTURE[:512] not in answer.body
            assert answer.get(b"content-type") == b"image/png"  # a placeholder

    run(main())


@pytest.mark.security("E6")
def test_what_is_too_large_or_no_picture_streams_to_a_person_and_is_a_placeholder_to_a_robot() -> None:
    async def main() -> None:
        policy = policy_of(images=ImageRules(max_bytes=10_000))
        for app, body in (
            (pieces(PICTURE, 3000, (b"etag", b'"whole"')), PICTURE),
            (answers(b"\xff\xd8 no picture", b"image/jpeg", (b"etag", b'"whole"')), b"\xff\xd8 no picture"),
            (answers(b"", b"image/jpeg", (b"etag", b'"whole"')), b""),
        ):
            async with house(app, policy) as site:
                whole = await site.ask("/media/1.jpg")
                assert (whole.body, whole.get(b"etag")) == (body, b'"whole"')
                nothing = await site.ask("/media/1.jpg", tool())
                assert nothing.status == 200
                assert nothing.get(b"content-type") == b"image/png"
                assert nothing.get(b"etag") not in (b"", b'"whole"')
                assert int(nothing.get(b"content-length")) == len(nothing.body) > 0

    run(main())


def test_an_app_that_fails_within_its_picture_fails_and_shows_a_robot_nothing() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/jpeg")]}
        )
        await send({"type": "http.response.body", "body": PICTURE[:9000], "more_body": True})
        raise ConnectionError("the disk is gone")

    async def main() -> None:
        async with house(failing) as site:
            for headers, expected in (
                (person(), ["http.response.start", "http.response.body"]),
                (tool(), []),
            ):
                sent: list[Message] = []

                async def send(message: Message, sent: list[Message] = sent) -> None:
                    sent.append(message)

                async def receive() -> Message:
                    return {"type": "http.disconnect"}

                with pytest.raises(ConnectionError):
                    await site.app(scope_of("/media/1.jpg", headers), receive, send)
                assert [message["type"] for message in sent] == expected

    run(main())


@pytest.mark.parametrize("path", ["/media/{}.jpg", "/p/{}", "/photo?id={}"])
def test_a_spent_budget_of_originals_gives_previews_until_its_window_is_over(path: str) -> None:
    async def main() -> None:
        clock = Clock()
        policy = with_limits(policy_of(), originals="3/10min")
        async with house(answers(PICTURE), policy, clock) as site:
            got = [(await site.ask(path.format(number))).body for number in range(6)]
            assert [body == PICTURE for body in got] == [True] * 3 + [False] * 3
            assert (await site.ask(path.format(1))).body == PICTURE  # had it already: costs nothing
            event = site.ledger.events[-1]
            exceeded = event["exceeded"]
            assert isinstance(exceeded, dict)
            assert (exceeded["budget"], exceeded["limit"]) == ("originals", "3/10min")
            clock.tick(float(exceeded["wait"]) + 0.1)
            assert (await site.ask(path.format(9))).body == PICTURE

    run(main())


def test_thumbnails_cost_no_originals() -> None:
    async def main() -> None:
        async with house(answers(SMALL), with_limits(policy_of(), originals="2/10min")) as site:
            for number in range(9):
                assert (await site.ask(f"/media/{number}.jpg")).body == SMALL

    run(main())


@pytest.mark.parametrize("length_is_told", [True, False])
def test_a_spent_budget_of_bytes_gives_previews(length_is_told: bool) -> None:  # noqa: FBT001 - a parameter of the table
    async def main() -> None:
        app = answers(PICTURE) if length_is_told else pieces(PICTURE, 8000)
        policy = with_limits(policy_of(), bytes=f"{len(PICTURE) * 2 - 9}/hour", originals="unlimited")
        async with house(app, policy) as site:
            got = [(await site.ask(f"/media/{number}.jpg")).body for number in range(4)]
            assert [body == PICTURE for body in got] == [True, True, False, False]

    run(main())


@pytest.mark.parametrize("path", ["/media/1.jpg", "/p/1"])
@pytest.mark.parametrize("headers", [person(), tool()], ids=["person", "robot"])
@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
def test_shadow_and_off_serve_every_request_as_if_nothing_were_there(
    mode: Mode, headers: Pairs, path: str
) -> None:
    async def main() -> None:
        app = answers(PICTURE, b"image/jpeg", (b"etag", b'"o"'), (b"cache-control", b"public, max-age=600"))
        bare = await drive(app, scope_of(path, headers))
        async with house(app, policy_of(mode=mode)) as site:
            assert await site.ask(path, headers) == bare
            judged = mode is Mode.SHADOW and headers == tool()
            assert [event.get("shadow") for event in site.ledger.events] == ([True] if judged else [])

    run(main())


ROUTES = (
    Route("/told/**", Kind.IMAGE, Size.ORIGINAL),
    Route("/thumb/**", Kind.IMAGE, Size.THUMBNAIL),
    Route("/image/**", Kind.IMAGE, Size.UNTOLD),
    Route("/page/**", Kind.PAGE, Size.UNTOLD),
    Route("/u/{subject}", Kind.SUBJECT, Size.UNTOLD),
    Route("/api/**", Kind.API, Size.UNTOLD),
    Route("/asset/**", Kind.ASSET, Size.UNTOLD),
    Route("/open/**", Kind.EXEMPT, Size.UNTOLD),
)
PATHS = ["/told/1", "/thumb/1", "/image/1", "/page/1", "/u/ada", "/api/1", "/asset/1", "/open/1", "/else/1"]
METHODS = ["GET", "HEAD", "POST"]
ROBOTS = [
    tool(),
    tool((b"range", b"bytes=100-30000")),
    tool((b"if-none-match", b'"o"')),
    visitor("no user agent"),
]


@pytest.mark.security("J1")
def test_no_original_reaches_a_robot_whatever_the_route_method_or_condition() -> None:
    """324 combinations of route, method, fields, chunking and status; 64 bytes of the original would be told."""
    scan = PICTURE.index(b"\xff\xda")  # before it are tables, the usual ones in either
    needles = [PICTURE[at : at + 64] for at in range(scan, len(PICTURE) - 64, 997)]

    async def main() -> None:
        for status, chunk in ((200, 2000), (200, len(PICTURE)), (206, 5000)):
            app = answers(PICTURE, b"image/jpeg", (b"etag", b'"o"'), status=status)
            app = app if chunk == len(PICTURE) else pieces(PICTURE, chunk, (b"etag", b'"o"'))
            policy = with_limits(policy_of(routes=ROUTES), Standing.BOT, requests="unlimited")
            async with house(app, policy) as site:
                for path, method, headers in itertools.product(PATHS, METHODS, ROBOTS):
                    answer = await site.ask(path, headers, method=method)
                    assert not any(needle in answer.body for needle in needles), (path, method, headers)
                    if (
                        method != "HEAD" or path != "/open/1"
                    ):  # an exempt path's HEAD names what is never sent
                        assert answer.get(b"etag") != b'"o"', (path, method, headers)
                        assert b"no-store" in answer.get(b"cache-control"), (path, method)

    run(main())


@pytest.mark.parametrize("content_type", [b"application/octet-stream", b"", b"binary/octet-stream"])
@pytest.mark.parametrize("path", ["/media/1.jpg", "/p/1"])
def test_a_picture_whose_type_the_site_forgets_to_name_is_no_way_around(
    path: str, content_type: bytes
) -> None:
    """Browsers sniff what an <img> loads (WHATWG MIME Sniffing §6.1), so such sites work and nobody notices."""

    async def main() -> None:
        async with house(answers(PICTURE, content_type)) as site:
            assert (await site.ask(path)).body == PICTURE
            assert (await site.ask(path, tool(), peer="192.0.2.1")).body != PICTURE

    run(main())


def test_a_first_chunk_too_short_to_tell_is_not_let_by() -> None:
    async def dribble(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for byte in (PICTURE[:1], PICTURE[1:2], PICTURE[2:]):
            await send({"type": "http.response.body", "body": byte, "more_body": True})
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with house(dribble) as site:
            assert (await site.ask("/p/1")).body == PICTURE
            assert PICTURE[-99:] not in (await site.ask("/p/1", tool(), peer="192.0.2.1")).body

    run(main())


def test_field_names_in_capitals_are_read() -> None:
    """ASGI asks for lower case and Django sends capitals."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"Content-Type", b"image/jpeg"), (b"ETag", b'"o"'), (b"Cache-Control", b"public")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": PICTURE})

    async def main() -> None:
        async with house(app) as site:
            preview = await site.ask("/p/1", tool())
            assert preview.body != PICTURE
            assert preview.get(b"etag") != b'"o"'
            assert preview.get(b"cache-control") == b"private, no-store"
            assert (await site.ask("/p/1")).get(b"cache-control") == b"private"

    run(main())


def test_an_answer_without_fields_passes() -> None:
    """They are optional (ASGI HTTP & WebSocket specification, "Response Start")."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with house(app) as site:
            for headers in (person(), tool()):
                assert (await site.ask("/p/1", headers)).status == 204

    run(main())


def test_a_server_that_offers_to_send_files_itself_is_not_taken_up_on_it() -> None:
    """The extension http.response.pathsend would send the original's file past everything."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"content-type", b"image/jpeg")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        if "http.response.pathsend" in scope["extensions"]:
            await send({"type": "http.response.pathsend", "path": "/photos/1.jpg"})
        else:
            await send({"type": "http.response.body", "body": PICTURE})

    async def main() -> None:
        async with house(app) as site:
            answer = await site.ask("/media/1.jpg", tool(), extensions={"http.response.pathsend": {}})
            assert answer.body not in (PICTURE, b"")

    run(main())


@pytest.mark.parametrize("standing", [one for one in Standing if one.value not in {"crawler", "partner"}])
def test_every_standing_has_an_allowance(policy: Policy, standing: Standing) -> None:
    allowance = policy.standings[standing]
    assert allowance.refuse is (standing is Standing.BANNED)
    if standing in {Standing.BANNED, Standing.BOT, Standing.UNKNOWN}:
        assert allowance.rendition is not Rendition.ORIGINAL


def test_the_site_behind_sees_what_was_judged() -> None:
    """The scope carries the passage; a robot's request for a picture is asked whole and unconditional."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await answers(PICTURE)(scope, receive, send)

    async def main() -> None:
        async with house(app) as site:
            fields = [(b"range", b"bytes=0-9"), (b"if-none-match", b'"o"'), (b"if-modified-since", b"x")]
            await site.ask("/media/1.jpg", changed(tool(), *fields), method="HEAD")
            await site.ask("/media/1.jpg", changed(person(), *fields), method="HEAD", peer="192.0.2.1")

    run(main())
    robots, persons = seen
    assert robots["method"] == "GET"
    assert {b"range", b"if-none-match", b"if-modified-since"}.isdisjoint(dict(robots["headers"]))
    assert robots["state"]["antiscrape"].client == "203.0.113.7"
    assert persons["method"] == "HEAD"
    assert {b"range", b"if-none-match", b"if-modified-since"} <= set(dict(persons["headers"]))
