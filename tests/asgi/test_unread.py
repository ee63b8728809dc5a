"""Whose pictures are that are not decoded here, and drawings; and what the client of a decoy sees."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from antiscrape.asgi.media import BRANDED, is_unread, looks_like_image
from antiscrape.images.formats import Format
from tests.house import answers, house, person, photo, policy_of, tool

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send

_PASSING = {"ANTISCRAPE__RENDITIONS__OTHER_FORMATS": "pass"}
_KEEPING = {"ANTISCRAPE__RENDITIONS__SVG": "placeholder"}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>'


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, kind)
    return out.getvalue()


#: Beginnings of files of formats that Pillow here does not write.
_HEADS = {
    "image/heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(600),
    "image/heif": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(600),
    "image/jxl": b"\xff\x0a" + bytes(600),
    "image/jxl; box": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(600),
    "image/vnd.adobe.photoshop": b"8BPS\0\1" + bytes(600),
}
UNREAD = {
    **{f"image/{kind.lower()}": encoded(kind) for kind in ("TIFF", "BMP", "JPEG2000", "ICO")},
    **_HEADS,
}


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


@pytest.mark.security("E1")
@pytest.mark.parametrize("media_type", UNREAD)
@pytest.mark.parametrize("told", [True, False])
def test_a_harvester_gets_no_original_of_any_format(media_type: str, told: object) -> None:
    """Whether the site calls it a picture or says nothing of it."""
    body = UNREAD[media_type]
    content_type = media_type.encode() if told else b"application/octet-stream"

    async def main() -> None:
        async with house(answers(body, content_type)) as site:
            answer = await site.ask("/media/1", tool())
            assert (answer.status, answer.get(b"content-type")) == (200, b"image/png")
            assert body[:60] not in answer.body
            assert (await site.ask("/media/1", person(), peer="192.0.2.7")).body == body

    run(main())


@pytest.mark.parametrize("media_type", UNREAD)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_they_pass_where_the_operator_says_so(media_type: str, method: str) -> None:
    body = UNREAD[media_type]

    async def main() -> None:
        app = answers(body, media_type.encode(), (b"cache-control", b"public"))
        async with house(app, policy_of(_PASSING)) as site:
            answer = await site.ask("/media/1", tool(), method=method)
            assert answer.body == (body if method == "GET" else b"")
            assert answer.get(b"content-type") == media_type.encode()
            assert b"private" in (answer.get(b"cache-control") or b"")

    run(main())


@pytest.mark.security("E1")
@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("content_type", [b"image/tiff", b"image/x-unknown", b"application/octet-stream"])
def test_what_can_be_decoded_never_passes_whatever_it_is_called(kind: Format, content_type: bytes) -> None:
    body = encoded(kind.value)

    async def main() -> None:
        async with house(answers(body, content_type), policy_of(_PASSING)) as site:
            answer = await site.ask("/media/1", tool())
            assert answer.body not in (body, b"")

    run(main())


@pytest.mark.security("E1")
@pytest.mark.parametrize("size", [1, 7, 31])
def test_a_first_piece_that_is_too_short_to_tell_is_no_pass(size: int) -> None:
    """An AVIF may begin as a HEIC does: only its later brands tell."""
    body = b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif" + bytes(600)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/heif")]}
        )
        await send({"type": "http.response.body", "body": body[:size], "more_body": True})
        await send({"type": "http.response.body", "body": body[size:], "more_body": False})

    async def main() -> None:
        async with house(app, policy_of(_PASSING)) as site:
            assert (await site.ask("/media/1", tool())).get(b"content-type") == b"image/png"

    run(main())


@pytest.mark.security("E9")
@pytest.mark.parametrize("path", ["/logo", "/media/logo"])
def test_drawings_may_be_kept_from_harvesters(path: str) -> None:
    async def main() -> None:
        async with house(answers(SVG, b"image/svg+xml"), policy_of(_KEEPING)) as site:
            answer = await site.ask(path, tool())
            assert answer.get(b"content-type") == b"image/png"
            assert b"svg" not in answer.body
            assert (await site.ask(path, tool(), method="HEAD")).body == b""

    run(main())


@pytest.mark.security("E9")
def test_a_persons_icons_are_no_originals() -> None:
    """Kept from harvesters or not, a page of a hundred icons spends nothing of the ration of pictures."""
    picture = photo()

    def app() -> ASGIApp:
        drawing, photograph = answers(SVG, b"image/svg+xml"), answers(picture)

        async def either(scope: Scope, receive: Receive, send: Send) -> None:
            await (drawing if scope["path"].startswith("/icon") else photograph)(scope, receive, send)

        return either

    async def main() -> None:
        async with house(app(), policy_of(_KEEPING)) as site:
            for number in range(100):
                assert (await site.ask(f"/icon/{number}", person())).body == SVG
            assert (await site.ask("/media/1.jpg", person())).body == picture

    run(main())


def test_every_format_is_either_decoded_or_unread() -> None:
    for kind in Format:
        body = encoded(kind.value)
        assert looks_like_image(body)
        assert not any(is_unread(body[:length]) for length in (*range(BRANDED + 1), len(body)))
    for media_type, body in UNREAD.items():
        assert is_unread(body[:BRANDED]), media_type
        assert looks_like_image(body), media_type


@pytest.mark.security("E5")
def test_a_bot_that_gets_decoys_sees_stable_pictures_of_nothing() -> None:
    """One for each URL, the same for every client."""
    policy = policy_of(
        {"ANTISCRAPE__STANDING__BOT__RENDITION": "decoy", "ANTISCRAPE__STANDING__BOT__BEYOND": "decoy"}
    )
    picture = photo(800, 600)

    async def main() -> None:
        async with house(answers(picture), policy) as site:
            one = await site.ask("/media/1.jpg", tool())
            again = await site.ask("/media/1.jpg", tool(), peer="198.51.100.9")
            other = await site.ask("/media/2.jpg", tool())
            assert (one.status, one.get(b"content-type")) == (200, b"image/jpeg")
            assert (one.body, one.get(b"etag")) == (again.body, again.get(b"etag"))
            assert one.body not in (other.body, picture)
            with Image.open(io.BytesIO(one.body)) as opened:
                assert opened.size == (800, 600)
            assert (await site.ask("/media/1.jpg", person(), peer="192.0.2.7")).body == picture

    run(main())
