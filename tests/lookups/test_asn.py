"""Who announces an address: databases of every sort, written here, and broken in every way."""

from __future__ import annotations

import os
import random
import struct
import sys
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.networks import NOTHING, Label, ListRule, NetworkFacts
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.networks import NetworkBook
from tests.costs import ends

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("maxminddb", reason="the extra antiscrape[networks] is not installed")

HOST = {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Hosting"}


# A MaxMind DB file: a binary tree of 24-bit records, sixteen zero bytes, the data, a marker, the metadata.


def encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(encoded(k) + encoded(v) for k, v in value.items())
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(encoded, value))
    if isinstance(value, int):
        return bytes([6 << 5 | 4]) + struct.pack(">I", value)
    text = str(value).encode()
    short = bytes([2 << 5 | len(text)]) if len(text) < 29 else bytes([2 << 5 | 29, len(text) - 29])
    return short + text


@dataclass
class Database:
    """Writes such a file: records by network, in a tree of IPv6 that holds IPv4 below ::/96, or of IPv4."""

    version: int = 6
    kind: str = "Test-ASN"
    nodes: list[list[int]] = field(default_factory=lambda: [[0, 0]])
    data: bytearray = field(default_factory=bytearray)

    def add(self, network: str, record: object) -> Database:
        parsed = ip_network(network)
        bits, deeper = parsed.max_prefixlen, self.version == 6 and parsed.version == 4
        path = f"{'0' * 96 if deeper else ''}{int(parsed[0]):0{bits}b}"[: parsed.prefixlen + 96 * deeper]
        node = 0
        for step in path[:-1]:
            if not self.nodes[node][int(step)]:
                self.nodes.append([0, 0])
                self.nodes[node][int(step)] = len(self.nodes) - 1
            node = self.nodes[node][int(step)]
        self.nodes[node][int(path[-1])] = -1 - len(self.data)
        self.data += encoded(record)
        return self

    def bytes(self) -> bytes:
        count = len(self.nodes)
        numbers = (side or count if side >= 0 else count + 15 - side for node in self.nodes for side in node)
        tree = b"".join(number.to_bytes(3, "big") for number in numbers)
        metadata = {
            "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_700_000_000,
            "database_type": self.kind, "description": {"en": "a test"}, "ip_version": self.version,
            "languages": ["en"], "node_count": count, "record_size": 24,
        }  # fmt: skip
        return tree + bytes(16) + bytes(self.data) + b"\xab\xcd\xefMaxMind.com" + encoded(metadata)


