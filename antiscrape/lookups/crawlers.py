"""The book of crawlers: who a User-Agent claims to be, where that crawler lives, and whether the claim holds.

The facts are data: TOML files name each crawler, the words that claim it, the domains its addresses
are named under and the lists its operator publishes. A list is used for as long as it is young: for a
week it can disprove a claim, for a month it can prove one (a cloud gives an address that a crawler
returned to the next customer), after that it says nothing.

``Verifier.proof`` is what a request asks. It reads memory and never waits; what takes a while is
started, and the next request of the same crawler finds it done.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import tomllib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import re2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from antiscrape.core.crawler import (
    Answer,
    Crawler,
    Proof,
    Purpose,
    Source,
    judge_list,
    read_list,
)
from antiscrape.core.identity import read_address
from antiscrape.core.memo import Memo
from antiscrape.core.networks import PrefixTable
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import aiohttp

    from antiscrape.core.crawler import Network
    from antiscrape.lookups.resolver import Resolver

_DAY: Final = 86_400.0
#: Seconds after which a list no longer disproves, and after which it no longer proves.
FRESH, VALID = 7 * _DAY, 30 * _DAY
#: Bytes of a published list: ten times the longest one known.
MOST_BYTES: Final = 2 * 2**20
_MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_REMEMBERED: Final = 16_384
_AGENTS: Final = 8192
_LONGEST: Final = 1024
#: Domains whose names any customer of a cloud gets, confirmed forward and back: they prove who rents, not who asks.
_RENTED: Final = (
    "googleusercontent.com", "amazonaws.com", "azure.com", "cloudapp.net", "linode.com", "linodeusercontent.com",
    "vultrusercontent.com", "your-server.de", "ovh.net", "contaboserver.net", "oraclecloud.com",
)  # fmt: skip
#: What stands before a token that is named as a model and not claimed: "TelegramBot (like TwitterBot)".
_LIKENESS: Final = ("like ", "following ", "compatible with ", "-")


class _SourceRow(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: Annotated[str, Field(pattern=r"^https://[a-z0-9.-]+/[!-~]*$")]
    file: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*\.(json|txt)$")]


class _CrawlerRow(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    operator: Annotated[str, Field(min_length=1)]
    purpose: Purpose
    tokens: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./ -]+$")], ...], Field(min_length=1)
    ]
    suffixes: tuple[Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")], ...] = ()
    ranges: tuple[_SourceRow, ...] = ()
    complete: bool = False
    documented: str = ""  # where the operator says all this; for people


class Published(NamedTuple):
    """An operator's lists, merged; the times on the monotonic clock until which they disprove and prove."""

    prefixes: PrefixTable
    fresh_until: float
    valid_until: float


class CrawlerBook:
    """Knows crawlers by their tokens. Made once at start; a reload makes another.

    ``problems`` tells of lists that could not be used, one line each: a start does not fail for them.
    """

    def __init__(
        self,
        crawlers: Iterable[Crawler],
        published: Mapping[str, Published] | None = None,
        problems: Iterable[str] = (),
    ) -> None:
        self.crawlers = tuple(crawlers)
        self.published = dict(published or {})
        self.problems = tuple(problems)
        self._owners = {token.lower(): crawler for crawler in self.crawlers for token in crawler.tokens}
        # longest first: of two tokens that begin at one place the longer is meant
        tokens = sorted(self._owners, key=len, reverse=True) or [
            r"\z.",
        ]
        # An underscore ends a token ("Pingdom.com_bot_version_1.4") but does not begin one.
        self._pattern = re2.compile(rf"\b({'|'.join(re2.escape(token) for token in tokens)})(?:\b|_)")
        self._memo: Memo[bytes, tuple[Crawler | None]] = Memo(_AGENTS)

    def claim(self, user_agent: bytes | None) -> Crawler | None:
        """Return the known crawler that a User-Agent claims to be, or None; the first it names counts."""
        if not user_agent:
            return None
        known = self._memo.get(user_agent)
        if known is None:
            known = (self._read(user_agent),)
            if len(user_agent) <= _LONGEST:
                self._memo.put(user_agent, known)
        return known[0]

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every published list that the book's crawlers have, once."""
        return tuple(dict.fromkeys(source for crawler in self.crawlers for source in crawler.sources))

    def _read(self, user_agent: bytes) -> Crawler | None:
        text = user_agent[:_LONGEST].decode("latin-1").lower()
        for match in self._pattern.finditer(text) if self._owners else ():
            if not text[: match.start()].endswith(_LIKENESS):
                return self._owners[match.group(1)]
        return None


