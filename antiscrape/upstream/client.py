"""The one HTTP client of the reverse proxy: it carries a judged request to a site, byte for byte, once.

What was judged must be what the site receives (SECURITY P0), so nothing here is helpful: no redirect
is followed, no cookie kept, no encoding undone, no path tidied, no field added that the caller did not
give. What comes back is read by ``head`` and ``chunks``, which take nothing that can be read in two ways.

Of several sites the one with the fewest requests is asked, unless it has failed lately (``health``).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from antiscrape.core.forwarding import UpstreamRules
from antiscrape.core.routes import pattern_source
from antiscrape.errors import ConfigurationError, UpstreamError
from antiscrape.upstream.address import read_address
from antiscrape.upstream.answer import Answer
from antiscrape.upstream.asking import head_of
from antiscrape.upstream.checking import Checker
from antiscrape.upstream.connection import Lost, Question
from antiscrape.upstream.pool import Crowded, Pool
from antiscrape.upstream.sending import send_body
from antiscrape.upstream.websocket import Socket, shake_hands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from antiscrape.upstream.connection import Connection

    Headers = list[tuple[bytes, bytes]]

# RFC 9110 §9.2.1: asking twice for these asks for nothing twice.
_SAFE: Final = frozenset({"GET", "HEAD"})
_LOST: Final = "the site closed the connection before its answer"
#: Seconds between two looks at the deadlines: a quarter of the shortest, and at most this.
_STEP: Final = 0.5


class SiteState(NamedTuple):
    """One site as the proxy sees it: its URL, whether it is asked, and its connections."""

    url: str
    well: bool
    busy: int
    idle: int


class Upstream:
    """The site behind the proxy, at one URL or several: ``http://host:port``, ``https://host`` or ``unix:/path``.

    ``urls`` stand in the place of those of ``rules``. Raise ``ConfigurationError`` for what names no site.
    """

    def __init__(
        self, *urls: str, rules: UpstreamRules | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules = rules or UpstreamRules()
        addresses = [read_address(url) for url in dict.fromkeys(urls or rules.urls)]
        if not addresses:
            raise ConfigurationError("upstream: no site is named; give --upstream, or urls in [upstream]")
        if any(address.secure for address in addresses):
            tls = tls or _trusting(rules.ca_file)
        waits = [rules.connect_timeout, rules.read_timeout, rules.send_timeout]
        step = self._step = min(_STEP, min(waits + [line.read_timeout for line in rules.routes]) / 4)
        self.pools = tuple(
            Pool(address, rules, step=step, tls=tls if address.secure else None) for address in addresses
        )
        self._only = self.pools[0] if len(self.pools) == 1 else None
        self._turn = 0
        self._patience = [
            (re.compile(pattern_source(line.pattern), re.DOTALL), line.read_timeout) for line in rules.routes
        ]
        self._checker = Checker(self.pools, rules, self._status_of) if rules.check_path else None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def authority(self) -> str:
        """The host, and port where it is not the scheme's own, that the first site is reached at."""
        return self.pools[0].address.authority

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the sites are."""
        return tuple(pool.address.url for pool in self.pools)

    def states(self) -> tuple[SiteState, ...]:
        """Return how each site is doing."""
        return tuple(
            SiteState(pool.address.url, pool.health.well, len(pool.busy), pool.idle) for pool in self.pools
        )

    async def request(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: AsyncIterator[bytes] | None = None,
        *,
        expects: bool = False,
        if_long: Callable[[], None] | None = None,
    ) -> Answer:
        """Send one request and return the head of its answer, the body still to come.

        ``target`` is path and query as they go on the wire. With a ``body``, ``headers`` hold its
        Content-Length, or it goes chunked; where the client ``expects`` to be asked for it, it is not
        read before. ``if_long`` is called once where the exchange takes its time. Raise
        ``RequestError`` for what cannot be sent as it is, ``UpstreamError`` for a site that is gone
        (502), slow (504) or talks nonsense (502).
        """
        length: int | None = None
        if body is not None:
            length, headers = _framed(headers, expects=expects)
        question = Question(
            head_of(method, target, headers),
            method == "HEAD",
            self._rules.read_timeout if not self._patience else self._patience_for(target),
            if_long,
        )
        only = self._only
        connection = None if only is None else only.spare()
        if connection is None:
            connection = await self._connection()
        if body is not None:
            return await self._ask_with_body(connection, question, body, length, expects=expects)
        try:
            return await self._ask(connection, question)
        except Lost as lost:
            # SECURITY C10: the one legitimate second try is a kept-alive connection that the site had just
            # closed: nothing was answered, and nothing but a head had been sent.
            if method not in _SAFE:
                raise UpstreamError(_LOST) from lost
        return await self._ask(await connection.pool.connect(fresh=True), question)

    async def websocket(self, target: bytes, headers: Headers, subprotocols: list[str]) -> Socket:
        """Open a websocket; raise ``UpstreamError`` with the site's own status where it declines."""
        connection = await self._connection(fresh=True)
        self._watch()
        try:
            return await shake_hands(connection, target, headers, subprotocols, self._rules)
        except BaseException as error:
            self._end(connection, error)
            raise

    def start(self) -> None:
        """Begin to ask the sites whether they are well, where the rules say so."""
        if self._checker is not None:
            self._checker.start()

    async def aclose(self) -> None:
        """Close every connection; a later request opens new ones."""
        if self._checker is not None:
            await self._checker.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pool in self.pools:
            pool.close()
        await asyncio.sleep(0)  # transports say goodbye in the loop's next round

    # ------------------------------------------------------------------ one exchange

    async def _ask(self, connection: Connection, question: Question) -> Answer:
        try:
            connection.ask(question)
            if self._timer is None:
                self._watch()
            head = await connection.answer()
        except BaseException as error:
            self._end(connection, error)
            raise
        if connection.pool.health.failures:
            self._note(connection.pool, good=True)
        return Answer(head.status, head.headers, connection, None)

    async def _ask_with_body(
        self,
        connection: Connection,
        question: Question,
        body: AsyncIterator[bytes],
        length: int | None,
        *,
        expects: bool,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        connection.ask(question, with_body=True)
        if expects:
            connection.go_ahead = loop.create_future()
        if self._timer is None:
            self._watch()
        sending = loop.create_task(send_body(connection, body, length, self._rules, expects=expects))
        try:
            head = await connection.answer()
        except Lost as lost:
            sending.cancel()
            self._end(connection, lost)
            raise UpstreamError(_LOST) from lost
        except BaseException as error:
            sending.cancel()
            self._end(connection, error)
            raise
        if connection.pool.health.failures:
            self._note(connection.pool, good=True)
        return Answer(head.status, head.headers, connection, sending)

    def _end(self, connection: Connection, error: BaseException) -> None:
        """Drop a connection whose exchange failed."""
        connection.abort()
        connection.pool.give_back(connection)
        if isinstance(error, UpstreamError):
            self._note(connection.pool, good=False)

    async def _status_of(self, pool: Pool, target: bytes) -> int:
        """Ask one site in our own name, beside all limits, and return the status; raise ``UpstreamError``."""
        head = head_of("GET", target, [(b"host", pool.address.authority.encode("ascii"))])
        connection = await pool.open()
        self._watch()
        try:
            connection.ask(Question(head, head_only=False, patience=self._rules.connect_timeout))
            return (await connection.answer()).status
        finally:
            connection.abort()
            pool.give_back(connection)

    # ------------------------------------------------------------------ which site, and for how long

    async def _connection(self, *, fresh: bool = False) -> Connection:
        """Return a connection to the site that has the least to do.

        Where none can be opened to it, nothing was sent yet, so one other site is tried.
        """
        tried: Pool | None = None
        while True:
            pool = self._only or self._choose(tried)
            try:
                return (None if fresh else pool.spare()) or await pool.connect(fresh=fresh)
            except Crowded:
                raise
            except UpstreamError:
                self._note(pool, good=False)
                if tried is not None or self._only is not None:
                    raise
                tried = pool

    def _choose(self, but: Pool | None) -> Pool:
        now = asyncio.get_running_loop().time()
        self._turn = turn = (self._turn + 1) % len(self.pools)
        pools = sorted(self.pools[turn:] + self.pools[:turn], key=_load)
        for pool in pools:
            if pool is not but and pool.health.admits(now):
                return pool
        # None is well, and one that may be is better than an answer that says so.
        return min((pool for pool in pools if pool is not but), key=_until)

    def _note(self, pool: Pool, *, good: bool) -> None:
        pool.health.note(good=good, now=asyncio.get_running_loop().time())

    def _patience_for(self, target: bytes) -> float:
        path = unquote_to_bytes(target.partition(b"?")[0]).decode("utf-8", "surrogateescape")
        for pattern, patience in self._patience:
            if pattern.fullmatch(path):
                return patience
        return self._rules.read_timeout

    # ------------------------------------------------------------------ deadlines

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._step, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiting = [pool.look(now) for pool in self.pools]
        self._timer = loop.call_later(self._step, self._look) if any(waiting) else None


def _load(pool: Pool) -> int:
    return pool.load


def _until(pool: Pool) -> float:
    return pool.health.until


def _framed(headers: Headers, *, expects: bool) -> tuple[int | None, Headers]:
    """Return the length of a request's body, None where nobody told it, and the fields with what frames it."""
    lengths = [int(value) for name, value in headers if name == b"content-length"]
    added = [] if lengths else [(b"transfer-encoding", b"chunked")]
    if expects:
        added.append((b"expect", b"100-continue"))
    return (lengths[0] if lengths else None), [*headers, *added]


def _trusting(ca_file: str) -> ssl.SSLContext:
    """Return how sites behind TLS are known: by the system's authorities, or by those in ``ca_file`` alone."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigurationError(f"upstream.ca_file: {ca_file!r} cannot be read ({error})") from error
    context.set_alpn_protocols(["http/1.1"])
    return context
