"""Where the request comes from: data centres, Tor, VPNs, and the operator's own lists.

An address says who owns a machine, not who sits before it. People come out of data centres through
VPNs, company proxies and their browsers' privacy relays (a public list of data centres with 51,000
networks holds two of the ranges that iPhones' relay uses), so a data centre weighs less than what makes a
browser unknown: it tips the scale where something else is odd too. Where a list of tunnels explains
the data centre, the tunnel's smaller weight stands in for it. The operator's allow list silences this
family and earns nothing in any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiscrape.core.signals.table import Signal

if TYPE_CHECKING:
    from antiscrape.core.networks import NetworkFacts


def _hosting(n: NetworkFacts) -> bool:
    return n.hosting and not (n.tor or n.vpn or n.allow)


SIGNALS: tuple[Signal[NetworkFacts], ...] = (
    Signal("address-of-a-data-centre", "networks", 20, "The address belongs to a data centre, where programs run and few people browse.",
           "lists of hosting networks; the people there come through relays and company proxies", _hosting),
    Signal("address-of-tor", "networks", 10, "The request left the Tor network, which hides who asks.",
           "the Tor project's list of exits; people who need it share them with everyone",
           lambda n: n.tor and not n.allow),
    Signal("address-of-a-vpn", "networks", 10, "The address belongs to a VPN or an open proxy.",
           "lists of VPN and proxy networks; many people browse so all day",
           lambda n: n.vpn and not (n.tor or n.allow)),
    Signal("address-denied", "networks", 100, "The operator's own list denies the address.",
           "the operator's list", lambda n: n.deny and not n.allow),
)  # fmt: skip