class Verifier:
    """Says whether an address is the crawler that it claims to be. ``resolver`` None: DNS is not asked."""

    def __init__(self, book: CrawlerBook, resolver: Resolver | None = None) -> None:
        self._resolver = resolver
        self.renew(book)

    def renew(self, book: CrawlerBook) -> None:
        """Go by another book from now on, and forget what the former one said."""
        self.book = book
        self._memo: Memo[tuple[str, str], tuple[Proof, float]] = Memo(_REMEMBERED)

    def proof(self, claim: Crawler, address: str, now: float) -> Proof | None:
        """Return what is known at ``now`` (monotonic) of a claim, or None while it is being looked up.

        Lists come first: they cost no look-up and cannot be kept busy by others. DNS has the last word
        where the crawler has a name there, because lists run late.
        """
        key = (address, claim.name)
        known = self._memo.get(key)
        if known is not None and now < known[1]:
            return known[0]
        listed, until = self._listed(claim, address, now)
        if listed is not Answer.YES and claim.suffixes:
            if self._resolver is None:
                return Proof.UNVERIFIED
            answer = self._resolver.ask(address, claim.suffixes, now)
            return None if answer is None else claim.conclude(answer)
        proof = claim.conclude(listed)
        self._memo.put(key, (proof, until))
        return proof

    def _listed(self, claim: Crawler, address: str, now: float) -> tuple[Answer, float]:
        """Return what the published lists say, and until when they say so."""
        published = self.book.published.get(claim.name)
        where = read_address(address)
        if published is None or where is None or now >= published.valid_until:
            return Answer.UNKNOWN, now + _DAY
        if published.prefixes.find(where):
            return Answer.YES, published.valid_until
        if now < published.fresh_until:
            return Answer.NO, published.fresh_until
        return Answer.UNKNOWN, published.valid_until


def load_book(folder: Path, ranges: Path | None = None, *, now: float, wall: float) -> CrawlerBook:
    """Read every ``*.toml`` of ``folder``, and the lists kept in ``ranges`` (by default the same folder).

    ``now`` and ``wall`` are the same moment on the monotonic clock and since the epoch; a list's age is
    that of its file. Raise ``ConfigurationError`` with every mistake in the TOML files.
    """
    problems: list[str] = []
    rows = [row for path in sorted(folder.glob("*.toml")) for row in _rows(path, problems)]
    problems += _conflicts(rows)
    if not rows and not problems:
        problems.append(f"{folder}: no crawler is named in any .toml file here")
    if problems:
        raise ConfigurationError(*problems)
    crawlers = [_crawler(row) for row in rows]
    notes: list[str] = []
    published = _load_lists(crawlers, ranges or folder, now, wall, notes)
    return CrawlerBook(crawlers, published, notes)


def _rows(path: Path, problems: list[str]) -> Iterator[_CrawlerRow]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name}: cannot be read: {error}")
        return
    entries = document.pop("crawler", [])
    problems += [f"{path.name}: {key}: only [[crawler]] tables are expected" for key in document]
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], 1):
        try:
            yield _CrawlerRow.model_validate(entry)
        except ValidationError as error:
            for each in error.errors():
                place = ".".join(str(part) for part in each["loc"])
                problems.append(f"{path.name}: crawler {number}: {place}: {each['msg']}")


def _conflicts(rows: list[_CrawlerRow]) -> Iterator[str]:
    names: set[str] = set()
    owners: dict[str, str] = {}
    files: dict[str, str] = {}
    for row in rows:
        if row.name in names:
            yield f"{row.name}: is named twice"
        names.add(row.name)
        for token in row.tokens:
            if owners.setdefault(token.lower(), row.name) != row.name:
                yield f"{row.name}: the token {token!r} is {owners[token.lower()]}'s"
        for source in row.ranges:
            if files.setdefault(source.file, source.url) != source.url:
                yield f"{row.name}: {source.file} keeps the list of another URL"
        for suffix in row.suffixes:
            if any(suffix == rented or suffix.endswith("." + rented) for rented in _RENTED):
                yield f"{row.name}: names under {suffix} belong to whoever rents a machine there"
        if row.complete and not (row.suffixes or row.ranges):
            yield f"{row.name}: is complete, but gives no way to verify it"


def _crawler(row: _CrawlerRow) -> Crawler:
    sources = tuple(Source(each.url, each.file) for each in row.ranges)
    return Crawler(row.name, row.operator, row.purpose, row.tokens, row.suffixes, sources, row.complete)


