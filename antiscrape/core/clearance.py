"""Clearances: the signed cookie that a browser earns by the check, and what it lifts its holder to.

A clearance outranks the network that it comes from, and it is a budget like any other: one cookie is one
principal, whose originals and subjects are counted. It never opens a wall, because there is none.

The cookie reads ``PAYLOAD.SEAL``, 44 and 24 characters of URL-safe base64 without spare bits, so that exactly
one string stands for one clearance (SECURITY F1: base64 with spare bits has several). The payload tells the version
and level (one byte), the second of issue and the minutes of life (four and two), ten random bytes that name
it, ten that name the one which it renewed (zeros for none), and six bytes that name the network it was given to,
keyed by the name. What was signed for the one before stays its holder's, so that a page that is open when its
browser's clearance is renewed shows its pictures; the one before that is named nowhere. The seal is 144 bits of
HMAC-SHA-256 under a key of this purpose, over the payload and over what is not in it: the site, the host and
the family of the browser, each preceded by its length. Somebody else's host or browser family makes it noise;
another network is told apart from that, because a person carries a phone from one to the next (``roaming``).

One version is read, the present one: version 1, without the name of the former, was in no release. Whoever comes with
a cookie that is read no more is a browser that has proven nothing yet, sees originals within that budget, and earns
another unseen once a preview comes. It is no wall, but everybody's check at the same hour: a version that follows a
release has to be read beside that release's, for as long as ``lasts`` may be.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.account import LONGEST_COOKIE, bare
from antiscrape.core.budgets import Limit
from antiscrape.core.verdict import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.agent import Agent
    from antiscrape.core.identity import Principal
    from antiscrape.core.tokens import KeyRing

#: Seconds that the clocks of two workers may differ (SECURITY F6).
SKEW: Final = 60
#: Bytes of a name: that two of a billion clearances share one is a chance of one in a million.
NAME: Final = 10
_NETWORK: Final = 6
_VERSION: Final = 0x20
_PAYLOAD: Final = Struct(f">BIH{NAME}s{NAME}s{_NETWORK}s")
_TOKEN: Final = re.compile(rb"([A-Za-z0-9_-]{44})\.([A-Za-z0-9_-]{24})")
_SEAL: Final = 18
_NOBODY: Final = bytes(NAME)
#: Clearances in one Cookie field that are tried: a host, its parent domain and a path may each have set one.
_MOST_TRIED: Final = 4
_LAST_MOMENT: Final = 2**32 - 1
_MOST_MINUTES: Final = 2**16 - 1


class Level(IntEnum):
    """What the check found: work alone, or a browser's traits as well."""

    BROWSER = 1  # the work was done, or the step without a script taken
    PROVEN = 2  # and the probes were in order


_LEVELS: Final = {level.value: level for level in Level}

#: What a clearance lifts a standing to. What stands low for its habits (a bot, a ban) is not lifted by any work.
LIFTED: Final = {
    Level.BROWSER: {Standing.UNKNOWN: Standing.BROWSER},
    Level.PROVEN: {Standing.UNKNOWN: Standing.BROWSER, Standing.BROWSER: Standing.PROVEN},
}


@dataclass(frozen=True, slots=True)
class ClearanceRules:
    """How clearances are earned and kept. Times in seconds."""

    enabled: bool = False
    path: str = "/.well-known/antiscrape"  # the script and the check are served below it
    cookie: str = "clearance"
    inject: bool = True  # the script, into HTML pages
    link: bool = True  # to the step without a script, inside <noscript>
    lasts: float = 43_200.0
    roaming: float = 600.0
    addresses: int = 8  # that one cookie may come from within ten minutes
    issues: Limit = field(default_factory=lambda: Limit(30, 3600, "30/hour"))  # to one address
    steps: Limit = field(default_factory=lambda: Limit(6, 3600, "6/hour"))  # without probes, to one address
    wait: float = 5.0  # of the step without a script
    work: int = 0  # doublings of the least proof of work


class Clearance(NamedTuple):
    """A genuine clearance: its ``name``, level, and the seconds since 1970 at which it was issued and ends."""

    name: str
    level: Level
    issued: int
    until: int
    network: bytes  # whose it was, keyed: see ``Clearances.is_of``
    former: str = ""  # the name of the one that it renewed, ``""`` for none


