"""Fetches the key directories of configured bots, off the request path and within narrow bounds.

A Signature-Agent field is whatever its sender likes, so no request ever makes us fetch anything
(SECURITY H7): only the origins of the settings are asked, at their one well-known path, over https,
at public addresses, without redirects, for at most 2 seconds and 64 kB. The address that is checked
is the address that is connected to, so a name cannot change its mind in between.

A directory that answers replaces what it listed before, which is how a key ends. One that does not
answer proves nothing, and what it listed last stays (draft-ietf-webbotauth-httpsig-protocol,
"Discovery Failure").

The draft recommends that a directory sign its own answer with each of its keys. TLS has already
told whose answer it is, so a verifier that fetched it itself may use keys without that proof; which
keys have it is told, and ``Directories`` can be made to insist on it.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from antiscrape.core.signature import Message, Response, join_lines, read_signatures, signature_base
from antiscrape.core.structured import Item, read_dictionary
from antiscrape.errors import AntiscrapeError
from antiscrape.lookups.bot_keys import LARGEST_SET, read_json, read_listed, read_origin

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from antiscrape.core.signature import Signature
    from antiscrape.lookups.bot_keys import BotKeys, Key

PATH: Final = "/.well-known/http-message-signatures-directory"
MEDIA_TYPE: Final = "application/http-message-signatures-directory+json"
TAG: Final = "http-message-signatures-directory"
#: Seconds from the look-up of the name to the last byte (SECURITY H7).
PATIENCE: Final = 2.0
#: Seconds a directory stays fresh: what it says itself within these, an hour if it says nothing.
SHORTEST, USUAL, LONGEST = 300.0, 3600.0, 86_400.0
#: Seconds until a directory that failed is asked again: doubled each time, and never more than the draft's five minutes.
FIRST_RETRY, LAST_RETRY = 30.0, 300.0
#: Directories fetched at once.
_AT_ONCE: Final = 4
_MOST_TRIED: Final = 32  # signatures of an answer: one a key
_CHUNK: Final = 8192
_SKEW: Final = 60.0
_OK: Final = 200
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,9})")
#: Addresses of IPv6 that stand for one of IPv4, which may be a private one (RFC 6052, RFC 8215, RFC 3056, RFC 4380).
_TRANSLATED: Final = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
)


class DirectoryError(AntiscrapeError):
    """A directory could not be had; what it listed before stays."""


class Directory(NamedTuple):
    """What a directory listed: usable keys, those that have signed the answer, and the seconds to keep it."""

    keys: tuple[Key, ...]
    proven: frozenset[str]
    fresh: float


class Network(NamedTuple):
    """How a directory is reached: who resolves names, which addresses will do, whose certificates are believed."""

    resolve: Callable[[str, int], Awaitable[Sequence[str]]]
    allows: Callable[[str], bool]
    tls: ssl.SSLContext | None = None


def is_public(address: str) -> bool:
    """Tell whether an address is one that anybody on the internet can be asked at, and no part of our own network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return is_public(str(found.ipv4_mapped))
        if any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system's resolver has for a name; raise ``OSError``."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


INTERNET: Final = Network(resolve_by_system, is_public)


async def fetch_directory(agent: str, now: float, network: Network = INTERNET) -> Directory:
    """Fetch what the directory at an origin lists; ``now`` is seconds since 1970. Raise ``DirectoryError``."""
    origin = read_origin(agent)
    if not origin:
        raise DirectoryError(f"{agent!r} is no https origin")
    try:
        async with asyncio.timeout(PATIENCE):
            response, body = await _get(origin + PATH, network)
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
        raise DirectoryError(f"{origin}: {type(error).__name__}: {error!s:.200}".rstrip(": ")) from error
    try:
        keys = read_listed(read_json(body))
    except ValueError as error:
        raise DirectoryError(f"{origin}: {error}") from error
    authority = origin.removeprefix("https://")
    request = Message("GET", "https", authority, PATH.encode(), b"", {})
    proven = prove(request, response, body, keys, now)
    return Directory(keys, proven, _freshness(response.fields.get(b"cache-control", b"")))


async def _get(url: str, network: Network) -> tuple[Response, bytes]:
    """Return the answer to one GET; raise ``DirectoryError`` for any that is not a whole directory."""
    connector = aiohttp.TCPConnector(
        resolver=_Checked(network), ssl=network.tls or True, use_dns_cache=False, force_close=True
    )
    async with (
        aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
        ) as session,
        session.get(
            url,
            allow_redirects=False,
            headers={"Accept": MEDIA_TYPE, "Accept-Encoding": "identity", "User-Agent": "antiscrape"},
        ) as answer,
    ):
        fields = join_lines(answer.raw_headers)
        media_type = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if answer.status != _OK:
            raise DirectoryError(f"{url}: answered {answer.status}; expected 200, and no redirect")
        if media_type != MEDIA_TYPE.encode():
            raise DirectoryError(f"{url}: is {media_type[:80]!r}; expected {MEDIA_TYPE}")
        if fields.get(b"content-encoding", b"identity") != b"identity":
            raise DirectoryError(f"{url}: is compressed, which was not asked for")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > LARGEST_SET:
                raise DirectoryError(f"{url}: has more than {LARGEST_SET} bytes")
        return Response(answer.status, fields), bytes(body)


