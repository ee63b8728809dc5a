"""What a grant's token says, and how it is written: one string for one URL, one start and one visitor.

Version 2 has 36 characters of base64url, 40 where it is bound to a visitor:

======  ==========================================================================================
    1   ``2``
    1   the key, 6 bits of its hash: what a key signed that is gone has run out, and is no forgery
    1   whom it is bound to (2 bits), and the best that it opens (2 bits)
    6   the second at which its window starts (36 bits)
    3   how many minutes it lives (18 bits)
   24   144 bits of HMAC-SHA-256 over all of it, the site, the path, the query and the visitor
    4   where it is bound: 24 bits of another HMAC, over the same without the visitor
======  ==========================================================================================

The visitor is no part of the token: it enters the signature, and nobody can read it. The last four characters
tell a grant that was made for somebody else from one that nobody made; nothing is opened by them.

Every field is preceded by its length, so that no byte can move from one to the next (SECURITY F4), and what
is compared is the whole string, made again. Decoding the given signature would let many strings stand for
one grant (F1: base64 has spare bits, and decoders skip what they do not know).

Version 1 (``1.<start>.<signature>``) had neither key, binding nor life; it verifies until the last one has run out.
"""

from __future__ import annotations

import hmac
import re
from binascii import b2a_base64
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from antiscrape.core.verdict import Rendition

if TYPE_CHECKING:
    from itsdangerous import Signer

#: Base64 characters of a signature: 18 bytes, 144 bits, no spare bits in the last one. RFC 2104,
#: section 5, allows half of the hash, and SECURITY F7 asks for 128 bits.
_SIGNATURE: Final = 24
_SEAL: Final = 4
_UNBOUND: Final = 12 + _SIGNATURE
#: The longest life of a grant, in minutes.
MOST_MINUTES: Final = 2**18 - 1
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_FIRST = re.compile(rb"1\.(0|[1-9a-f][0-9a-f]{0,11})\.[A-Za-z0-9_-]{24}")
_SECOND = re.compile(rb"2[A-Za-z0-9_-]{35}(?:[A-Za-z0-9_-]{4})?")
#: What a grant may open, by its number in the token.
CEILINGS: Final = (Rendition.ORIGINAL, Rendition.MARKED, Rendition.PREVIEW)


class Binding(IntEnum):
    """Whom a grant is made for; the number stands in the token."""

    NONE = 0  # whoever has the URL
    NETWORK = 1  # the network around an address, as wide as its roll-up
    ACCOUNT = 2
    CLEARANCE = 3


class Holder(NamedTuple):
    """Who asks, in each of the ways in which a grant may be bound, in the order of these; ``""`` where that is not known."""

    network: str = ""
    account: str = ""
    clearance: str = ""
    #: The clearance that this one renewed.
    former: str = ""

    @property
    def holder(self) -> Holder:
        """Itself: a visitor of whom no more is known."""
        return self

    def best(self, binding: Binding) -> Binding:
        """Return ``binding``, or the network's where that is all that is known, or none."""
        if not binding or self[binding - 1]:
            return binding
        return Binding.NETWORK if self.network else Binding.NONE

    def named(self, binding: Binding) -> str:
        """Return who it is by ``binding``."""
        return self[binding - 1] if binding else ""

    def renewed(self, binding: Binding) -> Holder | None:
        """Return who it was by ``binding`` before its clearance was renewed, None where it was nobody else."""
        if binding is Binding.CLEARANCE and self.former:
            return self._replace(clearance=self.former, former="")
        return None


class Visitor(Protocol):
    """Somebody who asks. A grant that is bound to nobody does not ask who."""

    @property
    def holder(self) -> Holder:
        """Who it is, in each of the ways in which a grant may be bound."""
        ...


NOBODY: Final = Holder()


class Terms(NamedTuple):
    """What a grant says: it is good from ``start`` for ``minutes``, opens ``ceiling`` at best, and is bound."""

    start: int
    minutes: int
    ceiling: Rendition = Rendition.ORIGINAL
    binding: Binding = Binding.NONE

    @property
    def end(self) -> int:
        """The second at which it has run out."""
        return self.start + 60 * self.minutes


