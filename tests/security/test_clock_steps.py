"""A wall clock that steps: bans stay, limits go on counting, and what is signed for a time keeps to it (fault 26)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.identity import Principal
from antiscrape.signing import sign_url
from tests.house import answers, house, person, photo, policy_of, tool

if TYPE_CHECKING:
    from tests.house import House

PHOTO = photo()
HOUR = 3600.0
SETTINGS = {
    "ANTISCRAPE__STANDING__BOT__REQUESTS": "4/min",
    "ANTISCRAPE__GRANTS__PREFIXES": '["/media/"]',
    "ANTISCRAPE__IMAGES__FACES": "off",
}
BANNED, LIMITED = "198.51.100.1", "203.0.113.9"


async def status(told: House, client: str, path: str = "/p/1") -> int:
    headers = person(kind="page") if client == BANNED else tool()
    return (await told.ask(path, headers, peer=client)).status


@pytest.mark.security("F6")
@pytest.mark.parametrize("step", [HOUR, -HOUR, 24 * HOUR, -24 * HOUR])
def test_a_step_of_the_clock_lets_nobody_in_and_locks_nobody_out(step: float) -> None:
    async def main() -> None:
        policy = policy_of(SETTINGS)
        async with house(answers(PHOTO), policy) as told:
            clock = told.clock
            whose = Principal(BANNED, "198.51.100.0/24", BANNED)
            await status(told, BANNED)
            told.gate._store.ban(told.gate._store.find(whose, clock.now), clock.now + HOUR)
            assert [await status(told, LIMITED) for _ in range(5)] == [200] * 4 + [429]
            assert await status(told, BANNED) == 403

            clock.epoch += step
            assert await status(told, BANNED) == 403
            limited = await told.ask("/p/1", tool(), peer=LIMITED)
            assert limited.status == 429
            wait = int(limited.get(b"retry-after"))
            assert 1 <= wait <= 60
            clock.tick(wait)
            assert await status(told, LIMITED) == 200
            clock.tick(HOUR - wait + 1)
            assert await status(told, BANNED) == 200

    asyncio.run(main())


@pytest.mark.security("F6")
def test_what_is_signed_holds_by_the_clock_as_it_is() -> None:
    """A grant of now is good after a step of a minute either way, and not after one beyond its time."""

    async def main() -> None:
        policy = policy_of(SETTINGS)
        async with house(answers(PHOTO), policy) as told:
            signed = sign_url("/media/1.jpg", policy, now=told.clock.epoch)
            for number, (step, good) in enumerate(
                [(0.0, True), (60.0, True), (-120.0, True), (30 * 24 * HOUR, False)]
            ):
                told.clock.epoch += step
                got = await told.ask(signed, person(), peer=f"192.0.2.{number}")
                assert (got.body == PHOTO) is good, step

    asyncio.run(main())
