"""What the rooms ask of each other, as Protocols: the gate and the middleware know these, not the rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.core.agent import Agent
    from antiscrape.core.budgets import Limit
    from antiscrape.core.history import History
    from antiscrape.core.identity import Principal
    from antiscrape.core.journal import Journal
    from antiscrape.core.networks import NetworkFacts
    from antiscrape.core.observation import Charge, Usage
    from antiscrape.core.purse import Purse
    from antiscrape.core.request import RequestHead
    from antiscrape.core.resource import Resource
    from antiscrape.core.role import Role
    from antiscrape.core.rules import Allowance
    from antiscrape.core.verdict import Exceeded, Rendition


class Rendered(NamedTuple):
    """A finished rendition: the bytes, their media type, and a strong ETag's opaque value (unquoted).

    ``placeholder`` tells that the source could not be read or there was no room to read it, so that
    the picture shown has nothing of it. ``taker`` is the trace within, 0 where there is none.
    """

    body: bytes
    content_type: str
    etag: str
    placeholder: bool = False
    taker: int = 0


class Spliced(NamedTuple):
    """The new beginning of a file, what is to be sent after its end, and by how many bytes it grows in all."""

    head: bytes
    tail: bytes
    growth: int


class Wanted(NamedTuple):
    """What a client is to be answered with in place of a picture.

    ``accept`` is its Accept field; ``name`` the canonical host, path and query of the picture, from which a
    decoy is drawn; ``taker`` the 64 bits of the trace that names whom the rendition is made for, or 0 for
    none. ``source`` names the picture's bytes by what the site itself says of them (16 bytes), where that
    tells them from all others; ``b""`` has the bytes digested.
    """

    rendition: Rendition
    accept: bytes = b""
    name: bytes = b""
    taker: int = 0
    source: bytes = b""


class Renderer(Protocol):
    """Makes lesser renditions of pictures, off the event loop."""

    async def render(self, source: bytes, wanted: Wanted) -> Rendered:
        """Return what is ``wanted`` of the encoded picture ``source``; never raise, never return the original.

        What cannot be decoded, is too large, takes too long or finds no room in the queue comes
        back as a placeholder.
        """
        ...

    def held(self, wanted: Wanted) -> Rendered | None:
        """Return at once what is in memory of the picture ``wanted.source``, its trace not yet in it."""
        ...

    async def recall(self, wanted: Wanted, base: Rendered | None = None) -> Rendered | None:
        """Return what was made before of the picture ``wanted.source``, or ``None`` where that is gone; never raise.

        ``base`` is what ``held`` returned: with it, the answer is never ``None``.
        """
        ...

    def placeholder(self, rendition: Rendition) -> Rendered:
        """Return at once a picture that shows nothing, for a source that could not be had."""
        ...

    async def prepare(self) -> None:
        """Start what takes time to start; raise ``ConfigurationError`` where it cannot work here."""
        ...

    async def aclose(self) -> None:
        """End the workers."""
        ...


class EventSink(Protocol):
    """Takes one event for every verdict that is not a plain allow; must not block or raise."""

    def emit(self, event: Mapping[str, object]) -> None:
        """Record ``event``: JSON-serialisable values, client text not yet escaped."""
        ...

    def close(self) -> None:
        """Flush what is held and let go of the file."""
        ...


class Sharing(Protocol):
    """Sees to it that others are told what was charged here: every record has a journal (``core.journal``)."""

    @property
    def lesser(self) -> object | None:
        """Return what clients are held to while nobody can be told; None is as usual."""
        ...

    def open(self, purse: Purse, window: float = 0.0) -> Journal:
        """Begin the journal of a record, for a limit of so many seconds."""
        ...

    def hasten(self, purse: Purse) -> None:
        """Take note that the journal of a record has no room for what was noted in it."""
        ...


class UsageStore(Protocol):
    """Keeps principals' histories and spends their budgets; answers at once.

    ``keeps`` is for how many seconds originals are remembered; None where others are asked for every charge. A charge does
    what ``core.spending`` does to the records, and notes it in their journals where there is somebody for ``sharing``.
    ``records`` are those of principals, by key, in one mapping that stays the same.
    """

    keeps: float | None
    sharing: Sharing | None

    @property
    def records(self) -> Mapping[str, History]:
        """Return the records of principals, by key."""
        ...

    def find(self, principal: Principal, now: float) -> History:
        """Return the history of ``principal``, a new one if it is not known."""
        ...

    @property
    def charge_request(self) -> Callable[[History, Limit, float], Exceeded | None]:
        """Charge a request to the one limit that there is, at a time: where nothing else is to be charged."""
        ...

    def spend_new(self, history: History, limits: tuple[Limit, ...], identity: int, now: float) -> bool:
        """Charge a new original to ``limits`` where none is near; tell whether that was done."""
        ...

    def charge(
        self, history: History, charge: Charge, allowance: Allowance, resource: Resource, now: float
    ) -> Usage:
        """Charge one request that is about to be admitted, and what it shows."""
        ...

    def charge_image(
        self, history: History, charge: Charge, allowance: Allowance, resource: Resource, now: float
    ) -> Usage:
        """Charge what a resource shows, but no request."""
        ...

    def charge_bytes(self, history: History, allowance: Allowance, amount: int, now: float) -> None:
        """Charge bytes of an image that were sent."""
        ...

    def ban(self, history: History, until: float) -> None:
        """Keep a principal out until ``until``, on the monotonic clock."""
        ...

    def cool(self, history: History, until: float, level: int) -> None:
        """Lower a principal's standing until ``until``, on the monotonic clock, for the ``level``-th time.

        ``history`` may be a visit's that several share an address with: it has the address's key, and the
        store does not hold it.
        """
        ...

    def note_trapped(self, history: History, look: bytes) -> None:
        """Take note that the visit of ``look`` went into a trap, which others may have to know."""
        ...


class Ledger(Protocol):
    """Charges what was charged here where all workers count as well, and says whether there was room."""

    async def settle(self) -> Exceeded | None:
        """Charge what the latest judgement charged; return the budget that has no room, and nothing was charged to it.

        To be awaited at once: before the first wait it takes over what was charged.
        """
        ...


class Networks(Protocol):
    """Knows whose network an address is in."""

    def facts(self, address: str) -> NetworkFacts:
        """Return what is known of the canonical text of an address."""
        ...


class Roles(Protocol):
    """Proves who stands beside the ladder: verified crawlers, partners."""

    def claimed(self, head: RequestHead) -> bool:
        """Tell whether a request of this order of names and this User-Agent may claim to be somebody."""
        ...

    def find(self, head: RequestHead, address: str, now: float) -> Role:
        """Return what became of a request's claim; never wait, never raise."""
        ...


class Agents(Protocol):
    """Reads User-Agent fields."""

    def read(self, user_agent: bytes | None) -> Agent:
        """Return what a User-Agent claims; the same answer for the same bytes."""
        ...