class Message(NamedTuple):
    """What is signed of a URL: the site, the path as it reads it, and the rest of the query as a browser sends it."""

    site: bytes
    path: bytes
    query: bytes


class Key:
    """One key of a ring, which makes tokens."""

    __slots__ = ("_begun", "_mac", "letter")

    def __init__(self, signer: Signer, secret: bytes) -> None:
        # A page may have a hundred URLs to sign. RFC 2104, section 4: what the key alone decides is computed once;
        # a copy that goes on from there takes two thirds of the time of the one-shot.
        derived = signer.derive_key(secret)
        self._mac = hmac.new(derived, digestmod="sha256")
        self._begun: dict[tuple[bytes, bytes], hmac.HMAC] = {}
        #: Six bits of the key's hash, as a token names it.
        self.letter = _ALPHABET[hmac.digest(derived, b"name", "sha256")[0] & 63]

    def token(self, message: Message, terms: Terms, holder: Holder = NOBODY) -> bytes:
        """Return the token of version 2 for a URL and a visitor."""
        head = _head(self.letter, terms)
        named = holder.named(terms.binding).encode("utf-8", "surrogateescape") if terms.binding else b""
        said = _fields(message.path, message.query) + _common(head, named)
        token = head + self._sign(b"grant 2", message.site, said, _SIGNATURE)
        return token + self.seal(message, token) if terms.binding else token

    def seal(self, message: Message, token: bytes) -> bytes:
        """Return the end of a bound ``token``, given all that comes before."""
        said = _fields(message.path, message.query, token)
        return self._sign(b"grant 2 seal", message.site, said, _SEAL)

    def first(self, message: Message, start: bytes) -> bytes:
        """Return the token of version 1."""
        said = _fields(message.path, message.query, start)
        return b"1." + start + b"." + self._sign(b"grant 1", message.site, said, _SIGNATURE)

    def _sign(self, kind: bytes, site: bytes, said: bytes, letters: int) -> bytes:
        """Return so many letters of the HMAC over the fields ``kind`` and ``site`` and what is ``said`` behind them."""
        begun = self._begun.get((kind, site))
        if begun is None:
            begun = self._mac.copy()
            begun.update(_fields(kind, site))
            self._begun[kind, site] = begun
        mac = begun.copy()
        mac.update(said)
        return b2a_base64(mac.digest()[: letters * 3 // 4], newline=False).translate(_URL_SAFE)


@lru_cache(maxsize=64)
def _head(letter: int, terms: Terms) -> bytes:
    """Return the beginning of a token, which all that are made in one window have in common."""
    kinds = terms.binding << 2 | CEILINGS.index(terms.ceiling)
    return b"2" + bytes((letter, _ALPHABET[kinds])) + _number(terms.start, 6) + _number(terms.minutes, 3)


def read_second(token: bytes) -> Terms | None:
    """Return what a token of version 2 says, signed or not; None for what is none."""
    if _SECOND.fullmatch(token) is None:
        return None
    kinds = _VALUES[token[2]]
    binding, ceiling = kinds >> 2, kinds & 3
    if binding > Binding.CLEARANCE or ceiling >= len(CEILINGS) or (binding > 0) is (len(token) == _UNBOUND):
        return None
    return Terms(_value(token[3:9]), _value(token[9:12]), CEILINGS[ceiling], Binding(binding))


def read_first(token: bytes) -> bytes:
    """Return the start that a token of version 1 names, ``b""`` for what is none."""
    shape = _FIRST.fullmatch(token)
    return shape[1] if shape else b""


def same(one: bytes, another: bytes) -> bool:
    """Compare in a time that depends on neither (SECURITY F7)."""
    return hmac.compare_digest(one, another)


def _fields(*values: bytes) -> bytes:
    return b"".join(map(_field, values))


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


@lru_cache(maxsize=64)
def _common(head: bytes, named: bytes) -> bytes:
    """Return the fields that all tokens have in common which are made in one window for one visitor."""
    return _fields(head, named)


def _number(value: int, letters: int) -> bytes:
    return bytes(_ALPHABET[value >> 6 * place & 63] for place in reversed(range(letters)))


def _value(letters: bytes) -> int:
    value = 0
    for letter in letters:
        value = value << 6 | _VALUES[letter]
    return value
