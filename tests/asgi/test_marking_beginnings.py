"""How much of an original is held before it goes on, to be marked in its first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.images.splice import LOOKED_AT, find_tokens
from tests.asgi.marked import JPEG, KEYS, Site, visit
from tests.house import House, person, scope_of
from tests.images.carriers import carriers

if TYPE_CHECKING:
    from antiscrape.asgi.types import Message, Receive, Scope, Send


def test_what_streams_goes_on_streaming() -> None:
    """The first pieces are sent before the site has the last, and no more of them is held than is looked at."""
    held: list[int] = []
    sent = 0

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/jpeg")]}
        )
        for at in range(0, len(JPEG), 500):
            sent += len(JPEG[at : at + 500])
            await send({"type": "http.response.body", "body": JPEG[at : at + 500], "more_body": True})
            held.append(sent - went)
        await send({"type": "http.response.body"})

    went = 0

    async def visits(protected: House) -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal went
            went += len(message.get("body", b""))

        await protected.app(scope_of("/media/1.jpg", person()), receive, send)

    visit(site, visits)
    assert len(held) > LOOKED_AT // 500 + 5
    assert max(held) < LOOKED_AT
    assert all(each < 0 for each in held[LOOKED_AT // 500 + 1 :])


@pytest.mark.parametrize("chunk", [500, 2**20])
def test_the_index_of_a_picture_of_two_is_awaited_behind_a_long_exif(chunk: int) -> None:
    """As phones write it: with fewer bytes the first picture's size in the index would stay what it was."""
    source = carriers()["JPEG, a long Exif and two pictures"]
    site = Site(source, b"image/jpeg", chunk)

    def told(body: bytes) -> int:
        at = body.index(b"MPF\0") + 58  # CIPA DC-007, 5.2.3.3.2: the first picture's size
        return int.from_bytes(body[at : at + 4], "big")

    async def visits(protected: House) -> None:
        answer = await protected.ask("/media/1.jpg")
        assert len(find_tokens(answer.body, [KEYS])) == 1
        assert told(answer.body) == told(source) + len(answer.body) - len(source)
        assert answer.body[told(answer.body) - 2 : told(answer.body)] == b"\xff\xd9"

    visit(site, visits)
