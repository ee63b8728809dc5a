"""Clearances: one canonical string each, worth something to one site, host, family and network, for a time."""

from __future__ import annotations

import base64
from itertools import product
from typing import Any

import pytest

from antiscrape.core.agent import Agent, AgentKind, Engine
from antiscrape.core.clearance import (
    NAME,
    Clearance,
    Clearances,
    Level,
    clearance_key,
    family_of,
    network_of,
    tokens_in,
)
from antiscrape.core.identity import Identity, Principal
from antiscrape.core.rules import IdentityRules
from antiscrape.core.tokens import KeyRing
from tests.house import SECRET

OTHER = b"Yq2-other-secret-of-32-bytes-and-more-0xZ"
NOW = 1_700_000_000.0
BOUND = {"family": "browser/gecko/Linux/", "host": "photos.example"}
NETWORK = "203.0.113.0/24"


def ring(*secrets: bytes) -> KeyRing:
    return KeyRing(secrets or (SECRET.encode(),))


def made(
    keys: KeyRing | None = None, *, level: Level = Level.PROVEN, lasts: float = 3600.0, **bound: str
) -> bytes:
    return (
        Clearances(keys or ring(), "site")
        .make(b"n" * NAME, level, now=NOW, lasts=lasts, network=NETWORK, **{**BOUND, **bound})
        .encode()
    )


def read(
    text: bytes,
    keys: KeyRing | None = None,
    *,
    now: float = NOW,
    site: str = "site",
    host: str = BOUND["host"],
    family: str = BOUND["family"],
) -> Clearance | None:
    return Clearances(keys or ring(), site).read(text, now=now, host=host, family=family)


@pytest.mark.parametrize("level", list(Level))
def test_what_is_made_is_read(level: Level) -> None:
    clearance = read(made(level=level))
    assert clearance is not None
    assert clearance[:4] == ((b"n" * NAME).hex(), level, int(NOW), int(NOW) + 3600)
    assert Clearances.is_of(clearance, NETWORK)
    assert not Clearances.is_of(clearance, "203.0.112.0/24")


@pytest.mark.security("G6")
@pytest.mark.parametrize(
    ("site", "host", "family"),
    [
        ("site", "other.example", BOUND["family"]),
        ("site", BOUND["host"], "browser/chromium/Linux/"),
        ("another", BOUND["host"], BOUND["family"]),
    ],
)
def test_it_is_worth_nothing_elsewhere(site: str, host: str, family: str) -> None:
    assert read(made(), site=site, host=host, family=family) is None


@pytest.mark.security("G6", "F6")
def test_it_has_its_time() -> None:
    assert read(made(), now=NOW + 3599) is not None
    assert read(made(), now=NOW + 3600) is None
    assert read(made(), now=NOW - 61) is None, "a date in the future is nobody's"
    assert read(made(), now=NOW - 59) is not None, "but clocks of two workers differ"


@pytest.mark.security("G6", "F6")
def test_what_has_ended_is_read_for_as_long_as_it_may_be_renewed() -> None:
    clearances = Clearances(ring(), "site")
    for now, past, found in ((3600, 1.0, True), (3601, 1.0, False), (3600, 0.0, False)):
        assert (clearances.read(made(), now=NOW + now, past=past, **BOUND) is not None) is found


def test_it_names_the_one_that_it_renewed_and_none_before() -> None:
    clearances = Clearances(ring(), "site")
    first = read(made())
    assert first is not None
    assert not first.former
    told: dict[str, Any] = {"now": NOW, "lasts": 3600.0, "network": NETWORK, **BOUND}
    second = read(clearances.make(b"m" * NAME, Level.PROVEN, former=first.name, **told).encode())
    assert second is not None
    assert (second.name, second.former) == ((b"m" * NAME).hex(), first.name)
    third = read(clearances.make(b"o" * NAME, Level.PROVEN, former=second.name, **told).encode())
    assert third is not None
    assert third.former == second.name


@pytest.mark.security("F3")
def test_secrets_rotate() -> None:
    old, both, new = ring(OTHER), ring(OTHER, SECRET.encode()), ring(SECRET.encode())
    assert read(made(old), both) is not None
    assert read(made(both), new) is not None
    assert read(made(old), new) is None


@pytest.mark.security("F1")
def test_one_string_alone_stands_for_it() -> None:
    """Every other last character, padding, alphabet and surrounding of a valid one is refused."""
    text = made()
    assert len(text) == 44 + 1 + 24
    alphabet = base64.urlsafe_b64encode(bytes(range(256)))[:340].replace(b"=", b"")
    others = {text[:-1] + bytes([last]) for last in set(alphabet)} - {text}
    others |= {text + end for end in (b"=", b"==", b"@@@", b"\n", b" ", b".")} | {
        b" " + text,
        text.swapcase(),
    }
    others |= {text.replace(b".", sign) for sign in (b"", b"..", b":")}
    others |= {text[:at] + text[at + 1 :] for at in range(len(text))}
    assert not [other for other in others if read(other) is not None]


def test_two_clearances_of_one_network_do_not_show_it() -> None:
    clearances = Clearances(ring(), "site")
    one, two = (
        clearances.make(
            bytes([n]) * NAME, Level.PROVEN, now=NOW, lasts=600, network=NETWORK, **BOUND
        ).encode()
        for n in (1, 2)
    )
    tails = [base64.urlsafe_b64decode(text[:44])[-6:] for text in (one, two)]
    assert tails[0] != tails[1]


@pytest.mark.security("D8")
@pytest.mark.parametrize(
    ("field", "found"),
    [
        (b"clearance=a", [b"a"]),
        (b"x=1; clearance=a; y=2", [b"a"]),
        (b'clearance="a"', [b"a"]),
        (b"clearance=planted; clearance=a", [b"planted", b"a"]),
        (b"xclearance=a; my-clearance=b", []),
        (b"clearance", []),
        (b"=clearance=a", []),
        (b"clearance=", [b""]),
        (b"x=clearance=a", []),
        (b"; \t clearance=a", [b"a"]),
        (b"clearance=a;" * 9, [b"a"] * 4),
        (b"x" * 16_385 + b"; clearance=a", []),
    ],
)
def test_cookies_are_read_whatever_they_hold(field: bytes, found: list[bytes]) -> None:
    assert list(tokens_in(field, b"clearance")) == found


@pytest.mark.security("D8")
def test_a_field_that_is_full_of_our_name_costs_four_tries() -> None:
    field = b"clearance=" * 1600
    assert len(list(tokens_in(field, b"clearance"))) <= 4


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("", "local"),
    ],
)
def test_it_is_bound_to_a_network_and_not_to_an_address(address: str, network: str) -> None:
    assert network_of(Identity(IdentityRules()).find(address)) == network


def test_a_family_outlives_an_update_and_tells_browsers_apart() -> None:
    agents = [
        Agent(AgentKind.BROWSER, "", engine, version, platform, mobile=mobile)
        for engine, platform, mobile, version in product(
            (Engine.GECKO, Engine.CHROMIUM), ("Linux", "Android"), (True, False), (150, 151)
        )
    ]
    assert len({family_of(agent) for agent in agents}) == 8
    assert family_of(agents[0]) == family_of(agents[1])


def test_no_address_and_no_account_has_its_key() -> None:
    key = clearance_key("ab" * NAME)
    assert Identity(IdentityRules()).find(key) == Principal("local", "local", "local")
    assert not key.startswith("account:")
