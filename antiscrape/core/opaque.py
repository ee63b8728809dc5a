"""Opaque paths: a picture's path, encrypted, so that nobody can tell or count up what comes after it.

A path is sealed by a synthetic IV (Rogaway and Shrimpton 2006; RFC 5297 does so with AES): the IV is a MAC of the
path, and the path is encrypted under it with a stream of HMACs. It needs no nonce, so that one path has one
form, which caches keep; and whatever was not sealed by us opens to nothing, with a probability of 2^-128 for
a guess. Paths are padded, so that a number of three digits looks like one of nine.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes

from itsdangerous.encoding import base64_encode

from antiscrape.core.locations import LONGEST_URL, canonical_path
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.core.tokens import KeyRing

_IV: Final = 16
_BLOCK: Final = 16
_REMEMBERED: Final = 8192
_SHORT: Final = 512
# RFC 3986 §3.3: what stands in a path as it is.
_PLAIN: Final = "/!$&'()*+,;=:@-._~"


class OpaquePaths:
    """Seals the paths of ``site`` below ``prefix``, and opens them, also those that older secrets sealed."""

    __slots__ = ("_known", "_mac", "_prefix", "_site")

    def __init__(self, keys: KeyRing, site: bytes, prefix: bytes) -> None:
        signer = keys.signer("opaque")
        self._mac = tuple(signer.derive_key(secret) for secret in reversed(signer.secret_keys))
        self._site = len(site).to_bytes(4, "big") + site
        self._prefix = prefix
        self._known: Memo[bytes, bytes] = Memo(_REMEMBERED)

    def seal(self, path: bytes) -> bytes:
        """Return the opaque path that stands for the decoded ``path``."""
        key = self._mac[0]
        padded = path + bytes(-len(path) % _BLOCK)
        iv = self._iv(key, padded)
        return self._prefix + base64_encode(iv + _mixed(key, iv, padded))

    def open(self, raw_path: bytes) -> bytes | None:
        """Return the path, as a browser would send it, that ``raw_path`` stands for; None where it is no opaque one."""
        if not raw_path.startswith(self._prefix) or len(raw_path) > LONGEST_URL:
            return None
        known = self._known.get(raw_path)
        if known is None:
            known = self._open(raw_path[len(self._prefix) :])
            if known is not None and len(raw_path) <= _SHORT:
                self._known.put(raw_path, known)
        return known

    def _open(self, letters: bytes) -> bytes | None:
        try:
            sealed = urlsafe_b64decode(letters + b"=" * (-len(letters) % 4))
        except ValueError:
            return None
        if base64_encode(sealed) != letters or len(sealed) <= _IV:  # one spelling, and no other
            return None
        iv, mixed = sealed[:_IV], sealed[_IV:]
        for key in self._mac:
            padded = _mixed(key, iv, mixed)
            if hmac.compare_digest(iv, self._iv(key, padded)):
                path = padded.rstrip(b"\0")
                raw = quote_from_bytes(path, _PLAIN).encode()
                return raw if canonical_path(raw) == path else None
        return None

    def _iv(self, key: bytes, padded: bytes) -> bytes:
        return hmac.digest(key, b"iv" + self._site + padded, "sha256")[:_IV]


def _mixed(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Return ``data`` encrypted, or decrypted, under ``iv``."""
    stream = b"".join(_stream(key, iv, len(data)))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _stream(key: bytes, iv: bytes, length: int) -> Iterator[bytes]:
    for block in range(-(-length // 32)):
        yield hmac.digest(key, b"stream" + iv + block.to_bytes(4, "big"), "sha256")
