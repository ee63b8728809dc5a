"""Grants: the signature on an image URL that says the site itself put this URL on a page.

A grant is one query parameter, the last, whose value is a token (``core.grant_tokens``). It is signed for the
window in which the page was made and is valid until the end of the next one, so a page shows the same URL for a
while and caches keep working, and nobody meets a URL with less than a window to live. What a grant opens has
a *ceiling*: a link that leaves the site (a card, a feed) lives for days and opens less than the original.

By policy it is *bound* to whom the page was made for. A grant in other hands is foreign, which costs the
picture and nothing else: people change their networks, and pass addresses on. A clearance that was renewed is
still whom the pages of the one before were made for.

An account that is in more networks than a person, within the life of one grant, is passed on itself: its
grant is then convicted, and foreign to everybody. One that is bound to nobody is shared by all whom a page
or a cache gave it to, and one that is bound to a network works nowhere else: neither is counted.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from antiscrape.core.grant_tokens import (
    CEILINGS,
    MOST_MINUTES,
    NOBODY,
    Binding,
    Holder,
    Key,
    Message,
    Terms,
    read_first,
    read_second,
    same,
)
from antiscrape.core.locations import (
    LONGEST_URL,
    as_sent,
    canonical_path,
    is_prefix,
    may_differ,
    resolved,
    split_url,
)
from antiscrape.core.memo import Memo
from antiscrape.core.opaque import OpaquePaths
from antiscrape.core.verdict import Rendition
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.grant_tokens import Visitor
    from antiscrape.core.rules import GrantRules
    from antiscrape.core.tokens import KeyRing

#: Seconds that the clocks of two servers may differ (SECURITY F6).
SKEW: Final = 60
#: Remembered at once, for checking and for signing each: the pictures of a few pages for each of some
#: hundred visitors of one worker. What is remembered has at most ``_SHORT`` bytes, so both together
#: stay under 25 MB even for somebody who writes one signed path in many spellings. Forgeries are never
#: remembered, and so cannot push out what is.
_REMEMBERED: Final = 8192
_SHORT: Final = 512
#: Networks in which one account uses one grant before that is convicted: a phone, a home and an office, some of
#: them dual-stack, are five; twice that is nobody's within the half hour that a grant usually lives.
PASSED: Final = 10

#: Of a binding, by its number: an ``IntEnum`` is slow to write.
_DIGITS: Final = "0123"

_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


class GrantState(Enum):
    """What became of an image request's grant."""

    NONE = "none"
    VALID = "valid"
    EXPIRED = "expired"  # it was valid once
    FOREIGN = "foreign"  # it is valid for somebody else
    FORGED = "forged"  # not the string that was signed, or not for this URL, or from the future

    __hash__ = object.__hash__


class Grant(NamedTuple):
    """A grant as it came: its state, and the best that it opens.

    ``invented``: it has the form of a grant and nobody signed it for this URL, which no accident makes.
    """

    state: GrantState
    ceiling: Rendition = Rendition.ORIGINAL
    invented: bool = False


_NONE: Final = Grant(GrantState.NONE)
_EXPIRED: Final = Grant(GrantState.EXPIRED)
_FOREIGN: Final = Grant(GrantState.FOREIGN)
_FORGED: Final = Grant(GrantState.FORGED)
_INVENTED: Final = Grant(GrantState.FORGED, invented=True)
_VALID: Final = {ceiling: Grant(GrantState.VALID, ceiling) for ceiling in CEILINGS}


#: A valid grant that takes nothing away.
WHOLE: Final = _VALID[Rendition.ORIGINAL]


class Manner(NamedTuple):
    """How URLs are signed in one place: for how long, with which ceiling, and for whom."""

    window: int  # seconds; a grant lives two of them
    ceiling: Rendition = Rendition.ORIGINAL
    binding: Binding = Binding.NONE


