"""With the browser check on, nobody meets it in place of what was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.asgi.checked import checking
from tests.house import house, person, photo, tool

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.house import Pairs

FEED = b'<?xml version="1.0"?><rss version="2.0"><channel><title>Photos</title></channel></rss>'
TYPES = {
    "/feed.xml": (b"application/rss+xml", FEED),
    "/api/photos": (b"application/json", b'{"photos": []}'),
    "/.well-known/acme-challenge/token": (b"text/plain", b"token.thumbprint"),
    "/media/1.jpg": (b"image/jpeg", photo()),
}


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer by the path, and a POST with what it brought."""
    kind, body = TYPES.get(scope["path"], (b"text/plain", b"allowed"))
    if scope["method"] == "POST":
        kind, body = b"text/plain", (await receive())["body"]
    fields = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.security("G11")
@pytest.mark.parametrize("who", ["person", "tool"])
def test_what_is_no_page_is_answered_as_the_site_answers_it(who: str) -> None:
    """A picture, a feed, an API, a certificate's proof, a preflight and a form: a person's first, and a program's.

    Neither has a clearance. The program's picture is a preview, and no page either.
    """

    async def run() -> None:
        fields: Pairs = person() if who == "person" else tool()
        async with house(shop, checking()) as home:
            for path, (kind, body) in TYPES.items():
                answer = await home.ask(path, fields)
                assert (answer.status, answer.get(b"content-type")) == (200, kind), path
                assert answer.body == body or (who == "tool" and kind == b"image/jpeg"), path
            assert (await home.ask("/api/photos", fields, method="OPTIONS")).body == TYPES["/api/photos"][1]
            form = [*fields, (b"content-type", b"application/x-www-form-urlencoded")]
            posted = await home.ask("/comment", form, method="POST", body=b"text=hello")
            assert (posted.status, posted.body) == (200, b"text=hello"), "nothing that was sent is lost"

    asyncio.run(run())
