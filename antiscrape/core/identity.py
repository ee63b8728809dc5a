"""Who is asking, as far as the network tells: what trusted proxies say, read from the right.

All lines of the forwarding field are one list (RFC 9110 §5.3). Its rightmost entry was written by
the peer, the next by the hop before it, and so on for as long as the writer is trusted; the first
address that no trusted proxy vouches for further is the client. Nothing a client writes itself is
ever reached. (SECURITY A1 to A14.)
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.rules import IdentityRules

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The identity of a peer that has no address: a unix socket, or a test client.
LOCAL = "local"
#: A chain of trusted proxies this long does not exist; a client's padding does.
_MOST_HOPS = 32
_LONGEST_CHAIN = 4096
_MEMO = 4096
#: A full IPv6 address with an IPv4 tail, brackets and a port has 53 characters.
_LONGEST_ADDRESS = 64
_MOST_PORT = 65_535
# RFC 7239 §4: for=192.0.2.1, for="[2001:db8::1]:4711", for=_hidden, for=unknown; pairs between semicolons. A
# proxy may write the client's Host beside it (HAProxy writes it before), so what a quoted value holds is no pair.
# Repeated groups are atomic, "(?>(?:x)*)", and not possessive: Python 3.11.2 has those wrong.
_VALUE = r""""(?>(?:[^"\\]|\\.)*)"|[^;,"\s]*+"""
_PAIR = rf"""[\w!#$%&'*+.^`|~-]++\s*+=\s*+(?:{_VALUE})\s*+"""
_FORWARDED_FOR = re.compile(
    rf"""\s*+(?>(?:(?!for\s*=){_PAIR};\s*+)*)for\s*+=\s*+({_VALUE})\s*+(?>(?:;\s*+(?>(?:{_PAIR})?))*)""",
    re.IGNORECASE | re.ASCII,
)
# The canonical text of an IPv4 address (RFC 6943 §3.1.1), which most clients have: it needs no reading.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_DOTTED = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
#: The roll-up whose key is an address's own text with another end.
_THREE_OCTETS = 24


class Principal(NamedTuple):
    """Whom budgets are kept for. ``key``, ``line`` and ``rollup`` are store keys; ``address`` is for people to read.

    ``rollup`` is the widest network around the principal, ``line`` the one between: of IPv6, what one household or
    office is given (RFC 6177 §2). Either is ``""`` where there is none.
    """

    key: str
    rollup: str
    address: str
    line: str = ""


class Identity:
    """Finds the principal of a request by the rules of a policy."""

    def __init__(self, rules: IdentityRules) -> None:
        self._rules = rules
        self._header = rules.header.lower().encode("latin-1")
        #: Whether the forwarding field holds bare addresses, and no pairs.
        self.lists = self._header != b"forwarded"
        self._principals: Memo[str, Principal] = Memo(_MEMO)
        self._trusted: Memo[str, bool] = Memo(1024)
        #: Whether anybody is trusted to speak for others.
        self.believes = bool(rules.trusted_proxies) or rules.trust_unix

    def find(self, peer: str, chain: bytes | None = None, *, repeated: bool = False) -> Principal:
        """Return the principal of a request that ``peer`` sent; never raise.

        ``chain`` is the value of the forwarding field, None where there is none; ``repeated`` tells that
        it came on several lines.
        """
        if chain is None or not self.trusts(peer):
            return self._principals.young.get(peer) or self._principal(peer)
        if repeated and self._header not in {b"x-forwarded-for", b"forwarded"}:
            chain = b""  # A4: two X-Real-IP lines are as good as none
        if b"," not in chain and self.lists and _DOTTED.fullmatch(hop := chain.decode("latin-1").strip()):
            return self._principal(hop)  # one hop: whoever it is, nobody speaks for anybody further
        return self._principal(self._walk(peer, chain))

    def trusts(self, peer: str) -> bool:
        """Tell whether ``peer`` is one of the site's own proxies."""
        if not self.believes:
            return False
        known = self._trusted.get(peer)
        if known is None:
            address = read_address(peer)
            known = self._vouches(address) if address else self._rules.trust_unix
            self._trusted.put(peer[:64], known)
        return known

    def _principal(self, text: str) -> Principal:
        found = self._principals.get(text)
        if found is None:
            if self._rules.ipv4_rollup == _THREE_OCTETS and _DOTTED.fullmatch(text):
                return Principal(
                    text, text[: text.rindex(".")] + ".0/24", text
                )  # sooner made than remembered
            address = read_address(text)
            found = self._network(address) if address else Principal(LOCAL, LOCAL, LOCAL)
            self._principals.put(text[:64], found)
        return found

    def _network(self, address: Address) -> Principal:
        rules = self._rules
        if isinstance(address, ipaddress.IPv4Address):
            return Principal(str(address), _prefix(address, rules.ipv4_rollup), str(address))
        between = rules.ipv6_rollup < rules.ipv6_line < rules.ipv6_prefix
        return Principal(
            key=_prefix(address, rules.ipv6_prefix),
            rollup=_prefix(address, rules.ipv6_rollup),
            address=str(address),
            line=_prefix(address, rules.ipv6_line) if between else "",
        )

    def _vouches(self, address: Address) -> bool:
        return any(address in network for network in self._rules.trusted_proxies)

    def _walk(self, peer: str, chain: bytes) -> str:
        nearest = peer
        for hop in self._hops(chain):
            address = read_address(hop)
            if address is None:  # "unknown", an obfuscated name, rubbish: whoever wrote it is the last known
                break
            nearest = str(address)
            if not self._vouches(address):
                break
        return nearest

    def _hops(self, chain: bytes) -> Iterator[str]:
        text = chain[-_LONGEST_CHAIN:].decode("latin-1")
        for hop in reversed(text.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
            if self._header == b"forwarded":
                match = _FORWARDED_FOR.fullmatch(hop)
                yield match[1].strip('"') if match else ""
            else:
                yield hop.strip()


def read_address(text: str) -> Address | None:
    """Return the address in ``text`` in its one canonical form, or None.

    A port and brackets are dropped; an IPv4-mapped address is the IPv4 address (RFC 4291 §2.5.5.2).
    A zone id is refused: it may carry any character, a newline too, into keys and logs (SECURITY A10).
    """
    if len(text) > _LONGEST_ADDRESS or "%" in text:
        return None
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        if not closed or not (port == "" or _is_port(port)):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(":" + port):
            return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text[0] == ":" and digits.isascii() and digits.isdigit() and int(digits[:6]) <= _MOST_PORT


def _prefix(address: Address, length: int) -> str:
    host_bits = address.max_prefixlen - length
    return f"{type(address)(int(address) >> host_bits << host_bits)}/{length}"
