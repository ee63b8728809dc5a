"""Beyond an image budget: a lesser rendition through the whole middleware, whichever of the budgets it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.asgi.accounts import Accounts
from antiscrape.core.account import Account
from antiscrape.core.budgets import parse_limits
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.verdict import Mode, Rendition, Standing
from tests.house import Clock, changed, house, person, photo, policy_of, visitor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from tests.house import House

BIG, SMALL = photo(), photo(200, 150)
VIEWER = changed(person(), (b"cookie", b"a=1"))
READER = changed(visitor("firefox page"), (b"cookie", b"a=1"))


async def site_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Have a large picture for everybody, a small one under /small, and pages for the rest."""
    path = scope["path"]
    body, kind = (BIG, b"image/jpeg") if path.startswith(("/media", "/of", "/x")) else (b"<p>", b"text/html")
    if path.startswith("/media/small"):
        body = SMALL
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


SITE: ASGIApp = site_app
ROUTES = (
    Route("/u/{subject}", Kind.SUBJECT, Size.UNTOLD),
    Route("/media/small/**", Kind.IMAGE, Size.THUMBNAIL),
    Route("/media/**", Kind.IMAGE, Size.UNTOLD),
    Route("/of/{subject}/**", Kind.IMAGE, Size.ORIGINAL),
)


def policy(standing: Standing = Standing.BROWSER, **limits: str) -> Policy:
    """Return a policy with these limits and no others, in which habits say nothing."""
    known = policy_of(routes=ROUTES)
    parsed: Any = dict.fromkeys(("requests", "originals", "subjects", "bytes"), ())
    parsed |= {name: parse_limits(text, sizes=name == "bytes") for name, text in limits.items()}
    row = replace(known.standings[standing], **parsed)
    quiet = {name: replace(rule, mode=Mode.OFF) for name, rule in known.signals.items()}
    return replace(known, standings={**known.standings, standing: row}, signals=quiet)


async def shows(site: House, path: str, headers: Any = None) -> str:
    """Ask for a picture; return what came."""
    got = await site.ask(path, VIEWER if headers is None else headers)
    assert got.status == 200
    if got.body in {BIG, SMALL}:
        return "original"
    assert got.get(b"cache-control") == b"private, no-store"
    assert not {name for name, _ in got.fields} & {b"retry-after", b"ratelimit", b"ratelimit-policy"}
    return "lesser"


async def all_of(site: House, paths: Sequence[str]) -> list[str]:
    return [await shows(site, path) for path in paths]


def test_two_windows_of_originals_hold_at_once() -> None:
    async def main() -> None:
        async with house(SITE, policy(originals="3/10min, 5/day")) as site:
            assert await all_of(site, [f"/media/{n}" for n in range(4)]) == ["original"] * 3 + ["lesser"]
            assert await shows(site, "/media/0") == "original"  # the same once more costs nothing
            site.clock.tick(600.0)
            assert (
                await all_of(site, [f"/media/{n}" for n in range(5, 9)]) == ["original"] * 2 + ["lesser"] * 2
            )
            site.clock.tick(6000.0)
            assert await shows(site, "/media/9") == "lesser"
            assert await shows(site, "/media/small/9") == "original"
            site.clock.tick(86_400.0)
            assert await shows(site, "/media/10") == "original"

    asyncio.run(main())


def test_two_windows_of_bytes_hold_at_once() -> None:
    async def main() -> None:
        # a picture is charged when it is sent, so the one that oversteps the budget is the last
        minute, day = 19 * len(BIG) // 10, 29 * len(BIG) // 10
        async with house(SITE, policy(bytes=f"{minute}/min, {day}/day")) as site:
            assert await all_of(site, ["/media/1", "/x/1", "/media/2"]) == ["original", "original", "lesser"]
            site.clock.tick(61.0)
            assert await all_of(site, ["/media/1", "/media/1"]) == ["original", "lesser"]
            site.clock.tick(61.0)
            assert await shows(site, "/media/1") == "lesser"  # the day's are spent, whatever the minute has

    asyncio.run(main())