def whole() -> Database:
    database = (
        Database().add("198.51.100.0/24", HOST).add("2001:db8::/32", {"asn": "AS64511", "as_name": "Six"})
    )
    return database.add("203.0.113.0/25", {"asn": "as4200000000", "name": "Old form"}).add(
        "192.0.2.0/24", {"asn": "x"}
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "asn.mmdb"
    path.write_bytes(whole().bytes())
    return path


@pytest.mark.parametrize(
    ("address", "facts"),
    [
        ("198.51.100.7", NetworkFacts(asn=64496, owner="Example Hosting")),
        ("::ffff:198.51.100.7", NetworkFacts(asn=64496, owner="Example Hosting")),
        ("2001:db8:1::7", NetworkFacts(asn=64511, owner="Six")),
        ("203.0.113.127", NetworkFacts(asn=4_200_000_000, owner="Old form")),
        ("203.0.113.128", NOTHING), ("192.0.2.1", NOTHING), ("2001:db9::", NOTHING), ("local", NOTHING),
    ],
)  # fmt: skip
def test_the_owner_of_an_address_is_found(database: Path, address: str, facts: NetworkFacts) -> None:
    assert NetworkBook([], str(database)).facts(address) == facts


def test_lists_and_database_are_told_together(database: Path, tmp_path: Path) -> None:
    (tmp_path / "hosting.txt").write_text("198.51.100.0/24\n192.0.2.0/24\n")
    book = NetworkBook([ListRule(str(tmp_path / "hosting.txt"), Label.HOSTING)], str(database))
    assert book.facts("198.51.100.7") == NetworkFacts(hosting=True, asn=64496, owner="Example Hosting")
    assert book.facts("192.0.2.7") == NetworkFacts(hosting=True)


def test_a_database_of_ipv4_knows_nothing_of_ipv6(tmp_path: Path) -> None:
    path = tmp_path / "four.mmdb"
    path.write_bytes(Database(version=4).add("198.51.100.0/24", HOST).bytes())
    book = NetworkBook([], str(path))
    assert book.facts("198.51.100.1").asn == 64496
    assert book.facts("2001:db8::1") is NOTHING


def test_a_database_of_ipv6_alone_is_one(tmp_path: Path) -> None:
    path = tmp_path / "six.mmdb"
    path.write_bytes(Database().add("2001:db8::/32", HOST).bytes())
    assert NetworkBook([], str(path)).facts("2001:db8::1").asn == 64496


def test_owners_are_cut_and_hold_nothing_that_moves_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "asn.mmdb"
    record = {"asn": 64496, "name": "\x1b[31m\nEvil\u2028" + "x" * 200}
    path.write_bytes(Database().add("198.51.100.0/24", record).bytes())
    owner = NetworkBook([], str(path)).facts("198.51.100.1").owner
    assert owner.startswith("[31mEvilx")
    assert owner.isprintable()
    assert len(owner) <= 128


@pytest.mark.parametrize("record", [
    {"country": {"iso_code": "XX"}}, {"asn": 0}, {"asn": 2**32 - 1, "x": {}} | {"asn": "AS"}, {"asn": "AS٤"}, {"asn": ["AS1"]}, "AS1", [],
])  # fmt: skip
def test_a_database_of_something_else_stops_the_start(tmp_path: Path, record: object) -> None:
    path = tmp_path / "other.mmdb"
    path.write_bytes(Database(kind="Test-Country").add("198.51.100.0/24", record).bytes())
    with pytest.raises(ConfigurationError, match=r"no numbers of autonomous systems.*'Test-Country'"):
        NetworkBook([], str(path))


@pytest.mark.parametrize(
    "body", [b"", b"\0" * 64, b"<html>", b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe0"]
)
def test_what_is_no_database_stops_the_start(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "broken.mmdb"
    path.write_bytes(body)
    with pytest.raises(ConfigurationError, match=r"broken\.mmdb: is no MaxMind DB file"):
        NetworkBook([], str(path))


def test_a_tree_whose_branches_all_meet_again_is_searched_in_bounded_time(tmp_path: Path) -> None:
    """A hundred and twenty-eight nodes, each with both branches to the next: 2^128 ways, and nothing at their ends."""
    path = tmp_path / "maze.mmdb"
    maze = Database()
    maze.nodes = [[node + 1, node + 1] for node in range(127)] + [[0, 0]]
    path.write_bytes(maze.bytes())
    with ends(), pytest.raises(ConfigurationError, match="no numbers"):
        NetworkBook([], str(path))


def test_a_pipe_in_its_place_does_not_hang_the_start(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mmdb"
    os.mkfifo(pipe)
    with ends(), pytest.raises(ConfigurationError, match="no regular file"):
        NetworkBook([], str(pipe))


def test_no_broken_byte_or_missing_end_brings_a_look_up_down(database: Path) -> None:
    good = database.read_bytes()
    chance = random.Random(11)  # the same damage every time
    opened = 0
    for turn in range(600):
        bad = bytearray(good)
        for _ in range(chance.choice((1, 1, 4, 16))):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        database.write_bytes(bad if turn % 3 else bad[: chance.randrange(len(bad))])
        with ends():
            try:
                book = NetworkBook([], str(database))
            except ConfigurationError as refusal:
                assert len(refusal.problems) == 1  # noqa: PT017  most of them are refused, and each of them once
                continue
            opened += 1
            for address in ("198.51.100.7", "2001:db8::1", "203.0.113.1", "192.0.2.1", "8.8.8.8"):
                facts = book.facts(address)
                assert 0 <= facts.asn < 2**32
                assert facts.owner.isprintable()
    assert 50 < opened < 550


def test_a_database_that_is_written_over_in_place_goes_on_answering(database: Path) -> None:
    """Mapped into memory it would end the process (SIGBUS) at the next look-up."""
    book = NetworkBook([], str(database))
    with database.open("r+b") as file:
        file.truncate(0)
    assert book.facts("198.51.100.7").asn == 64496
    assert book.reload() == (f"{database}: is no MaxMind DB file, or a corrupt one",)
    assert book.facts("198.51.100.8").asn == 64496
    database.write_bytes(Database().add("198.51.100.0/24", {"asn": 64500}).bytes())
    assert book.reload() == ()
    assert book.facts("198.51.100.7").asn == 64500


def test_without_the_extra_the_start_says_what_to_install(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ConfigurationError, match=r"antiscrape\[networks\]"):
        NetworkBook([], str(database))
