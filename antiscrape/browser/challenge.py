"""The challenge: a little memory-hard work, made up on the spot, remembered nowhere, good for one answer.

ALTCHA's library (MIT, no dependencies) makes and verifies it: a nonce and a salt that nobody can foresee, an HMAC
over all of it, and scrypt (RFC 7914), for which a graphics card is worth little more than a phone. What is ours is
what the work is worth. A challenge carries the time of this server and a keyed name of whom it was given to (host,
network, family of browser), so that work cannot be done ahead, elsewhere, or for somebody else (SECURITY G4). How
hard it is stands in what is sealed, and is recomputed with that (G1). An answer counts once (G2).

One try costs 512 KiB and some milliseconds. Sixteen of them are expected at least; what is suspected, what comes back
for one clearance after another, and everybody while the server is busy verifying, is given more.
"""

from __future__ import annotations

import importlib
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.tokens import KeyRing

#: Seconds for which a challenge may be answered (SECURITY G4 allows five minutes).
LASTS: Final = 240
#: Seconds that the clocks of two workers may differ.
_SKEW: Final = 5
#: scrypt's N of the least challenge, with r = 8: 512 KiB a try. Four doublings of it, then one more digit of the prefix.
_LEAST_COST: Final = 512
_BLOCK: Final = 8
_DOUBLINGS: Final = 4
#: 16 tries of 512 KiB are work 0; beyond work 10 a phone would be at it for a minute.
MOST_WORK: Final = 10


class Outcome(Enum):
    """Why an answer is none."""

    STALE = "stale"  # of a challenge that is over, another's, or of another key: a new one may be asked for
    WRONG = "wrong"


class Answer(NamedTuple):
    """An answer of a genuine, current challenge, before its work is verified: ``token`` may be spent once."""

    token: bytes
    payload: Any


class Challenges:
    """Makes challenges and verifies answers; the newest secret seals, all verify. ``wall`` gives seconds since 1970.

    Raise ``ConfigurationError`` where ALTCHA's library is not installed.
    """

    def __init__(self, keys: KeyRing, *, wall: Callable[[], float]) -> None:
        self._altcha = _need()
        self._wall = wall
        self.rekey(keys)

    def rekey(self, keys: KeyRing) -> None:
        """Seal and verify with other secrets from now on: whoever has one that was taken off makes no challenge more."""
        self._keys = keys.derive_all("challenge")

    def issue(self, holder: str, work: int) -> dict[str, Any]:
        """Return a challenge for ``holder``, ``work`` doublings harder than the least, as what JSON can hold."""
        more, doublings = divmod(min(max(work, 0), MOST_WORK), _DOUBLINGS)
        challenge = self._altcha.create_challenge(
            "SCRYPT",
            _LEAST_COST << doublings,
            memory_cost=_BLOCK,
            parallelism=1,
            key_prefix="0" * (1 + more),
            data={"at": int(self._wall()), "to": _named(self._keys[0], holder)},
            hmac_secret=self._keys[0],
        )
        made: dict[str, Any] = challenge.to_dict()
        return made

    def open(self, told: object, holder: str) -> Answer | Outcome:
        """Return the answer in a decoded JSON value, where its challenge is genuine, current and ``holder``'s.

        Nothing costly is done here: what is forged, late or somebody else's has cost one HMAC.
        """
        try:
            payload = self._altcha.Payload.from_dict(told)
            claimed = bytes.fromhex(payload.solution.derived_key)
        except (AttributeError, KeyError, TypeError, ValueError):
            return Outcome.WRONG
        for key in self._keys:
            # The seal and the prefix, with the key that is claimed in place of the one that takes work to derive.
            looked = self._altcha.verify_solution(payload, key, lambda *_: claimed)
            if looked.invalid_signature:
                continue
            data = payload.challenge.parameters.data
            if data["to"] != _named(key, holder) or not -_SKEW <= self._wall() - data["at"] <= LASTS:
                return Outcome.STALE
            if not looked.verified:
                return Outcome.WRONG
            return Answer(bytes.fromhex(payload.challenge.parameters.nonce), payload)
        return Outcome.STALE

    def verify(self, answer: Answer) -> bool:
        """Do one try of the work and tell whether it is the answer's: some milliseconds, for a thread of its own."""
        # under any key but the one that sealed it, this ends before the work
        return any(self._altcha.verify_solution(answer.payload, key).verified for key in self._keys)


def _named(key: bytes, holder: str) -> str:
    return blake2b(
        holder.encode("utf-8", "replace"), digest_size=12, key=key, person=b"challenge for"
    ).hexdigest()


def _need() -> Any:
    try:
        return importlib.import_module("altcha")
    except ImportError:
        raise ConfigurationError(
            "clearance.enabled: the check needs ALTCHA's library: pip install 'antiscrape[browser]'"
        ) from None