class _Known:
    """A token that was verified: its terms, for whom, and in which networks it was used."""

    __slots__ = ("end", "grant", "holder", "networks", "terms")

    def __init__(self, terms: Terms, holder: Holder) -> None:
        self.terms = terms
        self.end = terms.end
        self.grant = _VALID[terms.ceiling]
        self.holder = holder.named(terms.binding)
        self.networks: tuple[str, ...] = ()

    def taken_by(self, holder: Holder) -> bool:
        """Tell whether ``holder`` may use it, and count the network."""
        binding = self.terms.binding
        if holder.named(binding) != self.holder:
            before = holder.renewed(binding)
            if before is None or before.named(binding) != self.holder:
                return False
        if (
            binding is not Binding.NETWORK
            and holder.network not in self.networks
            and len(self.networks) < PASSED
        ):
            self.networks += (holder.network,)
        return len(self.networks) < PASSED


class _Ring:
    """The keys of one time, newest first, and what was verified and signed with them."""

    __slots__ = ("keys", "opaque", "signed", "verified")

    def __init__(self, keys: KeyRing, site: bytes, opaque: str) -> None:
        signer = keys.signer("grant")
        self.keys = tuple(Key(signer, secret) for secret in reversed(signer.secret_keys))
        self.opaque = OpaquePaths(keys, site, opaque.encode()) if opaque else None
        self.verified: Memo[tuple[bytes, bytes], _Known] = Memo(_REMEMBERED)
        self.signed: dict[Manner, tuple[int, Memo[str, str]]] = {}


