"""Lists of networks: every format that is read, and every way in which a list has gone wrong."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.networks import Extent, PrefixTable
from antiscrape.errors import ConfigurationError
from antiscrape.lookups import lists
from antiscrape.lookups.lists import (
    MOST_BYTES,
    MOST_LINES,
    check_extent,
    parse_list,
    read_list,
)
from antiscrape.lookups.prefixes import Prefix, forbidden, read_prefix
from tests.costs import ends

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.core.networks import Network


def holds(body: str, *addresses: str, private: bool = False) -> list[bool]:
    table = parse_list(body.encode(), "list", private=private).table
    return [bool(table.find(ip_address(address))) for address in addresses]


def problems(body: bytes, *, private: bool = False, empty: bool = False) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse_list(body, "bad.txt", private=private, empty=empty)
    return caught.value.problems


@pytest.mark.parametrize(
    "body",
    [
        "203.0.113.0/24\n2001:db8::/32\n",
        "\ufeff# head\r\n\r\n203.0.113.0/24 ; a comment\r\n  2001:DB8::/32\t# another\r\n",
        "network,country\n203.0.113.0/24,DE,DE-BE,Berlin,\n2001:db8::/32,DE,,,",
        '203.0.113.0,203.0.113.255,"A, B",https://a.example/#x\n2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,C,',
        '{"creationTime": "x", "prefixes": [{"ipv4Prefix": "203.0.113.0/24"}, {"ipv6Prefix": "2001:db8::/32", "scope": "x"}]}',
        '{"prefixes": [{"ip_prefix": "203.0.113.0/24"}, {"ip_prefix": "203.0.113.0/24"}], "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32"}]}',
        '{"values": [{"properties": {"addressPrefixes": ["203.0.113.0/24"]}}, {"properties": {"addressPrefixes": ["2001:db8::/32", "203.0.113.0/24"]}}]}',
        '{"regions": [{"cidrs": [{"cidr": "203.0.113.0/24"}, {"cidr": "2001:db8::/32"}]}]}',
        '{"addresses": ["203.0.113.0/24"], "ipv6_addresses": ["2001:db8::/32"]}',
        '\n ["203.0.113.0/24", "2001:db8::/32"]\n',
        "::ffff:203.0.113.0/120\n2001:db8::/32\n",
        "203.0.113.0/25\n203.0.113.0/24\n203.0.113.255\n2001:db8:1::/48\n2001:db8::/32\n",
    ],
)  # fmt: skip
def test_every_format_says_the_same(body: str) -> None:
    inside = ("203.0.113.0", "203.0.113.255", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")
    outside = ("203.0.112.255", "203.0.114.0", "2001:db7:ffff::", "2001:db9::", "0.0.0.0", "::")
    assert holds(body, *inside) == [True] * 4
    assert holds(body, *outside) == [False] * 6


def test_a_range_that_is_no_network_is_taken_to_its_ends() -> None:
    body = "198.51.100.5,198.51.100.9,A,B\n198.51.100.200,DE\n"
    around = [f"198.51.100.{last}" for last in (4, 5, 9, 10, 199, 200, 201)]
    assert holds(body, *around) == [False, True, True, False, False, True, False]


BAD: list[tuple[bytes, str]] = [
    (b"", "names no network"),
    (b"\n\n  \n", "names no network"),
    (b"# nothing\n", "names no network"),
    (b"{}", "names no network"),
    (b"[]", "names no network"),
    (b"<!DOCTYPE html><title>502</title>", "HTML"),
    (b" \n<html>", "HTML"),
    (b"\x1f\x8b\x08\x00rest", "compressed"),
    (b"\xff\xfe1\x00.\x00", "bad.txt:1: is no UTF-8"),
    (b"198.51.100.0/24\n\xe9\n", "bad.txt:2: is no UTF-8"),
    (b'{"prefixes": [{"ipv4Prefix": "198.51.100.0/24"},\n {"ipv4Pre', "bad.txt:2: is broken JSON"),
    (b'{"prefixes": [{"ipv4Prefix": "198.51.100.0/24"}, {"other": "x"}]}', 'bad.txt:prefixes[1]: "{\\"other\\"'),
    (b'{"prefixes": "198.51.100.0/24"}', "bad.txt:prefixes: "),
    (b'["198.51.100.0/24", 7]', 'bad.txt:[1]: "7" is no network'),
    (b'["198.51.100.0/24", "198.51.100.0/24"]', "bad.txt:[1]: "),
    (b"198.51.100.0/2", "expected 192.0.0.0/2"),
    (b"198.51.100", "is no network; expected"),
    (b"198.51.100.0/24\n198.51.10", 'bad.txt:2: "198.51.10" is no network'),
    (b"a.example\n", "is no network"),
    (b"198.51.100.0/24/24\n", "has no length"),
    (b"198.51.100.0/\n", "has no length"),
    (b"198.51.100.0/024\n", "has no length"),
    (b"198.51.100.0/33\n", "a number from 0 to 32"),
    (b"2001:db8::/129\n", "a number from 0 to 128"),
    ("198.51.100.0/٢٤\n".encode(), "has no length"),
    (b"198.51.100.0/255.255.255.0\n", "has no length"),
    (b"198.051.100.0/24\n", "is no network"),
    (b"0xc6.51.100.0\n", "is no network"),
    (b"3325256704\n", "is no network"),
    (b"fe80::1%eth0\n", "zone id"),
    (b"2001:db8::1%25\x0bX\n", "zone id"),
    (b"198.51.100.7/24\n", "expected 198.51.100.0/24, or 198.51.100.7 alone"),
    (b"2001:db8::1/32\n", "expected 2001:db8::/32"),
    (b"0.0.0.0/0\n", "wider than /8"),
    (b"::/0\n", "wider than /16"),
    (b"8.0.0.0/7\n", "wider than /8"),
    (b"2600::/15\n", "wider than /16"),
    (b"10.1.0.0/16\n", "10.0.0.0/8 is private"),
    (b"192.0.0.0/9\n", "192.0.0.0/24 is"),
    (b"192.128.0.0/9\n", "192.168.0.0/16 is private"),
    (b"100.64.3.0/24\n", "100.64.0.0/10 is"),
    (b"127.0.0.1\n", "loopback"),
    (b"169.254.169.254\n", "link-local"),
    (b"224.0.0.0/8\n", "multicast"),
    (b"255.255.255.255\n", "reserved"),
    (b"::1\n", "loopback"),
    (b"::\n", "reserved"),
    (b"64:ff9b::/96\n", "no public network"),
    (b"fc00::/16\n", "private"),
    (b"fe80::/16\n", "link-local"),
    (b"ff02::/16\n", "multicast"),
    (b"4000::/16\n", "outside 2000::/3"),
    (b"::ffff:10.0.0.0/104\n", "10.0.0.0/8 is private"),
    (b"::ffff:0:0/95\n", "expected ::fffe:0:0/95"),
    (b"198.51.100.0/24\n\n198.51.100.0/24\n", 'bad.txt:3: "198.51.100.0/24" stands at 1 already'),
    (b"198.51.100.1\n198.51.100.1/32\n", "stands at 1 already"),
    (b"198.51.100.0/24,A\nnetwork,A\n", 'bad.txt:2: "network,A" is no network'),
    (b"network\n198.51.100.0/24\n", 'bad.txt:1: "network" is no network'),
    (b"198.51.100.9,198.51.100.5,A\n", "is no range"),
    (b"198.51.100.9,2001:db8::1,A\n", "is no range"),
    (b"198.51.100.0,198.51.1000.5,A\n", "is no network"),
    (b"1.0.0.0,9.255.255.255,A\n", "holds a network that is wider than /8"),
    (b"1.0.0.0,223.255.255.255,A\n", "holds a network that is"),
    (b"[" * 100_000, "beyond all measure"),
    (b'{"prefixes": [%s]}' % (b"9" * 1_000_000), "beyond all measure"),
]  # fmt: skip


@pytest.mark.security("H5")
@pytest.mark.parametrize(("body", "words"), BAD, ids=[f"{body[:24]!r}" for body, _ in BAD])
def test_a_bad_list_is_refused_with_what_was_wrong(body: bytes, words: str) -> None:
    with ends():
        found = problems(body)
    assert words in found[0]
    assert all(line.startswith("bad.txt:") and len(line) < 300 and line.isprintable() for line in found)


@pytest.mark.security("H5")
def test_of_many_bad_lines_five_are_quoted_and_the_rest_is_counted() -> None:
    found = problems(b"198.51.100.0/24\n" + b"<b>\x1b[31m" * 40 + b"\nno\n" * 4000)
    assert len(found) == 6
    assert found[0].startswith('bad.txt:2: "<b>\\u001b[31m')
    assert "..." in found[0]
    assert found[5] == "bad.txt: 3,996 more lines are wrong"


@pytest.mark.security("H5")
def test_a_million_lines_and_a_file_without_end_are_refused_unread() -> None:
    with ends(1.0):
        assert problems(b"198.51.100.1\n" * 1_000_000) == (f"bad.txt: has more than {MOST_LINES:,} lines",)
        assert problems(b"1" * (MOST_BYTES + 1)) == (f"bad.txt: is longer than {MOST_BYTES:,} bytes",)


@pytest.mark.security("H5")
def test_json_may_name_no_more_than_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_LINES", 1000)
    most = [f"198.51.{place >> 8}.{place & 255}" for place in range(1001)]
    assert parse_list(json.dumps(most[:-1]).encode(), "x").networks == 1000
    assert problems(json.dumps(most).encode()) == ("bad.txt: names more than 1,000 networks",)


def test_an_own_list_may_be_empty_if_it_says_so_and_name_what_is_at_home() -> None:
    assert parse_list(b"# nobody yet\n", "own", empty=True).networks == 0
    assert "names no network" in problems(b"\n", empty=True)[0]
    home = "10.1.2.0/24\nfd00::/8\n127.0.0.1\n::1\nfc00::/7\n"
    assert holds(home, "10.1.2.3", "fd00::1", "::1", "10.1.3.0", private=True) == [True, True, True, False]
    for never in (b"0.0.0.0/0", b"224.0.0.1", b"10.0.0.0/7", b"::/0", b"::/8", b"ff02::1"):
        assert problems(never, private=True)


def test_what_is_no_file_of_its_own_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (str(tmp_path), str(pipe), "/dev/zero"):
        with ends(), pytest.raises(ConfigurationError, match="no regular file"):
            read_list(path)
    with pytest.raises(ConfigurationError, match="no such file"):
        read_list(str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=r'"a\\u0000b": cannot be read'):
        read_list("a\0b")


def test_a_file_is_read_with_its_time_and_whether_its_last_line_was_ended(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("198.51.100.0/24\n203.0.113.9")
    os.utime(path, (1_000_000, 1_000_000))
    read = read_list(str(path), labels=4)
    assert (read.networks, read.ended, read.modified) == (2, False, 1_000_000.0)
    assert read.table.find(ip_address("203.0.113.9")) == 4
    assert parse_list(b"203.0.113.9\n", "x").ended
    assert parse_list(b'["203.0.113.9"]', "x").ended, "the brackets of JSON say that it is whole"


def addresses_of(networks: st.SearchStrategy[Network]) -> st.SearchStrategy[str]:
    return networks.map(str) | networks.map(lambda network: f"{network[-1]}/{network.prefixlen}")


def canonical(network: Network) -> Prefix:
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        network = IPv4Network((int(mapped), network.prefixlen - 96))
    return Prefix(network.version, int(network.network_address), network.prefixlen)


NETWORKS: st.SearchStrategy[Network] = st.one_of(
    st.tuples(st.integers(0, 32), st.integers(0, 2**32 - 1)).map(lambda p: IPv4Network((p[1] >> 32 - p[0] << 32 - p[0], p[0]))),
    st.tuples(st.integers(0, 128), st.integers(0, 2**128 - 1)).map(lambda p: IPv6Network((p[1] >> 128 - p[0] << 128 - p[0], p[0]))),
    st.integers(0, 32).map(lambda length: IPv6Network((0xFFFF << 32, 96 + length))),
)  # fmt: skip


@given(NETWORKS)
def test_every_public_network_is_read_as_ipaddress_reads_it(network: Network) -> None:
    words = forbidden(network)
    if words and not canonical(network).version < network.version:
        with pytest.raises(ValueError, match="is "):
            read_prefix(str(network))
    elif not words:
        assert read_prefix(str(network)) == canonical(network)
        assert canonical(network).last == int(network[-1])


@given(st.text(alphabet="0123456789abcdef:./%, x", max_size=40) | addresses_of(NETWORKS))
def test_no_text_is_read_that_ipaddress_refuses(text: str) -> None:
    try:
        prefix = read_prefix(text, private=True)
    except ValueError:
        return
    assert prefix == canonical(ip_network(text, strict=True))


@given(
    st.binary(max_size=200) | st.text(alphabet='[]{}",: ./0123456789aprefixs\n', max_size=200).map(str.encode)
)
def test_no_bytes_bring_the_reader_down(body: bytes) -> None:
    try:
        read = parse_list(body, "x")
    except ConfigurationError:
        return
    assert read.networks > 0


def nets(count: int) -> list[Network]:
    """Return ``count`` networks of 256 addresses with gaps between them, clear of all reserved blocks."""
    first = int(ip_address("20.0.0.0"))
    return [IPv4Network((first + 512 * place, 24)) for place in range(count)]


def replaces(old: list[Network], new: list[Network]) -> str:
    return check_extent(PrefixTable.of(old).extent(), PrefixTable.of(new).extent())


@pytest.mark.security("H5")
@pytest.mark.parametrize(
    ("new", "words"),
    [
        (nets(3001), "more than 3 times"),
        (nets(10_000), "more than 3 times"),
        (nets(666), "less than two thirds"),
        (nets(1), "less than two thirds"),
        ([*nets(1000), ip_network("8.0.0.0/8")], "IPv4 addresses, more than 3 times"),
        ([*nets(1000), ip_network("2a00::/16")], "/64s of IPv6, more than 3 times"),
    ],
)
def test_a_list_that_went_wrong_does_not_replace_a_good_one(new: list[Network], words: str) -> None:
    assert words in replaces(nets(1000), new)


def test_a_list_that_grew_shrank_or_was_aggregated_replaces_the_old_one() -> None:
    old = nets(1000)
    halves = [half for network in old for half in network.subnets()]
    for new in (old, nets(3000), nets(670), halves, [*old, ip_network("2a00:1450::/47")]):
        assert replaces(old, new) == ""
    assert replaces(halves, old) == ""
    assert replaces([], old[:190]) == ""
    assert replaces(old[:60], old[:1]) == "", "what is small may change as it likes"


def test_each_version_of_ip_must_keep_its_size_by_itself() -> None:
    before = Extent(30_000, 10**8, 5000, 10**10)
    assert "IPv6 ranges, less than" in check_extent(before, before._replace(ipv6_ranges=0, ipv6_networks=0))
    assert check_extent(before, before) == ""


@pytest.mark.parametrize(
    "text", ["198.51.100.0/24", "8.0.0.0/8", "2600::/16", "2001:db8::/32", "223.255.255.0/24"]
)
def test_public_networks_are_not_forbidden(text: str) -> None:
    assert forbidden(ip_network(text)) == ""


@pytest.mark.security("H5")
def test_the_published_lists_are_read_whole_and_half_of_one_replaces_none(shared: Path) -> None:
    folder = shared / "corpora/ip-lists"
    paths = [*folder.glob("lord-alfred/*/*.txt"), folder / "x4bnet/output/datacenter/ipv6.txt"]
    assert len(paths) > 25
    for path in paths:
        read = read_list(str(path))
        assert read.networks == len(path.read_text().split()), path
    assert read_list(str(folder / "ipcat/datacenters.csv")).extent.ipv4_ranges > 3000
    whole, body = read_list(str(paths[-1])), paths[-1].read_bytes()
    half = parse_list(body[: body.rindex(b"\n", 0, len(body) // 2) + 1], "half")
    assert "less than two thirds" in check_extent(whole.extent, half.extent)
