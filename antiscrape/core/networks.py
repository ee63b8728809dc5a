"""What lists know of the network that an address belongs to, and the table that is asked.

Networks of one list nest or are apart, those of several overlap as they like. The table answers with
the *union* of the labels of all networks that hold an address, not with the longest prefix: that a
range is a provider's does not stop being true where a VPN rents a part of it, and which of two true
things counts for more is for the signals to say.

To be asked quickly the networks are laid out flat: the line of all addresses is cut wherever the
answer changes, and one binary search finds the piece that an address lies in. No array holds 128 bits,
so the line of IPv6 is that of its upper halves, its /64s; the few /64s that a list cuts further (the
lower half names an interface, RFC 4291 §2.5.1) have a line each for the lower half.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from heapq import merge
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import chain, groupby, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HALF: Final = 64
_LOWER: Final = 2**_HALF - 1
_IPV4: Final = 4
_IPV4_BITS, _IPV6_BITS = 32, 128
#: Bits under a packed prefix's address that hold its length.
_LENGTH_BITS: Final = 8
_LENGTH: Final = 2**_LENGTH_BITS - 1
#: One call to ``sorted`` keeps the interpreter's lock to its end: no more than this is sorted at once.
_SORTED_AT_ONCE: Final = 8192


class Label(Enum):
    """What a list says of the networks in it; deny and allow are the operator's own lists."""

    HOSTING = "hosting"
    TOR = "tor"
    VPN = "vpn"
    DENY = "deny"
    ALLOW = "allow"

    __hash__ = object.__hash__

    @property
    def bit(self) -> int:
        """The label as one bit of a table's answer."""
        return 1 << _ORDER.index(self)


_ORDER: Final = tuple(Label)


class NetworkFacts(NamedTuple):
    """What is known of an address.

    ``asn`` is the number of the autonomous system that announces it, or 0 (which RFC 7607 reserves),
    and ``owner`` what the ASN database calls that system, or ``""``.
    """

    hosting: bool = False
    tor: bool = False
    vpn: bool = False
    deny: bool = False
    allow: bool = False
    asn: int = 0
    owner: str = ""


#: No list knows the address.
NOTHING: Final = NetworkFacts()


def facts_of(labels: int) -> NetworkFacts:
    """Return the facts that a table's answer stands for; one object for each answer, ``NOTHING`` for 0."""
    return _FACTS[labels]


def _spell(labels: int) -> NetworkFacts:
    return NetworkFacts(
        hosting=bool(labels & Label.HOSTING.bit),
        tor=bool(labels & Label.TOR.bit),
        vpn=bool(labels & Label.VPN.bit),
        deny=bool(labels & Label.DENY.bit),
        allow=bool(labels & Label.ALLOW.bit),
    )


_FACTS: Final = (NOTHING, *(_spell(labels) for labels in range(1, 1 << len(_ORDER))))


@dataclass(frozen=True, slots=True)
class ListRule:
    """One list of a policy: the file's path, and what the file says of the networks in it."""

    file: str
    label: Label

    @property
    def own(self) -> bool:
        """Whether an operator writes the list by hand, so that it may change as it likes."""
        return self.label in {Label.DENY, Label.ALLOW}


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """The lists of a policy, the ASN database, and the seconds after which they are read again."""

    lists: tuple[ListRule, ...] = ()
    asn_database: str = ""
    reload: float = 3600.0

    def __bool__(self) -> bool:
        """Tell whether there is anything to look an address up in."""
        return bool(self.lists or self.asn_database)


class Extent(NamedTuple):
    """How much of the Internet a table speaks of: ranges as merged, IPv4 addresses, and /64s of IPv6."""

    ipv4_ranges: int
    ipv4_addresses: int
    ipv6_ranges: int
    ipv6_networks: int


class _Line(NamedTuple):
    """A line of numbers, cut: ``labels[i]`` holds below ``starts[i]``, down to the start before; the last to the end."""

    starts: array[int]
    labels: bytes

    def find(self, number: int) -> int:
        return self.labels[bisect_right(self.starts, number)]

    def pieces(self, top: int) -> Iterator[int]:
        """Yield the length of every piece that has a label, on a line that ends with the number ``top``."""
        for (start, end), labels in zip(
            pairwise(chain((0,), self.starts, (top + 1,))), self.labels, strict=True
        ):
            if labels:
                yield end - start


