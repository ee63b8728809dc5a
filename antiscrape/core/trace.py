"""What a trace says: who took a picture, in which hour, under which of the site's secrets; and how it is packed.

::

    long    56 bits   key id (4) | hour (20) | code (32)        pictures with room for it
    short   32 bits   quarter day (12) | code (20)              previews

The *code* is the beginning of a keyed hash of a principal's key. It says nothing to whoever finds it; the
site, which knows its principals, makes their codes again and compares. The *hour* counts from
2020-01-01T00:00Z and begins anew after 2^20 hours (119 years). A quarter day of a short trace is six such
hours, counted modulo 2^12 (1,024 days), and its code the first 20 of the 32 bits.

Three keys derive from each secret, for those who hold one have no use for the others: the *pattern* places the
mark in pixels, the *token* signs the mark in a file's bytes, and *code* is what principals are hashed with.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from antiscrape.core.tokens import KeyRing

#: 2020-01-01T00:00Z, in hours since 1970.
EPOCH: Final = 438_288

KEY_BITS: Final = 4
HOUR_BITS: Final = 20
CODE_BITS: Final = 32
QUARTER_BITS: Final = 12
SHORT_CODE_BITS: Final = 20

LONG_BYTES: Final = (KEY_BITS + HOUR_BITS + CODE_BITS) // 8
SHORT_BYTES: Final = (QUARTER_BITS + SHORT_CODE_BITS) // 8
#: Hours of a quarter of a day.
QUARTER: Final = 6
_HOUR_SECONDS: Final = 3600


class TraceKeys(NamedTuple):
    """The keys that one secret gives for traces; ``ident`` names them in a payload, 0 to 15."""

    pattern: bytes
    token: bytes
    code: bytes
    ident: int


class Payload(NamedTuple):
    """What a long trace says. ``hour`` counts from :data:`EPOCH`, modulo 2^20."""

    ident: int
    hour: int
    code: int

    def pack(self) -> int:
        """Return the payload as an integer of 56 bits; raise ``ValueError`` where a part does not fit."""
        parts = zip(self, (KEY_BITS, HOUR_BITS, CODE_BITS), strict=True)
        if any(not 0 <= value < 1 << bits for value, bits in parts):
            raise ValueError(f"{self} does not fit into 56 bits")
        return (self.ident << HOUR_BITS | self.hour) << CODE_BITS | self.code


def unpack(packed: int) -> Payload:
    """Return the parts of a long payload; raise ``ValueError`` where it has more than 56 bits."""
    if not 0 <= packed < 1 << 8 * LONG_BYTES:
        raise ValueError(f"{packed} is no payload of 56 bits")
    code, rest = packed & ((1 << CODE_BITS) - 1), packed >> CODE_BITS
    return Payload(rest >> HOUR_BITS, rest & ((1 << HOUR_BITS) - 1), code)


class ShortPayload(NamedTuple):
    """What a short trace says: ``quarter`` counts six hours from :data:`EPOCH`, modulo 2^12."""

    quarter: int
    code: int

    def pack(self) -> int:
        """Return the payload as an integer of 32 bits."""
        return self.quarter << SHORT_CODE_BITS | self.code

    def says(self, payload: Payload) -> bool:
        """Tell whether this is what is left of ``payload``."""
        return shorten(payload) == self


def unpack_short(packed: int) -> ShortPayload:
    """Return the parts of a short payload of 32 bits."""
    return ShortPayload(packed >> SHORT_CODE_BITS, packed & ((1 << SHORT_CODE_BITS) - 1))


def shorten(payload: Payload) -> ShortPayload:
    """Return what a short trace says of ``payload``."""
    quarter = payload.hour // QUARTER % (1 << QUARTER_BITS)
    return ShortPayload(quarter, payload.code >> CODE_BITS - SHORT_CODE_BITS)


def trace_keys(ring: KeyRing) -> tuple[TraceKeys, ...]:
    """Return the keys of every secret of ``ring``, the newest first: it marks, all of them read."""
    purposes = (ring.derive_all(f"trace-{name}") for name in ("pattern", "token", "code"))
    return tuple(
        TraceKeys(pattern, token, code, hmac.digest(token, b"ident", "sha256")[0] >> 8 - KEY_BITS)
        for pattern, token, code in zip(*purposes, strict=True)
    )


def principal_code(key: bytes, principal: str) -> int:
    """Return the code of the principal whose store key is ``principal``, under ``TraceKeys.code``.

    32 bits: among a million principals, one in 4,300 shares the code of a given one, and then the hour decides.
    """
    return int.from_bytes(hmac.digest(key, principal.encode("utf-8", "surrogatepass"), "sha256")[:4], "big")


def payload_for(keys: TraceKeys, principal: str, now: float) -> int:
    """Return the packed payload of what ``principal`` is served at ``now``, in seconds since 1970."""
    return Payload(keys.ident, hour_of(now), principal_code(keys.code, principal)).pack()


def hour_of(now: float) -> int:
    """Return the hour of a payload for ``now``, in seconds since 1970."""
    return (int(now // _HOUR_SECONDS) - EPOCH) % (1 << HOUR_BITS)


def served_at(hour: int, before: float) -> int:
    """Return the latest time up to ``before`` in which a payload's ``hour`` began; both in seconds since 1970."""
    return _latest(hour, 1 << HOUR_BITS, 1, before)


def served_around(quarter: int, before: float) -> int:
    """Return the latest time up to ``before`` in which a short payload's ``quarter`` began."""
    return _latest(quarter, 1 << QUARTER_BITS, QUARTER, before)


def _latest(count: int, turns: int, hours: int, before: float) -> int:
    now = (int(before // _HOUR_SECONDS) - EPOCH) // hours
    return (EPOCH + (now - (now - count) % turns) * hours) * _HOUR_SECONDS
