"""Servers of the fediverse sign what they fetch for their members; here that is read, judged for form, and checked.

Mastodon and its kin sign with draft-cavage-http-signatures (version 06 to 12), and lately with RFC
9421. Either way the key is named by a URL, that of an actor on the very server, and nobody is known
beforehand: any host may be a server, and anybody may run one. So a signature of this kind is a class
of its own (``Purpose.FEDERATION``), and without the actor's key no proof of anything. What can be
told at once is whether it is well-formed, fresh, and over enough of the request that its server
could not have signed another by it; ``verify`` then tells whether a given key made it.

The bounds are Mastodon's own (app/lib/signed_request.rb): a date of at most 12 hours ago, clocks
within one hour; the target, the host and the date signed.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.crawler import Proof
from antiscrape.core.signature import LONGEST_FIELD, read_signatures, signature_base

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiscrape.core.signature import Message, Signature

_FIELDS: Final = frozenset({b"signature", b"signature-input", b"date"})
#: Fields that one signature covers: servers sign three to six.
_MOST_COVERED: Final = 16
_MOST_PARAMETERS: Final = 16
_LONGEST_KEY_ID: Final = 2048
_MOST_TRIED: Final = 4
#: One algorithm in truth: what its sender calls it tells nothing (draft-cavage-12 §2.3 hides it behind "hs2019").
_ALGORITHMS: Final = frozenset({"rsa-sha256", "hs2019"})
_RSA: Final = "rsa-v1_5-sha256"

# draft-cavage-12 §2.2: name="text" or name=number, commas between. No escapes: no value needs any.
_PARAMETER = re.compile(r'([A-Za-z]+)=(?:"([ !#-\[\]-~]*)"|([0-9]{1,15}))')
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_NAME = re.compile(r"\((?:request-target|created|expires)\)|[a-z0-9!#$%&'*+.^_`|~-]+")
# An actor's key: https, a name that is no address, nothing before the host, and a path; a fragment mostly.
_KEY_ID = re.compile(
    r"https://((?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]{0,62})(?::[0-9]{1,5})?(?:[/?#][!-~]*)?", re.IGNORECASE
)
_VALUE = re.compile(rb"[\t -~]*")
# RFC 9110 §5.6.7, the one form that is sent
_DATE = re.compile(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [12][0-9]{3} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationRules:
    """How fresh a signature has to be: ``age`` seconds at most, where clocks differ by ``skew`` seconds at most."""

    age: int = 43_200
    skew: int = 3600


class Fetcher(NamedTuple):
    """A well-formed signature of an ActivityPub server: the key it names, that key's host, and what it is over."""

    key_id: str
    host: str
    dialect: str
    base: bytes
    signature: bytes


class FederationClaim(NamedTuple):
    """What a request says of its server: ``fetcher`` is None, and ``reason`` says why, where its form is not right."""

    fetcher: Fetcher | None
    reason: str


def read_fetcher(
    request: Message,
    now: float,
    rules: FederationRules = FederationRules(),
) -> FederationClaim | None:
    """Return how a request is signed as ActivityPub's servers sign, None if it is not; never raise.

    ``now`` is seconds since 1970. A signature that has a tag is somebody else's (Web Bot Auth).
    """
    if b"signature" not in request.fields:
        return None
    if _FIELDS & request.lost:
        return FederationClaim(None, "lines of the signature's fields were lost")
    try:
        if b"signature-input" in request.fields:
            return _read_rfc9421(request, now, rules)
        return FederationClaim(_read_cavage(request, now, rules), "signed in the way of draft-cavage")
    except ValueError as error:
        return FederationClaim(None, str(error))


def verify(fetcher: Fetcher, pem: bytes) -> Proof:
    """Tell whether the private half of an RSA key signed; ``pem`` is the actor's ``publicKeyPem``. Never raise.

    A key that cannot be used proves nothing: UNVERIFIED. Raise ``ImportError`` without ``cryptography``.
    """
    from antiscrape.lookups.public_keys import rsa_pem  # noqa: PLC0415  an extra

    try:
        check = rsa_pem(pem)
    except ValueError:
        return Proof.UNVERIFIED
    return Proof.VERIFIED if check(fetcher.signature, fetcher.base) else Proof.IMPOSTOR


def _read_rfc9421(request: Message, now: float, rules: FederationRules) -> FederationClaim | None:
    reason = ""
    for signature in read_signatures(request.fields)[:_MOST_TRIED]:
        if "tag" in signature.covered.params:
            continue
        try:
            fetcher = _fetcher_of(signature, request, now, rules)
        except ValueError as error:
            reason = reason or str(error)
            continue
        return FederationClaim(fetcher, "signed in the way of RFC 9421")
    return FederationClaim(None, reason) if reason else None


def _fetcher_of(signature: Signature, request: Message, now: float, rules: FederationRules) -> Fetcher:
    key_id = signature.text("keyid") or ""
    host = _host_of(key_id)
    if signature.covered.params.get("alg", _RSA) != _RSA:
        raise ValueError(f"the algorithm is not {_RSA}")
    _demand_fresh(signature.second("created"), signature.second("expires"), now, rules)
    whole = signature.covers("@target-uri") or signature.covers("@authority", "@path", "@query")
    if not whole or not signature.covers("@method"):
        raise ValueError("the signature leaves out the method or a part of the target")
    if request.method == "POST" and not signature.covers("content-digest"):
        raise ValueError("the signature leaves out the body's digest")
    return Fetcher(key_id, host, "rfc9421", signature_base(signature, request), signature.value)


