"""Overload: what goes first, who is last, and that a bot gets the original on no rung."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from antiscrape import AntiscrapeMiddleware
from antiscrape.core.overload import CALM, CHECKS, RENDITIONS, REQUESTS
from antiscrape.core.verdict import Rendition
from antiscrape.errors import ConfigurationError
from tests.house import SPARE, Answer, answers, drive, person, photo, policy_of, scope_of, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PHOTO = photo()
CHECK = SPARE | {"ANTISCRAPE__CLEARANCE__ENABLED": "true", "ANTISCRAPE__OVERLOAD__RETRY": "7s"}


@asynccontextmanager
async def site() -> AsyncIterator[AntiscrapeMiddleware]:
    made = AntiscrapeMiddleware(answers(PHOTO), policy=policy_of(CHECK))
    try:
        yield made
    finally:
        await made._estate.renderer.aclose()


async def ask(app: AntiscrapeMiddleware, path: str, headers: object = None, **more: object) -> Answer:
    return await drive(app, scope_of(path, headers or person(), **more))  # type: ignore[arg-type]  # as the test says


def test_from_rung_to_rung_less_is_done_and_never_is_the_original_the_way_out() -> None:
    async def run() -> None:
        async with site() as app:
            load, base = app._sentinel.load, app.policy.clearance.path
            known = "198.51.100.1"
            for _ in range(2):
                await ask(app, "/robots.txt", peer=known)
                await ask(app, "/photos/0.jpg", peer=known)
            told: dict[int, tuple[object, ...]] = {}
            for rung in (CALM, CHECKS, RENDITIONS, REQUESTS):
                load.rung = rung
                check = await ask(app, f"{base}/step", person(kind="page"), peer=f"198.51.100.{10 + rung}")
                bot = await ask(app, f"/photos/{rung + 1}.jpg", tool(), peer=f"203.0.113.{10 + rung}")
                stranger = await ask(app, f"/photos/{rung + 1}.jpg", peer=f"192.0.2.{10 + rung}")
                friend = await ask(app, f"/photos/{rung + 1}.jpg", peer=known)
                exempt = await ask(app, "/robots.txt", tool(), peer="203.0.113.99")
                assert bot.body != PHOTO
                assert exempt.status == 200
                placeholder = bot.body == app._estate.renderer.placeholder(Rendition.PREVIEW).body
                told[rung] = check.status, bot.status, placeholder, stranger.status, friend.body == PHOTO
            assert told == {
                CALM: (200, 200, False, 200, True),
                CHECKS: (503, 200, False, 200, True),
                RENDITIONS: (503, 200, True, 200, True),
                REQUESTS: (503, 503, False, 503, True),
            }

    asyncio.run(run())


def test_a_503_says_when_to_come_again_and_is_kept_by_nobody() -> None:
    async def run() -> None:
        async with site() as app:
            app._sentinel.load.rung = REQUESTS
            for method in ("GET", "HEAD"):
                answer = await ask(app, "/photos/1.jpg", tool(), method=method)
                assert answer.status == 503
                assert answer.get(b"retry-after") == b"7"
                assert answer.get(b"cache-control") == b"private, no-store"
                assert bool(answer.body) is (method == "GET")
            assert app._sentinel.load.shed == {"requests": 2}
            told = app.meter.read()
            assert told["antiscrape_shed"]["requests",] == 2
            assert told["antiscrape_overload_rung"][()] == REQUESTS

    asyncio.run(run())


def test_what_was_made_before_is_still_served_when_nothing_new_is_made() -> None:
    """The card is for what would have to be rendered; a preview in memory costs nothing."""

    async def run() -> None:
        tagged = answers(PHOTO, b"image/jpeg", (b"etag", b'"1"'))
        made = AntiscrapeMiddleware(tagged, policy=policy_of(CHECK))
        try:
            before = await ask(made, "/photos/1.jpg", tool())
            made._sentinel.load.rung = RENDITIONS
            assert (await ask(made, "/photos/1.jpg", tool())).body == before.body
            assert (await ask(made, "/photos/2.jpg", tool())).body != before.body
        finally:
            await made._estate.renderer.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("setting", ["LAG", "MEMORY"])
def test_marks_in_the_wrong_order_are_refused(setting: str) -> None:
    value = "20ms" if setting == "LAG" else "0.1"
    with pytest.raises(ConfigurationError, match="are shed before"):
        policy_of({f"ANTISCRAPE__OVERLOAD__{setting}_REQUESTS": value})
