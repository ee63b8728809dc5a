"""What antiscrape answers itself: previews with their own validators, and errors that keep their causes to themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.answers import send_error
from antiscrape.errors import RequestError, UpstreamError
from tests.house import answers, changed, house, person, photo, tool

if TYPE_CHECKING:
    from antiscrape.asgi.types import Message
    from tests.house import Answer, House

PICTURE = photo()
ORIGINAL = answers(
    PICTURE, b"image/jpeg", (b"etag", b'"original"'), (b"last-modified", b"Tue, 01 Jul 2025 00:00:00 GMT"),
    (b"content-disposition", b"inline"), (b"content-md5", b"x"), (b"x-accel-expires", b"600"),
    (b"cache-control", b"public, max-age=600"), (b"accept-ranges", b"bytes"),
)  # fmt: skip


async def preview(site: House, *fields: tuple[bytes, bytes], method: str = "GET") -> Answer:
    return await site.ask("/media/1.jpg", changed(tool(), *fields), method=method)


@pytest.mark.security("E7")
@pytest.mark.security("J1")
def test_a_preview_has_fields_of_its_own_and_head_has_the_same() -> None:
    async def main() -> None:
        async with house(ORIGINAL) as site:
            got = await preview(site)
            assert got.status == 200
            assert got.get(b"cache-control") == b"private, no-store"
            assert got.get(b"content-disposition") == b"inline"
            assert got.get(b"x-content-type-options") == b"nosniff"
            assert int(got.get(b"content-length")) == len(got.body)
            for name in (b"last-modified", b"content-md5", b"x-accel-expires"):
                assert got.get(name) == b""
            assert got.get(b"etag") not in (b"", b'"original"')
            head = await preview(site, method="HEAD")
            assert (head.status, sorted(head.fields), head.body) == (200, sorted(got.fields), b"")

    asyncio.run(main())


@pytest.mark.security("E7")
def test_only_its_own_tag_is_a_previews_304() -> None:
    async def main() -> None:
        async with house(ORIGINAL) as site:
            tag = (await preview(site)).get(b"etag")
            for field, status in (
                (tag, 304),
                (b"W/" + tag, 304),
                (b'"x", ' + tag, 304),
                (b'"original"', 200),
                (b'"x"', 200),
            ):
                got = await preview(site, (b"if-none-match", field))
                assert got.status == status
                assert got.get(b"etag") == tag
                assert (got.body == b"") == (status == 304)
            since = await preview(site, (b"if-modified-since", b"Wed, 01 Jan 2031 00:00:00 GMT"))
            assert since.status == 200
            assert since.body
            own = await site.ask("/media/1.jpg", person((b"if-none-match", tag)), peer="192.0.2.1")
            assert (own.status, own.body) == (200, PICTURE)

    asyncio.run(main())


@pytest.mark.security("E7")
def test_ranges_are_parts_of_the_preview() -> None:
    async def main() -> None:
        async with house(ORIGINAL) as site:
            whole = await preview(site)
            body, tag = whole.body, whole.get(b"etag")
            cases = [
                (b"bytes=0-9", 206, body[:10]), (b"bytes=10-", 206, body[10:]), (b"bytes=-5", 206, body[-5:]),
                (b"bytes=99999999-", 416, b""), (b"bytes=5-2", 200, body), (b"bytes=0-1,4-5", 200, body), (b"lines=1-2", 200, body),
            ]  # fmt: skip
            for field, status, part in cases:
                got = await preview(site, (b"range", field))
                assert (got.status, got.body) == (status, part), field
                if status == 206:
                    start = body.index(part) if field != b"bytes=-5" else len(body) - 5
                    span = b"bytes %d-%d/%d" % (start, start + len(part) - 1, len(body))
                    assert got.get(b"content-range") == span
            assert (await preview(site, (b"range", b"bytes=0-9"), (b"if-range", tag))).status == 206
            assert (await preview(site, (b"range", b"bytes=0-9"), (b"if-range", b'"original"'))).status == 200
            assert (await preview(site, (b"range", b"bytes=0-9"), (b"if-range", b"W/" + tag))).status == 200
            assert (await preview(site, (b"range", b"bytes=0-9"), method="HEAD")).status == 200

    asyncio.run(main())


@pytest.mark.security("J1")
def test_an_original_is_kept_by_its_client_alone() -> None:
    async def main() -> None:
        async with house(ORIGINAL) as site:
            got = await site.ask("/media/1.jpg")
            assert got.get(b"cache-control") == b"private, max-age=600"
            assert got.get(b"etag") == b'"original"'
            assert got.get(b"x-accel-expires") == b""

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "status"),
    [(RequestError("the path has b'\\x00'"), 400), (UpstreamError("10.0.0.9 refused"), 502)],
)
def test_an_error_tells_its_public_words_and_not_its_cause(
    error: RequestError | UpstreamError, status: int
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(send_error(send, error))
    assert sent[0]["status"] == status
    assert sent[1]["body"] == error.public.encode() + b"\n"
    assert str(error).encode() not in sent[1]["body"]
    assert (b"cache-control", b"private, no-store") in sent[0]["headers"]