class Grants:
    """Signs and checks the image URLs of ``site``; safe to share among threads.

    Give ``ignore_case`` where the site behind serves ``/IMG/1`` and ``/img/1`` as one resource.
    Raise ``ConfigurationError`` where ``rules`` cannot be carried out, with every problem in it.
    """

    def __init__(self, keys: KeyRing, rules: GrantRules, site: str, *, ignore_case: bool = False) -> None:
        problems = tuple(_problems(rules))
        if problems:
            raise ConfigurationError(*problems)
        self._site = site.encode()
        #: Where the pictures' opaque paths begin; ``""`` where they have none.
        self.opaque = rules.opaque
        self._ring = _Ring(keys, self._site, self.opaque)
        #: How the URLs of pages are signed.
        self.manner = Manner(rules.window, rules.ceiling, Binding[rules.binding.upper()])
        #: How those are that leave the site, in cards and in feeds; None where they stay unsigned.
        self.cards = None if rules.cards is None else Manner(rules.outside, rules.cards)
        self.feeds = None if rules.feeds is None else Manner(rules.outside, rules.feeds)
        self._window = rules.window
        self._ignore_case = ignore_case
        self._lead = rules.parameter.encode() + b"="
        self._ours = _named(rules.parameter.encode())
        self._exact = frozenset(self._fold(prefix.encode()) for prefix in rules.prefixes)
        self._below = tuple(prefix.rstrip(b"/") + b"/" for prefix in self._exact)

    def rekey(self, keys: KeyRing) -> None:
        """Sign and check with ``keys`` from the next call on; what a key signed that is not among them has run out.

        One assignment: no request sees a part of the one ring and a part of the other.
        """
        self._ring = _Ring(keys, self._site, self.opaque)

    def sign(self, url: str, *, now: float, holder: Holder = NOBODY, manner: Manner | None = None) -> str:
        """Return ``url`` with a grant for the window in which ``now`` (seconds since 1970) lies.

        ``url`` is path-absolute, scheme-relative or absolute (http, https). A grant that it carries
        already is replaced; every other byte of its query and fragment stays. It is made for ``holder``, as
        far as ``manner`` (by default that of pages) binds it, and for the holder's network where no more is
        known. Raise ``ValueError`` for anything else, for a URL that a browser, a proxy and a site may read
        differently, and for one whose query, as a browser sends it, is longer than ``LONGEST_URL`` with its grant.
        """
        ring = self._ring
        manner = manner or self.manner
        start = int(now // manner.window) * manner.window
        window, memo = ring.signed.get(manner, (-1, None))
        if window != start or memo is None:
            memo = Memo(_REMEMBERED)
            ring.signed[manner] = (start, memo)
        binding, known = manner.binding, url
        if binding and (binding := holder.best(binding)):
            known = f"{_DIGITS[binding]}{holder.named(binding)}\n{url}"
        signed = memo.get(known)
        if signed is None:
            minutes = -(-2 * manner.window // 60)
            signed = self._sign(ring, url, Terms(start, minutes, manner.ceiling, binding), holder)
            if len(known) <= _SHORT:
                memo.put(known, signed)
        return signed

    def _sign(self, ring: _Ring, url: str, terms: Terms, holder: Holder) -> str:
        origin, path, query, fragment = split_url(url)
        decoded = canonical_path(path.encode())
        if decoded is None or terms.start < 0 or terms.minutes > MOST_MINUTES:
            msg = f"{url!r} can be read in more than one way; it was not signed"
            raise ValueError(msg)
        rest = self.strip(query.encode())
        encoded = as_sent(rest)
        token = ring.keys[0].token(Message(self._site, self._fold(decoded), encoded), terms, holder)
        if len(encoded) + len(b"&") + len(self._lead) + len(token) > LONGEST_URL:
            msg = f"a query that is signed has at most {LONGEST_URL} bytes, encoded and with its grant"
            raise ValueError(msg)
        granted = self._lead + token
        if rest:
            granted = rest + b"&" + granted
        if ring.opaque is not None:
            path = ring.opaque.seal(decoded).decode()
        return f"{origin}{path}?{granted.decode()}{fragment}"

    def check(self, raw_path: bytes, query: bytes, *, now: float, visitor: Visitor = NOBODY) -> GrantState:
        """Tell the state of the grant on a request; the arguments are those of ``read``."""
        return self.read(raw_path, query, now=now, visitor=visitor).state

    def read(self, raw_path: bytes, query: bytes, *, now: float, visitor: Visitor = NOBODY) -> Grant:
        """Read the grant on a request of ``visitor``; ``raw_path`` and ``query`` are bytes as received.

        ``now`` is seconds since 1970. A forgery costs the same whatever it has right, and next to
        nothing beyond ``LONGEST_URL``: nothing that long was ever signed (SECURITY D3).
        """
        if not query:
            return _NONE
        if len(query) > LONGEST_URL:
            return _FORGED
        ring = self._ring
        known = ring.verified.young.get((raw_path, query)) or ring.verified.get((raw_path, query))
        if known is None:
            found = self._verify(ring, raw_path, query, visitor)
            if isinstance(found, Grant):
                return found
            known = found
            if len(raw_path) + len(query) <= _SHORT:
                ring.verified.put((raw_path, query), known)
        if now >= known.end:
            return _EXPIRED
        # itsdangerous takes a date in the future for valid where no age is asked for (SECURITY F6).
        if known.terms.start > now + SKEW:
            return _FORGED
        if known.terms.binding and not known.taken_by(visitor.holder):
            return _FOREIGN
        return known.grant

    def _verify(self, ring: _Ring, raw_path: bytes, query: bytes, visitor: Visitor) -> _Known | Grant:
        """Return what is signed in ``query``, or why it is nothing."""
        if self._ours.search(query) is None:
            return _NONE
        rest, ampersand, last = query.rpartition(b"&")
        path = self._canonical(raw_path)
        whole = last.startswith(self._lead) and bool(ampersand) == bool(rest)
        if not whole or path is None or self._ours.search(rest):
            return _FORGED
        token = last[len(self._lead) :]
        message = Message(self._site, path, as_sent(rest))
        terms = read_second(token)
        if terms is not None:
            return _verify_second(ring, token, message, terms, visitor.holder if terms.binding else NOBODY)
        start = read_first(token)
        if not start:
            return _FORGED
        if any(same(token, key.first(message, start)) for key in ring.keys):
            return _Known(Terms(int(start, 16), -(-2 * self._window // 60)), NOBODY)
        return _FORGED  # it may be of a key that is gone: this version does not tell

    def shared_until(self, raw_path: bytes, query: bytes) -> int:
        """Return when the grant ends that opened an original to whoever has its URL; 0 where another grant did, or none.

        The arguments are those of a request that was ``read``; the result is in seconds since 1970.
        """
        known = self._ring.verified.get((raw_path, query))
        return known.end if known is not None and known.grant is WHOLE and not known.terms.binding else 0

    def opened(self, raw_path: bytes) -> bytes | None:
        """Return the path that an opaque one stands for, as a browser would send it; None for any other."""
        opaque = self._ring.opaque
        return None if opaque is None else opaque.open(raw_path)

    def covers(self, path: str | bytes) -> bool:
        """Tell whether the rules ask for a grant at ``path``: decoded as ``str``, as received as ``bytes``.

        A path that servers read differently is covered if any of its readings is, so that no
        spelling of a picture leads around its grant.
        """
        plain = path.encode("utf-8", "surrogatepass") if isinstance(path, str) else unquote_to_bytes(path)
        plain = self._fold(plain)
        if plain in self._exact or plain.startswith(self._below):
            return True
        if not may_differ(plain):
            return False
        plain = resolved(plain)
        return plain in self._exact or plain.startswith(self._below)

    def strip(self, query: bytes) -> bytes:
        """Return ``query`` without any grant, its other bytes untouched.

        One that is longer than ``LONGEST_URL`` holds no grant, and comes back as it is.
        """
        if not query or len(query) > LONGEST_URL or self._ours.search(query) is None:
            return query
        return b"&".join(piece for piece in query.split(b"&") if not self._ours.match(piece))

    def _fold(self, path: bytes) -> bytes:
        # ASCII only: bytes that one server folds and another does not stay two resources, as the safer error.
        return path.lower() if self._ignore_case else path

    def _canonical(self, raw_path: bytes) -> bytes | None:
        path = canonical_path(raw_path)
        return None if path is None else self._fold(path)


def _verify_second(
    ring: _Ring, token: bytes, message: Message, terms: Terms, holder: Holder
) -> _Known | Grant:
    keys = [key for key in ring.keys if key.letter == token[1]]
    for one in (holder, holder.renewed(terms.binding)):
        if one is not None and any(same(token, key.token(message, terms, one)) for key in keys):
            return _Known(terms, one)
    if not keys:
        return _EXPIRED
    sealed = terms.binding and any(same(token[-4:], key.seal(message, token[:-4])) for key in keys)
    return _FOREIGN if sealed else _INVENTED


def _named(parameter: bytes) -> re.Pattern[bytes]:
    """Return what finds ``parameter``, in every way to percent-encode it, as the name of a piece of a query."""
    spelt = (b"(?:%c|(?i:%%%02x))" % (byte, byte) for byte in parameter)
    return re.compile(rb"(?<![^&])" + b"".join(spelt) + rb"(?![^&=])")


def _problems(rules: GrantRules) -> Iterator[str]:
    if rules.window < SKEW:
        yield f"grants.window is {rules.window} s; expected at least {SKEW} s, which clocks may differ by"
    if _PARAMETER.fullmatch(rules.parameter) is None:
        yield f"grants.parameter is {rules.parameter!r}; expected a letter and then letters, digits, - or _"
    if rules.opaque and not (is_prefix(rules.opaque) and rules.opaque.endswith("/")):
        yield f"grants.opaque is {rules.opaque!r}; expected the start of a path that ends in a slash, such as '/p/'"
    for prefix in rules.prefixes:
        if not is_prefix(prefix):
            yield f"grants.prefixes has {prefix!r}; expected the start of a decoded path, such as '/photos/'"
