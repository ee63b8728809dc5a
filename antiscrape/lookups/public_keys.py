"""The one module that knows ``cryptography``: from a public key's numbers to a function that checks a signature.

It is imported when the first key is read, so that a site without any starts without the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import load_pem_public_key

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Takes a signature and what it is said to be over.
    Check = Callable[[bytes, bytes], bool]

#: Bits of an RSA modulus: NIST SP 800-57, part 1, table 2, up to what verifies in well under a millisecond.
SHORTEST_RSA: Final = 2048
LONGEST_RSA: Final = 4096
#: FIPS 186-5, appendix A.1.1, allows no smaller public exponent; a larger one only costs.
_EXPONENT: Final = 65_537
_ED25519: Final = 32
_HALF: Final = 32  # bytes of r and of s on P-256, RFC 9421 §3.3.4
_SALT: Final = 64  # bytes of the PSS salt, RFC 9421 §3.3.1

_PRIME: Final = 2**255 - 19
#: The y of the curve's eight points of small order, on which a signature of zeros is right for one message in eight
#: and more: RFC 7748 §7 and RFC 8032 §5.1 leave their refusal to us.
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)


def ed25519(raw: bytes) -> Check:
    """Return the check of a 32-byte Ed25519 key (RFC 9421 §3.3.6); raise ``ValueError`` for a bad one."""
    if len(raw) != _ED25519:
        raise ValueError(f"an Ed25519 key has {_ED25519} bytes, not {len(raw)}")
    if int.from_bytes(raw, "little") % 2**255 % _PRIME in _SMALL_ORDER:
        raise ValueError("the key is a point of small order, for which anyone can sign")
    return _checks(Ed25519PublicKey.from_public_bytes(raw).verify)


def p256(x: bytes, y: bytes) -> Check:
    """Return the check of a P-256 key by its coordinates (RFC 9421 §3.3.4); raise ``ValueError`` for a bad one."""
    if len(x) != _HALF or len(y) != _HALF:
        raise ValueError(f"a coordinate on P-256 has {_HALF} bytes")
    key = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x), int.from_bytes(y), ec.SECP256R1()
    ).public_key()  # off the curve: a ValueError

    def verify(signature: bytes, base: bytes) -> None:
        if len(signature) != 2 * _HALF:
            raise InvalidSignature
        pair = encode_dss_signature(int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:]))
        key.verify(pair, base, ec.ECDSA(SHA256()))

    return _checks(verify)


def rsa_pss(n: bytes, e: bytes) -> Check:
    """Return the check of an RSA key with PSS and SHA-512 (RFC 9421 §3.3.1); raise ``ValueError`` for a bad one."""
    key = rsa.RSAPublicNumbers(int.from_bytes(e), int.from_bytes(n)).public_key()
    pss = padding.PSS(mgf=padding.MGF1(SHA512()), salt_length=_SALT)
    return _rsa(key, lambda signature, base: key.verify(signature, base, pss, SHA512()))


def rsa_pem(pem: bytes) -> Check:
    """Return the check of a PEM public key with PKCS #1 v1.5 and SHA-256, as ActivityPub's servers sign.

    ``rsa-sha256`` of draft-cavage-http-signatures, ``rsa-v1_5-sha256`` of RFC 9421 §3.3.2. Raise
    ``ValueError`` for what is no RSA key of the lengths allowed.
    """
    key = load_pem_public_key(pem)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("the key is not of RSA")  # noqa: TRY004  the bytes are wrong, not the caller
    return _rsa(key, lambda signature, base: key.verify(signature, base, padding.PKCS1v15(), SHA256()))


def _rsa(key: rsa.RSAPublicKey, verify: Callable[[bytes, bytes], None]) -> Check:
    if not SHORTEST_RSA <= key.key_size <= LONGEST_RSA:
        raise ValueError(f"an RSA key has {SHORTEST_RSA} to {LONGEST_RSA} bits, not {key.key_size}")
    if key.public_numbers().e != _EXPONENT:
        raise ValueError(f"the public exponent is not {_EXPONENT}")
    return _checks(verify)


def _checks(verify: Callable[[bytes, bytes], None]) -> Check:
    def check(signature: bytes, base: bytes) -> bool:
        try:
            verify(signature, base)
        except InvalidSignature:
            return False
        return True

    return check
