"""The table [identity]: whose word is taken for a client's address, and how wide one client is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from antiscrape.settings.names import FieldName, Listed
from antiscrape.settings.table import Remark, Table
from antiscrape.settings.units import Trusted, trusts_everyone

if TYPE_CHECKING:
    from collections.abc import Iterator


class Identity(Table):
    """Whose word is taken for a client's address, and how wide one client is."""

    trusted_proxies: Annotated[tuple[Trusted, ...], Listed] = Field(
        default=(),
        description='Addresses and networks of your own proxies, such as "127.0.0.1" or "10.0.0.0/8". Only their '
        "forwarding headers are read, from the right. Empty: nobody is trusted, the peer is the client.",
    )
    trust_unix: bool = Field(
        default=False,
        description="Trust a peer on a unix socket as one of your proxies. Right where only your proxy may open it.",
    )
    unsafe_trust_everyone: bool = Field(
        default=False,
        description='Allow "*" and networks that hold every address among trusted_proxies. Then every client '
        "chooses its own address; right only where nothing but your proxy can connect.",
    )
    header: FieldName = Field(
        default="x-forwarded-for",
        description="The header that your proxies set: x-forwarded-for, forwarded (RFC 7239), x-real-ip or another "
        "that holds one address.",
    )
    ipv4_rollup: int = Field(
        default=24,
        ge=8,
        le=32,
        description="Bits of the wider IPv4 network whose clients share a second budget, rollup_factor times as large.",
    )
    ipv6_prefix: int = Field(
        default=64,
        ge=32,
        le=128,
        description="Bits of an IPv6 address that are one client: providers give each customer a /64 at least, so "
        "one person has 2^64 addresses.",
    )
    ipv6_line: int = Field(
        default=56,
        ge=16,
        le=128,
        description="Bits of the IPv6 network that providers give to one household or office. Its clients share a "
        "budget, line_factor times as large; none, unless it lies between ipv6_rollup and ipv6_prefix.",
    )
    ipv6_rollup: int = Field(
        default=48,
        ge=16,
        le=128,
        description="Bits of the wider IPv6 network, as ipv4_rollup; a site's usual share.",
    )
    line_factor: float = Field(
        default=4.0,
        ge=1,
        le=100_000,
        description="How many times a client's budgets an IPv6 line has: a household's devices may be in several /64.",
    )
    rollup_factor: float = Field(
        default=20.0,
        ge=1,
        le=100_000,
        description="How many times a client's budgets the wider network has. A carrier puts thousands of people "
        "behind a few addresses, so this is generous.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a trust in everyone that nobody signed, and networks that are not each wider than the one before."""
        if not self.unsafe_trust_everyone and trusts_everyone(self.trusted_proxies):
            words = "trusts every address, so each client would choose its own; set unsafe_trust_everyone to mean it"
            yield ("trusted_proxies",), words
        if self.ipv6_rollup > self.ipv6_prefix:
            yield ("ipv6_rollup",), f"is narrower than ipv6_prefix, which is {self.ipv6_prefix}"
        # Who writes nothing of lines has no line where there is no room for one.
        if (
            "ipv6_line" in self.model_fields_set
            and not self.ipv6_rollup <= self.ipv6_line <= self.ipv6_prefix
        ):
            words = f"lies not between ipv6_rollup and ipv6_prefix, which are {self.ipv6_rollup} and {self.ipv6_prefix}"
            yield ("ipv6_line",), words
        if "line_factor" in self.model_fields_set and self.line_factor > self.rollup_factor:
            yield ("line_factor",), f"is more than rollup_factor, which is {self.rollup_factor:g}"
