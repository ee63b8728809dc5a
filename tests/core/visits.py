"""Visits made by hand: what was asked for, in which order, with which fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.history import History
from antiscrape.core.resource import Kind, Resource, Size
from tests.house import head_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.core.request import RequestHead


def image(number: int = -1, size: Size = Size.ORIGINAL) -> Resource:
    return Resource(Kind.IMAGE, f"/media/{number}", number, size, "", number)


PAGE = Resource(Kind.PAGE, "/a", 1)
ASSET = Resource(Kind.ASSET, "/s", 2)
TRAP = Resource(Kind.TRAP, "/t", 3)
THUMBNAIL = image(1, Size.THUMBNAIL)
BARE: dict[bytes, bytes] = {}
REFERRED = {b"referer": b"https://photos.example/"}


def head_with(fields: Mapping[bytes, bytes]) -> RequestHead:
    """Return a head with these fields and little else."""
    return head_of("/", [(b"host", b"photos.example"), *fields.items()])


def visit(*steps: tuple[Resource, Mapping[bytes, bytes]], pause: float = 10.0) -> History:
    """Make the requests, each for an image of its own."""
    history, now = History(0.0), 0.0
    for step, (resource, fields) in enumerate(steps):
        now += pause
        history.note_request(resource._replace(identity=step), head_with(fields), now)
    return history


def shown(dest: bytes) -> dict[bytes, bytes]:
    return {**REFERRED, b"sec-fetch-dest": dest}


SHOWN, SAVES = shown(b"image"), {**shown(b"empty"), b"sec-fetch-mode": b"navigate"}


def walked(steps: int, smaller: int, first: int = 1000) -> History:
    """Go from photo page to photo page, each with its original and some smaller pictures."""
    one = [(PAGE, SHOWN), *[(THUMBNAIL, SHOWN)] * smaller]
    return visit(*[step for n in range(steps) for step in (*one, (image(first - n), SHOWN))])


def offered(times: int, fields: Mapping[bytes, bytes]) -> History:
    history = visit(*[(PAGE, fields)] * times)
    for _ in range(times):
        history.note_answer(found=True, cookie_offered=True)
    return history


def unfound(times: int, requests: int) -> History:
    history = visit(*[(PAGE, BARE)] * requests)
    for _ in range(times):
        history.note_answer(found=False, cookie_offered=False)
    return history
