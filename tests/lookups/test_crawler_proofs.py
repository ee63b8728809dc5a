"""What becomes of a crawler's claim: by the lists that are kept, and by DNS on loopback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import pytest

from antiscrape.core.crawler import Proof
from antiscrape.lookups.crawlers import FRESH, VALID, CrawlerBook, Verifier, load_book
from antiscrape.lookups.resolver import Resolver
from tests.costs import calls_of, ends
from tests.house import PATIENCE
from tests.lookups.books import (
    GOOGLE,
    GPT,
    NOW,
    SHIPPED,
    TWO_LISTS,
    WALL,
    book_of,
    claimed,
    keep,
    listing,
)
from tests.lookups.nameserver import Zone, serving

if TYPE_CHECKING:
    from pathlib import Path

VERIFIED, IMPOSTOR, UNVERIFIED = Proof.VERIFIED, Proof.IMPOSTOR, Proof.UNVERIFIED


@pytest.fixture(scope="module")
def shipped() -> CrawlerBook:
    return load_book(SHIPPED, now=NOW, wall=WALL)


@pytest.mark.security("H9")
@pytest.mark.parametrize(
    ("age", "inside", "outside"),
    [
        (0.0, VERIFIED, IMPOSTOR),
        (FRESH - 1, VERIFIED, IMPOSTOR),
        (FRESH + 1, VERIFIED, UNVERIFIED),
        (VALID - 1, VERIFIED, UNVERIFIED),
        (VALID + 1, UNVERIFIED, UNVERIFIED),
        (-86_400.0, VERIFIED, IMPOSTOR),  # fetched before the clock was set back
    ],
)
def test_a_list_disproves_for_a_week_and_proves_for_a_month(
    tmp_path: Path, age: float, inside: Proof, outside: Proof
) -> None:
    keep(tmp_path, "gpt.json", listing("20.171.206.0/24", "2a00:1450:4000::/44"), age)
    verifier = Verifier(book_of(tmp_path, GPT))
    gptbot = claimed(verifier.book, "GPTBot/1.2")
    assert verifier.proof(gptbot, "20.171.206.9", NOW) is inside
    assert verifier.proof(gptbot, "2a00:1450:4000::1", NOW) is inside
    assert verifier.proof(gptbot, "94.102.55.17", NOW) is outside
    assert verifier.proof(gptbot, "94.102.55.17", NOW) is outside
    assert verifier.proof(gptbot, "94.102.55.17", NOW + FRESH + 1) is UNVERIFIED


def test_a_remembered_proof_ages_with_its_list(tmp_path: Path) -> None:
    keep(tmp_path, "gpt.json", listing("20.171.206.0/24"))
    verifier = Verifier(book_of(tmp_path, GPT))
    gptbot = claimed(verifier.book, "GPTBot/1.2")
    assert verifier.proof(gptbot, "94.102.55.17", NOW) is IMPOSTOR
    assert verifier.proof(gptbot, "94.102.55.17", NOW + FRESH + 1) is UNVERIFIED
    assert verifier.proof(gptbot, "20.171.206.9", NOW) is VERIFIED
    assert verifier.proof(gptbot, "20.171.206.9", NOW + VALID + 1) is UNVERIFIED


def test_without_a_list_or_without_an_address_nothing_is_said(tmp_path: Path) -> None:
    verifier = Verifier(book_of(tmp_path, GPT))
    gptbot = claimed(verifier.book, "GPTBot/1.2")
    assert verifier.proof(gptbot, "94.102.55.17", NOW) is UNVERIFIED
    keep(tmp_path, "gpt.json", listing("20.171.206.0/24"))
    verifier.renew(book_of(tmp_path, GPT))
    assert verifier.proof(gptbot, "local", NOW) is UNVERIFIED
    assert verifier.proof(gptbot, "94.102.55.17", NOW) is IMPOSTOR, "the former book is forgotten"


def test_a_list_that_is_not_whole_disproves_nothing(tmp_path: Path) -> None:
    keep(tmp_path, "four.txt", "5.172.196.188\n")
    verifier = Verifier(book_of(tmp_path, TWO_LISTS))
    pingdom = claimed(verifier.book, "Pingdom.com_bot_version_1.4")
    assert verifier.proof(pingdom, "5.172.196.188", NOW) is VERIFIED
    assert verifier.proof(pingdom, "94.102.55.17", NOW) is UNVERIFIED
    keep(tmp_path, "six.txt", "2600:3c00::1\n")
    verifier.renew(book_of(tmp_path, TWO_LISTS))
    assert verifier.proof(pingdom, "94.102.55.17", NOW) is IMPOSTOR


@pytest.mark.security("H5")
@pytest.mark.parametrize("text", ["", "<html>", "0.0.0.0/0", listing("20.171.206.0/24")[:-3], "\udcff"])
def test_a_kept_file_that_is_damaged_is_told_and_not_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "gpt.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    book = book_of(tmp_path, GPT)
    assert len(book.problems) == 1
    assert book.problems[0].startswith("gpt.json: ")
    assert Verifier(book).proof(claimed(book, "GPTBot"), "94.102.55.17", NOW) is UNVERIFIED


@pytest.mark.security("H3")
def test_duckduckgos_list_disproves_nobody(tmp_path: Path, shipped: CrawlerBook) -> None:
    keep(tmp_path, "duckduckbot.json", listing("57.152.72.128/32"))
    book = load_book(SHIPPED, tmp_path, now=NOW, wall=WALL)
    duck = claimed(book, "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)")
    verifier = Verifier(book)
    assert verifier.proof(duck, "57.152.72.128", NOW) is VERIFIED
    assert verifier.proof(duck, "50.16.247.234", NOW) is UNVERIFIED


class Case(NamedTuple):
    address: str
    names: tuple[str, ...]
    forward: tuple[str, ...]
    agent: str
    proof: Proof


CASES = (
    Case("66.249.66.1", ("crawl-66-249-66-1.googlebot.com.",), ("66.249.66.1",), "Googlebot/2.1", VERIFIED),
    Case("94.102.55.17", ("no-reverse-dns-configured.com.",), (), "Googlebot/2.1", IMPOSTOR),
    Case("94.102.55.18", ("crawl-66-249-66-1.googlebot.com.",), ("66.249.66.1",), "Googlebot/2.1", IMPOSTOR),
    Case("94.102.55.19", (), (), "Googlebot/2.1", UNVERIFIED),
    Case("34.1.2.3", ("3.2.1.34.bc.googleusercontent.com.",), ("34.1.2.3",), "Googlebot/2.1", IMPOSTOR),
    Case("180.76.15.14", ("baiduspider-180-76-15-14.crawl.baidu.com.",), (), "Baiduspider/2.0", UNVERIFIED),
    Case("50.16.247.234", ("ec2-50-16-247-234.compute-1.amazonaws.com.",), (), "DuckDuckBot/1.1", UNVERIFIED),
    Case("52.1.2.3", ("ec2-52-1-2-3.compute-1.amazonaws.com.",), (), "Amazonbot/0.1", UNVERIFIED),
    Case("52.1.2.4", ("52-1-2-4.crawl.amazonbot.amazon.",), ("52.1.2.4",), "Amazonbot/0.1", VERIFIED),
    Case(
        "157.55.33.18", ("msnbot-157-55-33-18.search.msn.com.",), ("157.55.33.18",), "bingbot/2.0", VERIFIED
    ),
    Case("149.154.161.1", ("host.example.net.",), (), "Discordbot/2.0", UNVERIFIED),
)


@pytest.mark.security("H3")
def test_real_claims_come_out_as_they_did(shipped: CrawlerBook) -> None:
    """The three outcomes over recorded addresses, from the User-Agent to the proof, with DNS on loopback."""
    zone = Zone()
    for case in CASES:
        if case.names:
            zone.point(case.address, *case.names)
        if case.forward:
            zone.add(case.names[0], "A", *case.forward)

    async def run() -> list[Proof | None]:
        async with serving(zone) as port:
            resolver = Resolver(nameservers=["127.0.0.1"], port=port, lifetime=PATIENCE)
            verifier = Verifier(shipped, resolver)
            claims = [(claimed(shipped, case.agent), case.address) for case in CASES]
            first = [verifier.proof(claim, address, NOW) for claim, address in claims]
            assert [proof is None for proof in first] == [bool(claim.suffixes) for claim, _ in claims]
            await resolver.settle()
            proofs = [verifier.proof(claim, address, NOW) for claim, address in claims]
            await resolver.aclose()
            return proofs

    assert asyncio.run(asyncio.wait_for(run(), PATIENCE)) == [case.proof for case in CASES]


@pytest.mark.security("H4")
def test_a_listed_address_is_verified_at_once_while_dns_is_dead_and_others_are_not_made_liars(
    tmp_path: Path,
) -> None:
    keep(tmp_path, "google.json", listing("66.249.64.0/19"))
    book = book_of(tmp_path, GOOGLE)
    googlebot = claimed(book, "Googlebot/2.1")
    zone = Zone(silent=True)

    async def run() -> None:
        async with serving(zone) as port:
            resolver = Resolver(nameservers=["127.0.0.1"], port=port, lifetime=0.1)
            verifier = Verifier(book, resolver)
            assert verifier.proof(googlebot, "66.249.66.1", NOW) is VERIFIED
            assert resolver.under_way == 0
            assert verifier.proof(googlebot, "94.102.55.17", NOW) is None
            await resolver.settle()
            assert verifier.proof(googlebot, "94.102.55.17", NOW + 1) is UNVERIFIED
            await resolver.aclose()

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


@pytest.mark.security("H4")
def test_ten_thousand_claimants_do_not_keep_the_true_one_out(tmp_path: Path) -> None:
    keep(tmp_path, "google.json", listing("66.249.64.0/19"))
    book = book_of(tmp_path, GOOGLE)
    googlebot = claimed(book, "Googlebot/2.1")

    async def run() -> None:
        async with serving(Zone(silent=True)) as port:
            resolver = Resolver(nameservers=["127.0.0.1"], port=port)
            verifier = Verifier(book, resolver)
            proofs = [
                verifier.proof(googlebot, f"94.{number // 250}.{number % 250}.7", NOW)
                for number in range(10_000)
            ]
            assert proofs.count(None) == 64 + 256
            assert proofs.count(UNVERIFIED) == 10_000 - 64 - 256
            assert verifier.proof(googlebot, "66.249.66.1", NOW) is VERIFIED
            assert calls_of(lambda: verifier.proof(googlebot, "95.1.1.1", NOW)) < 60
            await resolver.aclose()

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_without_dns_a_crawler_that_has_a_name_is_not_disproven_by_its_list(tmp_path: Path) -> None:
    keep(tmp_path, "google.json", listing("66.249.64.0/19"))
    book = book_of(tmp_path, GOOGLE)
    verifier = Verifier(book)
    assert verifier.proof(claimed(book, "Googlebot"), "66.249.66.1", NOW) is VERIFIED
    assert verifier.proof(claimed(book, "Googlebot"), "94.102.55.17", NOW) is UNVERIFIED


def test_outside_an_event_loop_a_proof_is_simply_not_known(tmp_path: Path) -> None:
    book = book_of(tmp_path, GOOGLE)
    verifier = Verifier(book, Resolver(nameservers=["127.0.0.1"], port=9))
    assert verifier.proof(claimed(book, "Googlebot"), "66.249.66.1", NOW) is None


@pytest.mark.security("H4")
def test_a_known_claim_costs_a_look_up_in_memory(tmp_path: Path) -> None:
    keep(tmp_path, "gpt.json", listing("20.171.206.0/24"))
    verifier = Verifier(book_of(tmp_path, GPT))
    gptbot = claimed(verifier.book, "GPTBot")
    verifier.proof(gptbot, "20.171.206.9", NOW)
    assert calls_of(lambda: verifier.proof(gptbot, "20.171.206.9", NOW)) <= 6
    with ends():
        for number in range(40_000):
            verifier.proof(gptbot, f"94.{number // 250}.{number % 250}.7", NOW)
    assert len(verifier._memo) <= 16_384
