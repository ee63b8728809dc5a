"""What was once wrong about who is asking, through the whole middleware."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.asgi.accounts import Accounts
from antiscrape.core.budgets import parse_limits
from antiscrape.core.crawler import Purpose
from antiscrape.core.history import History
from antiscrape.core.networks import Label, ListRule
from antiscrape.core.partner import Partner, PartnerBook, hash_key, new_key
from antiscrape.core.rules import Allowance, SignalRule
from antiscrape.core.signals import SIGNALS
from antiscrape.core.spread import GroupFacts, Level, Spread, Taking
from antiscrape.core.verdict import Action, Rendition, Standing
from antiscrape.gate.visits import Visits
from antiscrape.lookups.bot_keys import Bot, read_key
from antiscrape.lookups.networks import NetworkBook
from antiscrape.lookups.roles import RoleBook
from antiscrape.operate.prose import _STANDINGS
from antiscrape.settings.partners import doubts
from tests.house import (
    Clock,
    answers,
    changed,
    gate_of,
    head_of,
    house,
    person,
    photo,
    policy_of,
    visitor,
)
from tests.lookups import signers
from tests.test_who import ROUTES, crawler, last, roles_of

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send

PHOTO = photo()
KEY = new_key(bytes(range(16)))
SAID = ((b"x-antiscrape-account", b"anna"), (b"x-antiscrape-owner", b"bert"))


def partner(**changes: Any) -> Partner:
    allowance = Allowance(
        Standing.PARTNER, Rendition.ORIGINAL, Rendition.PREVIEW, originals=parse_limits("3/day")
    )
    first = Partner(
        name="press", purpose="research", allowance=allowance, key_hashes=(hash_key(KEY.encode()),)
    )
    return replace(first, **changes)


def roles(clock: Clock) -> RoleBook:
    return RoleBook({}, verifier=None, bots=None, wall=clock.wall, partners=PartnerBook([partner()]))


def keeping(scopes: list[Scope], app: ASGIApp) -> ASGIApp:
    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await app(scope, receive, send)

    return kept


@pytest.mark.parametrize("value", ["Bearer {}", "Bearer {}, Basic abc", "bearer  {}"])
@pytest.mark.parametrize("path", ["/robots.txt", "/.well-known/tdmrep.json", "/media/1.jpg"])
@pytest.mark.parametrize("mode", ["enforce", "off"])
def test_a_partners_key_reaches_the_site_by_no_way(value: str, path: str, mode: str) -> None:
    settings = {**ROUTES, "ANTISCRAPE__PREFERENCES__ENABLED": "true", "ANTISCRAPE__SITE__MODE": mode}
    scopes: list[Scope] = []

    async def job() -> None:
        clock = Clock()
        site = keeping(scopes, answers(PHOTO))
        async with house(site, policy_of(settings), clock, roles=roles(clock)) as site_:
            await site_.ask(path, [*crawler(), (b"authorization", value.format(KEY).encode())])

    asyncio.run(job())
    assert b"authorization" not in dict(scopes[-1]["headers"])


def test_where_nothing_is_judged_the_account_still_goes_no_further() -> None:
    async def job() -> None:
        policy, clock = policy_of({"ANTISCRAPE__SITE__MODE": "off"}), Clock()
        accounts = Accounts(policy.accounts, key=b"k" * 32, clock=clock.monotonic)
        async with house(answers(PHOTO, b"image/jpeg", *SAID), policy, clock, accounts=accounts) as site:
            answer = await site.ask("/media/1.jpg", person())
            assert answer.body == PHOTO
            assert not {name for name, _ in SAID} & set(dict(answer.fields))

    asyncio.run(job())


@pytest.mark.parametrize("cookies", [(), ("sessionid",)])
def test_an_account_does_not_outrank_what_the_operator_denies(
    tmp_path: Path, cookies: tuple[str, ...]
) -> None:
    deny = tmp_path / "deny.txt"
    deny.write_text("198.51.100.0/24\n")
    book = NetworkBook([ListRule(str(deny), Label.DENY)])

    async def job() -> None:
        policy, clock = policy_of(ROUTES), Clock()
        rules = replace(policy.accounts, cookies=cookies)
        accounts = Accounts(rules, key=b"k" * 32, clock=clock.monotonic)
        app = answers(PHOTO, b"image/jpeg", *SAID)
        async with house(app, policy, clock, networks=book, accounts=accounts) as site:
            headers = changed(person(), (b"cookie", b"sessionid=0123456789abcdef"))
            for number in range(3):
                denied = await site.ask(f"/media/{number}.jpg", headers, peer="198.51.100.7")
                assert denied.body != PHOTO
                assert last(site)["standing"] == "bot"
                assert (await site.ask(f"/media/{number}.jpg", headers, peer="203.0.113.7")).body == PHOTO

    asyncio.run(job())


def test_a_link_is_not_borrowed_by_whom_it_was_given_to_though_the_answer_named_an_account() -> None:
    traps = {
        "ANTISCRAPE__TRAPS__INJECT": "true",
        "ANTISCRAPE__TRAPS__TAGGED": "true",
        "ANTISCRAPE__TRAPS__PATH": "/archive-1",
    }
    page = b"<!doctype html><html><body><p>hello</p></body></html>"

    async def job() -> None:
        policy, clock = policy_of(traps), Clock()
        accounts = Accounts(policy.accounts, key=b"k" * 32, clock=clock.monotonic)
        async with house(answers(page, b"text/html", *SAID), policy, clock, accounts=accounts) as site:
            for peer, borrowed in (("203.0.113.7", False), ("203.0.113.8", True)):
                given = await site.ask("/page", visitor("chromium page"), peer="203.0.113.7")
                link = given.body.split(b'<a href="')[1].split(b'"')[0].decode()
                await site.ask(link, visitor("chromium page"), peer=peer)
                await site.ask(link, visitor("chromium page"), peer=peer)
                signals = last(site)["signals"] if site.ledger.events else []
                assert ("trap-link-borrowed" in {one["name"] for one in signals}) is borrowed

    asyncio.run(job())


def test_every_standing_has_words() -> None:
    assert set(_STANDINGS) == {standing.value for standing in Standing}


def test_of_a_partner_whose_time_is_over_nothing_else_is_said() -> None:
    over = partner(until=5.0, allowance=replace(partner().allowance, originals=()))
    assert [words for _, words in doubts([over], 10.0)] == ['has passed, so "press" is nobody any more']


def test_a_forged_signature_speaks_against_a_path_that_no_route_names_too() -> None:
    """Such an image is judged twice: at its request and at its first bytes; the forgery counts both times."""
    signer = signers.ed25519()
    bot = Bot("archive", Purpose.ARCHIVE, keys=(read_key(signer.jwk),))
    fields = signer.signed('("@authority")', signers.REQUEST, nonce='"once"')
    quiet = {name: SignalRule(0) for name in SIGNALS if name != "signature-false"}

    async def job() -> None:
        policy, clock = policy_of(signals=quiet, routes=()), Clock(epoch=signers.NOW)
        async with house(answers(PHOTO), policy, clock, roles=roles_of(policy, clock, None, bot)) as site:
            headers = [*person(), *fields.items()]
            await site.ask("/page", headers)
            for number in range(3):
                assert (await site.ask(f"/media/{number}.jpg", headers)).body != PHOTO
                assert last(site)["standing"] == "bot"
            assert (await site.ask("/media/9.jpg", person())).body == PHOTO

    asyncio.run(job())


def test_what_a_group_may_not_have_still_costs_a_request() -> None:
    """Else the members of a group that has spent its ration could ask for previews without end."""
    quiet = dict.fromkeys(SIGNALS, SignalRule(0))
    policy = policy_of({**ROUTES, "ANTISCRAPE__STANDING__BROWSER__REQUESTS": "40/min"}, signals=quiet)
    spent = History(0.0)
    spent.originals = dict.fromkeys(range(10_000), 1000.0)

    class Spent(Spread):
        def note(self, taking: Taking, now: float) -> GroupFacts:
            return GroupFacts(beginners=Level.SUSPECTED, group="look", ration=spent)

    gate = gate_of(policy, Clock(), spread=Spent(key=bytes(32), started=0.0))
    verdicts = [gate.judge(head_of(f"/media/{n * 7919 % 1000}.jpg", person())).verdict for n in range(60)]
    assert {verdict.rendition for verdict in verdicts[:5]} == {Rendition.PREVIEW}
    assert verdicts[-1].action is Action.LIMIT


def test_an_address_has_room_for_new_looks_again_after_a_while() -> None:
    """One that is never idle would else have had its last new browser weeks ago."""
    visits = Visits(lambda history: history.visit)
    address = History(0.0)
    assert visits.find(address, b"first", 0.0) is address
    seen = [visits.find(address, b"%d" % number, 1.0) for number in range(80)]
    assert sum(one is address for one in seen) == 16
    assert visits.find(address, b"later", 2000.0) is not address