def _load_lists(
    crawlers: list[Crawler], folder: Path, now: float, wall: float, notes: list[str]
) -> dict[str, Published]:
    """Merge each crawler's lists; a crawler of whose lists one is missing has nothing disproven by the rest."""
    kept: dict[Source, tuple[list[Network], float]] = {}
    for source in dict.fromkeys(source for crawler in crawlers for source in crawler.sources):
        try:
            networks = _kept(folder / source.file)
            fetched = (folder / source.file).stat().st_mtime
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            notes.append(f"{source.file}: {error}")
            continue
        kept[source] = (networks, now - max(wall - fetched, 0.0))
    published = {}
    for crawler in crawlers:
        found = [kept[source] for source in crawler.sources if source in kept]
        if found:
            oldest = min(fetched for _, fetched in found)
            whole = len(found) == len(crawler.sources)
            prefixes = PrefixTable.of(network for networks, _ in found for network in networks)
            published[crawler.name] = Published(prefixes, oldest + FRESH if whole else 0.0, oldest + VALID)
    return published


def _kept(path: Path) -> list[Network]:
    """Return the list that a file keeps; raise ``ValueError`` with what makes it unfit."""
    with path.open("rb") as file:
        body = file.read(MOST_BYTES + 1)
    return _read_body(body)


def _read_body(body: bytes, before: int | None = None) -> list[Network]:
    if len(body) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES} bytes")
    networks = read_list(body.decode("utf-8"))
    unfit = judge_list(networks, before)
    if unfit:
        raise ValueError(unfit)
    return networks


class Refreshed(NamedTuple):
    """What became of one list: how many entries the file now has, and why the former one was kept, or ``""``."""

    source: Source
    entries: int
    problem: str = ""


async def refresh(
    sources: Iterable[Source],
    folder: Path,
    *,
    schemes: tuple[str, ...] = ("https",),
    connect: float = 2.0,
    total: float = 10.0,
) -> tuple[Refreshed, ...]:
    """Fetch published lists into ``folder``; a list that is unfit, late or not to be had leaves its last good file.

    ``connect`` and ``total`` are seconds for one list. Only https is spoken, and no host is asked but
    the one that the book names. Never raise for what a server does.
    """
    import aiohttp  # noqa: PLC0415 - of the extra "serve", which a site in middleware does without

    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect),  # the total is over all redirects
        # An encoded body could unfold to any size, and half of it could still look whole.
        headers={"User-Agent": "antiscrape", "Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        return tuple(
            await asyncio.gather(*(_renew(session, source, folder, schemes, total) for source in sources))
        )


async def _renew(
    session: aiohttp.ClientSession, source: Source, folder: Path, schemes: tuple[str, ...], total: float
) -> Refreshed:
    import aiohttp  # noqa: PLC0415 - as above

    path = folder / source.file
    try:
        before = len(await asyncio.to_thread(_kept, path))
    except (OSError, ValueError):
        before = 0
    try:
        async with asyncio.timeout(total):
            body = await _fetch(session, source.url, schemes)
        networks = _read_body(body, before)
        await asyncio.to_thread(_replace, path, body)
    except TimeoutError:
        return Refreshed(source, before, "did not answer in time")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Refreshed(source, before, str(error) or type(error).__name__)
    return Refreshed(source, len(networks))


async def _fetch(session: aiohttp.ClientSession, url: str, schemes: tuple[str, ...]) -> bytes:
    for _ in range(_MOST_REDIRECTS + 1):
        here = urlsplit(url)
        if here.scheme not in schemes:
            raise ValueError(f"is not to be fetched over {here.scheme or 'nothing'}")
        async with session.get(url, allow_redirects=False) as response:
            if response.status not in _REDIRECTS:
                return await _body(response)
            url = urljoin(url, response.headers.get("Location", ""))
        if urlsplit(url)[:2] != here[:2]:
            raise ValueError(f"redirects to another host, {urlsplit(url).netloc!r}")
    raise ValueError(f"redirects more than {_MOST_REDIRECTS} times")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return a whole body; raise ``ValueError`` where its end cannot be told from a broken connection."""
    if response.status != HTTPStatus.OK:
        raise ValueError(f"was answered {response.status}")
    if response.content_type in {"text/html", "application/xhtml+xml"}:
        raise ValueError("is a web page, not a list")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ValueError("is encoded")
    if response.content_length is None and "chunked" not in response.headers.get("Transfer-Encoding", ""):
        raise ValueError("has neither length nor chunks, so half of it could not be told from all")
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            raise ValueError(f"is longer than {MOST_BYTES} bytes")
    return bytes(body)


def _replace(path: Path, body: bytes) -> None:
    """Put ``body`` in place of a file, whole or not at all; its time tells when the list was last good."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        written = Path(file.name)
        try:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
            written.chmod(0o644)  # whoever refreshes is seldom the user that serves
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
