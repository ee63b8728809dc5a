"""The book of networks: the table against a naive scan, and reloads that go wrong."""

from __future__ import annotations

import os
import random
import threading
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.networks import NOTHING, Label, ListRule, NetworkFacts, PrefixTable
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.lists import read_list
from antiscrape.lookups.networks import NetworkBook
from tests.costs import ends

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.core.networks import Address, Network


def ipv4(start: int, length: int) -> Network:
    return IPv4Network((start >> 32 - length << 32 - length, length))


def ipv6(start: int, length: int) -> Network:
    return IPv6Network((start >> 128 - length << 128 - length, length))


def near(bits: int) -> st.SearchStrategy[int]:
    """Numbers of few regions, so that networks nest, touch and meet the ends of the line."""
    ends_of_line = st.sampled_from([0, 2**bits - 1, 2 ** (bits - 1)])
    return (
        ends_of_line
        | st.integers(0, 2**10).map(lambda n: n << bits - 10 & 2**bits - 1)
        | st.integers(0, 2**bits - 1)
    )


NETWORKS: st.SearchStrategy[Network] = st.one_of(
    st.builds(ipv4, st.integers(0xC6336400, 0xC6336410), st.integers(28, 32)),
    st.builds(ipv6, st.integers(0x20010DB8 << 96, (0x20010DB8 << 96) + 16), st.integers(124, 128)),
    st.builds(ipv4, near(32), st.integers(0, 32)),
    st.builds(ipv6, near(128), st.integers(0, 128)),
    st.builds(ipv6, st.integers(0, 40).map(lambda n: (0x20010DB8 << 96) + (n << 62)), st.integers(60, 128)),
)
LISTS = st.lists(st.tuples(st.lists(NETWORKS, max_size=12), st.sampled_from([1, 2, 4, 8, 16])), max_size=4)


def probes(networks: list[Network]) -> list[Address]:
    found: list[Address] = [IPv4Address(0), IPv4Address(2**32 - 1), IPv6Address(0), IPv6Address(2**128 - 1)]
    for network in networks:
        kind, top = (IPv4Address, 2**32) if network.version == 4 else (IPv6Address, 2**128)
        edges = (int(network[0]), int(network[-1]))
        found += [kind(edge + step) for edge in edges for step in (-1, 0, 1) if 0 <= edge + step < top]
    return found


@given(LISTS)
def test_the_table_answers_as_a_scan_of_all_lists_does(lists: list[tuple[list[Network], int]]) -> None:
    table = PrefixTable.overlay([PrefixTable.of(networks, label) for networks, label in lists])
    for address in probes([network for networks, _ in lists for network in networks]):
        naive = 0
        for networks, label in lists:
            if any(address in network for network in networks):
                naive |= label
        assert table.find(address) == naive, address
        by_number = table.find_ipv4 if address.version == 4 else table.find_ipv6
        assert by_number(int(address)) == naive


@given(
    st.lists(st.builds(ipv4, near(32), st.integers(26, 32)), max_size=8),
    st.lists(st.builds(ipv6, near(128), st.integers(58, 64)), max_size=8),
)
def test_the_extent_counts_each_address_once(four: list[Network], six: list[Network]) -> None:
    extent = PrefixTable.of([*four, *six]).extent()
    held = {start for network in four for start in range(int(network[0]), int(network[-1]) + 1)}
    halves = {
        start for network in six for start in range(int(network[0]) >> 64, (int(network[-1]) >> 64) + 1)
    }
    assert (extent.ipv4_addresses, extent.ipv6_networks) == (len(held), len(halves))
    assert extent.ipv4_ranges == sum(1 for start in held if start - 1 not in held)
    assert extent.ipv6_ranges == sum(1 for start in halves if start - 1 not in halves)


