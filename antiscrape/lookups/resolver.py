"""Forward-confirmed reverse DNS: from an address to a name under the operator's domain, and back.

A PTR record is written by whoever holds the *address*, so ``crawl-1.googlebot.com`` costs a
harvester one line in its own zone; fail2ban and BunkerWeb both believed it (SECURITY H1). What only
the holder of the *domain* can write is the name's A or AAAA record, so the name counts when that
record holds the very address. Three things follow:

* YES is both halves. NO is a contradiction: the address has names, none under the domain; or the
  name under the domain has addresses, and they are others. Whatever is missing, late, broken or
  cut short is UNKNOWN, because real crawlers lack records too (SECURITY H3).
* Names are compared by labels, as DNS has them. In text a dot within one label and the dot between
  two look alike to ``endswith``.
* A name outside the domain is never asked for, so a harvester's PTR cannot send this resolver
  anywhere but to the operator's own servers.

No request waits for any of this: ``ask`` answers from memory or starts a look-up and says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

from antiscrape.core.crawler import Answer
from antiscrape.core.identity import read_address
from antiscrape.core.memo import Memo
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiscrape.core.crawler import Address

Suffixes = tuple[str, ...]

#: A crawler's address has one name. Of an address with fifty, these are read and no conclusion is drawn from the rest.
MOST_NAMES: Final = 10
#: Seconds. Below, a zone with TTL 0 would be asked at every request; above, an address sold would stay trusted.
SHORTEST, LONGEST = 300.0, 86_400.0
#: Seconds that a contradiction is remembered: less than the hour of RFC 2308 §5, so that a repaired record counts soon.
_DISPROVEN: Final = 600.0
#: Seconds until what could not be answered is asked again.
_UNANSWERED: Final = 60.0
#: Seconds past its time that an answer is still given while it is asked for anew, as RFC 8767 does: a crawler
#: that comes every second would otherwise be nobody for one round trip in every TTL.
_GRACE: Final = 60.0
#: Bytes. Larger answers come over TCP, not in fragments (the DNS flag day of 2020).
_PAYLOAD: Final = 1232
#: Tries within one lifetime: a lost datagram must not cost all of it.
_TRIES: Final = 3
_REMEMBERED: Final = 16_384

_TTL: Final = {Answer.NO: _DISPROVEN, Answer.UNKNOWN: _UNANSWERED}


class Found(NamedTuple):
    """What a look-up found, and the seconds for which its records hold."""

    answer: Answer
    ttl: float


class _Records(NamedTuple):
    """One RRset, in the server's order; ``ttl`` is the least along the chain of CNAMEs."""

    values: tuple[str | dns.name.Name, ...]
    ttl: float


class _Known(NamedTuple):
    answer: Answer
    until: float


class _Job(NamedTuple):
    address: str
    suffixes: Suffixes
    asked: float


_UNKNOWN: Final = Found(Answer.UNKNOWN, _UNANSWERED)
_NO: Final = Found(Answer.NO, _DISPROVEN)


