"""Reading one network as lists write it, and telling which networks no list may name.

The notations that readers disagree on are refused, not guessed at: netmasks (is 0.0.0.255 one, or its
complement?), octets with leading zeros (decimal here, octal there), zone ids, bits beyond the length.
"""

from __future__ import annotations

from bisect import bisect_right
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from antiscrape.core.networks import Network

IPV4: Final = 4
IPV6: Final = 6
BITS: Final = {IPV4: 32, IPV6: 128}
#: No owner was ever given more at once than a /8 of IPv4 or a /16 of IPv6.
WIDEST: Final = {IPV4: 8, IPV6: 16}
_FAMILY: Final = {IPV4: AF_INET, IPV6: AF_INET6}
#: ::ffff:0:0/96, RFC 4291 §2.5.5.2.
_MAPPED, _MAPPED_LENGTH = 0xFFFF, 96


class Prefix(NamedTuple):
    """A network in its one canonical form: 4 or 6, the number of its first address, its length in bits."""

    version: int
    first: int
    length: int

    @property
    def last(self) -> int:
        """The number of its last address."""
        return self.first + (1 << BITS[self.version] - self.length) - 1


class _Reserved(NamedTuple):
    network: Network
    first: int
    last: int
    words: str
    private: bool  # an operator's own allow list may name it


def _reserved(text: str, words: str, *, private: bool = False) -> _Reserved:
    network = ip_network(text)
    return _Reserved(network, int(network[0]), int(network[-1]), words, private)


# IANA's special-purpose registries (RFC 6890). The blocks for documentation are left out: no client
# has such an address, so they do no harm, and examples are written with them.
_RESERVED4: Final = (
    _reserved("0.0.0.0/8", "this network, RFC 791 §3.2"),
    _reserved("10.0.0.0/8", "private, RFC 1918", private=True),
    _reserved("100.64.0.0/10", "carriers' own side of their NAT, RFC 6598", private=True),
    _reserved("127.0.0.0/8", "loopback, RFC 1122 §3.2.1.3", private=True),
    _reserved("169.254.0.0/16", "link-local, RFC 3927", private=True),
    _reserved("172.16.0.0/12", "private, RFC 1918", private=True),
    _reserved("192.0.0.0/24", "protocols of the IETF, RFC 6890"),
    _reserved("192.168.0.0/16", "private, RFC 1918", private=True),
    _reserved("198.18.0.0/15", "benchmarks, RFC 2544"),
    _reserved("224.0.0.0/4", "multicast, RFC 5771"),
    _reserved("240.0.0.0/4", "reserved, RFC 1112 §4"),
)
_STARTS4: Final = [block.first for block in _RESERVED4]
#: The first that holds an address names it; the last holds all that is not public.
_RESERVED6: Final = (
    _reserved("::1/128", "loopback, RFC 4291 §2.5.3", private=True),
    _reserved("::/8", "reserved, RFC 4291 §2.4"),
    _reserved("fc00::/7", "private, RFC 4193", private=True),
    _reserved("fe80::/10", "link-local, RFC 4291 §2.5.6", private=True),
    _reserved("ff00::/8", "multicast, RFC 4291 §2.7"),
    _reserved("::/0", "outside 2000::/3, where the public addresses are"),
)


def read_prefix(text: str, *, private: bool = False) -> Prefix:
    """Read ``203.0.113.0/24``, ``2001:db8::/32`` or one address; IPv4-mapped IPv6 becomes IPv4.

    Raise ``ValueError`` with what is wrong and what was expected, without the text. ``private`` lets
    in the networks that a site has at home (RFC 1918 and its like).
    """
    address, slash, digits = text.partition("/")
    version = IPV6 if ":" in address else IPV4
    if "%" in address:
        msg = "has a zone id, which names an interface of one machine"
        raise ValueError(msg)
    try:
        # the C library's strict reader: no shorthand, no octal, and a fifth of the time of ipaddress
        first = int.from_bytes(inet_pton(_FAMILY[version], address), "big")
    except (OSError, ValueError):
        msg = "is no network; expected an address, or a network such as 203.0.113.0/24 or 2001:db8::/32"
        raise ValueError(msg) from None
    bits = BITS[version]
    length = _length(digits, bits) if slash else bits
    if first & ((1 << bits - length) - 1):
        whole = ip_network(f"{address}/{length}", strict=False)
        raise ValueError(f"has bits set beyond its length; expected {whole}, or {address} alone")
    if version == IPV6 and first >> BITS[IPV4] == _MAPPED:  # no shorter than 96, or it would have bits beyond
        version, first, length = IPV4, first & 0xFFFF_FFFF, length - _MAPPED_LENGTH
    prefix = Prefix(version, first, length)
    words = objection(prefix, private=private)
    if words:
        raise ValueError(words)
    return prefix


def _length(digits: str, bits: int) -> int:
    readable = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(bits))
    if not readable or int(digits) > bits or (digits != "0" and digits[0] == "0"):
        raise ValueError(f"has no length behind its slash; expected a number from 0 to {bits}")
    return int(digits)


def forbidden(network: Network) -> str:
    """Return why no list may name a network of ``ipaddress``, or ``""``."""
    return objection(Prefix(network.version, int(network.network_address), network.prefixlen))


def objection(prefix: Prefix, *, private: bool = False) -> str:
    """Return why no list may name a network, or ``""``: it is too wide, or some of it is not public."""
    block = _block(prefix)
    if block and private and block.private and prefix.length >= block.network.prefixlen:
        return ""
    widest = WIDEST[prefix.version]
    if prefix.length < widest:
        return f"is wider than /{widest}, and so than any one owner's; expected the owner's own networks"
    return f"is no public network: {block.network} is {block.words}" if block else ""


def _block(prefix: Prefix) -> _Reserved | None:
    """Return a reserved block that shares an address with a network."""
    if prefix.version == IPV4:
        block = _RESERVED4[bisect_right(_STARTS4, prefix.last) - 1]
        return block if block.last >= prefix.first else None
    if prefix.first >> 125 == 1:  # 2000::/3
        return None
    return next(block for block in _RESERVED6 if block.first <= prefix.first <= block.last)
