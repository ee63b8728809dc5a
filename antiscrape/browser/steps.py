"""The step without a script: a form that counts only after a short wait, once, and for whom it was made.

It proves next to nothing: that somebody kept a page open. So it earns the least clearance, a few times an hour and
address, and no proof of work stands in the way of text browsers, screen readers or a Tor Browser at its safest.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.tokens import KeyRing

#: Seconds for which a form may be sent. Whoever reads slowly or is called away has another one at once.
LASTS: Final = 300
_RANDOM: Final = 12
_TOKEN: Final = re.compile(r"([0-9a-f]{8,12})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{24})")


class Fault(Enum):
    """Why a form does not count. Whatever it is, its sender is given a fresh one."""

    SOON = "soon"
    LATE = "late"  # or another's, or of another key, or no form of ours


class Steps:
    """Makes the forms' tokens and reads them; the newest secret seals. ``wall`` gives seconds since 1970."""

    def __init__(self, keys: KeyRing, *, wait: float, wall: Callable[[], float]) -> None:
        self._wait = wait
        self._wall = wall
        self.rekey(keys)

    def rekey(self, keys: KeyRing) -> None:
        """Seal and read with other secrets from now on."""
        self._keys = keys.derive_all("step")

    def issue(self, holder: str) -> str:
        """Return a token for ``holder``'s form."""
        stamp, random = f"{int(self._wall()):08x}", urlsafe_b64encode(secrets.token_bytes(_RANDOM)).decode()
        return f"{stamp}.{random}.{_seal(self._keys[0], stamp, random, holder)}"

    def open(self, text: str, holder: str) -> bytes | Fault:
        """Return what may be spent once of a form that was sent in time, or why it does not count."""
        shape = _TOKEN.fullmatch(text)
        if shape is None:
            return Fault.LATE
        stamp, random, seal = shape.groups()
        if not any(hmac.compare_digest(seal, _seal(key, stamp, random, holder)) for key in self._keys):
            return Fault.LATE
        age = self._wall() - int(stamp, 16)
        if not -1 <= age <= LASTS:
            return Fault.LATE
        return Fault.SOON if age < self._wait else random.encode()


def _seal(key: bytes, stamp: str, random: str, holder: str) -> str:
    message = f"step {stamp} {random} {holder}".encode("utf-8", "replace")
    return urlsafe_b64encode(hmac.digest(key, message, "sha256")[:18]).decode()
