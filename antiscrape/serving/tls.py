"""TLS for those who have no server in front that speaks it, with certificates that are read anew as they change.

A renewal writes two files, one after the other, and neither in one step. So a pair is loaded into a context of
its own, where a key that does not fit and half a file fail; only a context that came out whole takes
the place of the one that serves. Handshakes begin in an outer context whose servername callback, which
OpenSSL calls for clients without SNI too, leads them to the current one: connections that are open keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from typing import TYPE_CHECKING

from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from antiscrape.core.rules import ServeRules

_log = logging.getLogger("antiscrape.tls")

#: RFC 7525bis (RFC 9325) §4.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
#: Seconds between two looks at the files.
TICK = 1.0

_Signature = tuple[tuple[int, int, int], ...]


class Certificates:
    """The pair of certificate and key that serves; raise ``ConfigurationError`` where it cannot be used."""

    def __init__(self, rules: ServeRules) -> None:
        self._rules = rules
        self._files = (rules.tls_certificate, rules.tls_key or rules.tls_certificate)
        self._seen = self._signature()
        self._wrong: _Signature | None = None  # what was refused, and said to be
        self._doubted: _Signature | None = None  # what was refused, but may be half of a renewal
        self._current = self._load()
        #: What a server listens with.
        self.context = self._load()
        self.context.sni_callback = self._choose

    def look(self) -> bool:
        """Read the pair anew if its files have changed; return whether another one serves now.

        A wrong pair is refused, while the old one serves, and said so once: at the second look, for the
        first may have come between the certificate and its key.
        """
        signature = self._signature()
        if signature in (self._seen, self._wrong):
            return False
        try:
            self._current = self._load()
        except ConfigurationError as error:
            if signature == self._doubted:
                self._wrong = signature
                _log.error("%s; the old certificate goes on", error)
            self._doubted = signature
            return False
        if signature != self._signature():
            return False  # it changed while it was read: the next look tells
        self._seen, self._wrong, self._doubted = signature, None, None
        _log.warning("the certificate in %s was read anew", self._files[0])
        return True

    async def keep(self) -> None:
        """Look every second until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.look()

    def _choose(self, handshake: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        handshake.context = self._current

    def _load(self) -> ssl.SSLContext:
        certificate, key = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self._rules.tls_minimum]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        try:
            # without a passphrase at hand OpenSSL would ask the terminal for one
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except ssl.SSLError as error:
            words = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "cannot be used"
            raise ConfigurationError(
                f"serve.tls_certificate, serve.tls_key: {certificate} and {key} {words}"
            ) from error
        except OSError as error:
            raise ConfigurationError(
                f"serve.tls_certificate, serve.tls_key: {certificate} or {key} cannot be read: {os.strerror(error.errno or 0)}"
            ) from error
        except _PassphraseError:
            raise ConfigurationError(f"serve.tls_key: {key} is behind a passphrase") from None
        return context

    def _signature(self) -> _Signature:
        """Return what tells one state of the files from another; empty for one that cannot be looked at."""
        found = []
        for path in self._files:
            try:
                status = os.stat(path)  # noqa: PTH116  through symlinks, as the loader reads
            except OSError:
                return ()
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(found)


class _PassphraseError(Exception):
    """The key is encrypted."""


def _no_passphrase() -> str:
    raise _PassphraseError
