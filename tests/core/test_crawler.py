"""The words of crawlers: networks that are merged, lists that are read whole, and lists that are refused."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.crawler import (
    MOST_PREFIXES,
    Answer,
    Crawler,
    Proof,
    Purpose,
    judge_list,
    read_list,
)
from antiscrape.core.networks import PrefixTable
from tests.costs import ends

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.core.crawler import Network


def networks(*texts: str) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]


def published(*prefixes: str) -> str:
    """Return a list as Google, Bing and OpenAI publish it."""
    entries = [{"ipv6Prefix" if ":" in prefix else "ipv4Prefix": prefix} for prefix in prefixes]
    return json.dumps({"creationTime": "2026-01-01T00:00:00.000000", "prefixes": entries})


@pytest.mark.security("H9")
@pytest.mark.parametrize(
    ("answer", "complete", "proof"),
    [
        (Answer.YES, True, Proof.VERIFIED),
        (Answer.YES, False, Proof.VERIFIED),
        (Answer.NO, True, Proof.IMPOSTOR),
        (Answer.NO, False, Proof.UNVERIFIED),
        (Answer.UNKNOWN, True, Proof.UNVERIFIED),
        (Answer.UNKNOWN, False, Proof.UNVERIFIED),
    ],
)
def test_only_what_the_operator_rules_out_is_an_impostor(
    answer: Answer, *, complete: bool, proof: Proof
) -> None:
    crawler = Crawler("a", "A", Purpose.SEARCH, ("a",), complete=complete)
    assert crawler.conclude(answer) is proof


def test_prefixes_agree_with_the_lists_of_real_operators(shared: Path) -> None:
    folder = shared / "corpora/ip-lists/lord-alfred"
    for name in ("googlebot", "duckduckbot", "facebook", "amazon"):
        held = [
            network
            for path in sorted((folder / name).glob("ipv*.txt"))
            for network in read_list(path.read_text())
        ]
        prefixes = PrefixTable.of(held)
        assert all(prefixes.find(network.network_address) for network in held)
        assert all(prefixes.find(network.broadcast_address) for network in held)
        assert not prefixes.find(ipaddress.ip_address("94.102.55.17"))


@pytest.mark.security("H5")
def test_the_lists_that_operators_publish_are_fit(shared: Path) -> None:
    folder = shared / "corpora/ip-lists/lord-alfred"
    for name in ("googlebot", "bing", "duckduckbot", "openai", "perplexity", "telegram"):
        for path in sorted((folder / name).glob("ipv*.txt")):
            found = read_list(path.read_text())
            assert judge_list(found, before=len(found)) == "", path


def test_both_forms_of_a_list_are_read() -> None:
    wanted = networks("192.178.5.0/27", "2001:4860:4801:10::/64")
    assert read_list(published("192.178.5.0/27", "2001:4860:4801:10::/64")) == wanted
    assert (
        read_list("\ufeff# of today\r\n192.178.5.0/27  # a comment\r\n\r\n2001:4860:4801:10::/64\n") == wanted
    )
    assert read_list("69.162.124.227\n2607:ff68:107::4") == networks(
        "69.162.124.227/32", "2607:ff68:107::4/128"
    )


@pytest.mark.security("H5")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("\n# nothing\n", "is empty"),
        (published(), "is empty"),
        ("<!doctype html><title>Sign in</title>", "page of markup"),
        ("  <html>", "page of markup"),
        (published("192.178.5.0/27")[:-9], "not whole JSON"),
        ("[" * 100_000, "not whole JSON"),
        ('["192.178.5.0/27"]', 'no list "prefixes"'),
        ('{"prefixes": "192.178.5.0/27"}', 'no list "prefixes"'),
        ('{"prefixes": ["192.178.5.0/27"]}', "another shape"),
        ('{"prefixes": [{"ipv4Prefix": 1}]}', "another shape"),
        ('{"prefixes": [{"ipv4Prefix": "192.178.5.0/27", "ipv6Prefix": "2001:4860::/64"}]}', "another shape"),
        ('{"prefixes": [{"ip_prefix": "192.178.5.0/27"}]}', "another shape"),
        ("192.178.5.0/27\n192.178.6.32/2", "no network: '192.178.6.32/2'"),
        ("192.178.5.1/27", "no network"),
        ("192.178.5.0/27, 192.178.6.0/27", "no network"),
        ("Too many requests", "no network"),
        ("192.178.5.0/27\n" * (MOST_PREFIXES + 1), "more than"),
    ],
)
def test_what_is_no_whole_list_is_refused(text: str, problem: str) -> None:
    with ends(), pytest.raises(ValueError, match=problem):
        read_list(text)


@pytest.mark.security("H5")
@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (networks("0.0.0.0/0"), "wider than a /8"),
        (networks("::/0"), "wider than a /19"),
        (networks("16.0.0.0/7"), "wider than a /8"),
        (networks("2600::/18"), "wider than a /19"),
        (networks("10.0.0.0/8"), "not wholly public"),
        (networks("192.168.1.1/32"), "not wholly public"),
        (networks("172.0.0.0/8"), "not wholly public"),  # public but for 172.16.0.0/12 in it
        (networks("127.0.0.1/32"), "not wholly public"),
        (networks("169.254.169.254/32"), "not wholly public"),
        (networks("100.64.0.0/10"), "not wholly public"),
        (networks("224.0.0.1/32"), "not wholly public"),
        (networks("255.255.255.255/32"), "not wholly public"),
        (networks("::1/128"), "not wholly public"),
        (networks("::ffff:8.8.8.8/128"), "not wholly public"),
        (networks("64:ff9b::808:808/128"), "not wholly public"),
        (networks("fc00::/19"), "not wholly public"),
        (networks("fe80::/64"), "not wholly public"),
        (networks("2002:808:808::/48"), "not wholly public"),
        (networks("2001:db8::/48"), "not wholly public"),
        (networks("17.0.0.0/8", "18.0.0.0/8"), "more of IPv4 than a /8"),
        (networks("2600::/19", "2a00::/19"), "more of IPv6 than a /19"),
        (networks("17.0.0.0/24", "17.1.0.0/24") * 2, "repeats its entries"),
        ([], "is empty"),
    ],
)
def test_a_list_that_holds_what_no_crawler_has_is_unfit(found: list[Network], problem: str) -> None:
    assert problem in judge_list(found)


@pytest.mark.security("H5")
@pytest.mark.parametrize(
    ("before", "after", "fit"),
    [(100, 10, True), (100, 9, False), (10, 100, True), (10, 101, False), (0, 101, True), (None, 1, True)],
)
def test_a_list_that_grows_or_shrinks_tenfold_is_unfit(before: int | None, after: int, *, fit: bool) -> None:
    found: list[Network] = [ipaddress.IPv4Network((0x11000000 + number * 256, 24)) for number in range(after)]
    assert (judge_list(found, before) == "") is fit
