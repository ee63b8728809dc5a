"""The doctor's password: whoever holds the site's secret may ask the running site what it sees, for two minutes.

It travels in a request field and not in the URL, which access logs keep. It is sealed by a key of its own
(SECURITY F5), names the site, and opens nothing: what it is answered with changes nothing and tells of nobody
but the asker. It is bound to no Host, because an edge that changes the Host is one of the things to be found.
"""

from __future__ import annotations

import hmac
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from antiscrape.core.tokens import KeyRing

#: Exempt whatever the routes say, and the site's own wherever the password is missing or wrong.
PATH: Final = "/.well-known/antiscrape-doctor"
#: The request field that carries the password.
FIELD: Final = "antiscrape-doctor"
#: Random bytes of one question; the answer repeats them, so that an answer from a cache is told from a fresh one.
NONCE: Final = 16
#: Seconds for which a password is good, and by which the asker's clock may be ahead (SECURITY F6).
LASTS: Final = 120.0
SKEW: Final = 60.0

_PAYLOAD: Final = struct.Struct(">16sd")
#: 192 bits. Payload and seal have 24 bytes each, which base64 writes in one way only (SECURITY F1).
_SEAL: Final = 24
_TOKEN: Final = re.compile(rb"([A-Za-z0-9_-]{32})\.([A-Za-z0-9_-]{32})")


class Passwords:
    """Makes and reads the doctor's passwords for ``site``; the newest secret seals, all of them verify."""

    def __init__(self, keys: KeyRing, site: str) -> None:
        name = site.encode()
        self._preamble = b"doctor 1\0" + len(name).to_bytes(4, "big") + name
        self.rekey(keys)

    def rekey(self, keys: KeyRing) -> None:
        """Seal and verify with other secrets from now on."""
        self._keys = keys.derive_all("doctor")

    def make(self, nonce: bytes, *, now: float, key: int = 0) -> str:
        """Return a password with ``NONCE`` random bytes, made at ``now`` (seconds since 1970).

        ``key`` counts the secrets back from the newest.
        """
        payload = _PAYLOAD.pack(nonce, now)
        seal = self._seal(self._keys[key], payload)
        return f"{urlsafe_b64encode(payload).decode()}.{urlsafe_b64encode(seal).decode()}"

    def read(self, text: bytes, *, now: float) -> bytes | None:
        """Return the nonce of a password, None where it is none, another site's, too old or from the future."""
        shape = _TOKEN.fullmatch(text)
        if shape is None:
            return None
        payload, given = urlsafe_b64decode(shape[1]), urlsafe_b64decode(shape[2])
        if not any(hmac.compare_digest(given, self._seal(key, payload)) for key in self._keys):
            return None
        nonce, made = _PAYLOAD.unpack(payload)
        return nonce if now - LASTS <= made <= now + SKEW else None

    def _seal(self, key: bytes, payload: bytes) -> bytes:
        return hmac.digest(key, self._preamble + payload, "sha256")[:_SEAL]
