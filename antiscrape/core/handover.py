"""Handovers: a verdict on its way through the edge, from where it was made to where it is carried out.

An edge asks for a verdict, and sends the client to us where the answer is not the site's own: for a preview, for a
refusal in words. That second request was judged and charged already, so it brings the verdict with it, sealed. A
handover is good for one request: for this method, host, target and client, within a few seconds, once. Whatever is
wrong with one, the request is judged like any other, so that nothing is won by making, keeping or changing one.

It reads ``PAYLOAD.SEAL``, 40 and 24 characters of URL-safe base64 without spare bits: exactly one string stands for
one handover (SECURITY F1). The seal is 144 bits of HMAC-SHA-256 under a key of this purpose, over the payload and over
what the verdict is bound to, each part preceded by its length.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.verdict import Action, Budget, Exceeded, Rendition, Standing, Verdict

if TYPE_CHECKING:
    from antiscrape.core.tokens import KeyRing

#: Seconds within which an edge follows a verdict; a client that sends a long body is followed when it is read.
LASTS: Final = 30
#: Seconds that the clocks of two workers may differ (SECURITY F6).
SKEW: Final = 5
#: Bytes that tell one handover from the next.
NAME: Final = 9
_PAYLOAD: Final = Struct(f">BBBBBIIQ{NAME}s")
_VERSION: Final = 1
_TOKEN: Final = re.compile(rb"([A-Za-z0-9_-]{40})\.([A-Za-z0-9_-]{24})")
_SEAL: Final = 18
_ACTIONS, _RENDITIONS, _STANDINGS = tuple(Action), tuple(Rendition), tuple(Standing)
_SPENT, _SHARED, _NEVER = 1, 2, 4
_LONGEST_WAIT: Final = 2**32 - 1


class Bound(NamedTuple):
    """What a verdict is of. ``target`` is path and query as they were sent, ``client`` a canonical address."""

    method: str
    host: str
    target: bytes
    client: str


class Handover(NamedTuple):
    """A verdict that was handed over, as far as it takes to carry it out; ``name`` is good for one use.

    ``taker`` is the trace of the rendition that is to be served, 0 for none.
    """

    verdict: Verdict
    taker: int
    name: bytes


class Handovers:
    """Seals and opens handovers; the newest secret seals, all of them open."""

    def __init__(self, keys: KeyRing) -> None:
        signer = keys.signer("handover")
        self._keys = tuple(signer.derive_key(secret) for secret in reversed(signer.secret_keys))

    def seal(self, handover: Handover, bound: Bound, *, now: float) -> bytes:
        """Return the text of a handover made at ``now``, in seconds since 1970."""
        action, rendition, standing, _, _, spent, _, _ = handover.verdict
        flags, wait = 0, 0
        if action is Action.LIMIT and spent is not None:
            flags = _SPENT | _SHARED * spent.shared | _NEVER * ("0" in spent.limit.split(", "))
            wait = min(_LONGEST_WAIT, -int(-spent.wait // 1)) if spent.wait < _LONGEST_WAIT else _LONGEST_WAIT
        payload = _PAYLOAD.pack(
            _VERSION, _ACTIONS.index(action), _RENDITIONS.index(rendition), _STANDINGS.index(standing), flags,
            int(now), wait, handover.taker, handover.name,
        )  # fmt: skip
        seal = _seal(self._keys[0], payload, bound)
        return urlsafe_b64encode(payload) + b"." + urlsafe_b64encode(seal)

    def open(self, text: bytes, bound: Bound, *, now: float) -> Handover | None:
        """Return what ``text`` hands over, None where it is of another request, too old, or nobody's."""
        shape = _TOKEN.fullmatch(text)
        if shape is None:
            return None
        payload, given = urlsafe_b64decode(shape[1]), urlsafe_b64decode(shape[2])
        if not any(hmac.compare_digest(given, _seal(key, payload, bound)) for key in self._keys):
            return None
        version, action, rendition, standing, flags, made, wait, taker, name = _PAYLOAD.unpack(payload)
        if version != _VERSION or not made - SKEW <= now < made + LASTS:
            return None
        spent = None
        if flags & _SPENT:
            limit = "0" if flags & _NEVER else ""
            spent = Exceeded(Budget.REQUESTS, limit, float(wait), shared=bool(flags & _SHARED))
        verdict = Verdict(_ACTIONS[action], _RENDITIONS[rendition], _STANDINGS[standing], 0, exceeded=spent)
        return Handover(verdict, taker, name)


def _seal(key: bytes, payload: bytes, bound: Bound) -> bytes:
    method, host, target, client = bound
    parts = b"".join([_field(part) for part in (method.encode(), host.encode(), target, client.encode())])
    return hmac.digest(key, b"handover 1" + parts + payload, "sha256")[:_SEAL]


def _field(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part