def test_a_piece_of_a_64_counts_as_one() -> None:
    table = PrefixTable.of(
        [ip_network("2001:db8::1/128"), ip_network("2001:db8::4/127"), ip_network("2001:db8:1::/64")]
    )
    assert table.extent() == (0, 0, 3, 2)


def test_the_published_lists_of_data_centres_are_answered_as_ipaddress_does(shared: Path) -> None:
    folder = shared / "corpora/ip-lists/x4bnet/output/datacenter"
    chance = random.Random(7)  # the same addresses every time
    for name in ("ipv4.txt", "ipv6.txt"):
        path = folder / name
        networks = [ip_network(line) for line in path.read_text().split()]
        table = read_list(str(path)).table
        for address in probes(chance.sample(networks, 6)):
            assert bool(table.find(address)) == any(address in network for network in networks), address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hosting.txt").write_text("198.51.100.0/24\n2001:db8:a::/48\n192.0.2.0/24\n")
    (tmp_path / "vpn.txt").write_text("198.51.100.128/25\n")
    (tmp_path / "tor.txt").write_text("203.0.113.9\n2001:db8:a::9\n")
    (tmp_path / "deny.txt").write_text("203.0.113.0/24\n")
    (tmp_path / "allow.txt").write_text("10.0.0.0/8\n203.0.113.77\n")
    return tmp_path


def rules(folder: Path) -> list[ListRule]:
    return [ListRule(str(folder / f"{label.value}.txt"), label) for label in Label]


@pytest.mark.parametrize(
    ("address", "facts"),
    [
        ("198.51.100.1", NetworkFacts(hosting=True)),
        ("198.51.100.200", NetworkFacts(hosting=True, vpn=True)),
        ("203.0.113.9", NetworkFacts(tor=True, deny=True)),
        ("203.0.113.77", NetworkFacts(deny=True, allow=True)),
        ("10.9.8.7", NetworkFacts(allow=True)),
        ("2001:db8:a::1", NetworkFacts(hosting=True)),
        ("2001:db8:a::9", NetworkFacts(hosting=True, tor=True)),
        ("2001:db8:b::9", NOTHING),
        ("::ffff:198.51.100.1", NetworkFacts(hosting=True)),
        ("8.8.8.8", NOTHING), ("local", NOTHING), ("", NOTHING), ("198.51.100", NOTHING), ("198.51.100.1/32", NOTHING),
        ("fe80::1%eth0", NOTHING), ("\0\n", NOTHING), ("9" * 100_000, NOTHING),
    ],
)  # fmt: skip
def test_an_address_has_what_every_list_says_of_it(folder: Path, address: str, facts: NetworkFacts) -> None:
    book = NetworkBook(rules(folder))
    assert book.facts(address) == facts
    assert book.facts(address) == facts, "also from memory"


def test_a_book_without_lists_knows_nothing() -> None:
    book = NetworkBook([])
    assert book.facts("198.51.100.1") is NOTHING
    assert book.reload() == ()
    assert book.states() == ()


