"""A policy, compiled: everything that the judge and the gate look up, and nothing that they compute.

``settings`` builds it from a file; tests build it by hand. It is frozen, so a reload is one
assignment, and a verdict can always be explained by the policy object that it was made with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from antiscrape.core.account import AccountRules
from antiscrape.core.clearance import ClearanceRules
from antiscrape.core.consequences import CoolingRules
from antiscrape.core.forwarding import UpstreamRules
from antiscrape.core.networks import NetworkRules
from antiscrape.core.quota import Tell
from antiscrape.core.renditions import RenditionRules, RightsRules
from antiscrape.core.verdict import Mode, Rendition, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network, IPv6Network

    from antiscrape.core.budgets import Limit
    from antiscrape.core.crawler import Purpose
    from antiscrape.core.partner import Partner
    from antiscrape.core.preferences import PreferenceRules
    from antiscrape.core.resource import Kind, Size
    from antiscrape.core.store_address import StoreAddress


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the route table: the first ``pattern`` that matches a path names its kind.

    A pattern is a path in which ``*`` stands for anything but a slash, ``**`` for anything, and
    ``{subject}`` for one segment that names the subject.
    """

    pattern: str
    kind: Kind
    size: Size


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one standing may have, and what an image request gets within and beyond it.

    ``rendition`` is what an image request gets within the budgets, ``beyond`` once one of
    ``originals``, ``subjects`` or ``bytes`` is spent. A spent ``requests`` budget is answered 429.
    """

    standing: Standing
    rendition: Rendition
    beyond: Rendition
    requests: tuple[Limit, ...] = ()
    originals: tuple[Limit, ...] = ()
    subjects: tuple[Limit, ...] = ()
    bytes: tuple[Limit, ...] = ()
    refuse: bool = False  # every request but exempt ones is answered 403
    only: Limit | None = field(init=False)  # the request limit, where there is just one

    def __post_init__(self) -> None:
        """Single out the usual case of one request limit."""
        object.__setattr__(self, "only", self.requests[0] if len(self.requests) == 1 else None)


@dataclass(frozen=True, slots=True)
class CrawlerRules:
    """What verified crawlers may have, by purpose, and how they are verified."""

    purposes: Mapping[Purpose, Allowance] = field(default_factory=dict)
    verify: bool = True
    ranges: str = ""  # the folder that keeps the lists which operators publish
    refresh: float = 86_400.0  # seconds after which they are fetched anew


@dataclass(frozen=True, slots=True)
class BotRule:
    """A bot that signs its requests. ``purpose`` is None where a partner names it."""

    name: str
    purpose: Purpose | None
    agent: str = ""  # the origin of its key directory
    keys: str = ""  # a file of its keys


@dataclass(frozen=True, slots=True)
class SignatureRules:
    """What bots' signatures must be like. Seconds."""

    window: int = 86_400
    skew: int = 60
    paths: bool = False
    directory_proof: bool = False


@dataclass(frozen=True, slots=True)
class SignalRule:
    """What policy says of one signal: its weight, and whether it counts or is only recorded."""

    weight: int
    mode: Mode = Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class ImageRules:
    """How lesser renditions are made."""

    # What is left of the long side, in 16 levels: of 6 cells two matchers have rank-1 0.02 to 0.09, of 16 cells 0.25 to 0.50.
    preview_cells: int = 6
    preview_size: int = 480  # pixels of the long side of the file that shows those cells
    faces: Literal["auto", "require", "off"] = "auto"  # whether previews are made with a face detector
    face_look: int = 192  # pixels of the long side at which it looks
    face_score: float = 0.05  # from which confidence on a find is veiled
    face_floor: int = 8  # pixels that a face too small to be found may be wide in a preview
    mark: str = "Preview"  # the words laid over a preview; "" for none
    original_from: int = 512  # an image whose long side has at least these pixels is an original, unless its route says otherwise
    max_pixels: int = 50_000_000
    max_bytes: int = 32 * 2**20
    workers: int = 1
    queue: int = 64
    timeout: float = 5.0
    worker_memory: int = 512 * 2**20
    cache_bytes: int = 64 * 2**20
    cache_folder: str = ""  # where renditions outlive the server; "" for nowhere
    cache_folder_bytes: int = 2**30
    renditions: RenditionRules = field(default_factory=RenditionRules)
    rights: RightsRules = field(default_factory=RightsRules)

    @classmethod
    def read(cls, text: str) -> ImageRules:
        """Return the rules that ``asdict`` and JSON made ``text`` of: this is how they come to a worker."""
        plain: dict[str, Any] = json.loads(text)
        looks, rights = RenditionRules(**plain.pop("renditions")), RightsRules(**plain.pop("rights"))
        return cls(**plain, renditions=looks, rights=rights)