class _Checked(AbstractResolver):
    """Hands the connector the addresses that it may connect to: all of a name's, or none."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002  the base class has it
    ) -> list[ResolveResult]:
        addresses = await self._network.resolve(host, port)
        if not addresses or not all(map(self._network.allows, addresses)):
            # one private address among public ones is how a name is made to point inside (DNS rebinding)
            raise DirectoryError(f"https://{host}: has no address, or one that is not public")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Hold nothing, so let go of nothing."""


def prove(
    request: Message, response: Response, body: bytes, keys: Sequence[Key], now: float
) -> frozenset[str]:
    """Return the thumbprints of those ``keys`` that have signed the directory's answer; never raise.

    Draft, "Possession Proof on the Directory Response": over ``@authority`` of the request and the
    digest of the body, with a time of creation that is past and one of expiry that is not.
    """
    try:
        signatures = read_signatures(response.fields)[:_MOST_TRIED]
        intact = _digest_fits(response.fields.get(b"content-digest", b""), body)
    except ValueError:
        return frozenset()
    by_id = {key.keyid: key for key in keys}
    return frozenset(
        key.keyid
        for signature in signatures
        if intact
        and (key := by_id.get(signature.text("keyid") or ""))
        and _proves(signature, key, request, response, now)
    )


def _proves(signature: Signature, key: Key, request: Message, response: Response, now: float) -> bool:
    created, expires = signature.second("created"), signature.second("expires")
    if signature.text("tag") != TAG or created is None or expires is None:
        return False
    if created > now + _SKEW or expires < now - _SKEW or not signature.covers("content-digest"):
        return False
    if Item("@authority", {"req": True}) not in signature.covered.items:
        return False
    if signature.covered.params.get("alg", key.algorithm) != key.algorithm:
        return False
    try:
        return key.check(signature.value, signature_base(signature, request, response))
    except ValueError:
        return False


def _digest_fits(field: bytes, body: bytes) -> bool:
    """Tell whether every digest of RFC 9530 that we can make fits, and there is one; raise ``ValueError``."""
    digests = read_dictionary(field)
    known = [
        (name, digests[key]) for key, name in (("sha-256", "sha256"), ("sha-512", "sha512")) if key in digests
    ]
    return bool(known) and all(member == Item(hashlib.new(name, body).digest(), {}) for name, member in known)


def _freshness(cache_control: bytes) -> float:
    text = cache_control.decode("latin-1").lower()
    found = _MAX_AGE.search(text)
    if "no-store" in text or "no-cache" in text:
        return SHORTEST
    return min(max(float(found[1]), SHORTEST), LONGEST) if found else USUAL


class Directories:
    """Keeps the listed keys of all configured bots fresh. With ``proof``, a key that has not signed does not count."""

    def __init__(self, keys: BotKeys, *, network: Network = INTERNET, proof: bool = False) -> None:
        self._keys = keys
        self._network = network
        self._proof = proof
        self._due = dict.fromkeys(keys.agents, 0.0)
        self._wait = dict.fromkeys(keys.agents, FIRST_RETRY)
        self._lock = asyncio.Lock()

    @property
    def due(self) -> float:
        """When the next directory is to be fetched, in seconds since 1970; infinite if there is none."""
        return min(self._due.values(), default=float("inf"))

    async def refresh(self, now: float) -> list[str]:
        """Fetch every directory that is due; return a sentence for each that could not be had.

        Callers at the same time share the one fetch: the second finds nothing due.
        """
        async with self._lock:
            gate = asyncio.Semaphore(_AT_ONCE)
            due = [agent for agent, when in self._due.items() if when <= now]
            told = await asyncio.gather(*(self._refresh(agent, now, gate) for agent in due))
        return [sentence for sentence in told if sentence]

    async def _refresh(self, agent: str, now: float, gate: asyncio.Semaphore) -> str:
        async with gate:
            try:
                found = await fetch_directory(agent, now, self._network)
            except DirectoryError as error:
                self._due[agent] = now + self._wait[agent]
                self._wait[agent] = min(2 * self._wait[agent], LAST_RETRY)
                return str(error)
        usable = [key for key in found.keys if key.keyid in found.proven or not self._proof]
        self._keys.list_keys(agent, usable)
        self._wait[agent] = FIRST_RETRY
        self._due[agent] = now + found.fresh
        return ""

    async def keep_fresh(
        self,
        clock: Callable[[], float],
        tell: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Refresh for as long as the task lives; ``tell`` gets a sentence for each failure."""
        while self._due:
            for sentence in await self.refresh(clock()):
                tell(sentence)
            await sleep(max(self.due - clock(), 1.0))