@pytest.mark.security("A12")
def test_no_number_of_addresses_outgrows_the_memory_of_answers(folder: Path) -> None:
    book = NetworkBook(rules(folder))
    with ends():
        for number in range(70_000):
            book.facts(f"20.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert 30_000 < len(book._reading.memo) <= 65_536
    before = len(book._reading.memo)
    book.facts("x" * 10_000)
    assert len(book._reading.memo) == before


def test_the_start_tells_everything_that_is_wrong_at_once(folder: Path) -> None:
    (folder / "tor.txt").write_text("<html>")
    (folder / "vpn.txt").write_text("0.0.0.0/0\n")
    (folder / "deny.txt").unlink()
    with pytest.raises(ConfigurationError) as caught:
        NetworkBook(rules(folder), str(folder / "none.mmdb"))
    told = sorted(problem.removeprefix(f"{folder}/").partition(":")[0] for problem in caught.value.problems)
    assert told == ["deny.txt", "none.mmdb", "tor.txt", "vpn.txt"]


def many(count: int, first: str = "20.0.0.0") -> str:
    start = int(ip_address(first))
    return "".join(f"{IPv4Address(start + 512 * place)}/24\n" for place in range(count))


@pytest.mark.security("H5")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "names no network"),
        ("# all gone\n", "names no network"),
        ("<!doctype html>", "HTML"),
        (many(10_000), "more than 3 times"),
        (many(500), "less than two thirds"),
        (many(900)[:-1], "as if half of it were written"),
        (many(900)[:-4], "as if half of it were written"),
        (many(900)[:-2], "has bits set beyond its length"),
        (many(900)[:-7], "is no network"),
        (many(1000) + "0.0.0.0/0\n", "wider than /8"),
        (many(1000) + "192.168.0.0/24\n", "private"),
        (many(1000) * 2, "more lines are wrong"),
        ('{"prefixes": [{"ipv4Prefix"', "broken JSON"),
    ],
)  # fmt: skip
def test_a_refreshed_list_that_went_wrong_leaves_the_last_good_one(
    folder: Path, body: str, words: str
) -> None:
    (folder / "hosting.txt").write_text(many(1000))
    book = NetworkBook(rules(folder))
    before = book.states()
    (folder / "hosting.txt").write_text(body)
    (folder / "vpn.txt").write_text("198.51.100.0/24\n")
    objections = book.reload()
    assert words in objections[-1]
    assert all(objection.startswith(f"{folder}/hosting.txt") for objection in objections)
    assert book.facts("20.0.0.1") == NetworkFacts(hosting=True)
    assert book.facts("198.51.100.1") == NetworkFacts(vpn=True), "a list beside it is taken all the same"
    assert book.states()[0] == before[0]
    (folder / "hosting.txt").write_text(many(1100))
    assert book.reload() == ()
    assert book.facts("20.8.0.1") == NetworkFacts(hosting=True)


def test_a_reload_forgets_what_was_looked_up_before_it(folder: Path) -> None:
    book = NetworkBook(rules(folder))
    assert book.facts("192.0.2.1") == NetworkFacts(hosting=True)
    (folder / "hosting.txt").write_text("198.51.100.0/24\n")
    assert book.reload() == ()
    assert book.facts("192.0.2.1") is NOTHING


def test_an_operators_own_list_may_change_as_it_likes(folder: Path) -> None:
    (folder / "deny.txt").write_text(many(1000))
    book = NetworkBook(rules(folder))
    (folder / "deny.txt").write_text("# forgiven, all of them\n")
    assert book.reload() == ()
    assert book.facts("20.0.0.1") is NOTHING
    (folder / "deny.txt").write_text("")
    assert "names no network" in book.reload()[0], "a file cut to nothing is no decision"


def test_states_tell_what_is_in_use_and_since_when(folder: Path) -> None:
    os.utime(folder / "hosting.txt", (1_000_000, 1_000_000))
    state = NetworkBook(rules(folder)).states()[0]
    assert state == (str(folder / "hosting.txt"), Label.HOSTING, 3, 1_000_000.0)


def test_a_reload_beside_the_traffic_never_shows_half_of_it(folder: Path) -> None:
    """Two lists change together; every answer is all of the old state or all of the new one."""
    old, new = NetworkFacts(hosting=True, vpn=True), NetworkFacts(tor=True)
    book = NetworkBook(rules(folder))
    (folder / "hosting.txt").write_text("192.0.2.0/24\n")
    (folder / "vpn.txt").write_text("192.0.2.0/24\n")
    (folder / "tor.txt").write_text("198.51.100.200\n")
    thread = threading.Thread(target=book.reload)
    seen = {book.facts("198.51.100.200")}
    thread.start()
    with ends():
        while thread.is_alive():
            seen.add(book.facts("198.51.100.200"))
    thread.join()
    seen.add(book.facts("198.51.100.200"))
    assert seen == {old, new}