@dataclass(frozen=True, slots=True)
class TraceRules:
    """Which renditions carry the trace of whom they were made for, and whether originals do."""

    renditions: tuple[Rendition, ...] = (Rendition.MARKED, Rendition.PREVIEW)
    originals: bool = False  # in their bytes alone
    cache_bytes: int = 16 * 2**20  # memory for traced copies


def finder_memory(look: int) -> int:
    """Return the address space in bytes of a worker that looks for faces at ``look`` pixels, pictures apart.

    Measured (VmPeak): 203 MB at 192 pixels, most of it libraries, 249 MB at 320, where what is in doubt is looked
    for at 480, and 693 MB at 1,024.
    """
    return 224 * 2**20 + 512 * look * look


@dataclass(frozen=True, slots=True)
class GrantRules:
    """How image URLs are signed. ``prefixes`` empty: nothing is signed and no grant is asked for."""

    prefixes: tuple[str, ...] = ()
    window: int = 900  # seconds; a grant is valid for the window it was made in and the next
    parameter: str = "as"
    rewrite: bool = True  # sign the URLs found in bodies and Link fields
    bodies: tuple[Literal["html", "json", "css", "xml"], ...] = ("html", "json", "css", "xml")
    body_bytes: int = 16 * 2**20  # of one body that are searched for URLs
    binding: Literal["none", "network", "account", "clearance"] = "none"  # whom a page's grants are made for
    ceiling: Rendition = Rendition.ORIGINAL  # the best that a page's grants open
    # What the grants in cards (og:image) and in feeds open; None: their URLs are not signed.
    cards: Rendition | None = Rendition.MARKED
    feeds: Rendition | None = Rendition.MARKED
    outside: int = 7 * 86_400  # seconds; their window
    opaque: str = ""  # the path below which the pictures of pages have paths that tell nothing; "" for none
    shared_caches: bool = False  # whether a CDN may keep the originals that unbound grants open
    # What an image request gets at best that has no grant, or one that is not valid.
    missing: Rendition = Rendition.PREVIEW
    expired: Rendition = Rendition.PREVIEW
    foreign: Rendition = Rendition.PREVIEW
    forged: Rendition = Rendition.PREVIEW


@dataclass(frozen=True, slots=True)
class TrapRules:
    """Links that no person sees. ``inject``: put one into every HTML page, and some into the sitemap."""

    inject: bool = False
    pictures: bool = False  # a picture beside the link
    tagged: bool = False  # links name whom they were given to
    path: str = ""  # derived from the secret when empty


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """Whose word is taken for a client's address."""

    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    trust_unix: bool = False  # a peer on a unix socket is a trusted proxy
    header: str = "x-forwarded-for"  # "x-forwarded-for", "forwarded", "x-real-ip" or another header's name
    ipv4_rollup: int = 24
    ipv6_prefix: int = 64
    ipv6_line: int = 56  # what one household is given; none of its own unless it lies between the two
    ipv6_rollup: int = 48
    line_factor: float = 4.0  # a line has this many times a principal's budgets
    rollup_factor: float = 20.0  # and the roll-up network this many


