"""The settings file as a type: a table each, a field for every setting, with the words an operator reads.

The defaults are this file's. ``config/antiscrape.toml`` is written from it (``settings.document``),
so the two cannot say different things.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from antiscrape.core.rules import finder_memory
from antiscrape.core.verdict import Mode
from antiscrape.settings.accounts import Accounts
from antiscrape.settings.clearance import Clearance
from antiscrape.settings.consequences import Budgets, Cooling
from antiscrape.settings.crawlers import BotLines, Crawlers, Purposes, Signatures
from antiscrape.settings.grants import Grants
from antiscrape.settings.identity import Identity
from antiscrape.settings.names import (
    Admin,
    Host,
    Line,
    Listed,
    TrapPath,
)
from antiscrape.settings.networks import Networks
from antiscrape.settings.overload import Overload
from antiscrape.settings.partners import (
    PartnerLines,  # noqa: TC001  pydantic reads annotations when it runs
)
from antiscrape.settings.preferences import Preferences
from antiscrape.settings.renditions import Renditions, Rights
from antiscrape.settings.routes import ROUTES, RouteLines
from antiscrape.settings.serving import Serve
from antiscrape.settings.signals import Signals
from antiscrape.settings.standings import Standings
from antiscrape.settings.store import Store
from antiscrape.settings.table import ModeName, Remark, Table
from antiscrape.settings.trace import Trace
from antiscrape.settings.units import Bytes, Duration, lasting, sized
from antiscrape.settings.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

#: From here on a preview's faces are matched again: 16 cells rank-1 0.03-0.07, 24 cells 0.18-0.33.
MOST_SAFE_CELLS = 16
#: Where Latin letters end (Unicode's block Latin Extended-B); the built-in font has few beyond.
LAST_LATIN = 0x24F
#: Pixels across of a face that few can match, and the score above which faces are missed that are.
SAFE_FLOOR, LEAST_SURE = 8, 0.1
#: A decoded picture in RGBA, as Pillow holds it.
BYTES_PER_PIXEL = 4


class Site(Table):
    """The site that is protected."""

    name: Line = Field(
        default="site",
        min_length=1,
        max_length=64,
        description="What events, metrics and reports call the site.",
    )
    mode: ModeName = Field(
        default=Mode.ENFORCE,
        description="enforce: verdicts are carried out. shadow: they are made and recorded, and every request is "
        "served as if antiscrape were not there. off: nothing is judged.",
    )
    hosts: Annotated[tuple[Host, ...], Listed] = Field(
        default=(),
        description="The host names the site answers to, without port. Empty: any valid Host is served.",
    )
    ignore_case: bool = Field(
        default=False,
        description="Whether /IMG/1 and /img/1 are one resource on the site itself. If they are and this says "
        "false, one image has as many spellings as its path has letters, and each is counted anew.",
    )
    secret_file: str = Field(
        default="",
        max_length=4096,
        description="A file that holds the secret, or several from oldest to newest, separated by white space or "
        "commas: the newest signs, all verify. A relative path starts at this file's folder. The secret itself "
        "never stands here; the environment's ANTISCRAPE_SECRET or ANTISCRAPE_SECRET_FILE goes before this.",
    )


class Score(Table):
    """What the sum of a request's signals means."""

    unknown_at: int = Field(
        default=25,
        ge=1,
        le=10_000,
        description="From this score on, a browser is taken for unknown and sees previews.",
    )
    bot_at: int = Field(default=40, ge=1, le=10_000, description="From this score on, it is taken for a bot.")
    banned_at: int = Field(
        default=250,
        ge=1,
        le=10_000,
        description="From this score on, it is banned: every request is refused. A harvester that is refused "
        "changes its disguise, one that gets previews goes on wasting its time, so this lies beyond what "
        "headers and habits add up to without a trap.",
    )
    ban: Annotated[Duration, lasting("1min", "31d")] = Field(
        default=3600.0, description="How long a ban lasts."
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield thresholds that do not ascend."""
        if self.bot_at <= self.unknown_at:
            yield ("bot_at",), f"{self.bot_at} is not above unknown_at, which is {self.unknown_at}"
        if self.banned_at <= self.bot_at:
            yield ("banned_at",), f"{self.banned_at} is not above bot_at, which is {self.bot_at}"


class Images(Table):
    """How lesser renditions are made, and the bounds within which pictures are decoded."""

    faces: Literal["auto", "require", "off"] = Field(
        default="auto",
        description="Previews show the scene with a veil over every face found (auto: where antiscrape[faces] is "
        "installed; require: no start without it), or a few cells of colour of the whole picture (off).",
    )
    face_look: int = Field(
        default=192,
        ge=96,
        le=1024,
        description="Pixels of the long side at which faces are looked for, and faces from 12 pixels on are found. "
        "More shows more of the scene, and costs time with its square: 192 a preview of 128 pixels, 384 one of 256.",
    )
    face_score: float = Field(
        default=0.05,
        ge=0.02,
        le=0.9,
        description="A find of less confidence is left as it is. A false find costs some beauty, a missed one a person.",
    )
    face_floor: int = Field(
        default=8,
        ge=4,
        le=64,
        description="Pixels that a face too small to be found may be wide in a preview: the scene is shown so much smaller. "
        "Of faces 6 pixels wide matchers found 3 to 7 of 100, 9 pixels 18 to 33, 23 pixels 92. Raise it where finds are "
        "trusted.",
    )
    preview_cells: int = Field(
        default=6,
        ge=4,
        le=256,
        description="How many cells are left of a preview's long side where faces are not looked for. Of 6 cells in 16 levels "
        "face matchers name 2 to 3 of 100 people (chance: 1.5) after deconvolution, and 7 to 9 from photos treated alike, "
        "4 cells 5 to 8; of 16 cells 25 to 50 where a face fills the picture, 6 to 12 where it is less than half as wide.",
    )
    preview_size: int = Field(
        default=480,
        ge=32,
        le=4096,
        description="Pixels of the long side of a preview's file, whatever is left to show.",
    )
    mark: Line = Field(
        default="Preview", max_length=64, description='The words laid over a preview; "" for none.'
    )
    original_from: int = Field(
        default=512,
        ge=16,
        le=65_535,
        description="From this many pixels of its long side on, an image is an original, unless its route says otherwise.",
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1_000_000,
        le=1_000_000_000,
        description="Larger pictures are not decoded: a placeholder. So is what takes more than worker_memory: of WebP, "
        "of which four copies are made at once, and of AVIF pictures from some 20 million pixels on.",
    )
    max_bytes: Annotated[Bytes, sized("64KiB", "1GiB")] = Field(
        default=2**25, description="Longer files are not read: a placeholder."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that decode, apart from the server. One per spare core.",
    )
    queue: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="Pictures that may wait for a worker; one more is a placeholder at once.",
    )
    timeout: Annotated[Duration, lasting("0.1s", "1min")] = Field(
        default=5.0, description="A worker that takes longer for one is ended."
    )
    worker_memory: Annotated[Bytes, sized("128MiB", "64GiB")] = Field(
        default=2**29,
        description="Address space of a worker. A bomb meets this, not the server.",
    )
    cache_bytes: Annotated[Bytes, sized("0B", "64GiB")] = Field(
        default=2**26,
        description="Memory for finished renditions, so that each is made once. 0: none.",
    )
    cache_folder: str = Field(
        default="",
        max_length=4096,
        description="A folder where finished renditions outlive the server, and where all workers of the site find "
        'them. A relative path starts at this file\'s folder. A full disk costs nothing but this. "": none.',
    )
    cache_folder_bytes: Annotated[Bytes, sized("1MiB", "16384GiB")] = Field(
        default=2**30,
        description="How much of the folder is used; what was not asked for the longest goes first.",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield cells without pixels, and pictures that no worker could hold."""
        if self.preview_cells > self.preview_size:
            yield ("preview_cells",), f"is more than preview_size, which is {self.preview_size} pixels"
        if self.faces == "require" and self.worker_memory < finder_memory(self.face_look):
            words = (
                f"takes {finder_memory(self.face_look)} bytes to look for faces with, more than worker_memory"
            )
            yield ("face_look",), words
        if self.max_pixels * BYTES_PER_PIXEL > self.worker_memory:
            words = f"takes {self.max_pixels * BYTES_PER_PIXEL} bytes decoded, more than worker_memory"
            yield ("max_pixels",), words

    def doubts(self) -> Iterator[Remark]:
        """Yield a preview that still shows who somebody is."""
        if self.preview_cells > MOST_SAFE_CELLS:
            words = f"{self.preview_cells} cells leave enough of a face to match it (24 cells: rank-1 0.18 to 0.33)"
            yield ("preview_cells",), f"{words}; at most {MOST_SAFE_CELLS} are advised"
        if self.face_floor > SAFE_FLOOR:
            words = f"a face that was not found may be matched at {self.face_floor} pixels (9 pixels: rank-1 0.18 to 0.33)"
            yield ("face_floor",), f"{words}; at most {SAFE_FLOOR} are advised"
        if self.face_score > LEAST_SURE:
            words = f"finds of less confidence than {self.face_score:g} are faces, too: of those 12 pixels wide a fifth"
            yield ("face_score",), f"{words} had less than 0.2; at most {LEAST_SURE:g} is advised"


class Spread(Table):
    """What many clients do together: one harvester over a thousand addresses is one harvester."""

    enabled: bool = Field(
        default=True,
        description="Count what clients of one look, network, owner of networks or stretch of pictures take, and hold "
        "each to what its group does: first to one shared ration, then by the signals of the family spread.",
    )


class Traps(Table):
    """Links that no person sees; whoever follows one reads the markup, not the page."""

    inject: bool = Field(
        default=False,
        description="Put one into every HTML page, and some at the end of the sitemap, but for proven crawlers.",
    )
    pictures: bool = Field(
        default=False,
        description="Put a picture beside the link, which scrapers of pictures fetch. Old browsers do, too, so it weighs little.",
    )
    tagged: bool = Field(
        default=False,
        description="Let every link name, sealed, whom it was given to: whoever else uses it has it from a machine. Pages "
        "then belong to whom they were made for, and no shared cache may keep them.",
    )
    path: TrapPath = Field(
        default="",
        description="Where it leads. Empty: a path derived from the secret, so that no list of trap paths names it.",
    )


class Record(Table):
    """Where events and metrics go."""

    events: Line = Field(
        default="stderr",
        min_length=1,
        max_length=4096,
        description='One JSON line for every verdict that is not a plain allow: "stderr", "off", or a file\'s path.',
    )
    addresses: Literal["hashed", "plain"] = Field(
        default="hashed",
        description="How events name a client: hashed (with a key that changes every week, so that days can be "
        "compared and people not be looked up) or plain.",
    )
    admin: Admin = Field(
        default="127.0.0.1:9465",
        max_length=120,
        description='The admin socket (health, metrics): "address:port" or "unix:/path"; "" for none. Whoever can '
        "connect can read it.",
    )

    def doubts(self) -> Iterator[Remark]:
        """Yield an admin socket that others than this machine can reach."""
        host = self.admin.rpartition(":")[0].strip("[]")
        if host and not self.admin.startswith("unix:") and not ip_address(host).is_loopback:
            yield ("admin",), "is reachable from other machines, and whoever can connect can read it"


class Settings(Table):
    """The whole file."""

    site: Site = Site.usual()
    identity: Identity = Identity.usual()
    networks: Networks = Networks.usual()
    accounts: Accounts = Accounts.usual()
    clearance: Clearance = Clearance.usual()
    routes: RouteLines = Field(
        default=ROUTES,
        max_length=1000,
        description="What each path is: the first line whose pattern matches tells. Lines written here take the "
        "place of all of these; /robots.txt and /.well-known/** stay exempt, written or not. A path that no line "
        "matches is told by the Content-Type of its answer, never by its suffix.",
    )
    score: Score = Score.usual()
    standing: Standings = Standings.usual()
    budgets: Budgets = Budgets.usual()
    cooling: Cooling = Cooling.usual()
    crawlers: Crawlers = Crawlers.usual()
    crawler: Purposes = Purposes.usual()
    signatures: Signatures = Signatures.usual()
    partners: PartnerLines = Field(
        default=(), max_length=1000, description="Who is granted access, what for, how much, and until when."
    )
    bots: BotLines = Field(
        default=(),
        max_length=1000,
        description="Bots that sign their requests (Web Bot Auth), each with a purpose of [crawler] or named by a partner.",
    )
    signals: Signals = Signals.usual()
    images: Images = Images.usual()
    renditions: Renditions = Renditions.usual()
    rights: Rights = Rights.usual()
    trace: Trace = Trace.usual()
    grants: Grants = Grants.usual()
    spread: Spread = Spread.usual()
    traps: Traps = Traps.usual()
    preferences: Preferences = Preferences.usual()
    store: Store = Store.usual()
    overload: Overload = Overload.usual()
    upstream: Upstream = Upstream.usual()
    record: Record = Record.usual()
    serve: Serve = Serve.usual()

    def contradictions(self) -> Iterator[Remark]:
        """Yield what two tables cannot mean together: traces and shared caches, grants bound to nobody, a PROXY header from nobody."""
        if self.serve.proxy_protocol and not self.identity.trusted_proxies and not self.identity.trust_unix:
            words = "is taken from identity.trusted_proxies only, and there are none: every connection would be closed"
            yield ("serve", "proxy_protocol"), words
        if self.trace.originals and self.grants.shared_caches:
            words = "cannot be had with grants.shared_caches: a copy that a CDN keeps would name another than its taker"
            yield ("trace", "originals"), words
        if self.grants.binding == "clearance" and not self.clearance.enabled:
            yield ("grants", "binding"), "binds to clearances, which nobody has without clearance.enabled"

    def doubts(self) -> Iterator[Remark]:
        """Yield the doubts of every table, and the signals of which one alone bans."""
        for name in ("images", "renditions", "grants", "record"):
            yield from _within((name,), getattr(self, name))
        if not self.renditions.mark_font and any(ord(letter) > LAST_LATIN for letter in self.images.mark):
            yield (
                ("images", "mark"),
                "has letters that the built-in font lacks; renditions.mark_font names another",
            )
        if self.store.url and not self.store.namespace and self.site.name == type(self.site)().name:
            words = f'two sites called "{self.site.name}" would share their counts there'
            yield ("store", "url"), f"{words}; give this one a site.name or a store.namespace"
        for name in type(self.standing).model_fields:
            yield from _within(("standing", name), getattr(self.standing, name))
        if self.clearance.enabled:
            yield from _within(("standing",), self.standing)
        for name, signal in self.signals.rows():
            if signal.mode is Mode.ENFORCE and signal.weight >= self.score.banned_at:
                words = f"one signal of {signal.weight} bans by itself (score.banned_at is {self.score.banned_at})"
                yield ("signals", name, "weight"), words


def _within(where: tuple[str, ...], table: Table) -> Iterator[Remark]:
    for path, words in table.doubts():
        yield (*where, *path), words
