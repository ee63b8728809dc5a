"""What a driven browser gets that nothing tells from a person's: a ration, and no more by coming again as another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.budgets import Limit
from tests.asgi.checked import PROBES, challenged, checking, posted, solved
from tests.house import answers, house, person, photo

if TYPE_CHECKING:
    from tests.house import House

PHOTOS = answers(photo())
RATION, FACTOR, ISSUES = 4, 2, 3
POLICY = {
    "ANTISCRAPE__STANDING__PROVEN__ORIGINALS": f"{RATION}/day",
    "ANTISCRAPE__STANDING__BROWSER__ORIGINALS": "1/day",
    "ANTISCRAPE__IDENTITY__ROLLUP_FACTOR": str(FACTOR),
}


async def originals(home: House, begun: int, cookie: bytes, peer: str) -> int:
    """Ask for more pictures than any budget holds, and return how many of them came as they are."""
    got = 0
    for number in range(begun, begun + 2 * RATION):
        home.clock.tick(30.0)
        head = person((b"cookie", cookie)) if cookie else person()
        got += (await home.ask(f"/media/{number:x}.jpg", head, peer=peer)).body == photo()
    return got


@pytest.mark.security("G4", "G7")
def test_a_browser_that_hides_that_it_is_driven_is_rationed_in_each_of_its_disguises() -> None:
    """Headless Firefox that resists fingerprints, and Chromium in a window under a debugger that watches no console.

    Their probes are a person's, so one cookie has the budget of a proven browser; whoever drops it for another earns
    so many in an hour; and all that a network's visitors earn is held against the network's own budget.
    """

    async def run() -> None:
        async with house(PHOTOS, checking(POLICY, issues=Limit(ISSUES, 3600, f"{ISSUES}/hour"))) as home:
            cookies: list[bytes] = []
            for _ in range(ISSUES + 1):
                answer = await posted(home, "answer", solved(await challenged(home), PROBES))
                cookies.append(answer.get(b"set-cookie").partition(b";")[0])
            earned = [cookie for cookie in cookies if cookie]
            assert len(earned) == ISSUES
            got = [
                await originals(home, 1000 * (number + 1), cookie, "203.0.113.7")
                for number, cookie in enumerate(earned)
            ]
            assert got[0] == RATION
            assert max(got) == RATION
            assert sum(got) == RATION * FACTOR, "the network's, which outlasts every cookie"
            assert await originals(home, 9000, b"", "203.0.113.7") == 0
            assert await originals(home, 9500, b"", "198.51.100.7") == 1, (
                "of another network nothing is taken"
            )

    asyncio.run(run())


@pytest.mark.security("G4")
@pytest.mark.parametrize(
    "told",
    [{"pointer": False}, {"named": False}, {"watched": True}, {"engine": "webkit"}, {"bot": "unknown"}, None],
)
def test_what_speaks_against_a_browser_keeps_it_to_the_budget_that_it_had(
    told: dict[str, object] | None,
) -> None:
    """And takes nothing away from it: a person may have no mouse, a switched name or a debugger open."""

    async def run() -> None:
        async with house(PHOTOS, checking(POLICY)) as home:
            probes = None if told is None else {**PROBES, **told}
            answer = await posted(home, "answer", solved(await challenged(home), probes))
            cookie = answer.get(b"set-cookie").partition(b";")[0]
            assert cookie
            assert await originals(home, 1000, cookie, "203.0.113.7") == 1

    asyncio.run(run())
