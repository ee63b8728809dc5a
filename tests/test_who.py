"""Who is asking, through the whole middleware: networks, verified crawlers, impostors, signatures, preferences."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.asgi.accounts import Accounts
from antiscrape.core.account import Account
from antiscrape.core.budgets import parse_limits
from antiscrape.core.crawler import Purpose
from antiscrape.core.networks import Label, ListRule
from antiscrape.core.partner import Partner, PartnerBook, hash_key, new_key
from antiscrape.core.rules import Allowance, SignalRule
from antiscrape.core.signals import SIGNALS
from antiscrape.core.verdict import Rendition, Standing
from antiscrape.lookups.bot_auth import BotAuth
from antiscrape.lookups.bot_keys import Bot, BotKeys, read_key
from antiscrape.lookups.crawlers import Verifier, load_book
from antiscrape.lookups.networks import NetworkBook
from antiscrape.lookups.resolver import Resolver
from antiscrape.lookups.roles import RoleBook, crawlers_folder
from tests.house import Clock, answers, changed, house, person, photo, policy_of
from tests.lookups import signers
from tests.lookups.nameserver import ADDRESS, NAME, Zone, serving
from tests.lookups.test_federation import cavage
from tests.swift import put_inside

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send
    from antiscrape.core.rules import Policy
    from tests.house import House, Pairs

PHOTO = photo()
GOOGLEBOT = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
ROUTES = {"ANTISCRAPE__ROUTES": '[{pattern = "/media/**", kind = "image", size = "original"}]'}


def crawler(agent: bytes = GOOGLEBOT) -> Pairs:
    return [(b"host", b"photos.example"), (b"accept", b"*/*"), (b"user-agent", agent)]


def run(job: Coroutine[Any, Any, None]) -> None:
    asyncio.run(job)


def roles_of(policy: Policy, clock: Clock, resolver: Resolver | None = None, *bots: Bot) -> RoleBook:
    book = load_book(crawlers_folder(), now=clock.now, wall=clock.epoch)
    return RoleBook(
        policy.crawlers.purposes,
        verifier=Verifier(book, resolver),
        bots=BotAuth(BotKeys(bots)) if bots else None,
        wall=clock.wall,
    )


def last(site: House) -> dict[str, Any]:
    return dict(site.ledger.events[-1])


@pytest.mark.security("H1")
def test_a_crawler_is_one_once_dns_has_said_so_and_its_double_is_an_impostor() -> None:
    """The look-up runs beside the traffic: until it is answered the name is worth nothing, and nobody waits."""
    zone = (
        Zone()
        .point(ADDRESS, NAME + ".")
        .add(NAME, "A", ADDRESS)
        .point("94.102.55.17", "host.harvester.example.")
    )

    async def job() -> None:
        policy, clock = policy_of(ROUTES), Clock()
        async with serving(zone) as port:
            resolver = Resolver(nameservers=["127.0.0.1"], port=port)
            async with house(answers(PHOTO), policy, clock, roles=roles_of(policy, clock, resolver)) as site:
                await site.ask("/media/1.jpg", crawler(), peer=ADDRESS)
                assert last(site)["standing"] == "bot"
                await resolver.settle()
                marked = await site.ask("/media/1.jpg", crawler(), peer=ADDRESS)
                assert (last(site)["standing"], last(site)["rendition"]) == ("crawler", "marked")
                assert marked.body not in (PHOTO, b"")
                await site.ask("/media/1.jpg", crawler(), peer="94.102.55.17")
                await resolver.settle()
                await site.ask("/media/2.jpg", crawler(), peer="94.102.55.17")
                assert last(site)["standing"] == "bot"
                assert "crawler-impostor" in {one["name"] for one in last(site)["signals"]}
                assert last(site)["claim"] == {"name": "googlebot", "proof": "impostor"}
            await resolver.aclose()

    run(job())


@pytest.mark.security("H9")
def test_a_verified_crawler_has_a_budget_and_a_purpose_like_everybody() -> None:
    zone = Zone().point(ADDRESS, NAME + ".").add(NAME, "A", ADDRESS)

    async def job() -> None:
        policy, clock = policy_of({**ROUTES, "ANTISCRAPE__CRAWLER__SEARCH__REQUESTS": "3/min"}), Clock()
        async with serving(zone) as port:
            resolver = Resolver(nameservers=["127.0.0.1"], port=port)
            async with house(answers(PHOTO), policy, clock, roles=roles_of(policy, clock, resolver)) as site:
                await site.ask("/media/1.jpg", crawler(), peer=ADDRESS)
                await resolver.settle()
                found = [(await site.ask("/page", crawler(), peer=ADDRESS)).status for _ in range(5)]
                assert 429 in found
                assert found[0] == 200
            await resolver.aclose()

    run(job())


@pytest.mark.security("H6")
def test_a_signed_request_is_its_signers_and_a_copy_of_it_a_forgery() -> None:
    signer = signers.ed25519()
    bot = Bot("archive", Purpose.ARCHIVE, keys=(read_key(signer.jwk),))
    fields = signer.signed('("@authority" "@path")', signers.REQUEST, nonce='"once"')

    async def job() -> None:
        policy, clock = policy_of(ROUTES), Clock(epoch=signers.NOW)
        async with house(answers(PHOTO), policy, clock, roles=roles_of(policy, clock, None, bot)) as site:
            headers = [*crawler(b"archiver/1.0"), *fields.items()]
            await site.ask("/media/1001.jpg", headers)
            assert (last(site)["standing"], last(site)["rendition"]) == ("crawler", "preview")
            assert last(site)["claim"] == {"name": "archive", "proof": "verified"}
            await site.ask("/media/1001.jpg", headers)
            assert last(site)["standing"] == "bot"
            assert "signature-false" in {one["name"] for one in last(site)["signals"]}

    run(job())


def test_a_denied_network_is_a_bot_and_a_data_centre_alone_is_not(tmp_path: Path) -> None:
    deny, hosting = tmp_path / "deny.txt", tmp_path / "hosting.txt"
    deny.write_text("198.51.100.0/24\n")
    hosting.write_text("203.0.113.0/24\n")
    book = NetworkBook([ListRule(str(deny), Label.DENY), ListRule(str(hosting), Label.HOSTING)])

    async def job() -> None:
        async with house(answers(PHOTO), policy_of(ROUTES), networks=book) as site:
            assert (await site.ask("/media/1.jpg", person(), peer="198.51.100.7")).body != PHOTO
            assert last(site)["standing"] == "bot"
            assert last(site)["network"] == {"deny": True}
            assert (await site.ask("/media/1.jpg", person(), peer="203.0.113.7")).body == PHOTO
            odd = changed(person(), (b"accept-language", None))
            assert (await site.ask("/media/2.jpg", odd, peer="203.0.113.8")).body != PHOTO
            deny.write_text("192.0.2.0/24\n")
            assert book.reload() == ()
            site.gate.forget_networks()
            assert (await site.ask("/media/3.jpg", person(), peer="198.51.100.7")).body == PHOTO

    run(job())


def test_what_the_site_says_of_crawling_is_said_in_every_language() -> None:
    saying = {**ROUTES, "ANTISCRAPE__PREFERENCES__ENABLED": "true", "ANTISCRAPE__TRAPS__INJECT": "true"}

    async def job() -> None:
        async with house(answers(b"", b"text/html", status=404), policy_of(saying)) as site:
            robots = await site.ask("/robots.txt", crawler())
            assert robots.status == 200
            assert b"User-agent: GPTBot" in robots.body
            assert b"Disallow: /" in robots.body
            assert (await site.ask("/.well-known/tdmrep.json", crawler())).body.startswith(b"[")
        async with house(answers(PHOTO), policy_of(saying)) as site:
            for headers in (person(), crawler()):
                answer = await site.ask("/media/1.jpg", headers)
                assert dict(answer.fields)[b"x-robots-tag"] == b"noai, noimageai"
                assert dict(answer.fields)[b"tdm-reservation"] == b"1"
        async with house(answers(PHOTO), policy_of(ROUTES)) as site:
            assert b"x-robots-tag" not in dict((await site.ask("/media/1.jpg", person())).fields)

    run(job())


def test_an_account_has_one_budget_wherever_it_asks_and_a_new_one_less() -> None:
    """The site names it by a callable; its budget outranks the address's, and its age scales it."""
    budgets = {**ROUTES, "ANTISCRAPE__STANDING__MEMBER__ORIGINALS": "8/day"}

    async def job() -> None:
        policy, clock = policy_of(budgets, signals=dict.fromkeys(SIGNALS, SignalRule(0))), Clock()
        born: dict[str, float | None] = {"old": None, "new": clock.epoch - 60}
        accounts = Accounts(
            policy.accounts,
            key=b"k" * 32,
            clock=clock.monotonic,
            account=lambda scope: Account(name := dict(scope["headers"])[b"x-user"].decode(), born[name]),
        )
        async with house(answers(PHOTO), policy, clock, accounts=accounts) as site:
            for user, most in (("old", 8), ("new", 2)):
                got = []
                for number in range(12):
                    headers = [*person(), (b"x-user", user.encode())]
                    peer = f"198.51.{number}.{1 if user == 'old' else 2}"
                    got.append(
                        (await site.ask(f"/media/{user}{number}.jpg", headers, peer=peer)).body == PHOTO
                    )
                assert sum(got) == most
                assert last(site)["standing"] == "member"

    run(job())