def test_two_windows_of_subjects_hold_at_once_where_pictures_name_them() -> None:
    async def main() -> None:
        async with house(SITE, policy(subjects="2/hour, 3/day")) as site:
            seen = await all_of(site, ["/of/ada/1", "/of/ada/2", "/of/bob/1", "/of/cy/1", "/of/ada/3"])
            assert seen == ["original", "original", "original", "lesser", "original"]
            assert await shows(site, "/media/1") == "original"  # a page of many people's pictures is no visit
            site.clock.tick(3600.0)
            assert await all_of(site, ["/of/cy/1", "/of/dan/1"]) == ["original", "lesser"]
            site.clock.tick(3600.0)
            assert await shows(site, "/of/dan/1") == "lesser"

    asyncio.run(main())


def test_beyond_the_subjects_originals_that_name_nobody_are_lesser_until_there_is_room_again() -> None:
    """R2: the page stays readable, and what is on it is worth nothing to a harvester, whatever its address."""

    async def main() -> None:
        async with house(SITE, policy(subjects="2/hour", originals="9/day")) as site:
            for name in ("ada", "bob"):
                assert (await site.ask(f"/u/{name}", READER)).body == b"<p>"
                assert await all_of(site, [f"/media/{name}", f"/x/{name}"]) == ["original"] * 2
            assert (await site.ask("/u/cy", READER)).body == b"<p>"
            assert await all_of(site, ["/media/cy", "/x/cy", "/media/small/cy"]) == [
                "lesser",
                "lesser",
                "original",
            ]
            await site.ask("/u/ada", READER)  # whom one knows already leads to no picture of somebody else's
            assert await shows(site, "/media/cy") == "lesser"
            spent = [event for event in site.ledger.events if event["path"] == "/media/cy"][-1]
            assert spent["exceeded"] == {
                "budget": "subjects",
                "limit": "2/hour",
                "wait": 3600.0,
                "shared": False,
            }
            site.clock.tick(3600.0)
            await site.ask("/u/cy", READER)
            # what was not shown has not been charged: four of nine are taken, five are left
            assert (await all_of(site, [f"/media/{n}" for n in range(6)])).count("original") == 5

    asyncio.run(main())


@pytest.mark.parametrize("beyond", [Rendition.PREVIEW, Rendition.DECOY])
def test_what_it_gets_beyond_is_the_policys_to_say(beyond: Rendition) -> None:
    async def main() -> None:
        known = policy(originals="1/day")
        row = replace(known.standings[Standing.BROWSER], beyond=beyond)
        async with house(SITE, replace(known, standings={**known.standings, Standing.BROWSER: row})) as site:
            assert await all_of(site, ["/media/1", "/media/2"]) == ["original", "lesser"]
            assert site.ledger.events[-1]["rendition"] == beyond.value

    asyncio.run(main())


AGES = [(0.5, 30), (3.0, 60), (30.0, 120)]


@pytest.mark.parametrize(("days", "profiles"), AGES)
def test_by_default_an_account_sees_so_many_profiles_an_hour_and_a_new_one_fewer(
    days: float, profiles: int
) -> None:
    """R2 and R3 of the privacy authorities' statements on scraping, on the defaults."""

    async def main() -> None:
        clock = Clock()
        known = replace(policy_of(routes=ROUTES), signals=policy().signals)
        account = Account("ada", clock.epoch - days * 86_400.0)
        accounts = Accounts(
            known.accounts, key=b"k" * 32, clock=clock.monotonic, account=lambda _: account, owner=None
        )
        async with house(SITE, known, clock, accounts=accounts) as site:
            seen = 0
            for number in range(200):
                await site.ask(f"/u/{number}", READER)
                seen += await shows(site, "/media/one") == "original"
            assert seen == profiles

    asyncio.run(main())
