"""What servers of the fediverse sign is read strictly, judged for form and freshness, and checked with a given key."""

from __future__ import annotations

import base64
from email.utils import formatdate
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.crawler import Proof
from antiscrape.core.signature import LONGEST_FIELD, Message
from antiscrape.lookups.federation import (
    FederationClaim,
    FederationRules,
    Fetcher,
    cavage_base,
    read_date,
    read_fetcher,
    read_parameters,
    verify,
)
from tests.costs import ends
from tests.lookups.signers import (
    NOW,
    OURS,
    REQUEST,
    ed25519,
    flipped,
    request_with,
    rsa_key,
    rsa_pem,
    rsa_v15,
)

ACTOR = "https://social.example/users/ada#main-key"
DATED = {b"date": formatdate(NOW, usegmt=True).encode(), b"accept": b"image/*"}


def cavage(
    covered: str = "(request-target) host date",
    request: Message | None = None,
    *,
    algorithm: str = "rsa-sha256",
    key_id: str = ACTOR,
    numbers: str = "",
) -> Message:
    """Return a request as Mastodon signs it; ``numbers`` are the parameters created and expires, as written."""
    request = request or request_with(DATED)
    params = read_parameters(f'keyId="x"{numbers}'.encode())
    made = base64.b64encode(rsa_v15().sign(cavage_base(covered.split(" "), params, request))).decode()
    named = f',algorithm="{algorithm}"' if algorithm else ""
    field = f'keyId="{key_id}"{named},headers="{covered}"{numbers},signature="{made}"'
    return request_with({b"signature": field.encode()}, request)


def claim_of(request: Message, now: float = NOW) -> FederationClaim:
    claim = read_fetcher(request, now)
    assert claim is not None
    return claim


def fetcher_of(request: Message, now: float = NOW) -> Fetcher:
    claim = claim_of(request, now)
    assert claim.fetcher is not None, claim.reason
    return claim.fetcher


def test_a_request_as_mastodon_signs_it_is_read_and_verifies_with_its_actors_key() -> None:
    fetcher = fetcher_of(cavage())
    assert (fetcher.key_id, fetcher.host, fetcher.dialect) == (ACTOR, "social.example", "cavage")
    assert fetcher.base.split(b"\n") == [
        b"(request-target): get /media/1001.jpg?w=320",
        b"host: photos.example",
        b"date: " + DATED[b"date"],
    ]
    assert verify(fetcher, rsa_pem(2048)) is Proof.VERIFIED


def test_the_example_of_the_draft_has_the_base_that_it_prints() -> None:
    """draft-cavage-http-signatures-12, appendix C.3: all fields."""
    request = Message(
        "POST",
        "https",
        "example.com",
        b"/foo",
        b"param=value&pet=dog",
        {
            b"host": b"example.com",
            b"date": b"Sun, 05 Jan 2014 21:31:40 GMT",
            b"content-type": b"application/json",
            b"digest": b"SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
            b"content-length": b"18",
        },
    )
    covered = ["(request-target)", "host", "date", "content-type", "digest", "content-length"]
    assert cavage_base(covered, {}, request) == (
        b"(request-target): post /foo?param=value&pet=dog\n"
        b"host: example.com\n"
        b"date: Sun, 05 Jan 2014 21:31:40 GMT\n"
        b"content-type: application/json\n"
        b"digest: SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=\n"
        b"content-length: 18"
    )


@pytest.mark.parametrize(
    "request_",
    [
        cavage("host date (request-target) accept"),
        cavage(algorithm="hs2019"),
        cavage(algorithm=""),
        cavage("(request-target) host (created)", algorithm="hs2019", numbers=f",created={NOW:.0f}"),
        cavage(
            "(request-target) host (created) (expires)",
            algorithm="hs2019",
            numbers=f",created={NOW:.0f},expires={NOW + 9:.0f}",
        ),
        cavage(key_id="https://Social.Example:8443/users/ada/main-key"),
        cavage(key_id="https://social.example/actor?key=1"),
        cavage("(request-target) host date", request_with(DATED, REQUEST._replace(method="HEAD"))),
        cavage("(request-target) host date digest", request_with({**DATED, b"digest": b"SHA-256=AA=="}, REQUEST._replace(method="POST"))),
    ],
)  # fmt: skip
def test_what_servers_send_is_read(request_: Message) -> None:
    fetcher = fetcher_of(request_)
    assert fetcher.host == "social.example"
    assert verify(fetcher, rsa_pem(2048)) is Proof.VERIFIED


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (cavage("host date"), "leaves out the target"),
        (cavage("(request-target) date"), "leaves out the target, the host"),
        (cavage("(request-target) host"), "the date"),
        (cavage("date"), "leaves out"),
        (cavage("(request-target) host date date"), "each there once"),
        (cavage("(request-target) host date", algorithm="hmac-sha256"), "neither rsa-sha256"),
        (cavage("(request-target) host date", algorithm="rsa-sha1"), "neither rsa-sha256"),
        (cavage("(request-target) host date", algorithm="ecdsa-sha256"), "neither rsa-sha256"),
        (cavage("(request-target) host (created)", numbers=",created=1735689900"), "has no (created)"),
        (cavage("(request-target) host (created)", algorithm="hs2019", numbers=",created=1"), "too long"),
        (cavage("(request-target) host date", algorithm="hs2019", numbers=",expires=1735600000"), "too long"),
        (cavage("(request-target) host date", request_with(DATED, REQUEST._replace(method="POST"))), "body's digest"),
        (cavage("(request-target) host date accept")._replace(lost=frozenset({b"accept"})), "accept is signed"),
        (cavage(key_id="http://social.example/actor"), "https URL"),
        (cavage(key_id="acct:ada@social.example"), "https URL"),
        (cavage(key_id="https://ada@social.example/"), "https URL"),
        (cavage(key_id="https://127.0.0.1/actor"), "https URL"),
        (cavage(key_id="https://[::1]/actor"), "https URL"),
        (cavage(key_id="https://localhost/actor"), "https URL"),
        (cavage(key_id="https://social.example/a b"), "https URL"),
        (cavage(key_id="https://social.example/" + "a" * 2048), "https URL"),
        (cavage(key_id=""), "https URL"),
    ],
)  # fmt: skip
def test_a_signature_of_the_wrong_form_or_over_too_little_is_refused(request_: Message, words: str) -> None:
    claim = claim_of(request_)
    assert claim.fetcher is None
    assert words in claim.reason


