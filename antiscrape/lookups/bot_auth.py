"""Web Bot Auth: a bot signs its requests, and here its signature makes it somebody, or an impostor, or nobody yet.

The rules are those of draft-ietf-webbotauth-httpsig-protocol (before: draft-meunier-web-bot-auth-
architecture) upon RFC 9421, read strictly. What must be there: the tag ``web-bot-auth``, the
authority or the whole target among the components, the Signature-Agent field if the request has
one, a time of creation and one of expiry that lie close together, and a key that is known.

Three outcomes are kept apart. VERIFIED: the holder of a bot's key signed this very request, or one
to the same authority where no more is covered. IMPOSTOR: a bot's key is named, and the signature is
wrong, stale, replayed, or over too little. UNVERIFIED: nobody here can say, so nothing is known.
Verified is not unlimited; what a bot may take is policy.

A nonce is remembered until its signature expires, in this process only: as many workers, as many
times may one be shown. There is a bound for each bot, and beyond it a signature with a nonce is no
longer taken for verified, because forgetting one would let it in again.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.crawler import Proof
from antiscrape.core.memo import Memo
from antiscrape.core.signature import read_bounded, read_signatures, signature_base
from antiscrape.core.structured import Item, Token, read_item
from antiscrape.lookups.bot_keys import read_origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.core.signature import Message, Signature
    from antiscrape.core.structured import Member
    from antiscrape.lookups.bot_keys import Bot, BotKeys, Known

TAG: Final = "web-bot-auth"
#: Signatures of one request that are tried: an agent's and a remote browser's make two (draft, appendix "Examples").
MOST_TRIED: Final = 4
#: Signatures remembered as right: a bot that signs only the authority sends the same one for as long as it is valid.
_REMEMBERED: Final = 4096
_FIELDS: Final = frozenset({b"signature-input", b"signature", b"signature-agent"})
_AGENT: Final = "signature-agent"
#: Without one of these, a signature is right for every path of the authority.
_PATHS: Final = ("@path", "@target-uri", "@request-target")


@dataclass(frozen=True, slots=True, kw_only=True)
class BotAuthRules:
    """What a signature must be like, beyond being right.

    ``window`` is the most seconds between creation and expiry (the draft recommends a day),
    ``skew`` the seconds that clocks may differ, ``nonces`` how many are remembered for each bot.
    With ``paths``, one that covers no path is not enough: it is right for every picture of the
    site, and for everybody who has seen it.
    """

    window: int = 86_400
    skew: int = 60
    nonces: int = 65_536
    paths: bool = False


class Claim(NamedTuple):
    """What became of a bot's signature: ``bot`` is who signed, or whose key was named; ``reason`` is for people."""

    proof: Proof
    bot: Bot | None
    reason: str


class Nonces:
    """Remembers what was used once until it can be used no more; never more than ``bound``, and never less."""

    __slots__ = ("_bound", "_ends", "_used")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._used: set[bytes] = set()
        self._ends: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._used)

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._used

    def add(self, mark: bytes, until: float, now: float) -> bool:
        """Remember ``mark`` until ``until``, let go of what is past ``now``; return False where there is no room."""
        while self._ends and self._ends[0][0] < now:
            self._used.discard(heapq.heappop(self._ends)[1])
        if len(self._used) >= self._bound:
            return False
        self._used.add(mark)
        heapq.heappush(self._ends, (until, mark))
        return True


