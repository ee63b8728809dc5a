"""Whose address it is: the rules A1 to A14, and a model of 30 lines that was written from the RFCs alone."""

from __future__ import annotations

import ipaddress
import random
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from antiscrape.core.identity import LOCAL, Identity, read_address
from antiscrape.core.rules import IdentityRules
from antiscrape.errors import ConfigurationError
from antiscrape.settings import load_policy
from antiscrape.settings.units import read_network
from tests.fuzz import times
from tests.house import SECRET, Clock, gate_of, head_of, person, policy_of

if TYPE_CHECKING:
    from tests.house import Pairs

TRUSTED = ("10.0.0.0/8", "192.0.2.7", "2001:db8:aaaa::/48")


def rules(header: str = "x-forwarded-for", *trusted: str, unix: bool = False) -> IdentityRules:
    networks = tuple(network for text in trusted for network in read_network(text))
    return IdentityRules(trusted_proxies=networks, header=header, trust_unix=unix)


def client(rules: IdentityRules, peer: str | None, headers: Pairs) -> str:
    """Return the address that the gate would keep budgets for."""
    head, name = head_of("/", [(b"host", b"a.example"), *headers], peer=peer), rules.header.encode()
    return Identity(rules).find(head.peer, head.value(name), repeated=name in head.repeated).address


class Hop(NamedTuple):
    """One entry of a forwarding field: how it is written, and the address that a reader must see in it."""

    text: str
    address: str | None


