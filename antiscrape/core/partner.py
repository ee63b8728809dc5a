"""Partners: those to whom the operator grants access, by a key or by an identity that they sign with.

A grant to a partner says who it is, what for, how much, and until when: privacy authorities ask
all four of a site that lets somebody scrape (joint statements on data scraping, 2023 and 2024). So
a partner is no hole in the policy but one more row of it, with budgets of its own.

A key is random and long, so its plain SHA-256 is as good as a slow hash: there is nothing to guess.
Only hashes are kept. A key is looked up by its hash, and a comparison of hashes that ends early
tells about the hash of what was sent, which nobody can steer towards that of a key (SECURITY F7).
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from antiscrape.core.memo import Memo
from antiscrape.core.verdict import Standing
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from antiscrape.core.rules import Allowance

#: A field of our own, for programs that need Authorization for the site's own tokens.
KEY_FIELD: Final = b"x-antiscrape-key"
BEARER_FIELD: Final = b"authorization"

#: By this scanners of repositories and logs recognise a key that has gone astray, as they do GitHub's "ghp_".
PREFIX: Final = "ask_"
LONGEST_KEY: Final = 200
#: 128 bits cannot be tried out (RFC 6749 §10.10 asks for a chance of at most 2^-128).
FEWEST_RANDOM: Final = 16
MOST_RANDOM: Final = 64
_DIGEST: Final = 32
#: A scheme's name and spaces before a key.
_LONGEST_FIELD: Final = LONGEST_KEY + 32
#: Keys in plain text that are remembered with their partner; a site has a handful of partners.
_REMEMBERED: Final = 256

# 22 characters of base64url are the fewest that hold 128 bits; with 196 a key is as long as LONGEST_KEY.
_KEY = rb"ask_[A-Za-z0-9_-]{22,196}"
_ALONE = re.compile(_KEY)
# RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1), a key's does.
_FIELDS = frozenset({KEY_FIELD, BEARER_FIELD})
_ANYWHERE = re.compile(rb"(?<![A-Za-z0-9_-])" + _KEY)
_BEARER = re.compile(rb"(?i:bearer) +(" + _KEY + rb")")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """Somebody whom the operator grants access.

    ``purpose`` is a line for people to read. ``until`` is the first second since 1970 at which the
    grant has ended, None for never. ``key_hashes`` are SHA-256 digests, several while keys are
    changed; ``identities`` are names of bots that sign (Web Bot Auth), or thumbprints of their keys.
    """

    name: str
    purpose: str
    allowance: Allowance
    until: float | None = None
    key_hashes: tuple[bytes, ...] = ()
    identities: tuple[str, ...] = ()

    def ended(self, now: float) -> bool:
        """Tell whether the grant has ended at ``now``, in seconds since 1970."""
        return self.until is not None and now >= self.until


class PartnerBook:
    """The partners of the settings, found by what they show.

    Raise ``ConfigurationError`` with every problem: two partners of one name, key or identity, a
    partner without either, budgets of another standing, a hash that is none.
    """

    __slots__ = ("_by_hash", "_by_identity", "_known", "partners")

    def __init__(self, partners: Iterable[Partner]) -> None:
        self.partners = tuple(partners)
        problems = tuple(_problems(self.partners))
        if problems:
            raise ConfigurationError(*problems)
        self._by_hash = {digest: partner for partner in self.partners for digest in partner.key_hashes}
        self._by_identity = {name: partner for partner in self.partners for name in partner.identities}
        self._known: Memo[bytes, Partner] = Memo(_REMEMBERED)

    def __len__(self) -> int:
        return len(self.partners)

    def by_key(self, value: bytes, now: float) -> Partner | None:
        """Return whose key ``value`` is at ``now`` (seconds since 1970), None for nobody's; never raise."""
        partner = self._holder(value)
        return None if partner is None or partner.ended(now) else partner

    def by_identity(self, name: str, now: float) -> Partner | None:
        """Return the partner that a verified name or thumbprint stands for at ``now``, None for nobody."""
        partner = self._by_identity.get(name)
        return None if partner is None or partner.ended(now) else partner

    def holds(self, value: bytes) -> bool:
        """Tell whether ``value`` is a partner's key, an ended partner's too: such a key is not for the site to see."""
        return self._holder(value) is not None

    def _holder(self, value: bytes) -> Partner | None:
        if len(value) > LONGEST_KEY:
            return None
        partner = self._known.get(value)
        if partner is None:
            partner = self._by_hash.get(hash_key(value))
            if partner is not None:  # guesses are not remembered, so they push nothing out
                self._known.put(value, partner)
        return partner


def _problems(partners: tuple[Partner, ...]) -> Iterator[str]:
    for number, partner in enumerate(partners, 1):
        where = f"partner {partner.name!r}" if partner.name else f"partner {number}"
        if not partner.name:
            yield f"{where} has no name"
        if not partner.key_hashes and not partner.identities:
            yield f"{where} has neither a key nor an identity"
        if any(len(digest) != _DIGEST for digest in partner.key_hashes):
            yield f"{where} has a key's hash that is not the {_DIGEST} bytes of SHA-256"
        if partner.allowance.standing is not Standing.PARTNER:
            yield f"{where} has the budgets of the standing {partner.allowance.standing.value!r}"
    names = Counter(partner.name for partner in partners if partner.name)
    yield from (f"{count} partners have the name {name!r}" for name, count in names.items() if count > 1)
    hashes = Counter(digest for partner in partners for digest in set(partner.key_hashes))
    for digest, count in hashes.items():
        if count > 1:
            shared = ", ".join(repr(partner.name) for partner in partners if digest in partner.key_hashes)
            yield f"the partners {shared} have one key"
    identities = Counter(name for partner in partners for name in set(partner.identities))
    yield from (
        f"{count} partners have the identity {name!r}" for name, count in identities.items() if count > 1
    )


def new_key(random: bytes) -> str:
    """Return a key made of 16 to 64 random bytes; raise ``ValueError`` for fewer or more."""
    if not FEWEST_RANDOM <= len(random) <= MOST_RANDOM:
        raise ValueError(f"a key is made of {FEWEST_RANDOM} to {MOST_RANDOM} random bytes, not {len(random)}")
    return PREFIX + base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def hash_key(key: bytes) -> bytes:
    """Return the 32 bytes by which a key is known."""
    return sha256(key).digest()


def is_key(value: bytes) -> bool:
    """Tell whether ``value`` has the form of a key, whoever's."""
    return _ALONE.fullmatch(value) is not None


def key_in(name: bytes, value: bytes) -> bytes | None:
    """Return the key that a request field carries, None where it carries none; ``name`` is lower-case.

    What has the form of a key may still be nobody's, or the site's own token.
    """
    if len(value) > _LONGEST_FIELD:
        return None
    value = value.strip(b" \t")
    if name == KEY_FIELD:
        return value if is_key(value) else None
    found = _BEARER.fullmatch(value) if name == BEARER_FIELD else None
    return found[1] if found else None


def keys_within(name: bytes, value: bytes) -> list[bytes]:
    """Return all that has the form of a key in a field in which one may stand, accepted there or not."""
    return _ANYWHERE.findall(value[:_LONGEST_FIELD]) if name in _FIELDS else []


def find_key(value_of: Callable[[bytes], bytes | None]) -> bytes | None:
    """Return the key that a request shows, of two the one in the field of our own; None where it shows none.

    ``value_of`` returns a field's value by its lower-case name, None where it is missing.
    """
    for name in (KEY_FIELD, BEARER_FIELD):
        value = value_of(name)
        key = None if value is None else key_in(name, value)
        if key is not None:
            return key
    return None
