"""Whose signatures are known: bots with a name, a purpose, and the public keys they sign with.

A key is named by its thumbprint (RFC 7638; RFC 8037, appendix A.3), worked out here from the key
itself, whatever its file calls it. It belongs to a bot in one of two ways. *Pinned*: the operator
put it into the settings, and it speaks for that bot. *Listed*: the bot's own directory lists it,
and it speaks for the bot only under that directory's URL. The two are never mixed up: by thumbprint
alone, a directory that lists somebody else's key would take over that somebody's requests
(draft-ietf-webbotauth-httpsig-protocol, "Validating Message Signature").
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

    from antiscrape.core.crawler import Purpose

#: Bytes of a key set, of a file or fetched (SECURITY H7): some 300 Ed25519 keys.
LARGEST_SET: Final = 65_536
#: Keys of one set: a bot that rotates has two or three at a time.
MOST_KEYS: Final = 32

# Scheme, host and port, as an origin is written (RFC 6454 §6.2); the last label begins with a letter, so no
# address passes for a name.
_ORIGIN = re.compile(r"https://((?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]{0,62})(?::([0-9]{1,5}))?/?")
_LONGEST_ORIGIN: Final = 280
_MOST_PORT: Final = 65_535
_HTTPS: Final = 443
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
#: RFC 7638 §3.2, RFC 8037 §2: what of a key goes into its thumbprint.
_REQUIRED: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
#: Members that only a private or a symmetric key has (RFC 7518 §6.2.2, §6.3.2 and §6.4; RFC 8037 §2).
_SECRETS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
#: Keys whose private half is printed in RFC 7638, RFC 8037, or RFC 9421, appendix B.1: anyone can sign with them,
#: and demonstrations do.
_PRINTED: Final = frozenset(
    {
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "oD0HwocPBSfpNy5W3bpJeyFGY_IQ_YpqxSjQ3Yd-CLA",
        "BHj8s0GPnMEQtkaULIM-PLgEhLBbuGUQ1vMxmBWZzEo",
        "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U",
        "ydQXMtvbsOsZyFir-Y7A8t7fKEM1gbKPvyFkdpu4fvI",
    }
)
#: Later than any second that counts as such, and earlier than any millisecond: some directories give those.
_MILLISECONDS: Final = 10**11
_LATEST: Final = 10**15


class Key(NamedTuple):
    """A public key: its thumbprint, its algorithm as RFC 9421 §6.2 names it, and what checks a signature.

    ``since`` and ``until`` are seconds since 1970, between which its directory lets it sign.
    """

    keyid: str
    algorithm: str
    check: Callable[[bytes, bytes], bool]
    since: float = -math.inf
    until: float = math.inf


class Bot(NamedTuple):
    """Somebody who may sign. ``purpose`` is None for a partner; ``agent`` is the origin of its directory or ``""``."""

    name: str
    purpose: Purpose | None
    agent: str = ""
    keys: tuple[Key, ...] = ()


class Known(NamedTuple):
    """A key, and for whom it speaks."""

    bot: Bot
    key: Key


class BotKeys:
    """The bots of the settings, found by their keys.

    Raise ``ConfigurationError`` with every problem: two bots of one name, directory or key, a bot
    without either, a directory's address that is no origin.
    """

    def __init__(self, bots: Iterable[Bot]) -> None:
        self.bots = tuple(bots)
        problems = tuple(_problems(self.bots))
        if problems:
            raise ConfigurationError(*problems)
        if self.bots:
            _public_keys()  # a bot whose keys are only listed would miss it long after the start
        self._agents = {read_origin(bot.agent): bot for bot in self.bots if bot.agent}
        self._pinned = {key.keyid: Known(bot, key) for bot in self.bots for key in bot.keys}
        self._listed: dict[str, dict[str, Known]] = {}

    @property
    def agents(self) -> tuple[str, ...]:
        """The origins whose directories are to be fetched, in canonical form."""
        return tuple(self._agents)

    def list_keys(self, agent: str, keys: Iterable[Key]) -> None:
        """Put ``keys`` in place of all that the directory at ``agent`` listed before.

        What it lists no longer, is known no longer. Raise ``KeyError`` for one that no bot has.
        """
        bot = self._agents[agent]
        self._listed = {**self._listed, agent: {key.keyid: Known(bot, key) for key in keys}}

    def follow(self, former: BotKeys) -> None:
        """Go on with what the directories of bots that both know have listed."""
        for agent, listed in former._listed.items():
            if agent in self._agents:
                self.list_keys(agent, [known.key for known in listed.values()])

    def find(self, keyid: str, agent: str | None) -> Known | None:
        """Return for whom a key speaks under the origin that a request names as its directory's.

        ``agent`` is None where the request names none, and ``""`` where what it names is no
        origin. Then, and under any other, only a pinned key speaks; and for a bot that has a
        directory of its own, under no other.
        """
        listed = self._listed.get(agent or "", {}).get(keyid)
        if listed is not None:
            return listed
        pinned = self._pinned.get(keyid)
        if pinned is None or agent is None or not pinned.bot.agent:
            return pinned
        return pinned if read_origin(pinned.bot.agent) == agent else None

    def holds(self, keyid: str) -> Known | None:
        """Return a bot that has this key under any name: whom somebody pretends to be, never who somebody is."""
        for listed in self._listed.values():
            if keyid in listed:
                return listed[keyid]
        return self._pinned.get(keyid)


def _problems(bots: tuple[Bot, ...]) -> Iterator[str]:
    for number, bot in enumerate(bots, 1):
        where = f"bot {bot.name!r}" if bot.name else f"bot {number}"
        if not bot.name:
            yield f"{where} has no name"
        if bot.agent and not read_origin(bot.agent):
            yield f"{where} has the agent {bot.agent!r}; expected an origin, such as 'https://bot.example'"
        if not bot.agent and not bot.keys:
            yield f"{where} has neither keys nor an agent that lists them"
    names = Counter(bot.name for bot in bots if bot.name)
    agents = Counter(filter(None, (read_origin(bot.agent) for bot in bots)))
    keys = Counter(keyid for bot in bots for keyid in {key.keyid for key in bot.keys})
    for what, counted in (("name", names), ("agent", agents), ("key", keys)):
        yield from (
            f"{count} bots have the {what} {value!r}; expected one"
            for value, count in counted.items()
            if count > 1
        )


def read_origin(text: str) -> str:
    """Return an https origin in its one form (lower case, no default port, no slash), or ``""`` for anything else."""
    found = _ORIGIN.fullmatch(text.lower()) if len(text) <= _LONGEST_ORIGIN and text.isascii() else None
    if found is None:
        return ""
    port = int(found[2] or _HTTPS)
    if not 0 < port <= _MOST_PORT:
        return ""
    return f"https://{found[1]}" if port == _HTTPS else f"https://{found[1]}:{port}"


def load_keys(path: Path) -> tuple[Key, ...]:
    """Return the keys of a file: a JWK, or a set of them as directories serve it (RFC 7517 §5).

    Raise ``ConfigurationError`` with everything that is wrong with it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_SET + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        document = read_json(content)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return check_keys(document, str(path))


