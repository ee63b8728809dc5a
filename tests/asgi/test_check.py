"""The check over the whole middleware: what it gives, to whom, how often, and what it never does."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from antiscrape import AntiscrapeMiddleware
from antiscrape.core.budgets import Limit
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Standing
from tests.asgi.checked import BASE, PROBES, challenged, checking, cleared, fields, posted, solved
from tests.house import SECRET, answers, house, person, photo, tool
from tests.swift import put_inside

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.house import House

PHOTOS = answers(photo())
PAGE = answers(b"<html><body><p>hello</p></body></html>", b"text/html; charset=utf-8")


async def standing(
    house: House, cookie: bytes, path: str = "/media/1.jpg", peer: str = "203.0.113.7"
) -> Standing:
    """Ask for a picture and return the standing that it was judged by."""
    seen: list[Standing] = []
    inner = house.app.app

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["antiscrape"].verdict.standing)
        await inner(scope, receive, send)

    put_inside(house.app, look)
    try:
        await house.ask(path, person((b"cookie", cookie)) if cookie else person(), peer=peer)
    finally:
        put_inside(house.app, inner)
    return seen[0]


def test_a_browser_that_does_the_check_is_proven() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            assert await standing(home, b"") is Standing.BROWSER
            cookie = await cleared(home)
            assert await standing(home, cookie) is Standing.PROVEN
            assert "seconds" in await challenged(home, (b"cookie", cookie)), "and has nothing more to earn"

    asyncio.run(run())


@pytest.mark.security("G1")
@pytest.mark.parametrize(
    ("probes", "counted"),
    [
        (None, "browser"),
        ({**PROBES, "engine": "chromium"}, "browser"),
        ({**PROBES, "pointer": False}, "browser"),
        ({**PROBES, "named": False}, "browser"),
        ({**PROBES, "watched": True}, "browser"),
        ({**PROBES, "driven": True}, "denied"),
    ],
)
def test_work_alone_is_never_proven(probes: object, counted: str) -> None:
    """A solver without a browser has a browser's budget at most, and one that says that it is driven, nothing."""

    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            cookie = await cleared(home, probes=probes)
            assert bool(cookie) is (counted == "browser")
            assert home.app._check is not None
            assert home.app._check.counts[counted] == 1
            assert await standing(home, cookie) is not Standing.PROVEN

    asyncio.run(run())


def test_a_browser_that_says_it_is_driven_has_it_held_against_its_visit() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            assert await standing(home, b"") is Standing.BROWSER
            await cleared(home, probes={**PROBES, "bot": "webdriver", "driven": True})
            assert await standing(home, b"") is Standing.BOT

    asyncio.run(run())


@pytest.mark.security("G7")
def test_one_cookie_is_one_budget() -> None:
    async def run() -> None:
        policy = checking(
            {
                "ANTISCRAPE__STANDING__PROVEN__ORIGINALS": "5/hour",
                "ANTISCRAPE__STANDING__BROWSER__ORIGINALS": "2/hour",
            }
        )
        async with house(PHOTOS, policy) as home:
            cookie = await cleared(home)

            async def originals(cookie: bytes, peer: str) -> int:
                got = 0
                for number in range(10):
                    head = person((b"cookie", cookie)) if cookie else person()
                    got += (await home.ask(f"/media/{peer[-1]}{number}.jpg", head, peer=peer)).body == photo()
                return got

            assert await originals(cookie, "203.0.113.7") == 5
            assert await originals(cookie, "203.0.113.8") == 0, (
                "from a neighbour's address it is the same budget"
            )
            assert await originals(b"", "203.0.113.8") == 2, "and the neighbour has its own"

    asyncio.run(run())


@pytest.mark.security("G7")
def test_one_cookie_is_one_budget_in_every_disguise() -> None:
    """An address's visits have budgets of their own once they have drawn pages; a cookie's have not."""

    async def run() -> None:
        async with house(PHOTOS, checking({"ANTISCRAPE__STANDING__PROVEN__ORIGINALS": "5/hour"})) as home:
            cookie, got = await cleared(home), 0
            for look in range(3):
                agent = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:15{look}.0) Gecko/20100101 Firefox/15{look}.0"
                head = person((b"cookie", cookie), (b"user-agent", agent.encode()))
                await home.ask("/static/site.css", head)
                for name in ("dune", "beach", "pier", "gull", "fog"):
                    home.clock.tick(4.0)
                    got += (await home.ask(f"/media/{look}/{name}.jpg", head)).body == photo()
            assert got == 4, "this site answers with a picture for its style sheet, too"

    asyncio.run(run())


