"""Forward-confirmed reverse DNS against a server on loopback: what verifies, what is disproven, what stays open."""

from __future__ import annotations

import asyncio

import pytest

from antiscrape.core.crawler import Answer
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.resolver import MOST_NAMES, Found, Resolver
from tests.house import PATIENCE
from tests.lookups.nameserver import ADDRESS, NAME, Zone, during, genuine, reverse, serving

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
GOOGLE = ("googlebot.com", "google.com")
ADDRESS6, NAME6 = "2001:4860:4801:10::1f", "crawl-2001-4860-4801-10--1f.googlebot.com"
#: Seconds for look-ups that are meant to run out.
BRIEF = 0.15


def verify(
    zone: Zone,
    address: str = ADDRESS,
    suffixes: tuple[str, ...] = GOOGLE,
    *,
    lifetime: float = PATIENCE,
) -> Answer:
    async def job(resolver: Resolver) -> Found:
        return await resolver.verify(address, suffixes)

    return during(zone, job, lifetime=lifetime).answer


@pytest.mark.security("H1")
def test_a_name_that_leads_there_and_back_verifies() -> None:
    assert verify(genuine()) is YES


@pytest.mark.security("H1")
def test_an_ipv6_address_verifies_by_its_aaaa_record_however_it_is_written() -> None:
    zone = Zone().point(ADDRESS6, NAME6 + ".").add(NAME6, "AAAA", "2001:4860:4801:10:0:0:0:1f")
    assert verify(zone, ADDRESS6) is YES
    assert zone.kinds("A") == []


@pytest.mark.security("H1")
def test_an_ipv4_mapped_address_is_the_ipv4_address() -> None:
    assert verify(genuine(), "::ffff:66.249.66.1") is YES


@pytest.mark.security("H1")
def test_a_pointer_alone_proves_nothing_and_a_name_that_leads_elsewhere_disproves() -> None:
    stolen = Zone().point("94.102.55.17", NAME + ".").add(NAME, "A", ADDRESS)
    assert verify(stolen, "94.102.55.17") is NO
    unconfirmed = Zone().point("94.102.55.17", NAME + ".")
    assert verify(unconfirmed, "94.102.55.17") is UNKNOWN


@pytest.mark.security("H2")
@pytest.mark.parametrize(
    "name",
    [
        "evilgooglebot.com.",
        "crawl-1.evilgooglebot.com.",
        "googlebot.com.evil.net.",
        "crawl-1.googlebotXcom.",
        "crawl-1.googlebot.com.br.",
        "crawl-1.googlebot-com.evil.net.",
        "com.",
        # one label that has a dot in it: as text it ends in ".googlebot.com"
        r"crawl-1\.googlebot.com.",
        r"crawl-1.evil\.googlebot.com.",
    ],
)
def test_a_name_beside_the_domain_disproves_even_where_it_leads_back(name: str) -> None:
    zone = Zone().point(ADDRESS, name).add(name, "A", ADDRESS)
    assert verify(zone) is NO
    assert zone.kinds("A") == [], "a stranger's name was asked for"


@pytest.mark.security("H2")
@pytest.mark.parametrize(
    "name", ["CRAWL-1.GoogleBot.COM.", "crawl-1.googlebot.com", "a.b.geo.googlebot.com."]
)
@pytest.mark.parametrize("suffix", ["googlebot.com", "googlebot.com.", "GOOGLEBOT.COM"])
def test_case_and_the_trailing_dot_do_not_matter(name: str, suffix: str) -> None:
    absolute = name.rstrip(".") + "."
    zone = Zone().point(ADDRESS, absolute).add(absolute, "A", ADDRESS)
    assert verify(zone, suffixes=(suffix,)) is YES


@pytest.mark.security("H2")
def test_of_fifty_names_ten_are_read_and_the_rest_is_no_ground_for_anything() -> None:
    strangers = [f"host-{number}-{'x' * 40}.example.net." for number in range(50)]
    zone = Zone().point(ADDRESS, *strangers)
    assert verify(zone) is UNKNOWN
    assert [asked[2] for asked in zone.asked] == ["udp", "tcp"], (
        "fifty names fit into no datagram of 1232 bytes"
    )

    claimed = [f"crawl-{number}.googlebot.com." for number in range(50)]
    zone = Zone().point(ADDRESS, *claimed)
    for name in claimed:
        zone.add(name, "A", "66.249.66.2")
    assert verify(zone) is UNKNOWN
    assert len(zone.kinds("A")) == MOST_NAMES


@pytest.mark.security("H2")
def test_one_true_name_among_strangers_verifies() -> None:
    zone = genuine().point(ADDRESS, "a.example.net.", "crawl-0.googlebot.com.", NAME + ".")
    assert verify(zone) is YES
    # servers answer in any order, and the look-up ends at the proof
    assert zone.kinds("A") in ([NAME], ["crawl-0.googlebot.com", NAME])


