"""People on sites as they are found: what a visit looks like must cost nobody a picture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.house import answers, house, person, photo, tool, visitor

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Scope, Send

PAGE = b"<!doctype html><title>Photos</title>"
PEOPLE = ("chromium", "firefox", "webkitgtk")


async def gallery(
    path: str, page: list[tuple[bytes, bytes]], image: list[tuple[bytes, bytes]], count: int
) -> list[bool]:
    """Open one page that shows ``count`` large photographs in the order of their numbers; tell which came whole."""
    pictures = {f"{path}{number:03d}.jpg": photo(640, 480, number % 7) for number in range(1, count + 1)}

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        picture = pictures.get(scope["path"])
        app = answers(picture) if picture else answers(PAGE, b"text/html")
        await app(scope, receive, send)

    async with house(site) as home:
        assert (await home.ask("/", page)).status == 200
        return [(await home.ask(name, image)).body == picture for name, picture in pictures.items()]


@pytest.mark.parametrize("path", ["/media/", "/photos/", "/a/"])
@pytest.mark.parametrize("who", PEOPLE)
def test_a_page_full_of_originals_in_the_order_of_their_numbers_is_shown_whole(who: str, path: str) -> None:
    """A static gallery has no thumbnails, and its numbers ascend: its own page asks for them so."""
    whole = asyncio.run(gallery(path, visitor(f"{who} page"), visitor(f"{who} image"), 36))
    assert all(whole)


def test_beyond_the_budget_of_ten_minutes_the_rest_are_previews() -> None:
    whole = asyncio.run(gallery("/photos/", person(kind="page"), person(), 44))
    assert whole == [True] * 40 + [False] * 4


def test_a_tool_gets_none_of_the_same_page() -> None:
    whole = asyncio.run(gallery("/photos/", visitor("curl page"), tool(), 6))
    assert not any(whole)
