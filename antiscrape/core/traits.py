"""What the header field set of a request shows, worked out once and remembered for the next of its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from antiscrape.core.agent import Agent, Engine
from antiscrape.core.resource import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.core.request import RequestHead

_PAGES = frozenset({Kind.PAGE, Kind.SUBJECT})


class Traits(NamedTuple):
    """One header profile: the fields, and what they claim.

    ``secure`` tells that the browser held the site for trustworthy (https, or loopback), where
    engines send Sec-Fetch-* and client hints (W3C Fetch Metadata §2; Secure Contexts §3.1).
    ``relayed`` tells that a proxy says it had the request in hands: it may have dropped and
    reordered fields.
    """

    agent: Agent
    fields: Mapping[bytes, bytes]
    names: tuple[bytes, ...]
    repeated: frozenset[bytes]
    http_version: str
    on_image: bool
    on_page: bool
    secure: bool
    relayed: bool

    def value(self, name: bytes) -> bytes:
        """Return a field's value, or ``b""``."""
        return self.fields.get(name, b"")

    @property
    def modern(self) -> bool:
        """Whether the claimed engine's version sends Sec-Fetch-* (Chromium 80, Firefox 90, Safari 16.4)."""
        least = {Engine.CHROMIUM: 80, Engine.GECKO: 90, Engine.WEBKIT: 17}.get(self.agent.engine)
        return least is not None and self.agent.version >= least

    @property
    def browser(self) -> bool:
        """Whether the agent claims an engine at all."""
        return self.agent.engine is not Engine.NONE


def read_traits(head: RequestHead, agent: Agent, kind: Kind) -> Traits:
    """Gather the traits of one request."""
    return Traits(
        agent=agent,
        fields=head.fields,
        names=head.names,
        repeated=head.repeated,
        http_version=head.http_version,
        on_image=kind is Kind.IMAGE,
        on_page=kind in _PAGES,
        secure=head.secure,
        relayed=b"via" in head.fields or b"forwarded" in head.fields or b"x-forwarded-for" in head.fields,
    )