@pytest.mark.security("G2")
def test_two_hundred_posts_of_one_solution_are_one_clearance() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking({"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "unlimited"})) as home:
            told = solved(await challenged(home))
            got = await asyncio.gather(*(posted(home, "answer", told) for _ in range(200)))
            assert sum(bool(one.get(b"set-cookie")) for one in got) == 1
            assert {one.status for one in got} == {200}

    asyncio.run(run())


@pytest.mark.security("G8")
def test_two_tabs_at_once_both_pass() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            one, other = await asyncio.gather(cleared(home), cleared(home))
            assert one != other
            for cookie in (one, other):
                assert await standing(home, cookie) is Standing.PROVEN

    asyncio.run(run())


@pytest.mark.security("G6")
def test_a_clearance_is_bound_and_ends() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking(roaming=0.0)) as home:
            cookie = await cleared(home)
            assert await standing(home, cookie) is Standing.PROVEN
            assert await standing(home, cookie, peer="203.0.112.7") is Standing.BROWSER, "another network"
            chrome = fields(
                (b"cookie", cookie),
                (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:152.0) Gecko/20100101 Firefox/152.0"),
            )
            assert "parameters" in json.loads(
                (await home.ask(f"{BASE}/challenge", chrome, method="POST", body=b"{}")).body
            )
            other = fields((b"cookie", cookie), (b"host", b"other.example"), (b"origin", None))
            assert "parameters" in json.loads(
                (await home.ask(f"{BASE}/challenge", other, method="POST", body=b"{}")).body
            )
            assert await standing(home, cookie) is Standing.PROVEN
            home.clock.tick(43_200)
            assert await standing(home, cookie) is Standing.BROWSER, "expired"

    asyncio.run(run())


@pytest.mark.security("G6")
def test_roaming_has_its_grace() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking(roaming=600.0)) as home:
            cookie = await cleared(home)
            assert await standing(home, cookie, peer="198.51.100.1") is Standing.PROVEN
            assert "parameters" in await challenged(home, (b"cookie", cookie), peer="198.51.100.1"), (
                "meanwhile a new one is earned"
            )
            home.clock.tick(601)
            assert await standing(home, cookie, peer="198.51.100.1") is Standing.BROWSER
            assert await standing(home, cookie) is Standing.PROVEN, "at home it is good"

    asyncio.run(run())


@pytest.mark.security("G6")
def test_a_cookie_that_is_passed_round_is_revoked() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking(addresses=4)) as home:
            cookie = await cleared(home)
            for last in range(4):
                assert await standing(home, cookie, peer=f"203.0.113.{last}") is Standing.PROVEN
            assert await standing(home, cookie, peer="203.0.113.4") is Standing.BROWSER
            assert await standing(home, cookie, peer="203.0.113.0") is Standing.BROWSER, "for everybody"

    asyncio.run(run())


def test_few_addresses_within_ten_minutes_are_a_person_on_the_way() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking(addresses=4)) as home:
            cookie = await cleared(home)
            for last in range(20):
                home.clock.tick(160)
                assert await standing(home, cookie, peer=f"203.0.113.{last}") is Standing.PROVEN

    asyncio.run(run())


def test_an_address_earns_so_many() -> None:
    async def run() -> None:
        policy = checking(issues=Limit(3, 3600, "3/hour"), steps=Limit(1, 3600, "1/hour"))
        async with house(PHOTOS, policy) as home:
            told = [solved(await challenged(home), PROBES if one % 2 else None) for one in range(10)]
            got = [(await posted(home, "answer", one)).get(b"set-cookie") for one in told]
            assert [bool(cookie) for cookie in got] == [True, True, False, True, False, True, *[False] * 4]
            assert await cleared(home, peer="203.0.113.9")

    asyncio.run(run())


@pytest.mark.security("A11", "G5")
def test_a_machines_addresses_of_one_ipv6_network_earn_as_one() -> None:
    async def run() -> None:
        async with house(PAGE, checking(issues=Limit(3, 3600, "3/hour"))) as home:
            got = [bool(await cleared(home, peer=f"2001:db8::{number:x}")) for number in range(1, 7)]
            assert got == [True] * 3 + [False] * 3
            assert await cleared(home, peer="2001:db8:0:1::1"), "and the next network has its own"

    asyncio.run(run())


