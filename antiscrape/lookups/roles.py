"""Who stands beside the ladder: crawlers that are who they say, bots that sign, partners with a key.

Three claims are looked at, the surest first: a partner's key, a signature, a name. None of them waits:
what has to be asked of others is asked in the background, and until the answer comes the claim is
unproven.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.crawler import Proof, Purpose
from antiscrape.core.partner import BEARER_FIELD, KEY_FIELD, PartnerBook, find_key
from antiscrape.core.request import JOINED
from antiscrape.core.role import NOBODY, Role
from antiscrape.core.signature import Message
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.bot_auth import BotAuth, BotAuthRules
from antiscrape.lookups.bot_keys import Bot, BotKeys, load_keys
from antiscrape.lookups.crawlers import Verifier, load_book, refresh
from antiscrape.lookups.federation import read_fetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from antiscrape.core.partner import Partner
    from antiscrape.core.request import RequestHead
    from antiscrape.core.rules import Allowance, CrawlerRules, Policy, SignatureRules
    from antiscrape.lookups.crawlers import CrawlerBook
    from antiscrape.lookups.resolver import Resolver

    Keeper = Callable[[], Coroutine[object, object, None]]
    Tell = Callable[[str, Sequence[str]], None]

_LOG: Final = logging.getLogger("antiscrape")
#: They fetch what a person has just pointed at, which robots.txt is not about.
_FOR_SOMEBODY: Final = frozenset({Purpose.PREVIEW, Purpose.AI_ASSISTANT, Purpose.FEDERATION})
_SIGNATURE: Final = b"signature"
_KEYS: Final = frozenset({KEY_FIELD, BEARER_FIELD})


class Proven(NamedTuple):
    """What was found out of others and is true under any policy: names in DNS, listed keys, nonces that were used.

    ``signatures`` are the rules by which the keys were taken.
    """

    resolver: Resolver | None = None
    bots: BotAuth | None = None
    signatures: SignatureRules | None = None


class RoleBook:
    """Finds the role of a request. ``purposes`` is what a proven crawler of each purpose may have.

    ``wall`` is the clock of signatures, in seconds since 1970.
    """

    def __init__(
        self,
        purposes: Mapping[Purpose, Allowance],
        *,
        verifier: Verifier | None,
        bots: BotAuth | None,
        wall: Callable[[], float],
        partners: PartnerBook | None = None,
        proven: Proven | None = None,
    ) -> None:
        self._purposes = purposes
        self._verifier = verifier
        self._bots = bots
        self.partners = partners
        self._partners = partners or None
        self._wall = wall
        self.proven = proven or Proven()

    def claimed(self, head: RequestHead) -> bool:
        """Tell whether a request of this order of names and this User-Agent may claim to be somebody."""
        if self._partners is not None and not _KEYS.isdisjoint(head.shape.at):
            return True
        if _SIGNATURE in head.shape.at:
            return True
        verifier = self._verifier
        return verifier is not None and verifier.book.claim(head.value(b"user-agent")) is not None

    def find(self, head: RequestHead, address: str, now: float) -> Role:
        """Return what became of a request's claim; never wait, never raise."""
        if self._partners is not None:
            key = find_key(lambda name: None if name in head.repeated else head.value(name))
            partner = None if key is None else self._partners.by_key(key, self._wall())
            if partner is not None:
                return _granted(partner, signed=False)
        role = NOBODY
        if _SIGNATURE in head.shape.at:
            message = _message_of(head)
            role = NOBODY if self._bots is None else self._signed(message, self._bots)
            if role.proof is not Proof.UNVERIFIED:
                return role
            fetcher = read_fetcher(message, self._wall())
            if fetcher is not None and fetcher.fetcher is not None:
                # Its form proves nothing; whose server it says it is, is worth knowing.
                return Role(fetcher.fetcher.host, Proof.UNVERIFIED, None, signed=True)
        return role if self._verifier is None else self._named(head, self._verifier, address, now)

    def _signed(self, message: Message, bots: BotAuth) -> Role:
        claim = bots.check(message, self._wall())
        if claim is None or claim.bot is None:
            return NOBODY
        bot = claim.bot
        if claim.proof is not Proof.VERIFIED:
            return Role(bot.name, claim.proof, None, signed=True)
        if bot.purpose is not None:
            return Role(bot.name, Proof.VERIFIED, self._purposes.get(bot.purpose), signed=True)
        partner = None if self._partners is None else self._partners.by_identity(bot.name, self._wall())
        if partner is None:
            return Role(bot.name, Proof.VERIFIED, None, signed=True)
        return _granted(partner, signed=True)

    def _named(self, head: RequestHead, verifier: Verifier, address: str, now: float) -> Role:
        crawler = verifier.book.claim(head.value(b"user-agent"))
        if crawler is None:
            return NOBODY
        proof = verifier.proof(crawler, address, now) or Proof.UNVERIFIED
        allowance = self._purposes.get(crawler.purpose) if proof is Proof.VERIFIED else None
        token = "" if crawler.purpose in _FOR_SOMEBODY else crawler.tokens[0]
        return Role(crawler.name, proof, allowance, token=token)