def canonical(text: str) -> str:
    """Return the one name of an address: IPv4-mapped is IPv4 (RFC 4291 §2.5.5.2), RFC 5952 for the rest."""
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def model(trusted: tuple[str, ...], peer: str, hops: list[Hop], *, unix: bool) -> str:
    """Walk from the right for as long as the writer is trusted (RFC 7239 §7.4, and X-Forwarded-For's custom)."""
    networks = [ipaddress.ip_network(text) for text in trusted]

    def vouched(address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return any(parsed.version == network.version and parsed in network for network in networks)

    current = canonical(peer) if peer else LOCAL
    if not (vouched(current) if peer else unix):
        return current
    for hop in reversed(hops):
        if hop.address is None:
            return current
        current = hop.address
        if not vouched(current):
            return current
    return current


ADDRESSES = ["203.0.113.9", "198.51.100.4", "10.1.2.3", "10.9.9.9", "192.0.2.7", "192.0.2.8",
             "2001:db8:1::5", "2001:db8:aaaa::1", "2001:DB8:AAAA:0::2", "::ffff:10.0.0.5", "::ffff:203.0.113.1"]  # fmt: skip
RUBBISH = ["unknown", "_hidden", "1.2.3", "01.2.3.4", "[::1", "1.2.3.4:99999", "fe80::1%eth0", "", "localhost",
           "1.2.3.4:", "::1]:80", "10.0.0.1 10.0.0.2", "0x0a000001"]  # fmt: skip


def listed(rng: random.Random) -> Hop:
    """Return an entry of X-Forwarded-For."""
    if rng.random() < 0.2:
        return Hop(rng.choice(RUBBISH), None)
    address = rng.choice(ADDRESSES)
    plain = rng.choice(
        [address, f"[{address}]:{rng.randrange(1, 65536)}" if ":" in address else f"{address}:443"]
    )
    return Hop(" " * rng.randrange(3) + plain + " " * rng.randrange(2), canonical(address))


def element(rng: random.Random) -> Hop:
    """Return an element of Forwarded (RFC 7239 §4): pairs in any order, names in any case, values quoted or not."""
    hop = listed(rng)
    value = hop.text.strip()
    if hop.address is None and ('"' in value or "," in value):
        value = "unknown"
    quoted = f'"{value}"' if ":" in value or "[" in value or " " in value or rng.random() < 0.3 else value
    pairs = [f"{rng.choice(['for', 'For', 'FOR'])}={quoted}"]
    if rng.random() < 0.6:
        pairs.append(
            rng.choice(["proto=https", 'by="[2001:db8::9]:80"', "host=a.example", 'host="a;for=192.0.2.99"'])
        )
    rng.shuffle(pairs)
    return Hop(rng.choice([";", "; ", " ;"]).join(pairs), hop.address)


def lines(rng: random.Random, name: bytes, hops: list[Hop]) -> Pairs:
    """Spread the entries over one line or several: it is one list all the same (RFC 9110 §5.3)."""
    pairs: Pairs = []
    rest = [hop.text for hop in hops]
    while rest:
        count = rng.randrange(1, len(rest) + 1)
        pairs.append((name, ",".join(rest[:count]).encode()))
        rest = rest[count:]
    return pairs


@pytest.mark.security("A2")
@pytest.mark.security("A4")
def test_every_mixture_of_hops_trust_duplicates_and_aliases_is_read_as_by_the_model() -> None:
    rng = random.Random(20_000)
    for _ in range(times(4000)):
        header = rng.choice(["x-forwarded-for", "forwarded"])
        trusted = tuple(rng.sample(TRUSTED, rng.randrange(4)))
        unix = rng.random() < 0.5
        peer = "" if rng.random() < 0.1 else rng.choice(ADDRESSES)
        make = element if header == "forwarded" else listed
        hops = [make(rng) for _ in range(rng.randrange(7))]
        headers = lines(rng, header.encode(), hops)
        for alias in (
            b"x_forwarded_for",
            b"x.forwarded.for",
            b"x-real-ip",
            b"cf-connecting-ip",
            b"x-client-ip",
        ):
            if rng.random() < 0.2:
                headers.insert(rng.randrange(len(headers) + 1), (alias, b"203.0.113.250"))
        expected = model(trusted, peer, hops, unix=unix)
        assert client(rules(header, *trusted, unix=unix), peer, headers) == expected, (trusted, peer, headers)


@pytest.mark.security("A1")
def test_a_proxy_on_the_same_host_is_trusted_only_if_the_policy_says_so() -> None:
    headers = [(b"x-forwarded-for", b"10.0.0.1"), (b"x-real-ip", b"9.9.9.9")]
    assert client(rules(), "127.0.0.1", headers) == "127.0.0.1"
    assert client(rules("x-forwarded-for", "127.0.0.1"), "127.0.0.1", headers) == "10.0.0.1"


@pytest.mark.security("A2")
def test_the_leftmost_entry_is_never_taken_for_its_place() -> None:
    chain = [(b"x-forwarded-for", b"6.6.6.6, 203.0.113.9, 10.0.0.2")]
    assert client(rules("x-forwarded-for", "10.0.0.0/8"), "10.0.0.1", chain) == "203.0.113.9"
    assert client(rules("x-forwarded-for", "10.0.0.0/8"), "198.51.100.1", chain) == "198.51.100.1"


@pytest.mark.security("A3")
@pytest.mark.parametrize("everyone", ["*", "0.0.0.0/0", "::/0"])
def test_trust_in_everyone_has_to_be_said_twice(everyone: str) -> None:
    environ = {"ANTISCRAPE_SECRET": SECRET, "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": f'["{everyone}"]'}
    with pytest.raises(ConfigurationError):
        load_policy(environ=environ)
    load_policy(environ=environ | {"ANTISCRAPE__IDENTITY__UNSAFE_TRUST_EVERYONE": "true"})


@pytest.mark.security("A3")
def test_nobody_is_trusted_by_default(policy: object) -> None:
    assert policy_of().identity.trusted_proxies == ()
    assert policy_of().identity.trust_unix is False


@pytest.mark.security("A4")
@pytest.mark.parametrize("header", ["x-real-ip", "cf-connecting-ip"])
def test_a_field_of_one_address_that_comes_twice_is_as_good_as_none(header: str) -> None:
    trusting = rules(header, "10.0.0.0/8")
    once = [(header.encode(), b"203.0.113.9")]
    assert client(trusting, "10.0.0.1", once) == "203.0.113.9"
    assert client(trusting, "10.0.0.1", once * 2) == "10.0.0.1"
    assert client(trusting, "10.0.0.1", [*once, (header.encode(), b"6.6.6.6")]) == "10.0.0.1"


@pytest.mark.security("A5")
@pytest.mark.security("A6")
@pytest.mark.parametrize(
    "alias", [b"x_forwarded_for", b"x.forwarded.for", b"x-forwarded_for", b"xforwardedfor"]
)
def test_other_spellings_of_the_field_are_not_read(alias: bytes) -> None:
    assert client(rules("x-forwarded-for", "10.0.0.0/8"), "10.0.0.1", [(alias, b"6.6.6.6")]) == "10.0.0.1"


@pytest.mark.security("A8")
@pytest.mark.parametrize(
    "name", [b"x-antiscrape-standing", b"x_antiscrape_standing", b"x.antiscrape.standing"]
)
def test_a_field_of_ours_from_a_client_buys_nothing_and_is_held_against_it(name: bytes) -> None:
    gate = gate_of(policy_of(), Clock())
    verdict = gate.judge(head_of("/media/1.jpg", [*person(), (name, b"member")])).verdict
    assert "reserved-field-sent" in {finding.name for finding in verdict.findings}
    assert verdict.score >= policy_of().bot_at


@pytest.mark.security("A9")
@pytest.mark.parametrize("token", [*RUBBISH, ", " * 5000, "1.2.3.4, " * 10_000, "9" * 65_536, "[" * 9000])
def test_rubbish_falls_to_the_nearest_trusted_hop(token: str) -> None:
    chain = [(b"x-forwarded-for", f"6.6.6.6, {token}, 10.0.0.2".encode())]
    expected = "1.2.3.4" if token.startswith("1.2.3.4, ") else "10.0.0.2"
    if token.startswith((", ", "1.2.3.4, ")):
        chain = [(b"x-forwarded-for", f"{token}10.0.0.2".encode())]
    assert client(rules("x-forwarded-for", "10.0.0.0/8"), "10.0.0.1", chain) == expected


@pytest.mark.security("A9")
@pytest.mark.parametrize(
    "element",
    [
        'host="x;for=6.6.6.6";for=203.0.113.9',
        'host="x\\";for=6.6.6.6;\\"";for=203.0.113.9',
        'proto=https;host="for=6.6.6.6";for="203.0.113.9:80"',
        'for=203.0.113.9;host="a,for=6.6.6.6"',
        'host="a,for=6.6.6.6";for=203.0.113.9',
    ],
)
def test_what_a_client_put_into_its_host_is_no_hop(element: str) -> None:
    """HAProxy and others quote the Host field into Forwarded, some before the address."""
    for before in ("", "for=7.7.7.7, ", 'for="', 'for="7.7.7.7, '):
        chain = [(b"forwarded", (before + element).encode())]
        got = client(rules("forwarded", "10.0.0.0/8"), "10.0.0.1", chain)
        assert got in {"203.0.113.9", "10.0.0.1"}, (before, got)


@pytest.mark.security("A10")
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("::ffff:1.2.3.4", "1.2.3.4"), ("::FFFF:102:304", "1.2.3.4"), ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[2001:db8:0:0::1]", "2001:db8::1"), ("1.2.3.4:65535", "1.2.3.4"), ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ("2002:102:304::", "2002:102:304::"),
    ],
)  # fmt: skip
def test_an_address_has_one_name(text: str, address: str) -> None:
    assert str(read_address(text)) == address