class PrefixTable:
    """The labels of every address: asked by its number, or by the address itself.

    It takes packed prefixes (see ``pack``) of either version, in any order, nested and repeated as may
    be; all of them have the same ``labels``, and ``overlay`` joins tables that differ. Its three lines are those of
    IPv4, of the upper halves of IPv6, and by their upper half those of the /64s that are cut.
    """

    __slots__ = ("ipv4", "lower", "upper")

    def __init__(self, ipv4: Iterable[int] = (), ipv6: Iterable[int] = (), labels: int = 1) -> None:
        self.ipv4 = _line("I", (_span(prefix, _IPV4_BITS) for prefix in ordered(ipv4)), labels, _IPV4_BITS)
        known = list(ordered(ipv6))
        wide = (_span(prefix, _IPV6_BITS) for prefix in known if prefix & _LENGTH <= _HALF)
        self.upper = _line("Q", ((first >> _HALF, last >> _HALF) for first, last in wide), labels, _HALF)
        narrow = (_span(prefix, _IPV6_BITS) for prefix in known if prefix & _LENGTH > _HALF)
        self.lower: dict[int, _Line] = {}
        for high, group in groupby(narrow, lambda span: span[0] >> _HALF):
            if not self.upper.find(high):
                inside = ((first & _LOWER, last & _LOWER) for first, last in group)
                self.lower[high] = _line("Q", inside, labels, _HALF)

    @classmethod
    def of(cls, networks: Iterable[Network], labels: int = 1) -> PrefixTable:
        """Return the table of ``ipaddress`` networks."""
        ipv4, ipv6 = split(networks)
        return cls(ipv4, ipv6, labels)

    @classmethod
    def overlay(cls, tables: Sequence[PrefixTable]) -> PrefixTable:
        """Return the table whose answer is the union of the answers of ``tables``."""
        joined = cls()
        joined.ipv4 = _overlay("I", [table.ipv4 for table in tables])
        joined.upper = _overlay("Q", [table.upper for table in tables])
        for high in {high for table in tables for high in table.lower}:
            joined.lower[high] = _overlay("Q", [table.below(high) for table in tables])
        return joined

    def find(self, address: Address) -> int:
        """Return the labels of an address, or 0."""
        number = int(address)
        return self.ipv4.find(number) if address.version == _IPV4 else self.find_ipv6(number)

    def find_ipv4(self, number: int) -> int:
        """Return the labels of the IPv4 address with this number, below 2^32."""
        return self.ipv4.find(number)

    def find_ipv6(self, number: int) -> int:
        """Return the labels of the IPv6 address with this number, below 2^128."""
        high = number >> _HALF
        low = self.lower.get(high)
        return self.upper.find(high) if low is None else low.find(number & _LOWER)

    def extent(self) -> Extent:
        """Return how much the table speaks of."""
        ipv4 = list(self.ipv4.pieces(2**_IPV4_BITS - 1))
        ipv6 = list(self.upper.pieces(_LOWER))
        cut = [line for high, line in self.lower.items() if not self.upper.find(high)]
        inside = sum(1 for line in cut for _ in line.pieces(_LOWER))
        return Extent(len(ipv4), sum(ipv4), len(ipv6) + inside, sum(ipv6) + len(cut))

    def below(self, high: int) -> _Line:
        """Return the line of one /64, cut or not."""
        return self.lower.get(high) or _Line(array("Q"), bytes([self.upper.find(high)]))


def pack(first: int, length: int) -> int:
    """Return a prefix as one integer: its first address above, its length in the lowest eight bits.

    Packed prefixes of one version sort by their first address, and the wider of two comes first.
    """
    return first << _LENGTH_BITS | length


def unpack(prefix: int) -> tuple[int, int]:
    """Return the first address and the length of a packed prefix."""
    return prefix >> _LENGTH_BITS, prefix & _LENGTH


def split(networks: Iterable[Network]) -> tuple[list[int], list[int]]:
    """Return ``ipaddress`` networks as packed prefixes of IPv4 and of IPv6."""
    packed: tuple[list[int], list[int]] = ([], [])
    for network in networks:
        packed[network.version != _IPV4].append(pack(int(network.network_address), network.prefixlen))
    return packed


def ordered(prefixes: Iterable[int]) -> Iterator[int]:
    """Yield ``prefixes`` sorted, without keeping other threads from running while it sorts many."""
    known = list(prefixes)
    starts = range(0, len(known), _SORTED_AT_ONCE)
    return merge(*[sorted(known[start : start + _SORTED_AT_ONCE]) for start in starts])


def _span(prefix: int, bits: int) -> tuple[int, int]:
    first, length = unpack(prefix)
    return first, first + (1 << bits - length) - 1


def _line(typecode: str, spans: Iterable[tuple[int, int]], labels: int, bits: int) -> _Line:
    starts = array(typecode)
    end = -1
    for first, last in spans:
        if not starts or first > end + 1:
            if starts:
                starts.append(end + 1)
            starts.append(first)
        end = max(end, last)
    if starts and end < 2**bits - 1:
        starts.append(end + 1)
    return _Line(starts, (bytes([0, labels]) * (len(starts) // 2 + 1))[: len(starts) + 1])


def _overlay(typecode: str, lines: Sequence[_Line]) -> _Line:
    starts = array(typecode)
    labels = bytearray([_union(line.labels[0] for line in lines)])
    for start in merge(*[line.starts for line in lines]):
        here = _union(line.find(start) for line in lines)
        if here != labels[-1]:
            starts.append(start)
            labels.append(here)
    return _Line(starts, bytes(labels))


def _union(parts: Iterable[int]) -> int:
    union = 0
    for part in parts:
        union |= part
    return union