@pytest.mark.security("H2")
def test_a_chain_of_aliases_is_followed_on_both_ways() -> None:
    # RFC 2317 §4: a reverse zone smaller than a /24 is delegated by CNAMEs
    zone = Zone().add(reverse(ADDRESS), "CNAME", "1.0-25.66.249.66.in-addr.arpa.")
    zone.add("1.0-25.66.249.66.in-addr.arpa", "PTR", NAME + ".")
    zone.add(NAME, "CNAME", "x.google.com.").add("x.google.com", "CNAME", "y.example.net.")
    zone.add("y.example.net", "A", ADDRESS)
    assert verify(zone) is YES


@pytest.mark.security("H2")
@pytest.mark.parametrize("length", [2, 40])
def test_aliases_that_loop_or_never_end_prove_nothing(length: int) -> None:
    zone = Zone().point(ADDRESS, "c0.googlebot.com.")
    for number in range(length):
        following = (number + 1) % 2 if length == 2 else number + 1
        zone.add(f"c{number}.googlebot.com", "CNAME", f"c{following}.googlebot.com.")
    zone.add("c40.googlebot.com", "A", ADDRESS)
    assert verify(zone) is UNKNOWN


@pytest.mark.security("H2")
def test_a_name_with_addresses_of_the_other_family_only_is_neither_proof_nor_contradiction() -> None:
    zone = Zone().point(ADDRESS, NAME + ".").add(NAME, "AAAA", ADDRESS6, "::ffff:66.249.66.1")
    assert verify(zone) is UNKNOWN
    zone = Zone().point(ADDRESS6, NAME + ".").add(NAME, "A", ADDRESS)
    assert verify(zone, ADDRESS6) is UNKNOWN


@pytest.mark.security("H3")
def test_the_three_addresses_of_the_record() -> None:
    """Baidu's had a name without addresses, DuckDuckGo's its landlord's name, the fake none of Google's."""
    baidu = Zone().point("180.76.15.14", "baiduspider-180-76-15-14.crawl.baidu.com.")
    assert verify(baidu, "180.76.15.14", ("baidu.com", "baidu.jp")) is UNKNOWN
    fake = Zone().point("94.102.55.17", "no-reverse-dns-configured.com.")
    assert verify(fake, "94.102.55.17") is NO
    assert verify(Zone(), "94.102.55.17") is UNKNOWN, "no name at all is no contradiction"


@pytest.mark.security("H4")
@pytest.mark.parametrize("how", ["servfail", "refused", "silent", "cut-short", "garbage", "forged"])
@pytest.mark.parametrize("half", [reverse(ADDRESS), NAME])
def test_a_server_in_trouble_proves_nothing(how: str, half: str) -> None:
    assert verify(genuine().spoil(half, how), lifetime=BRIEF) is UNKNOWN


@pytest.mark.security("H4")
def test_what_somebody_else_sends_first_does_not_stand_for_the_answer() -> None:
    assert verify(genuine().spoil(reverse(ADDRESS), "overtaken").spoil(NAME, "overtaken")) is YES


@pytest.mark.security("H4")
def test_an_answer_cut_short_over_udp_is_had_over_tcp() -> None:
    zone = genuine().spoil(reverse(ADDRESS), "cut").spoil(NAME, "cut")
    assert verify(zone) is YES
    assert [transport for _, _, transport in zone.asked] == ["udp", "tcp", "udp", "tcp"]


@pytest.mark.security("H4")
def test_one_lifetime_bounds_the_whole_of_a_look_up() -> None:
    """It ends at the first of ten silent names, and the second is not asked for."""
    names = [f"crawl-{number}.googlebot.com." for number in range(10)]
    zone = Zone().point(ADDRESS, *names)
    for name in names:
        zone.spoil(name, "silent")
    assert verify(zone, lifetime=1.0) is UNKNOWN
    assert len(set(zone.kinds("A"))) == 1


@pytest.mark.security("H1")
@pytest.mark.parametrize(
    "address", ["10.0.0.1", "127.0.0.1", "::1", "fe80::1", "192.0.2.7", "local", "", "fe80::1%x"]
)
def test_what_no_public_zone_speaks_of_is_not_asked_for(address: str) -> None:
    zone = genuine()
    assert verify(zone, address) is UNKNOWN
    assert zone.asked == []


def test_a_nameserver_that_is_no_address_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="DNS cannot be asked"):
        Resolver(nameservers=["not an address"])


def test_it_runs_on_the_loop_of_the_server() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def run() -> Answer:
        async with serving(genuine()) as port:
            return (await Resolver(nameservers=["127.0.0.1"], port=port).verify(ADDRESS, GOOGLE)).answer

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) is YES