@pytest.mark.parametrize(
    ("passed", "fresh"), [(-3600, True), (-3601, False), (0, True), (43_200, True), (43_201, False)]
)
def test_a_date_is_good_for_twelve_hours_and_an_hour_ahead(passed: int, fresh: bool) -> None:  # noqa: FBT001  a row
    assert (claim_of(cavage(), NOW + passed).fetcher is not None) is fresh
    assert read_fetcher(cavage(), NOW + 100, FederationRules(age=99)) != claim_of(cavage(), NOW + 100)


@pytest.mark.parametrize(
    "field",
    [
        b"", b"now", b"1735689900", b"Wed, 1 Jan 2025 00:05:00 GMT", b"Wed, 01 Jan 2025 00:05:00 +0000",
        b"Wed, 99 Jan 2025 00:05:00 GMT", b"Wed, 01 Foo 2025 00:05:00 GMT", b"Wed, 01 Jan 2025 25:05:00 GMT",
        b"Wed, 01 Jan 2025 00:05:00 GMT\n", b"Wed, 01 Jan 0000 00:05:00 GMT", b"Wednesday, 01-Jan-25 00:05:00 GMT",
    ],
)  # fmt: skip
def test_a_date_has_one_form(field: bytes) -> None:
    with pytest.raises(ValueError, match=r"Date|must be in|year|day|month|hour|invalid|Invalid"):
        read_date(field)


def test_a_date_is_the_second_that_it_says() -> None:
    assert read_date(b"Sun, 05 Jan 2014 21:31:40 GMT") == 1_388_957_500


