"""Which account asks, how much of a budget one of its age has, and what one does that several people share.

An account is the site's word, so it outranks a network, and it is a budget all the same. A new one has
cost its owner a minute: for its first days it has a share of a member's budget, so that registering again
and again buys little. Two more things tell a harvester's accounts: one credential that comes from more
networks in a day than one person can be in, and many new accounts out of one network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.budgets import Limit
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from antiscrape.core.rules import Allowance

DAY: Final = 86_400.0
#: An account is new for so long, in seconds. A scraper's accounts are mostly bought or made in batches, and used at once.
NEW: Final = 7 * DAY

#: A mail address, the longest thing that sites name accounts by, has 254 characters (RFC 5321 §4.5.3.1.3).
LONGEST_NAME: Final = 254
_DIGEST: Final = "blake2b:"

#: A longer Cookie field is not read: node refuses heads from 16 KiB on, nginx lines from 8 KiB (SECURITY D8).
LONGEST_COOKIE: Final = 16_384
#: The end of another cookie's name or a value may look like ours; what is stuffed with it is no browser's.
_MOST_MENTIONS: Final = 64
#: Characters that hold 64 bits in base64: OWASP asks a session's name for as many. What is shorter ("deleted",
#: "dark", a user's number) anybody can send, and would be counted as whoever it is.
SHORTEST_SESSION: Final = 11
#: A person who keeps two accounts changes between them now and then; a cookie that is no session does all the time.
_MOST_CHANGES: Final = 8


class Account(NamedTuple):
    """An account as the site names it. ``created`` is in seconds since the Unix epoch, None where nobody tells."""

    name: str
    created: float | None = None


def canonical_name(name: str) -> str:
    """Return the one form of the name of an account or an owner, ``""`` where it names nobody.

    Blanks around it go, as they do around a header's value (RFC 9110 §5.5). A name that is longer than
    ``LONGEST_NAME`` or holds what cannot be shown (line breaks, reversals, lone surrogates) is replaced by
    its digest: it stays the name of one account only, and is bounded and fit for a log. Case is kept, and
    so is every spelling of a letter, because two names that look alike are two accounts to the site.
    """
    name = name.strip(" \t")
    if len(name) <= LONGEST_NAME and name.isprintable() and not name.startswith(_DIGEST):
        return name
    return _DIGEST + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def account_key(name: str, key: bytes) -> str:
    """Return the store's name for an account: keyed, so that a store that leaks tells nobody's name.

    ``key`` is 32 secret bytes. No address reads as one of these.
    """
    return "account:" + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16, key=key).hexdigest()


class AgeStep(NamedTuple):
    """Accounts younger than ``within`` seconds have ``factor`` (0 to 1) of a member's budget."""

    within: float
    factor: float


