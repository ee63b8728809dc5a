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

#: Seconds for which a form may be sent. Whoever reads slowly or is called away has another one at once.
LASTS: Final = 300
_RANDOM: Final = 12
_TOKEN: Final = re.compile(r"([0-9a-f]{8,12})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{24})")


class Fault(Enum):
    """Why a form does not count. Whatever it is, its sender is given a fresh one."""

    SOON = "soon"
    LATE = "late"  # or another's, or of another key, or no form of ours


class Steps:
    """Makes the forms' tokens and reads them. ``key`` are 32 secret bytes; ``wall`` gives seconds since 1970."""

    def __init__(self, key: bytes, *, wait: float, wall: Callable[[], float]) -> None:
        self._key = key
        self._wait = wait
        self._wall = wall

    def issue(self, holder: str) -> str:
        """Return a token for ``holder``'s form."""
        stamp, random = f"{int(self._wall()):08x}", urlsafe_b64encode(secrets.token_bytes(_RANDOM)).decode()
        return f"{stamp}.{random}.{self._seal(stamp, random, holder)}"

    def open(self, text: str, holder: str) -> bytes | Fault:
        """Return what may be spent once of a form that was sent in time, or why it does not count."""
        shape = _TOKEN.fullmatch(text)
        if shape is None:
            return Fault.LATE
        stamp, random, seal = shape.groups()
        if not hmac.compare_digest(seal, self._seal(stamp, random, holder)):
            return Fault.LATE
        age = self._wall() - int(stamp, 16)
        if not -1 <= age <= LASTS:
            return Fault.LATE
        return Fault.SOON if age < self._wait else random.encode()

    def _seal(self, stamp: str, random: str, holder: str) -> str:
        message = f"step {stamp} {random} {holder}".encode("utf-8", "replace")
        return urlsafe_b64encode(hmac.digest(self._key, message, "sha256")[:18]).decode()