@pytest.mark.security("H8")
@pytest.mark.parametrize(
    "field",
    [
        b"", b"keyId", b"keyId=", b"keyId=x", b'keyId="x', b'keyId="x" ,', b',keyId="x"', b'keyId="x",,a="b"',
        b'keyId="x" a="b"', b'keyId="x";a="b"', b'keyId="x",keyId="y"', b"keyId=1", b'created="1"', b"created=1.5",
        b"created=-1", b"created=1234567890123456", b'keyId="\\""', b'keyId="\xc3\xa9"', b'keyId="x"\n', b'Signature keyId="x"',
        b'keyId = "x"', b'key-id="x"', b"sig1=:AAAA:", b",".join(b'%c%c="x"' % (97 + n // 26, 97 + n % 26) for n in range(17)),
        b'keyId="' + b"x" * LONGEST_FIELD + b'"',
    ],
)  # fmt: skip
def test_what_is_no_signature_field_is_refused(field: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  a refusal of whatever words
        read_parameters(field)
    claim = claim_of(request_with({**DATED, b"signature": field}))
    assert claim.fetcher is None
    assert claim.reason


def test_parameters_are_read_in_any_order_and_unknown_ones_kept() -> None:
    found = read_parameters(b'opaque="x" , created=5\t,\tsignature="AA==",keyId=""')
    assert found == {"opaque": "x", "created": "5", "signature": "AA==", "keyId": ""}


@pytest.mark.security("H6")
@pytest.mark.parametrize("signature", ["", "A", "AAA", "AB==", "AA==AA==", "A_-=", "AA== "])
def test_a_signature_has_one_spelling(signature: str) -> None:
    request = cavage()
    field = request.fields[b"signature"].partition(b"signature=")[0] + f'signature="{signature}"'.encode()
    assert claim_of(request_with({b"signature": field}, request)).fetcher is None


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    "changes",
    [
        {"path": b"/media/1002.jpg"}, {"query": b""}, {"method": "HEAD"},
        {"fields": {b"host": b"other.example"}}, {"fields": {b"date": formatdate(NOW + 60, usegmt=True).encode()}},
    ],
)  # fmt: skip
def test_a_signature_of_another_request_is_an_impostors(changes: dict[str, Any]) -> None:
    request = cavage()
    fields = {**request.fields, **changes.pop("fields", {})}
    assert verify(fetcher_of(request._replace(fields=fields, **changes)), rsa_pem(2048)) is Proof.IMPOSTOR


@pytest.mark.security("H6")
def test_every_byte_of_signature_and_base_counts() -> None:
    fetcher = fetcher_of(cavage())
    for at in range(len(fetcher.signature)):
        assert (
            verify(fetcher._replace(signature=flipped(fetcher.signature, at, at % 8)), rsa_pem(2048))
            is Proof.IMPOSTOR
        )
    for at in range(len(fetcher.base)):
        assert (
            verify(fetcher._replace(base=flipped(fetcher.base, at, at % 8)), rsa_pem(2048)) is Proof.IMPOSTOR
        )


def test_a_key_that_cannot_be_used_proves_nothing() -> None:
    fetcher = fetcher_of(cavage())
    weak = rsa_key(1024).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in (b"", b"-----BEGIN PUBLIC KEY-----\n", ed25519().pem, weak, b"\xff"):
        assert verify(fetcher, pem) is Proof.UNVERIFIED
    pkcs1 = rsa_key(2048).public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    assert verify(fetcher, pkcs1) is Proof.VERIFIED, "some servers publish their keys in the older form"


def rfc9421(covered: str = '("@method" "@target-uri")', **params: str) -> Message:
    given = {"tag": "", "expires": "", "keyid": f'"{ACTOR}"', **params}
    return request_with(rsa_v15().signed(covered, params=given))


def test_a_request_signed_by_rfc_9421_is_read_and_verifies_with_its_actors_key() -> None:
    for request in (
        rfc9421(),
        rfc9421(alg='"rsa-v1_5-sha256"', expires=f"{NOW + 100:.0f}"),
        rfc9421('("@path" "@query" "@authority" "@method")'),
    ):
        fetcher = fetcher_of(request)
        assert (fetcher.key_id, fetcher.host, fetcher.dialect) == (ACTOR, "social.example", "rfc9421")
        assert verify(fetcher, rsa_pem(2048)) is Proof.VERIFIED
        other = request._replace(path=b"/media/1002.jpg")
        assert verify(fetcher_of(other), rsa_pem(2048)) is Proof.IMPOSTOR


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (rfc9421("()"), "leaves out the method"),
        (rfc9421('("@target-uri")'), "leaves out the method"),
        (rfc9421('("@method" "@authority" "@path")'), "a part of the target"),
        (rfc9421(keyid='"poqk"'), "https URL"),
        (rfc9421(keyid=""), "https URL"),
        (rfc9421(alg='"hmac-sha256"'), "the algorithm is not"),
        (rfc9421(created=""), "when it was made"),
        (rfc9421(created=f"{NOW - 43_201:.0f}"), "too long"),
        (rfc9421(created=f"{NOW + 3601:.0f}"), "from now"),
        (rfc9421(expires=f"{NOW - 3601:.0f}"), "too long"),
        (rfc9421()._replace(method="POST"), "body's digest"),
        (rfc9421()._replace(lost=frozenset({b"signature"})), "lost"),
    ],
)
def test_a_signature_by_rfc_9421_over_too_little_is_refused(request_: Message, words: str) -> None:
    claim = claim_of(request_)
    assert claim.fetcher is None
    assert words in claim.reason


def test_what_others_sign_is_not_taken_for_a_servers() -> None:
    assert read_fetcher(REQUEST, NOW) is None
    assert read_fetcher(request_with(OURS.signed()), NOW) is None
    assert read_fetcher(request_with(OURS.signed(tag='"else"')), NOW) is None
    assert read_fetcher(request_with({b"signature-input": b"a=()"}), NOW) is None


@given(
    st.binary(max_size=60) | st.text('keyIdheadrsgnatu="(,) \\=1', max_size=80).map(str.encode),
    st.none() | st.binary(max_size=30),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_nothing_is_raised_whatever_is_sent(field: bytes, described: bytes | None, now: float) -> None:
    fields = {**DATED, b"signature": field}
    if described is not None:
        fields[b"signature-input"] = described
    claim = read_fetcher(request_with(fields), now)
    assert claim is None or claim.fetcher is None


@pytest.mark.security("H8")
def test_sixty_four_kilobytes_are_refused_at_once() -> None:
    with ends(2):
        for unit in (b'a="",', b'"', b"a=", b'keyId="x",', b" ", b"a" * 50):
            for size in (LONGEST_FIELD, 65_536):
                for _ in range(50):
                    claim = claim_of(request_with({**DATED, b"signature": (unit * size)[:size]}))
                    assert claim.fetcher is None