class BotAuth:
    """Checks the signatures of bots. For one thread: a nonce is looked for and remembered in two steps."""

    def __init__(self, keys: BotKeys, rules: BotAuthRules | None = None) -> None:
        self._keys = keys
        self._rules = rules or BotAuthRules()
        self._nonces = {bot.name: Nonces(self._rules.nonces) for bot in keys.bots}
        self._right: Memo[bytes, bool] = Memo(_REMEMBERED)

    def follow(self, former: BotAuth, *, listed: bool) -> None:
        """Go on with the nonces that bots of the same name have used and, if ``listed``, with the keys of their directories."""
        self._nonces |= {name: used for name, used in former._nonces.items() if name in self._nonces}
        if listed:
            self._keys.follow(former._keys)

    def check(self, request: Message, now: float) -> Claim | None:
        """Return what became of the request's claim to be a bot, None if it makes none; never raise.

        ``now`` is seconds since 1970. Of several signatures the first that verifies counts, and if
        none does, the first that is an impostor's.
        """
        if b"signature-input" not in request.fields:
            return None
        if _FIELDS & request.lost:
            return Claim(Proof.UNVERIFIED, None, "lines of the signature's fields were lost")
        try:
            found = [one for one in read_signatures(request.fields) if one.text("tag") == TAG]
        except ValueError as error:
            return Claim(Proof.UNVERIFIED, None, f"the signature's fields cannot be read: {error}")
        worst: Claim | None = None
        for signature in found[:MOST_TRIED]:
            claim = self._judge(signature, request, now)
            if claim.proof is Proof.VERIFIED:
                return claim
            if worst is None or (worst.proof is Proof.UNVERIFIED and claim.proof is Proof.IMPOSTOR):
                worst = claim
        return worst

    def _judge(self, signature: Signature, request: Message, now: float) -> Claim:
        keyid = signature.text("keyid")
        if keyid is None:
            return Claim(Proof.UNVERIFIED, None, "the signature names no key")
        try:
            known = self._keys.find(keyid, named_agent(signature, request.fields))
        except ValueError as error:
            held = self._keys.holds(keyid)
            return Claim(Proof.IMPOSTOR if held else Proof.UNVERIFIED, held.bot if held else None, str(error))
        if (
            known is None
            or not known.key.since - self._rules.skew <= now < known.key.until + self._rules.skew
        ):
            return Claim(Proof.UNVERIFIED, None, "the key is not known under the agent that is named")
        try:
            self._demand(signature, known, now)
            right = self._verifies(signature, known, request)
        except ValueError as error:
            return Claim(Proof.IMPOSTOR, known.bot, str(error))
        if not right:
            return Claim(Proof.IMPOSTOR, known.bot, "the signature is wrong for this request")
        if not self._spend(signature, known, now):
            return Claim(Proof.UNVERIFIED, known.bot, "there is no room to remember the nonce")
        return Claim(Proof.VERIFIED, known.bot, f"signed with the key {keyid}")

    def _demand(self, signature: Signature, known: Known, now: float) -> None:
        """Raise ``ValueError`` with the rule that a signature breaks, cheapest first."""
        rules = self._rules
        created, expires = signature.second("created"), signature.second("expires")
        algorithm = signature.covered.params.get("alg", known.key.algorithm)
        # GHSA-x9cc-346q-g27m: a signature over nothing is right for every request.
        if not (signature.covers("@authority") or signature.covers("@target-uri")):
            raise ValueError("the signature covers neither authority nor target")
        if rules.paths and not any(map(signature.covers, _PATHS)):
            raise ValueError("the signature covers no path")
        if created is None or expires is None:
            raise ValueError("the signature does not say when it was made and when it ends")
        if not created < expires <= created + rules.window:
            raise ValueError(f"the signature is not for up to {rules.window} s")
        if created > now + rules.skew:
            raise ValueError(f"the signature was made {created - now:.0f} s from now")
        if expires < now - rules.skew:
            raise ValueError(f"the signature ended {now - expires:.0f} s ago")
        # RFC 9421 §3.2, step 6: where key and message name two algorithms, neither is used.
        if algorithm != known.key.algorithm:
            raise ValueError(f"the key is for {known.key.algorithm}, and the signature says otherwise")
        if "nonce" in signature.covered.params and signature.text("nonce") is None:
            raise ValueError("the nonce is no string")
        if "nonce" in signature.covered.params and _mark(signature) in self._nonces[known.bot.name]:
            raise ValueError("the signature was used before")

    def _verifies(self, signature: Signature, known: Known, request: Message) -> bool:
        base = signature_base(signature, request)
        digest = hashlib.sha256(signature.value + b"\n" + base).digest()  # the base names the key
        if self._right.get(digest):
            return True
        right = known.key.check(signature.value, base)
        if right:  # forgeries are not remembered, so they push nothing out
            self._right.put(digest, right)
        return right

    def _spend(self, signature: Signature, known: Known, now: float) -> bool:
        expires = signature.second("expires")
        if signature.text("nonce") is None or expires is None:
            return True
        return self._nonces[known.bot.name].add(_mark(signature), expires + self._rules.skew, now)


def named_agent(signature: Signature, fields: Mapping[bytes, bytes]) -> str | None:
    """Return the origin of the directory that a signature's own member of Signature-Agent names.

    None where the request has no such field; ``""`` where the member is no https origin, or of a
    type other than ``directory``. Raise ``ValueError`` where the signature does not cover it
    (SECURITY H6), or covers several members and none of its own label.
    """
    field = fields.get(b"signature-agent")
    if field is None:
        return None
    keys = [item.params.get("key") for item in signature.covered.items if item.value == _AGENT]
    whole = signature.covers(_AGENT)
    if not keys:
        raise ValueError("the signature leaves out the agent that the request names")
    if field.lstrip(b" ").startswith(b'"'):  # before version 04 of the draft, the field was a string
        return _origin(read_item(field)) if whole else ""
    members = read_bounded(field)
    covered = [key for key in members if whole or key in keys]
    if signature.label in covered:
        return _origin(members[signature.label])
    if len(covered) != 1:  # a proxy may rename a label, but not a member that is covered (RFC 9421 §7.2.5)
        raise ValueError("the signature covers several agents, and none of its own label")
    return _origin(members[covered[0]])


def _origin(member: Member) -> str:
    if not isinstance(member, Item) or not isinstance(member.value, str):
        return ""
    if member.params.get("type", Token("directory")) != Token("directory"):
        return ""
    return read_origin(member.value)


def _mark(signature: Signature) -> bytes:
    """Return a nonce in 16 bytes, however long it is."""
    named = f"{signature.text('keyid')}\n{signature.text('nonce')}"
    return hashlib.blake2b(named.encode(), digest_size=16).digest()