@dataclass(frozen=True, slots=True)
class StoreRules:
    """Where principals are remembered: in memory, and at ``address`` together with other workers."""

    max_principals: int = 200_000
    # Out of the policy's version: two machines that reach one store by two names have one policy.
    address: StoreAddress | None = field(default=None, repr=False)
    mode: Literal["shared", "strict"] = "shared"
    interval: float = 0.1  # seconds between two exchanges of what was counted
    timeout: float = 0.25  # seconds after which a call to the store has failed
    workers: int = 0  # that divide the budgets while the store is away; 0: as many as were last seen
    namespace: str = ""  # of the store's keys; "": the site's name
    max_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class OverloadRules:
    """From when on what is shed: ``lag`` (seconds) and ``memory`` (0 to 1) are the marks of the three rungs."""

    enabled: bool = True
    lag: tuple[float, float, float] = (0.25, 0.5, 1.0)
    memory: tuple[float, float, float] = (0.85, 0.9, 0.95)
    limit: int = 0  # bytes that one worker may take; 0: what the container allows to all in it
    calm: float = 5.0  # seconds well below a mark after which its rung is left
    retry: int = 10  # seconds after which who was sent away may come again


@dataclass(frozen=True, slots=True)
class RecordRules:
    """Where events and metrics go."""

    events: str = "stderr"  # "stderr", "off", or a file's path
    addresses: str = "hashed"  # "hashed" (keyed, the key changes weekly) or "plain"
    admin: str = "127.0.0.1:9465"  # address:port or unix:/path of the admin socket; "" for none


@dataclass(frozen=True, slots=True)
class ServeRules:
    """What ``antiscrape serve`` bears from a connection: seconds, raw bytes, counts."""

    first_byte: float = 5.0
    head: float = 10.0
    head_bytes: int = 32 * 1024
    fields: int = 100
    target_bytes: int = 8 * 1024
    pipelined: int = 16
    rate: int = 1000  # bytes a second of a body, and of an answer that waits; 0: none asked for
    body: float = 10.0  # seconds over which a body's rate is taken
    send: float = 30.0  # seconds over which an answer's rate is taken
    buffer_bytes: int = 2**20  # of an answer that wait for one client
    keep_alive: float = 65.0
    proxy_protocol: bool = False
    # Out of the policy's version, as the addresses of stores are.
    tls_certificate: str = field(default="", repr=False)
    tls_key: str = field(default="", repr=False)
    tls_minimum: Literal["1.2", "1.3"] = "1.2"


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy. ``secrets`` runs from oldest to newest: the last signs, all verify."""

    secrets: tuple[bytes, ...] = field(repr=False)
    standings: Mapping[Standing, Allowance]
    routes: tuple[Route, ...]
    signals: Mapping[str, SignalRule]
    crawlers: CrawlerRules = field(default_factory=CrawlerRules)
    partners: tuple[Partner, ...] = ()
    bots: tuple[BotRule, ...] = ()
    signatures: SignatureRules = field(default_factory=SignatureRules)
    mode: Mode = Mode.ENFORCE
    site: str = "site"
    hosts: tuple[str, ...] = ()  # empty: any valid Host is served
    ignore_case: bool = False  # whether /IMG/1 and /img/1 are one resource upstream
    unknown_at: int = 25
    bot_at: int = 40
    banned_at: int = 250
    ban_seconds: float = 3600.0
    cooling: CoolingRules = field(default_factory=CoolingRules)
    tell: Tell = Tell.REFUSALS
    identity: IdentityRules = field(default_factory=IdentityRules)
    images: ImageRules = field(default_factory=ImageRules)
    trace: TraceRules = field(default_factory=TraceRules)
    grants: GrantRules = field(default_factory=GrantRules)
    spread: bool = True  # whether clients are judged by what they do together
    traps: TrapRules = field(default_factory=TrapRules)
    networks: NetworkRules = field(default_factory=NetworkRules)
    accounts: AccountRules = field(default_factory=AccountRules)
    clearance: ClearanceRules = field(default_factory=ClearanceRules)
    preferences: PreferenceRules | None = None  # None: nothing is said about being crawled
    store: StoreRules = field(default_factory=StoreRules)
    overload: OverloadRules = field(default_factory=OverloadRules)
    upstream: UpstreamRules = field(default_factory=UpstreamRules)
    record: RecordRules = field(default_factory=RecordRules)
    serve: ServeRules = field(default_factory=ServeRules)
