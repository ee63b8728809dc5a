"""What a crawler is for, and how sure one is of who it is: the words that lookups, policy and the judge share.

A crawler *claims* to be somebody by its User-Agent, and there are two ways to believe it, both of
its operator's choosing: the ranges that the operator publishes, and a name under the operator's
domain that leads from the address to the name and back. A claim that neither proves is not yet a
lie: operators forget records, lists are late, resolvers die. Only what the operator itself rules
out is ``IMPOSTOR`` (SECURITY H3, H9).
"""

from __future__ import annotations

import ipaddress
import json
from enum import Enum
from typing import Final, NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Purpose(Enum):
    """What a crawler does with what it takes; policy gives each purpose its own budgets and rendition."""

    SEARCH = "search"
    PREVIEW = "preview"  # the card that a chat or a social site draws of a link
    ARCHIVE = "archive"
    FEED = "feed"
    AI_TRAINING = "ai-training"
    AI_ASSISTANT = "ai-assistant"  # fetched because a person asked an assistant just now
    MONITORING = "monitoring"
    FEDERATION = "federation"  # ActivityPub servers, which fetch on behalf of their members

    __hash__ = object.__hash__


class Answer(Enum):
    """What a lookup says. A dead resolver or an expired list is UNKNOWN, and policy has a line for that."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__


class Proof(Enum):
    """What became of a crawler's claim to be somebody: three outcomes that are never mixed up."""

    VERIFIED = "verified"
    IMPOSTOR = "impostor"  # the claim was disproven
    UNVERIFIED = "unverified"  # nobody could say, now or ever

    __hash__ = object.__hash__


class Source(NamedTuple):
    """Where an operator publishes ranges, and the name of the file that keeps the last good copy."""

    url: str
    file: str


class Crawler(NamedTuple):
    """One known crawler. ``tokens`` are the words of a User-Agent that claim to be it.

    ``suffixes`` are the domains its addresses are named under. ``complete`` says that its operator
    documents the ways given here as covering every address it comes from, so that one outside them
    is a lie; without it nothing is ever disproven.
    """

    name: str
    operator: str
    purpose: Purpose
    tokens: tuple[str, ...]
    suffixes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    complete: bool = False

    def conclude(self, answer: Answer) -> Proof:
        """Return what the answer of its last way makes of the claim."""
        if answer is Answer.YES:
            return Proof.VERIFIED
        return Proof.IMPOSTOR if answer is Answer.NO and self.complete else Proof.UNVERIFIED


#: The longest list known, of Google's fetchers, has about a thousand entries.
MOST_PREFIXES: Final = 20_000
#: The widest blocks that registries have given to one holder, all of whose machines are not crawlers.
WIDEST: Final = {4: 8, 6: 19}
_BITS: Final = {4: 32, 6: 128}
#: A tenth of a list may be there twice; on 2025-11-18 a list at Cloudflare came doubled and took the proxies down.
_MOST_REPEATED: Final = 0.1
#: A list that grows or shrinks by more than this between two fetches is somebody's mistake.
_MOST_CHANGE: Final = 10

# Networks in which no crawler of the public internet lives (RFC 6890, RFC 5737, RFC 1112 §4).
_SPECIAL_V4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
)  # fmt: skip
# All global unicast is in 2000::/3 (RFC 4291 §2.4); of it, these carry or stand for other addresses.
_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


def read_list(text: str) -> list[Network]:
    """Read published ranges: the JSON that Google, Bing and OpenAI publish, or one network a line.

    Raise ``ValueError`` with what is wrong. A list is read whole or not at all: a network with host
    bits set is what half a line looks like.
    """
    body = text.lstrip("\ufeff \t\r\n")
    if body.startswith("<"):
        raise ValueError("is a page of markup, not a list")
    rows = _json_rows(body) if body.startswith(("{", "[")) else _text_rows(body)
    if not rows:
        raise ValueError("is empty")
    if len(rows) > MOST_PREFIXES:
        raise ValueError(f"has more than {MOST_PREFIXES} entries")
    networks: list[Network] = []
    for row in rows:
        try:
            networks.append(ipaddress.ip_network(row))
        except ValueError:
            raise ValueError(f"has an entry that is no network: {row[:60]!r}") from None
    return networks


def _text_rows(body: str) -> list[str]:
    rows = (line.partition("#")[0].strip() for line in body.splitlines())
    return [row for row in rows if row]


def _json_rows(body: str) -> list[str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("is not whole JSON") from None
    entries = document.get("prefixes") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError('has no list "prefixes"')  # noqa: TRY004 - the document is wrong, not the program
    rows = []
    for entry in entries:
        values = (
            [entry[key] for key in ("ipv4Prefix", "ipv6Prefix") if key in entry]
            if isinstance(entry, dict)
            else []
        )
        if len(values) != 1 or not isinstance(values[0], str):
            raise ValueError("has an entry of another shape than one ipv4Prefix or ipv6Prefix")
        rows.append(values[0].strip())
    return rows


def judge_list(networks: list[Network], before: int | None = None) -> str:
    """Return what makes a list unfit to prove anything by, or ``""``; ``before`` is the last good one's entry count.

    SECURITY H5: empty, ten times larger or smaller, doubled, holding everything or what is nobody's.
    """
    if not networks:
        return "is empty"
    for network in networks:
        if network.prefixlen < WIDEST[network.version]:
            return f"holds {network}, wider than a /{WIDEST[network.version]}"
        if not _is_public(network):
            return f"holds {network}, which is not wholly public"
    for version, widest in WIDEST.items():
        sizes = (2 ** (_BITS[version] - each.prefixlen) for each in set(networks) if each.version == version)
        if sum(sizes) > 2 ** (_BITS[version] - widest):
            return f"holds more of IPv{version} than a /{widest} in all"
    if len(networks) - len(set(networks)) > _MOST_REPEATED * len(networks):
        return "repeats its entries"
    if before and not before / _MOST_CHANGE <= len(networks) <= before * _MOST_CHANGE:
        return f"went from {before} entries to {len(networks)}"
    return ""


def _is_public(network: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return not any(network.overlaps(special) for special in _SPECIAL_V4)
    return network.subnet_of(_UNICAST_V6) and not any(network.overlaps(special) for special in _SPECIAL_V6)
