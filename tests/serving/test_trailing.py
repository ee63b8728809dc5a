"""The trailer section on the wire, whatever an application says and leaves unsaid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.serving.wire import ask, live, run, served

if TYPE_CHECKING:
    from antiscrape.asgi.types import Message, Receive, Scope, Send

ASKING = b"GET %b HTTP/1.1\r\nHost: site.test\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n"
START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"Trailer", b"a")]}
ANNOUNCED: Message = {**START, "trailers": True}
BODY: Message = {"type": "http.response.body", "body": b"ok"}
SIZED: Message = {**ANNOUNCED, "headers": [(b"content-length", b"2")]}


def trailers(*fields: tuple[bytes, bytes], more: bool = False) -> Message:
    return {"type": "http.response.trailers", "headers": fields, "more_trailers": more}


SAID: dict[bytes, list[Message]] = {
    b"/two": [ANNOUNCED, BODY, trailers((b"a", b"1"), more=True), trailers((b"b", b""))],
    b"/empty": [ANNOUNCED, BODY, trailers()],
    b"/unannounced": [START, BODY, trailers((b"a", b"1"))],
    b"/sized": [SIZED, BODY, trailers((b"a", b"1"))],
    b"/twice": [ANNOUNCED, BODY, trailers((b"a", b"1")), trailers((b"a", b"2"))],
    b"/split": [ANNOUNCED, BODY, trailers((b"a", b"1\r\n\r\nHTTP/1.1 200 OK"))],
    b"/framed": [ANNOUNCED, BODY, trailers((b"Content-Length", b"5"))],
    b"/forgotten": [ANNOUNCED, BODY],
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    assert scope["extensions"] == {"http.response.trailers": {}}
    for message in SAID[scope["raw_path"]]:
        await send(dict(message))


@pytest.mark.security("C9")
def test_every_answer_has_one_end() -> None:
    async def main() -> dict[bytes, bytes]:
        async with served(app) as (port, _):
            return {path: await ask(port, ASKING % path) for path in SAID}

    got = {path: answer.partition(b"\r\n\r\n") for path, answer in run(main()).items()}
    assert {path: rest for path, (_, _, rest) in got.items()} == {
        b"/two": b"2\r\nok\r\n0\r\na: 1\r\nb: \r\n\r\n",
        b"/empty": b"2\r\nok\r\n0\r\n\r\n",
        b"/unannounced": b"2\r\nok\r\n0\r\n\r\n",
        b"/sized": b"ok",
        b"/twice": b"2\r\nok\r\n0\r\na: 1\r\n\r\n",
        # the application's fault: cut off, so that nobody takes it for whole
        b"/split": b"2\r\nok\r\n",
        b"/framed": b"2\r\nok\r\n",
        b"/forgotten": b"2\r\nok\r\n",
    }
    assert b"\r\nTrailer: a" in got[b"/two"][0] or b"\r\ntrailer: a" in got[b"/two"][0]
    assert b"trailer" not in got[b"/unannounced"][0].lower()