class Clearances:
    """Makes and reads the clearances of ``site``; the newest secret seals, all of them verify."""

    def __init__(self, keys: KeyRing, site: str) -> None:
        self._preamble = _field(b"clearance 2") + _field(site.encode())
        self.rekey(keys)

    def rekey(self, keys: KeyRing) -> None:
        """Seal and verify with other secrets from now on."""
        signer = keys.signer("clearance")
        self._keys = tuple(signer.derive_key(secret) for secret in reversed(signer.secret_keys))

    def make(
        self,
        name: bytes,
        level: Level,
        *,
        now: float,
        lasts: float,
        network: str,
        family: str,
        host: str,
        former: str = "",
    ) -> str:
        """Return a clearance; ``name`` are ``NAME`` random bytes, ``now`` seconds since 1970, ``lasts`` seconds.

        ``former`` is the name of the one that it renews, as ``read`` returns it.
        """
        minutes = max(1, min(_MOST_MINUTES, int(lasts // 60)))
        before = bytes.fromhex(former) or _NOBODY
        payload = _PAYLOAD.pack(_VERSION | level, int(now), minutes, name, before, _network(name, network))
        seal = self._seal(self._keys[0], payload, family, host)
        return f"{urlsafe_b64encode(payload).decode()}.{urlsafe_b64encode(seal).decode()}"

    def read(self, text: bytes, *, now: float, family: str, host: str, past: float = 0.0) -> Clearance | None:
        """Return the clearance that ``text`` is, None where it is none, another's, expired or not yet issued.

        ``past``: for how many seconds after its end it is still read, to be renewed.
        """
        shape = _TOKEN.fullmatch(text)
        if shape is None:
            return None
        payload, given = urlsafe_b64decode(shape[1]), urlsafe_b64decode(shape[2])
        kind, issued, minutes, name, before, network = _PAYLOAD.unpack(payload)
        if kind & 0xF0 != _VERSION or (level := _LEVELS.get(kind & 0x0F)) is None:
            return None
        if not any(hmac.compare_digest(given, self._seal(key, payload, family, host)) for key in self._keys):
            return None
        until = issued + 60 * minutes
        if not issued <= now + SKEW or now >= until + past:
            return None
        former = "" if before == _NOBODY else before.hex()
        return Clearance(name.hex(), level, issued, until, network, former)

    @staticmethod
    def is_of(clearance: Clearance, network: str) -> bool:
        """Tell whether a clearance was given to ``network``."""
        return hmac.compare_digest(clearance.network, _network(bytes.fromhex(clearance.name), network))

    def _seal(self, key: bytes, payload: bytes, family: str, host: str) -> bytes:
        message = self._preamble + _field(host.encode()) + _field(family.encode("utf-8", "replace")) + payload
        return hmac.digest(key, message, "sha256")[:_SEAL]


def clearance_key(name: str) -> str:
    """Return the store's name for a clearance. No address reads as one of these, and no account's key."""
    return f"clearance:{name}"


def network_of(principal: Principal) -> str:
    """Return the network that a clearance is bound to: the roll-up of IPv4 (a /24), a customer's /64 of IPv6."""
    return principal.key if "/" in principal.key or not principal.rollup else principal.rollup


def family_of(agent: Agent) -> str:
    """Return the family of a browser: what stays the same when it updates itself, or when a person rotates a phone."""
    return f"{agent.kind.value}/{agent.engine.value}/{agent.platform}/{'mobile' if agent.mobile else ''}"


def tokens_in(cookie: bytes, name: bytes) -> Iterator[bytes]:
    """Yield the values that a Cookie field has under ``name``: at most four, none of a field beyond 16 KiB.

    The same name may be set for the host, for a parent domain and for a path, and a browser sends them all
    (RFC 6265 §5.4); whoever planted one of them must not be able to hide ours (SECURITY D8).
    """
    if len(cookie) > LONGEST_COOKIE:
        return
    wanted, at, tried = name + b"=", -1, 0
    while tried < _MOST_TRIED and (at := cookie.find(wanted, at + 1)) >= 0:
        before = cookie[:at].rstrip(b" \t") if at else b";"
        if before.endswith(b";") or not before:
            end = cookie.find(b";", at)
            tried += 1
            yield bare(cookie[at + len(wanted) : end if end >= 0 else None])


def _network(name: bytes, network: str) -> bytes:
    # Keyed by the name, which is random: two clearances of one network have nothing in common to look at.
    return blake2b(network.encode(), digest_size=_NETWORK, key=name, person=b"clearance net").digest()


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value