class Resolver:
    """Looks addresses up, each once at a time, a bounded number at once, and remembers a bounded number.

    Without ``nameservers`` the system's are asked. ``lifetime`` bounds one whole look-up, with both of
    its halves, in seconds; ``most`` the look-ups under way, ``queue`` those that wait. There are no
    timers and no thread: what is out of date is noticed when it is next asked for.
    """

    def __init__(
        self,
        *,
        nameservers: Sequence[str] = (),
        port: int = 53,
        lifetime: float = 2.0,
        most: int = 64,
        queue: int = 256,
        remembered: int = _REMEMBERED,
    ) -> None:
        self._stub = _stub(nameservers, port, lifetime)
        self._lifetime = lifetime
        self._most = most
        self._queue = queue
        self._known: Memo[tuple[str, Suffixes], _Known] = Memo(remembered)
        self._pending: set[str] = set()
        self._waiting: deque[_Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        #: For metrics: look-ups made, by answer, and those that found no room in the queue.
        self.made: dict[Answer, int] = dict.fromkeys(Answer, 0)
        self.turned_away = 0

    def ask(self, address: str, suffixes: Suffixes, now: float) -> Answer | None:
        """Return what is known of an address at ``now``, or None while it is being looked up; never wait.

        UNKNOWN is returned at once, and not remembered, where the queue is full. Without a running
        event loop, or once closed, nothing is started and None is returned.
        """
        known = self._known.get((address, suffixes))
        if known is not None and now < known.until:
            return known.answer
        room = self._start(_Job(address, suffixes, now))
        if known is not None and now < known.until + _GRACE:
            return known.answer
        return None if room else Answer.UNKNOWN

    async def verify(self, address: str, suffixes: Suffixes) -> Found:
        """Look an address up now, without the memory; never raise but when cancelled."""
        where = read_address(address)
        if (
            where is None or not where.is_global
        ):  # no public zone speaks of it, and the site's own is not asked
            return _UNKNOWN
        try:
            async with asyncio.timeout(self._lifetime):
                return await self._confirm(where, _domains(suffixes))
        except Exception:  # noqa: BLE001 - whatever a stranger's records make the library raise proves nothing
            return _UNKNOWN

    async def aclose(self) -> None:
        """Cancel every look-up, and wait for them to end."""
        self._closed = True
        self._waiting.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pending.clear()

    @property
    def under_way(self) -> int:
        """Look-ups that have been sent and not answered."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """Look-ups that wait for one under way to end."""
        return len(self._waiting)

    async def settle(self) -> None:
        """Wait until nothing is under way or waiting: for commands that ask and then report."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _start(self, job: _Job) -> bool:
        """Start or queue a look-up; return False where the queue is full."""
        if self._closed or job.address in self._pending:
            return True
        if len(self._tasks) >= self._most:
            if len(self._waiting) >= self._queue:
                self.turned_away += 1
                return False
            self._pending.add(job.address)
            self._waiting.append(job)
            return True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return True
        self._pending.add(job.address)
        task = loop.create_task(self._work(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _work(self, job: _Job | None) -> None:
        """Do one look-up, then those that wait, until none does."""
        while job is not None:
            found = await self.verify(job.address, job.suffixes)
            self.made[found.answer] += 1
            # The time is that of the asking: an answer holds for no longer than its records, and no clock is read.
            self._known.put((job.address, job.suffixes), _Known(found.answer, job.asked + found.ttl))
            self._pending.discard(job.address)
            job = self._waiting.popleft() if self._waiting else None

    async def _confirm(self, address: Address, domains: tuple[dns.name.Name, ...]) -> Found:
        pointers = await self._records(dns.reversename.from_address(str(address)), dns.rdatatype.PTR)
        if not pointers.values:
            return _UNKNOWN
        names = [name for name in pointers.values[:MOST_NAMES] if isinstance(name, dns.name.Name)]
        ours = [name for name in names if any(name.is_subdomain(domain) for domain in domains)]
        doubt = len(pointers.values) > MOST_NAMES
        kind = dns.rdatatype.A if address.version == 4 else dns.rdatatype.AAAA  # noqa: PLR2004 - IPv4
        for name in ours:
            forward = await self._records(name, kind)
            if str(address) in forward.values:
                ttl = min(max(min(pointers.ttl, forward.ttl), SHORTEST), LONGEST)
                return Found(Answer.YES, ttl)
            doubt = doubt or not forward.values
        return _UNKNOWN if doubt else _NO

    async def _records(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Records:
        """Return the records of a name, none where there are none or none could be had."""
        try:
            answer = await self._stub.resolve(name, kind, search=False)
        except dns.exception.DNSException:
            return _Records((), 0.0)
        values = tuple(
            record.target if kind == dns.rdatatype.PTR else str(read_address(record.address))
            for record in answer
        )
        return _Records(values, float(answer.chaining_result.minimum_ttl))


def _stub(nameservers: Sequence[str], port: int, lifetime: float) -> dns.asyncresolver.Resolver:
    try:
        stub = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            stub.nameservers = list(nameservers)
    except (dns.resolver.NoResolverConfiguration, ValueError) as error:
        raise ConfigurationError(f"DNS cannot be asked: {error}") from error
    stub.port = port
    stub.lifetime = lifetime
    stub.timeout = lifetime / _TRIES
    # A search list would turn the name "crawl-1.googlebot.com" into one under the site's own domain.
    stub.search = []
    stub.use_search_by_default = False
    stub.retry_servfail = False
    stub.use_edns(0, 0, _PAYLOAD)
    return stub


@lru_cache(maxsize=256)
def _domains(suffixes: Suffixes) -> tuple[dns.name.Name, ...]:
    return tuple(dns.name.from_text(suffix) for suffix in suffixes)
