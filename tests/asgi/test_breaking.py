"""A site that is gone in the middle of its answer: whoever has heard nothing of it is told so plainly."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.errors import UpstreamError
from tests.house import house, person, photo, tool
from tests.swift import using

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send

PICTURE = photo(700, 520)


def broken(content_type: bytes, sent: bytes) -> ASGIApp:
    """Return a site that says how long its answer is, and is gone before its end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"99999"), (b"set-cookie", b"a=b")]
        headers += [(b"content-type", content_type)] if content_type else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if sent:
            await send({"type": "http.response.body", "body": sent, "more_body": True})
        raise UpstreamError("the site closed the connection in the middle of its answer")

    return app


@pytest.mark.security("C9")
@pytest.mark.parametrize(
    ("content_type", "sent"),
    [(b"image/jpeg", b""), (b"image/jpeg", PICTURE[:9000]), (b"", b"ab")],
    ids=["before a picture", "within a picture", "before it could be told what it is"],
)
def test_what_was_only_collected_becomes_a_502(content_type: bytes, sent: bytes) -> None:
    async def main() -> None:
        async with house(broken(content_type, sent)) as protected:
            got = await protected.ask("/pictures/1", tool())
            assert (got.status, got.body) == (502, b"The site could not be reached.\n")
            assert got.get(b"cache-control") == b"private, no-store"
            assert got.get(b"set-cookie") == b""
            assert protected.ledger.events[-1]["status"] == 502

    asyncio.run(main())


@pytest.mark.security("C9")
@pytest.mark.parametrize("swift", [False, True], ids=["Python alone", "the accelerator"])
def test_a_person_whose_answer_could_not_be_told_yet_hears_of_it_too(
    accelerator: Any, *, swift: bool
) -> None:
    """Whose request the accelerator took, its answer mostly passes; this one is looked at first."""

    async def main() -> None:
        with using(accelerator if swift else None):
            stack = AsyncExitStack()
            protected = await stack.enter_async_context(house(broken(b"", b"")))
        async with stack:
            for _ in range(4):
                got = await protected.ask("/pictures/1", person())
                assert (got.status, got.body) == (502, b"The site could not be reached.\n")
                assert got.get(b"set-cookie") == b""

    asyncio.run(main())


@pytest.mark.security("C9")
@pytest.mark.parametrize("swift", [False, True], ids=["Python alone", "the accelerator"])
def test_a_person_whose_answer_has_begun_is_cut_off(accelerator: Any, *, swift: bool) -> None:
    async def main() -> None:
        with using(accelerator if swift else None):
            stack = AsyncExitStack()
            protected = await stack.enter_async_context(house(broken(b"application/json", b"[")))
        async with stack:
            for _ in range(4):
                with pytest.raises(UpstreamError):
                    await protected.ask("/api/photos", person())

    asyncio.run(main())


@pytest.mark.security("C9")
def test_what_has_begun_is_cut_off() -> None:
    """The server closes the connection for it: no client takes a part for the whole."""

    async def main() -> None:
        async with house(broken(b"text/html", b"<html>")) as protected:
            with pytest.raises(UpstreamError):
                await protected.ask("/page", tool())

    asyncio.run(main())