def test_what_the_answer_says_of_the_account_goes_no_further_and_is_never_believed_from_a_client() -> None:
    seen: list[dict[bytes, bytes]] = []
    said = [
        (b"content-type", b"image/jpeg"),
        (b"x-antiscrape-account", b"anna"),
        (b"x-antiscrape-owner", b"bert"),
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": said})
        await send({"type": "http.response.body", "body": PHOTO})

    async def job() -> None:
        policy, clock = policy_of(ROUTES), Clock()
        rules = replace(policy.accounts, cookies=("sessionid",))
        accounts = Accounts(rules, key=b"k" * 32, clock=clock.monotonic)
        async with house(app, policy, clock, accounts=accounts) as site:
            cookie = (b"cookie", b"sessionid=0123456789abcdef")
            headers = [*changed(person(), cookie), (b"x-antiscrape-account", b"admin")]
            answer = await site.ask("/media/1.jpg", headers)
            assert not {b"x-antiscrape-account", b"x-antiscrape-owner"} & set(dict(answer.fields))
            assert b"x-antiscrape-account" not in seen[-1]
            passages: list[Any] = []
            put_inside(site.app, keep(passages, site.app.app))
            await site.ask("/page", changed(person(), cookie))
            assert passages[-1].account.name == "anna"  # remembered for the session

    run(job())


def keep(passages: list[Any], app: ASGIApp) -> ASGIApp:
    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        passages.append(scope["state"]["antiscrape"])
        await app(scope, receive, send)

    return kept


def test_a_partners_key_opens_a_budget_of_its_own_until_its_last_day() -> None:
    key = new_key(bytes(range(16)))
    allowance = Allowance(
        Standing.PARTNER, Rendition.ORIGINAL, Rendition.PREVIEW, originals=parse_limits("3/day")
    )
    partner = Partner(
        name="press",
        purpose="research",
        allowance=allowance,
        until=1_700_000_500.0,
        key_hashes=(hash_key(key.encode()),),
    )

    async def job() -> None:
        policy, clock = policy_of(ROUTES), Clock()
        roles = RoleBook({}, verifier=None, bots=None, wall=clock.wall, partners=PartnerBook([partner]))
        passages: list[Scope] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            passages.append(scope)
            await answers(PHOTO)(scope, receive, send)

        async with house(app, policy, clock, roles=roles) as site:
            headers = [*crawler(b"press-archiver/1.0"), (b"x-antiscrape-key", key.encode())]
            got = []
            for number in range(5):
                answer = await site.ask(f"/media/{number}.jpg", headers, peer=f"198.51.{number}.1")
                got.append(answer.body == PHOTO)
            assert got == [True, True, True, False, False]
            assert last(site)["standing"] == "partner"
            for field in ((b"x-antiscrape-key", key.encode()), (b"authorization", b"Bearer " + key.encode())):
                await site.ask("/page", [*crawler(b"press-archiver/1.0"), field])
                assert field[0] not in dict(passages[-1]["headers"])
            own = (b"authorization", b"Bearer the-site's-own")
            await site.ask("/page", [*crawler(), own])
            assert own in passages[-1]["headers"]
            clock.tick(600)
            assert (await site.ask("/media/1.jpg", headers, peer="198.51.0.1")).body != PHOTO
            assert last(site)["standing"] == "bot"

    run(job())


def test_a_named_crawler_is_held_to_the_robots_txt_that_the_site_serves() -> None:
    saying = {**ROUTES, "ANTISCRAPE__PREFERENCES__ENABLED": "true"}
    robots = b"User-agent: *\nDisallow: /private/\n"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, kind = (
            (robots, b"text/plain") if scope["path"] == "/robots.txt" else (b"<p>hello</p>", b"text/html")
        )
        await answers(body, kind)(scope, receive, send)

    async def job() -> None:
        policy, clock = policy_of(saying), Clock()
        async with house(app, policy, clock, roles=roles_of(policy, clock)) as site:
            for peer, folder in (("198.51.100.1", "public"), ("198.51.100.2", "private")):
                await site.ask("/robots.txt", crawler(), peer=peer)
                for number in range(9):
                    await site.ask(f"/{folder}/{number}", crawler(), peer=peer)
                await site.ask("/media/1.jpg", crawler(), peer=peer)
                found = {one["name"] for one in last(site)["signals"]}
                assert ("robots-disobeyed" in found) is (folder == "private")

    run(job())


def test_a_server_of_the_fediverse_is_named_and_not_believed() -> None:
    """The form of its signature is right; whose key made it, nobody has looked."""
    signed = cavage()
    fields = [(name, value) for name, value in signed.fields.items() if name != b"host"]

    async def job() -> None:
        policy, clock = policy_of(ROUTES), Clock(epoch=signers.NOW)
        async with house(answers(PHOTO), policy, clock, roles=roles_of(policy, clock)) as site:
            await site.ask("/media/1001.jpg?w=320", [*crawler(b"Mastodon/4.5 (http.rb/5.2)"), *fields])
            assert last(site)["claim"] == {"name": "social.example", "proof": "unverified"}
            assert last(site)["rendition"] == "preview"

    run(job())