def _message_of(head: RequestHead) -> Message:
    return Message(
        method=head.method,
        scheme="https" if head.secure else head.scheme,
        authority=(head.value(b"host") or b"").decode("latin-1"),
        path=head.raw_path,
        query=head.query,
        fields=head.fields,
        lost=head.repeated - JOINED,
    )


def _granted(partner: Partner, *, signed: bool) -> Role:
    return Role(partner.name, Proof.VERIFIED, partner.allowance, signed, f"partner:{partner.name}")


def open_roles(
    policy: Policy,
    *,
    clock: Callable[[], float],
    wall: Callable[[], float],
    tell: Tell,
    proven: Proven | None = None,
) -> tuple[RoleBook, tuple[Keeper, ...]]:
    """Return the roles of a policy, and what keeps their lists and keys fresh beside the traffic.

    ``tell`` takes what went wrong there; ``proven`` is what the roles of a former policy go on with. Raise ``ConfigurationError`` where a bot's keys are wrong.
    """
    keepers: list[Keeper] = []
    former = proven or Proven()
    resolver, verifier, bots = former.resolver, None, None
    if policy.crawlers.verify:
        resolver = resolver or _resolver()
        verifier = _open_verifier(policy.crawlers, resolver, clock, wall, tell, keepers)
    if policy.bots:
        bots = _open_bots(policy, wall, tell, keepers)
        if former.bots is not None:
            bots.follow(former.bots, listed=former.signatures == policy.signatures)
    book = RoleBook(
        policy.crawlers.purposes,
        verifier=verifier,
        bots=bots,
        wall=wall,
        partners=PartnerBook(policy.partners),
        proven=Proven(resolver, bots, policy.signatures),
    )
    return book, tuple(keepers)


def crawler_tokens() -> dict[Purpose, list[str]]:
    """Return the words by which the known crawlers of each purpose are named in robots.txt."""
    named: dict[Purpose, list[str]] = {}
    for crawler in load_book(crawlers_folder(), now=0.0, wall=0.0).crawlers:
        named.setdefault(crawler.purpose, []).extend(crawler.tokens)
    return named


def crawlers_folder() -> Path:
    """Return the folder that says who the known crawlers are: the package's, or the checkout's."""
    packed = Path(__file__).parent.parent / "data" / "crawlers"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "config" / "crawlers"


def _open_verifier(
    rules: CrawlerRules,
    resolver: Resolver | None,
    clock: Callable[[], float],
    wall: Callable[[], float],
    tell: Tell,
    keepers: list[Keeper],
) -> Verifier:
    ranges = Path(rules.ranges) if rules.ranges else None

    def read() -> CrawlerBook:
        return load_book(crawlers_folder(), ranges, now=clock(), wall=wall())

    verifier = Verifier(read(), resolver)

    async def keep() -> None:
        while ranges is not None:
            found = await refresh(verifier.book.sources, ranges)
            problems = [f"{one.source.file}: {one.problem}" for one in found if one.problem]
            if problems:
                tell("crawlers", problems)
            verifier.renew(await asyncio.to_thread(read))
            await asyncio.sleep(rules.refresh)

    if ranges is not None:
        keepers.append(keep)
    return verifier


def _resolver() -> Resolver | None:
    try:
        from antiscrape.lookups.resolver import Resolver  # noqa: PLC0415  of the extra "verify"
    except ImportError:
        _LOG.warning("antiscrape[verify] is not installed, so no crawler's name is looked up in DNS")
        return None
    return Resolver()


def _open_bots(policy: Policy, wall: Callable[[], float], tell: Tell, keepers: list[Keeper]) -> BotAuth:
    known: list[Bot] = []
    problems: list[str] = []
    for bot in policy.bots:
        try:
            pinned = load_keys(Path(bot.keys)) if bot.keys else ()
            known.append(Bot(bot.name, bot.purpose, bot.agent, pinned))
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(*problems)
    rules, keys = policy.signatures, BotKeys(known)
    if keys.agents:
        from antiscrape.lookups.bot_directory import Directories  # noqa: PLC0415  of the extra "serve"

        directories = Directories(keys, proof=rules.directory_proof)
        keepers.append(lambda: directories.keep_fresh(wall, lambda sentence: tell("directory", [sentence])))
    return BotAuth(keys, BotAuthRules(window=rules.window, skew=rules.skew, paths=rules.paths))
