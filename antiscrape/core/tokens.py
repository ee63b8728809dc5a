"""The site's secrets, and the separate keys that every purpose derives from them.

A secret is a long random string that the operator keeps. It signs nothing itself: each purpose
(image grants, clearances, address hashes) has a key of its own, the HMAC of the purpose's name
under the secret, so that a token made for one purpose is noise to every other. Rotation is a list:
the newest secret signs, all of them verify, and the oldest is taken off once nothing that it signed
is still valid.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from itsdangerous import Signer

from antiscrape.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The secret that the documentation and the sample configuration print. Everybody knows it.
EXAMPLE_SECRET: Final = b"example-only-make-your-own-before-you-start-7f3c"

#: HMAC-SHA-256 gains nothing from a key beyond its 32 bytes of output and loses strength below them
#: (RFC 2104, section 3).
SHORTEST_SECRET: Final = 32

#: 32 random decimal digits, the poorest alphabet that a person is likely to draw from, show fewer than
#: seven different ones in one draw of 60,000; a held-down key or a typed pattern nearly always does.
FEWEST_DISTINCT: Final = 7

_ADVICE: Final = 'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
_PURPOSE: Final = re.compile(r"[a-z][a-z0-9-]*")


def check_secret(secret: bytes) -> None:
    """Raise ``SecretError`` where ``secret`` is missing, short, of low variety, or the documented example.

    The message never holds the secret.
    """
    bare = secret.strip()
    if not bare:
        raise SecretError(f"no secret is set; {_ADVICE}")
    if EXAMPLE_SECRET in secret:
        raise SecretError(
            f"the secret is the example from the documentation, which everybody knows; {_ADVICE}"
        )
    if len(bare) < SHORTEST_SECRET:
        raise SecretError(f"the secret has {len(bare)} bytes and needs {SHORTEST_SECRET}; {_ADVICE}")
    if len(set(bare)) < FEWEST_DISTINCT or _repeats(bare):
        raise SecretError(f"the secret repeats itself, so it can be guessed; {_ADVICE}")


def _repeats(secret: bytes) -> bool:
    """Tell whether ``secret`` is one shorter piece, written several times."""
    return secret in (secret + secret)[1:-1]


def key_id(secret: bytes) -> str:
    """Return eight hexadecimal digits that name a secret to people, and say nothing of it."""
    return hmac.digest(secret, b"id", "sha256")[:4].hex()


class KeyRing:
    """The secrets of one site, oldest to newest: the newest signs, all verify.

    A purpose is a lower-case word such as ``grant``. Raise ``SecretError``, with a problem for each
    secret that is refused, before anything can be signed with it.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Sequence[bytes]) -> None:
        problems: list[str] = []
        for secret in secrets or (b"",):
            try:
                check_secret(secret)
            except SecretError as error:
                problems += error.problems
        if problems:
            raise SecretError(*problems)
        self._secrets = tuple(secrets)

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the secrets, oldest to newest."""
        return tuple(map(key_id, self._secrets))

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._secrets)}>"

    def signer(self, purpose: str) -> Signer:
        """Return a signer whose keys serve ``purpose`` and nothing else."""
        return Signer(
            list(self._secrets),
            salt=_checked(purpose),
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for ``purpose``, from the newest secret.

        No signer ever uses them: a purpose has no colon, so no signer's salt is this one.
        """
        return self.derive_all(purpose)[0]

    def derive_all(self, purpose: str) -> tuple[bytes, ...]:
        """Return what :meth:`derive` gives for each secret, the newest first: for reading what former ones made."""
        said = f"derive:{_checked(purpose)}".encode()
        return tuple(hmac.digest(secret, said, "sha256") for secret in reversed(self._secrets))


def _checked(purpose: str) -> str:
    if _PURPOSE.fullmatch(purpose) is None:
        msg = f"{purpose!r} is not the name of a purpose; expected lower-case letters, digits and hyphens"
        raise ValueError(msg)
    return purpose