def _read_cavage(request: Message, now: float, rules: FederationRules) -> Fetcher:
    params = read_parameters(request.fields[b"signature"])
    missing = {"keyId", "signature"} - params.keys()
    if missing:
        raise ValueError(f"the signature has no {min(missing)}")
    host = _host_of(params["keyId"])
    algorithm = params.get("algorithm", "hs2019")
    if algorithm not in _ALGORITHMS:
        raise ValueError("the algorithm is neither rsa-sha256 nor hs2019")
    covered = params.get("headers", "date" if algorithm == "rsa-sha256" else "(created)").lower().split(" ")
    _demand_coverage(covered, request, algorithm)
    if "(created)" in covered:
        created = int(params.get("created", "-1"))
    else:
        created = read_date(request.fields.get(b"date", b""))
    _demand_fresh(created, int(params["expires"]) if "expires" in params else None, now, rules)
    return Fetcher(
        params["keyId"], host, "cavage", cavage_base(covered, params, request), _decoded(params["signature"])
    )


def read_parameters(field: bytes) -> dict[str, str]:
    """Read a Signature field of draft-cavage-http-signatures-12 §2.2; raise ``ValueError`` for any other.

    Strictly: one space of syntax, no parameter twice, numbers only for ``created`` and ``expires``.
    """
    if len(field) > LONGEST_FIELD:
        raise ValueError("the signature is longer than any key makes it")
    text = field.decode("ascii").strip(" \t")
    found: dict[str, str] = {}
    at = 0
    while True:
        match = _PARAMETER.match(text, at)
        if match is None or match[1] in found or len(found) == _MOST_PARAMETERS:
            raise ValueError(f"no parameter, or one too many, at byte {at} of the signature")
        name, quoted, number = match.groups()
        if (number is None) == (name in {"created", "expires"}):
            raise ValueError(f"{name} is of the wrong kind")
        found[name] = quoted if number is None else number
        at = match.end()
        if at == len(text):
            return found
        comma = _COMMA.match(text, at)
        if comma is None:
            raise ValueError(f"no comma at byte {at} of the signature")
        at = comma.end()


def cavage_base(covered: Sequence[str], params: Mapping[str, str], request: Message) -> bytes:
    """Return the bytes that are signed (draft-cavage-12 §2.3); raise ``ValueError`` where a field is missing."""
    lines: list[bytes] = []
    for name in covered:
        if name == "(request-target)":
            target = request.path + (b"?" + request.query if request.query else b"")
            value = request.method.lower().encode() + b" " + target
        elif name in {"(created)", "(expires)"}:
            value = params.get(name[1:-1], "").encode()
        else:
            raw = name.encode()
            if raw not in request.fields or raw in request.lost:
                raise ValueError(f"{name} is signed, and no field of this request")
            value = request.fields[raw].strip(b" \t")
        if not value or _VALUE.fullmatch(value) is None:
            raise ValueError(f"{name} is empty, or has bytes that cannot be signed")
        lines.append(name.encode() + b": " + value)
    return b"\n".join(lines)


def read_date(field: bytes) -> int:
    """Return the second since 1970 of a Date field in the form of RFC 9110 §5.6.7; raise ``ValueError``."""
    if _DATE.fullmatch(field) is None:
        raise ValueError("no Date, or one of another form")
    return int(parsedate_to_datetime(field.decode()).replace(tzinfo=UTC).timestamp())


def _demand_coverage(covered: Sequence[str], request: Message, algorithm: str) -> None:
    """Raise ``ValueError`` where the signature is right for other requests too, or its list is not one."""
    names = set(covered)
    if len(names) != len(covered) or len(names) > _MOST_COVERED or not all(map(_NAME.fullmatch, covered)):
        raise ValueError("the list of what is signed is no list of names, each there once")
    if names & {"(created)", "(expires)"} and algorithm != "hs2019":
        raise ValueError("rsa-sha256 has no (created) and no (expires)")  # draft-cavage-12 §2.3
    if not {"(request-target)", "host"} <= names or not names & {"date", "(created)"}:
        raise ValueError("the signature leaves out the target, the host or the date")
    if request.method == "POST" and "digest" not in names:
        raise ValueError("the signature leaves out the body's digest")


def _demand_fresh(created: int | None, expires: int | None, now: float, rules: FederationRules) -> None:
    if created is None or created < 0:
        raise ValueError("the signature does not say when it was made")
    if created > now + rules.skew:
        raise ValueError(f"the signature was made {created - now:.0f} s from now")
    if now > created + rules.age or (expires is not None and now > expires + rules.skew):
        raise ValueError(f"the signature was made {now - created:.0f} s ago, which is too long")


def _host_of(key_id: str) -> str:
    found = _KEY_ID.fullmatch(key_id) if len(key_id) <= _LONGEST_KEY_ID else None
    if found is None:
        raise ValueError("the key is not named by an https URL")
    return found[1].lower()


def _decoded(text: str) -> bytes:
    decoded = base64.b64decode(text, validate=True)  # its error is a ValueError
    if not decoded or base64.b64encode(decoded).decode() != text:
        raise ValueError("the signature is no base64 in its one spelling")
    return decoded