def check_keys(document: object, where: str) -> tuple[Key, ...]:
    """Return the keys of a parsed JWK or set; raise ``ConfigurationError`` with every problem, told with ``where``."""
    rows = _rows(document)
    if not rows:
        raise ConfigurationError(
            f"{where}: no keys; expected a JWK, or a list of 1 to {MOST_KEYS} under 'keys'"
        )
    keys: dict[str, Key] = {}
    problems: list[str] = []
    for number, row in enumerate(rows, 1):
        try:
            key = read_key(row)
        except ValueError as error:
            problems.append(f"{where}: key {number}: {error}")
            continue
        if key.keyid in keys:
            problems.append(f"{where}: key {number} is there twice: {key.keyid}")
        keys[key.keyid] = key
    if problems:
        raise ConfigurationError(*problems)
    return tuple(keys.values())


def read_json(content: bytes) -> object:
    """Parse a key set; raise ``ValueError`` for what is too large, too deep or no JSON."""
    if len(content) > LARGEST_SET:
        raise ValueError(f"more than {LARGEST_SET} bytes are no key set")
    try:
        document: object = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deep for a key set") from error
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    return document


def read_listed(document: object) -> tuple[Key, ...]:
    """Return the keys of a fetched directory that can be used; the others are passed over.

    A ``kid`` in a directory is the thumbprint or the key does not count (draft, "Key Distribution
    and Discovery"). Raise ``ValueError`` where it is no key set at all, or has more than ``MOST_KEYS``.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("no list of keys under 'keys'")  # noqa: TRY004  bad input, not a caller's mistake
    if len(document["keys"]) > MOST_KEYS:
        raise ValueError(f"more than {MOST_KEYS} keys")
    found: dict[str, Key] = {}
    for row in document["keys"]:
        try:
            key = read_key(row)
        except ValueError:
            continue
        if row.get("kid", key.keyid) == key.keyid:
            found[key.keyid] = key
    return tuple(found.values())


def _rows(document: object) -> list[object]:
    if isinstance(document, dict) and "kty" in document:
        return [document]
    rows = document.get("keys") if isinstance(document, dict) else document
    return rows if isinstance(rows, list) and len(rows) <= MOST_KEYS else []


def thumbprint(jwk: Mapping[str, object]) -> str:
    """Return the SHA-256 thumbprint of a JWK, base64url (RFC 7638 §3); raise ``ValueError`` for an unknown kind."""
    names = _REQUIRED.get(str(jwk.get("kty")))
    if names is None or not all(isinstance(jwk.get(name), str) for name in names):
        raise ValueError("no public key of Ed25519 (OKP), P-256 (EC) or RSA")
    required = {name: jwk[name] for name in names}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def read_key(jwk: object) -> Key:
    """Return the key that a JWK describes; raise ``ValueError`` with what is wrong with it.

    The algorithm is the key's: Ed25519, ECDSA with P-256 and SHA-256, or RSA-PSS with SHA-512. A
    private key is refused, because a file that holds one has gone astray, and so is one that an
    RFC prints.
    """
    if not isinstance(jwk, dict):
        raise ValueError("no JWK; expected an object with 'kty'")  # noqa: TRY004  bad input, not a caller's mistake
    keyid = thumbprint(jwk)
    if _SECRETS & jwk.keys():
        raise ValueError("a private key; only its public half belongs here")
    if keyid in _PRINTED:
        raise ValueError("an example key, printed in an RFC with its private half: anyone can sign with it")
    uses = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        raise ValueError("a key that is not for signatures ('use' or 'key_ops')")
    algorithm, check = _check_of(jwk)
    return Key(keyid, algorithm, check, _second(jwk, "nbf", -math.inf), _second(jwk, "exp", math.inf))


def _check_of(jwk: Mapping[str, object]) -> tuple[str, Callable[[bytes, bytes], bool]]:
    public_keys = _public_keys()
    kind = jwk.get("kty"), jwk.get("crv")
    named = jwk.get("alg")
    if kind == ("OKP", "Ed25519") and named in (None, "EdDSA", "Ed25519", "ed25519"):
        return "ed25519", public_keys.ed25519(_decoded(jwk, "x"))
    if kind == ("EC", "P-256") and named in (None, "ES256", "ecdsa-p256-sha256"):
        return "ecdsa-p256-sha256", public_keys.p256(_decoded(jwk, "x"), _decoded(jwk, "y"))
    if kind[0] == "RSA" and named in (None, "PS512", "rsa-pss-sha512"):
        return "rsa-pss-sha512", public_keys.rsa_pss(_decoded(jwk, "n"), _decoded(jwk, "e"))
    raise ValueError(
        f"kty {kind[0]!r}, crv {kind[1]!r}, alg {named!r}; expected Ed25519, P-256, or RSA with PS512"
    )


def _public_keys() -> ModuleType:
    try:
        return import_module("antiscrape.lookups.public_keys")
    except ImportError as error:
        raise ConfigurationError(
            "signatures of bots need the package cryptography; install antiscrape[bot-auth]"
        ) from error


def _decoded(jwk: Mapping[str, object], name: str) -> bytes:
    text = str(jwk[name])
    if _BASE64URL.fullmatch(text):
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        # Another spelling of the same number would be another thumbprint of the same key.
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() == text and (
            found[:1] != b"\0" or name in "xy"
        ):
            return found
    raise ValueError(f"{name!r} is no base64url without padding, as RFC 7518 §2 wants it")


def _second(jwk: Mapping[str, object], name: str, default: float) -> float:
    value = jwk.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise ValueError(f"{name!r} is no number of seconds since 1970")
    return value / 1000 if value >= _MILLISECONDS else value