@pytest.mark.security("A10")
@pytest.mark.parametrize(
    "text",
    ["fe80::1%25eth0", "fe80::1%\nX", "%", "1.2.3.4%", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:\u0661", "[1.2.3.4", "::1:",
     "\u0661.2.3.4", " 1.2.3.4", "1.2.3.4\n", "a" * 65, "", ":", "::ffff:1.2.3.4.5", "1.2.3.4:80:80"],
)  # fmt: skip
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_address(text) is None


@pytest.mark.security("A10")
def test_keys_of_neighbours_meet_where_the_policy_says() -> None:
    find = Identity(rules()).find

    def keys(peer: str) -> tuple[str, str]:
        found = find(peer)
        return found.key, found.rollup

    assert keys("198.51.100.4") == ("198.51.100.4", "198.51.100.0/24")
    assert keys("::ffff:198.51.100.4") == keys("198.51.100.4")
    assert keys("2001:db8:1:2::9") == keys("2001:db8:1:2:ffff::") == ("2001:db8:1:2::/64", "2001:db8:1::/48")
    assert keys("2001:db8:1:3::9")[1] == "2001:db8:1::/48"
    assert find("2001:db8:1:2ff::9").line == "2001:db8:1:200::/56"
    assert find("198.51.100.4").line == ""


@pytest.mark.security("A10")
@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "forwarded"])
@pytest.mark.parametrize(
    "text",
    ["198.51.100.4", "0.0.0.0", "255.255.255.255", "256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.004", "1.2.3.4 ",
     "1.2.3.4\n", "\u0661.2.3.4", "1..3.4", "10.0.0.1", "1.2.3.4:80", "::ffff:1.2.3.4", ""],
)  # fmt: skip
def test_the_usual_address_is_read_as_every_other(header: str, text: str) -> None:
    """A canonical IPv4 address is not parsed; with another roll-up it is."""
    trusted = ("10.0.0.0/8",)
    quick, slow = (
        Identity(replace(rules(header, *trusted), ipv4_rollup=width)) for width in (24, 25)
    )  # fmt: skip
    chain = text.encode("utf-8")
    told = quick.find("10.0.0.9", chain)
    address = None if header == "forwarded" else read_address(text.strip())
    assert told.address == ("10.0.0.9" if address is None else str(address))
    plain, wider = quick.find(text), slow.find(text)
    assert (plain.key, plain.address) == (wider.key, wider.address)
    if plain.key.count(".") == 3:
        assert plain.rollup == str(ipaddress.ip_network(f"{plain.key}/24", strict=False))


