"""What the tests of signatures share: keys made on the spot, requests, and signers of them."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from antiscrape.core.crawler import Purpose
from antiscrape.core.signature import Message, Response, Signature, read_signatures, signature_base
from antiscrape.lookups.bot_auth import BotAuth, BotAuthRules, Claim
from antiscrape.lookups.bot_directory import MEDIA_TYPE, PATH
from antiscrape.lookups.bot_keys import Bot, BotKeys, read_key, thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.core.crawler import Proof

NOW = 1_735_689_900.0
AGENT = "https://signer.example"


def number(value: int, length: int | None = None) -> str:
    """Return an integer as JWKs have them: big endian, base64url without padding."""
    return text(value.to_bytes(length or (value.bit_length() + 7) // 8))


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Signer:
    """A private key, its public JWK, and how it signs."""

    def __init__(self, jwk: dict[str, Any], sign: Callable[[bytes], bytes], pem: bytes) -> None:
        self.jwk = jwk
        self.sign = sign
        self.pem = pem

    def signed(
        self,
        covered: str = '("@authority" "@path")',
        request: Message | None = None,
        *,
        response: Response | None = None,
        label: str = "sig1",
        params: Mapping[str, str] | None = None,
        **more: str,
    ) -> dict[bytes, bytes]:
        """Return the fields Signature-Input and Signature; a parameter ``""`` is left out."""
        given = {
            "created": f"{NOW - 10:.0f}",
            "expires": f"{NOW + 290:.0f}",
            "keyid": f'"{self.keyid}"',
            "tag": '"web-bot-auth"',
            **(params or {}),
            **more,
        }
        described = covered + "".join(f";{name}={value}" for name, value in given.items() if value)
        fields = {
            b"signature-input": f"{label}={described}".encode(),
            b"signature": f"{label}=:AA==:".encode(),
        }
        (signature,) = read_signatures(fields)
        made = self.sign(signature_base(signature, request or REQUEST, response))
        return fields | {b"signature": f"{label}=:{base64.b64encode(made).decode()}:".encode()}

    @property
    def keyid(self) -> str:
        return thumbprint(self.jwk)


REQUEST = Message(
    "GET", "https", "photos.example", b"/media/1001.jpg", b"w=320", {b"host": b"photos.example"}
)


def request_with(fields: dict[bytes, bytes], request: Message = REQUEST) -> Message:
    return request._replace(fields={**request.fields, **fields})


@functools.cache
def ed25519(seed: int = 1) -> Signer:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    public = key.public_key()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": text(public.public_bytes_raw())}
    return Signer(jwk, key.sign, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@functools.cache
def p256() -> Signer:
    key = ec.derive_private_key(7, ec.SECP256R1())
    numbers = key.public_key().public_numbers()

    def sign(base: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(base, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    jwk = {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
    return Signer(jwk, sign, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@functools.cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, bits)


def rsa_jwk(bits: int = 2048) -> dict[str, Any]:
    numbers = rsa_key(bits).public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}


@functools.cache
def rsa_pss() -> Signer:
    pss = padding.PSS(mgf=padding.MGF1(SHA512()), salt_length=64)
    return Signer(rsa_jwk(), lambda base: rsa_key(2048).sign(base, pss, SHA512()), rsa_pem())


@functools.cache
def rsa_v15() -> Signer:
    """As ActivityPub's servers sign."""
    return Signer(rsa_jwk(), lambda base: rsa_key(2048).sign(base, padding.PKCS1v15(), SHA256()), rsa_pem())


def rsa_pem(bits: int = 2048) -> bytes:
    return rsa_key(bits).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def flipped(field: bytes, at: int, bit: int) -> bytes:
    """Return ``field`` with one bit of one byte changed."""
    return field[:at] + bytes([field[at] ^ (1 << bit)]) + field[at + 1 :]


def parsed(fields: dict[bytes, bytes]) -> Signature:
    (signature,) = read_signatures(fields)
    return signature


OURS, OTHER = ed25519(1), ed25519(2)
BOT = Bot("Example Search", Purpose.SEARCH, keys=(read_key(OURS.jwk),))
#: A Signature-Agent field, and what has to be covered with it.
AGENT_FIELD = {b"signature-agent": f'sig1="{AGENT}"'.encode()}
OWN = '("@authority" "signature-agent";key="sig1")'


def auth_of(*bots: Bot, **rules: Any) -> BotAuth:
    return BotAuth(BotKeys(bots or (BOT,)), BotAuthRules(**rules))


def judged(
    fields: dict[bytes, bytes], auth: BotAuth | None = None, now: float = NOW, **changes: Any
) -> Claim:
    claim = (auth or auth_of()).check(request_with(fields, REQUEST._replace(**changes)), now)
    assert claim is not None
    return claim


def proof_of(
    fields: dict[bytes, bytes], auth: BotAuth | None = None, now: float = NOW, **changes: Any
) -> Proof:
    return judged(fields, auth, now, **changes).proof


#: Where the tests' directory lies, and what it lists.
HOST = "signer.test"
SET = json.dumps({"keys": [{**OURS.jwk, "kid": OURS.keyid}, OTHER.jwk]}).encode()
DIRECTORY_REQUEST = Message("GET", "https", HOST, PATH.encode(), b"", {})
COVERED = '("@authority";req "content-digest")'


def digest_of(body: bytes, name: str = "sha256") -> bytes:
    made = base64.b64encode(hashlib.new(name, body).digest()).decode()
    return f"{name[:3]}-{name[3:]}=:{made}:".encode()


def answer_with(fields: dict[bytes, bytes], body: bytes = SET) -> Response:
    return Response(200, {b"content-type": MEDIA_TYPE.encode(), b"content-digest": digest_of(body), **fields})


def proof_by(covered: str = COVERED, body: bytes = SET, **params: str) -> dict[bytes, bytes]:
    given = {"tag": '"http-message-signatures-directory"', **params}
    return OURS.signed(covered, DIRECTORY_REQUEST, response=answer_with({}, body), params=given)