@pytest.mark.security("G6")
def test_a_browser_that_changes_its_ipv6_address_is_one_browser() -> None:
    """Temporary addresses (RFC 8981) are of the same /64, and a privacy-minded system takes many of them."""

    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            cookie = await cleared(home, peer="2001:db8::1")
            for number in range(1, 20):
                assert await standing(home, cookie, peer=f"2001:db8::{number:x}") is Standing.PROVEN
            for number in range(1, 9):
                await standing(home, cookie, peer=f"2001:db8:0:{number:x}::1")
            assert await standing(home, cookie, peer="2001:db8::1") is Standing.BROWSER, (
                "and nine networks are nine"
            )

    asyncio.run(run())


def test_suspicion_makes_it_harder_and_a_bot_is_given_none() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:

            def work(challenge: dict[str, dict[str, int]]) -> int:
                parameters = challenge["parameters"]
                return int(parameters["cost"]) << 4 * len(str(parameters["keyPrefix"]))

            clean = work(await challenged(home))
            bot = tool((b"content-type", b"application/json"))
            told = json.loads((await home.ask(f"{BASE}/challenge", bot, method="POST", body=b"{}")).body)
            assert work(told) >= 16 * clean
            answer = await home.ask(
                f"{BASE}/answer", bot, method="POST", body=json.dumps(solved(told)).encode()
            )
            assert answer.body == b"{}"
            assert not answer.get(b"set-cookie")

    asyncio.run(run())


@pytest.mark.security("G11")
@pytest.mark.parametrize("path", ["challenge", "answer", "step"])
def test_another_sites_page_cannot_post(path: str) -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            for change in (
                (b"origin", b"https://evil.example"),
                (b"sec-fetch-site", b"cross-site"),
                (b"origin", b"null"),
            ):
                answer = await posted(home, path, {}, change)
                assert (answer.status, answer.get(b"set-cookie")) == (403, b"")

    asyncio.run(run())


@pytest.mark.security("G8", "G10")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 4000, b'{"challenge": {}}', b"x" * 5000]
)
@pytest.mark.parametrize("path", ["challenge", "answer", "step"])
def test_rubbish_is_answered_and_nothing_of_it_stays(path: str, body: bytes) -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            answer = await posted(home, path, body)
            assert answer.status in {200, 400, 413, 422}
            assert answer.get(b"cache-control") == b"private, no-store"
            assert not answer.get(b"set-cookie")
            assert b"text/html" not in answer.get(b"content-type") or answer.status != 200

    asyncio.run(run())


@pytest.mark.security("G7")
def test_what_a_holder_may_have_is_charged_for_pages_as_for_pictures() -> None:
    """The shorter way to a plain verdict charges the holder, too, and not the network it comes from."""

    async def run() -> None:
        policy = checking({"ANTISCRAPE__STANDING__PROVEN__REQUESTS": "30/hour"})
        async with house(PAGE, policy) as home:
            cookie = await cleared(home)
            got = [
                (await home.ask(f"/static/{one}.css", person((b"cookie", cookie)))).status
                for one in range(40)
            ]
            assert got == [200] * 30 + [429] * 10
            assert (await home.ask("/static/1.css", person())).status == 200, "the network has its own"

    asyncio.run(run())


def test_what_became_of_checks_is_counted_for_the_operator() -> None:
    middleware = AntiscrapeMiddleware(PAGE, policy=checking({"ANTISCRAPE__RECORD__ADMIN": ""}))
    assert middleware._parts.check is not None
    middleware._parts.check.counts["proven"] += 2
    counted = middleware.meter.read()["antiscrape_check"]
    assert counted["proven",] == 2
    assert set(counted) >= {("asked",), ("browser",), ("denied",), ("spent",), ("rationed",)}


@pytest.mark.security("F3")
def test_a_secret_that_is_taken_off_ends_what_it_sealed() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            cookie = await cleared(home)
            assert home.app._check is not None
            other = b"Yq2-other-secret-of-32-bytes-and-more-0xZ"
            home.app._check.rekey(KeyRing([SECRET.encode(), other]))
            assert await standing(home, cookie) is Standing.PROVEN
            home.app._check.rekey(KeyRing([other]))
            assert await standing(home, cookie) is Standing.BROWSER

    asyncio.run(run())