_UNITS = {"min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400, "week": 604_800}
_STEP = re.compile(r"(\d(?:\.\d{1,4})?) +in +the +first +(?:(\d{1,4}) *)?([a-z]+)", re.IGNORECASE)
_REST = re.compile(r"1(?:\.0{1,4})? +after", re.IGNORECASE)
#: After a year an account is as old as any for our purpose, and more steps than these nobody can reason about.
_LONGEST_STEP: Final = 366 * DAY
_MOST_STEPS: Final = 8


def parse_ages(text: str) -> tuple[AgeStep, ...]:
    """Read ``"0.25 in the first day, 0.5 in the first 2 weeks"``; ``""`` means that age does not matter.

    A last part ``1 after`` may say what goes without saying. Raise ``ValueError`` with what was expected.
    """
    if not text.strip():
        return ()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and _REST.fullmatch(parts[-1]):
        parts.pop()
    if len(parts) > _MOST_STEPS:
        raise ValueError(f"has {len(parts)} steps; expected at most {_MOST_STEPS}")
    steps = tuple(map(_parse_step, parts))
    for one, other in pairwise(steps):
        if other.within <= one.within or other.factor < one.factor:
            raise ValueError("does not ascend; expected later steps to last longer and to give no less")
    return steps


def _parse_step(text: str) -> AgeStep:
    match = _STEP.fullmatch(text)
    if match is None:
        raise ValueError(
            f'{text!r} is not a step; expected a share and a time, such as "0.25 in the first day"'
        )
    share, count, unit = match.groups()
    name = unit.lower()
    seconds = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
    if seconds is None:
        raise ValueError(f"{text!r} has an unknown time {unit!r}; expected min, hour, day or week")
    if float(share) > 1:
        raise ValueError(f"{text!r} gives more than the whole budget; expected a share from 0 to 1")
    within = float(int(count or 1) * seconds)
    if not 0 < within <= _LONGEST_STEP:
        raise ValueError(f"{text!r} lasts no time or more than a year")
    return AgeStep(within, float(share))


def write_ages(steps: tuple[AgeStep, ...]) -> str:
    """Return the text that ``parse_ages`` reads as ``steps``."""
    return ", ".join(
        f"{step.factor:.4f}".rstrip("0").rstrip(".") + f" in the first {_span(step.within)}" for step in steps
    )


def _span(seconds: float) -> str:
    for name in ("week", "day", "hour", "min"):
        count, rest = divmod(seconds, _UNITS[name])
        if not rest:
            return name if count == 1 else f"{count:.0f} {name}s" if name != "min" else f"{count:.0f} min"
    raise ValueError(f"{seconds} seconds are no whole number of minutes")


@dataclass(frozen=True, slots=True)
class AccountRules:
    """How the site tells which account asks, and what its age is worth.

    ``cookies`` are all those that it takes to be signed in (a signature's cookie too); none: no session is
    remembered. ``account_header``, ``created_header`` and ``owner_header`` are read from the site's
    answers. ``remember`` is in seconds.
    """

    enabled: bool = False
    ages: tuple[AgeStep, ...] = (AgeStep(DAY, 0.25), AgeStep(NEW, 0.5))
    age_untold: float = 1.0  # the share of an account whose age nobody tells
    cookies: tuple[str, ...] = ()
    account_header: str = "x-antiscrape-account"
    created_header: str = "x-antiscrape-account-created"
    owner_header: str = "x-antiscrape-owner"
    remember: float = 3600.0
    max_sessions: int = 100_000


def age_of(account: Account, now: float) -> float | None:
    """Return an account's age in seconds at ``now`` (epoch), None where nobody tells; the future has age 0."""
    return None if account.created is None else max(0.0, now - account.created)


def age_factor(account: Account, now: float, rules: AccountRules) -> float:
    """Return the share, from 0 to 1, of a member's budget that an account has at ``now`` (epoch seconds)."""
    age = age_of(account, now)
    if age is None:
        return rules.age_untold
    for within, factor in rules.ages:
        if age < within:
            return factor
    return 1.0


def allowances_by_age(allowance: Allowance, rules: AccountRules) -> Mapping[float, Allowance]:
    """Return the allowance for every share that ``age_factor`` may answer, worked out once."""
    shares = {step.factor for step in rules.ages} | {rules.age_untold, 1.0}
    return {share: aged(allowance, share) for share in shares}


def aged(allowance: Allowance, factor: float) -> Allowance:
    """Return an allowance with ``factor`` of its originals, subjects and bytes, one of each at least.

    Requests are left: a spent one is answered 429, which is a wall, and a person finding the way about a
    new site makes more of them than later. ``factor`` 0 leaves nothing.
    """
    if factor == 1:
        return allowance
    return replace(
        allowance,
        originals=_share(allowance.originals, factor),
        subjects=_share(allowance.subjects, factor),
        bytes=_share(allowance.bytes, factor),
    )


def _share(limits: tuple[Limit, ...], factor: float) -> tuple[Limit, ...]:
    return tuple(
        Limit(
            max(1.0, float(int(limit.amount * factor))) if factor and limit.amount else 0.0,
            limit.window,
            f"{factor:g} of {limit.text}",
        )
        for limit in limits
    )


class _Session(NamedTuple):
    """Whose a session is until a time, and how often that was said anew to be another."""

    account: Account | None
    until: float
    changes: int = 0


class SessionBook:
    """Remembers whose a session is, by a keyed hash of the cookies that make it.

    ``cookie_names`` are all that the site takes to be signed in: where one holds who it is and another the
    signature, a hash of both is as hard to guess as the site's own sessions. Sessions are at most ``bound``,
    for ``lifetime`` seconds after an answer named them last.
    """

    def __init__(
        self, cookie_names: Iterable[str], key: bytes, *, bound: int = 100_000, lifetime: float = 3600.0
    ) -> None:
        self._names = tuple(name.encode("latin-1") for name in cookie_names)
        self._key = key
        self._lifetime = lifetime
        self._sessions: Memo[bytes, _Session] = Memo(bound)

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, cookie: bytes | None, now: float) -> Account | None:
        """Return the account whose session a Cookie field holds, if an answer has told; never raise."""
        held = self._read(cookie)
        session = self._sessions.get(self._name(held)) if held else None
        if session is None or session.until <= now or session.changes >= _MOST_CHANGES:
            return None
        return session.account

    def learn(
        self, cookie: bytes | None, given: Mapping[bytes, bytes], account: Account | None, now: float
    ) -> str:
        """Remember what the answer to a request with the field ``cookie`` said: ``account``, or None for nobody.

        ``given`` are the cookies that the answer sets. A sign-in that gives a new session is remembered for
        that one: the former may be known to whoever planted it (session fixation). Return why these
        cookies cannot tell a session, in words that follow "the cookies", or ``""``.
        """
        held = self._read(cookie)
        if held is None:  # what the site made of it we cannot know
            return ""
        then = {name: given.get(name, held.get(name, b"")) for name in self._names}
        then = {name: value for name, value in then.items() if value}
        if account is None:
            self._forget(held)
            self._forget(then)
            return ""
        if max(map(len, then.values()), default=0) < SHORTEST_SESSION:
            return "hold so little that anybody could guess it" if held and held == then else ""
        name = self._name(then)
        known, changes = self._sessions.get(name), 0
        if known is not None and known.account is not None and known.until > now:
            same = known.account.name == account.name
            changes = known.changes + (not same)
            if same and account.created is None:  # its age is told on some answers only
                account = known.account
        self._sessions.put(name, _Session(account, now + self._lifetime, changes))
        return "are the same for many accounts" if changes >= _MOST_CHANGES else ""

    def _forget(self, held: Mapping[bytes, bytes]) -> None:
        """Let nobody have a session; sessions that nobody had take no room."""
        if held and self._sessions.get(name := self._name(held)) is not None:
            self._sessions.put(name, _Session(None, 0.0))

    def _read(self, cookie: bytes | None) -> dict[bytes, bytes] | None:
        """Return our cookies' values, None where that can be read in two ways: one is there twice, or it is too long."""
        held: dict[bytes, bytes] = {}
        if cookie is None:
            return held
        if len(cookie) > LONGEST_COOKIE:
            return None
        for name in self._names:
            wanted, at = name + b"=", -1
            if cookie.count(wanted) > _MOST_MENTIONS:
                return None
            while (at := cookie.find(wanted, at + 1)) >= 0:
                if not _begins(cookie, at):
                    continue
                if name in held:
                    return None
                end = cookie.find(b";", at)
                held[name] = bare(cookie[at + len(wanted) : end if end >= 0 else None])
        return {name: value for name, value in held.items() if value}

    def _name(self, held: Mapping[bytes, bytes]) -> bytes:
        digest = blake2b(key=self._key, digest_size=16)
        for name in self._names:
            value = held.get(name, b"")
            digest.update(b"%d:%b" % (len(value), value))
        return digest.digest()


def _begins(cookie: bytes, at: int) -> bool:
    """Tell whether a cookie's name begins at ``at``, and not another's end."""
    while at and cookie[at - 1] in b" \t":
        at -= 1
    return at == 0 or cookie[at - 1] == ord(";")


def bare(value: bytes) -> bytes:
    """Return a cookie's value without blanks and the quotes that it may stand in (RFC 6265 §4.1.1)."""
    value = value.strip(b" \t")
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value