@pytest.mark.security("A11")
def test_the_widths_are_settings() -> None:
    wide = IdentityRules(ipv4_rollup=16, ipv6_prefix=56, ipv6_rollup=32)
    found = Identity(wide).find("2001:db8:1:2ff::9")
    assert (found.key, found.rollup) == ("2001:db8:1:200::/56", "2001:db8::/32")
    assert found.line == "", "a line as wide as the client is none"
    assert Identity(wide).find("198.51.100.4").rollup == "198.51.0.0/16"
    narrow = IdentityRules(ipv6_prefix=64, ipv6_line=60, ipv6_rollup=44)
    found = Identity(narrow).find("2001:db8:1f:2ff::9")
    assert (found.key, found.line, found.rollup) == (
        "2001:db8:1f:2ff::/64", "2001:db8:1f:2f0::/60", "2001:db8:10::/44",
    )  # fmt: skip


@pytest.mark.security("A14")
def test_a_peer_without_an_address_is_local_and_trusted_only_if_told() -> None:
    chain = [(b"x-forwarded-for", b"203.0.113.9")]
    for peer in (None, "", "/run/site.sock", "testclient"):
        assert client(rules(), peer, chain) == LOCAL
        assert client(rules(unix=True), peer, chain) == "203.0.113.9"
        assert client(rules(unix=True), peer, []) == LOCAL


def test_more_hops_than_any_chain_of_proxies_has_end_at_a_proxy() -> None:
    """Padding that every trusted hop vouches for: the walk stops, and stops at a trusted address."""
    chain = [(b"x-forwarded-for", b"6.6.6.6" + b", 10.0.0.2" * 500)]
    assert client(rules("x-forwarded-for", "10.0.0.0/8"), "10.0.0.1", chain) == "10.0.0.2"
