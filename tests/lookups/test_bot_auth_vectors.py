"""What others have signed verifies, and nothing that differs from what was signed by a single bit does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.core.crawler import Proof, Purpose
from antiscrape.core.signature import Message, Response, read_signatures, signature_base
from antiscrape.lookups import bot_keys
from antiscrape.lookups.bot_auth import BotAuth, BotAuthRules, named_agent
from antiscrape.lookups.bot_keys import Bot, BotKeys, check_keys, read_key
from tests.costs import ends
from tests.fuzz import times
from tests.lookups.signers import (
    AGENT,
    AGENT_FIELD,
    BOT,
    NOW,
    OURS,
    OWN,
    REQUEST,
    auth_of,
    ed25519,
    flipped,
    p256,
    parsed,
    proof_of,
    request_with,
    rsa_pss,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lookups.signers import Signer


def vectors(shared: Path) -> list[dict[str, Any]]:
    folder = shared / "corpora/rfc9421-web-bot-auth/cloudflare/packages/web-bot-auth/test/test_data"
    found = json.loads((folder / "web_bot_auth_architecture_v1.json").read_text())
    assert isinstance(found, list)
    return found


def public(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in ("kty", "crv", "x", "n", "e", "alg") if name in jwk}


def request_of(vector: dict[str, Any]) -> Message:
    fields = {
        b"signature-input": vector["signature_input"].encode(),
        b"signature": vector["signature"].encode(),
    }
    if "signature_agent" in vector:
        fields[b"signature-agent"] = vector["signature_agent"].encode()
    host, _, path = vector["target_url"].removeprefix("https://").partition("/")
    return Message("GET", "https", host, b"/" + path.encode(), b"", fields)


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the keys in that the RFCs print; nothing but a test may."""
    monkeypatch.setattr(bot_keys, "_PRINTED", frozenset())


@pytest.mark.usefixtures("examples")
@pytest.mark.security("H6")
def test_the_vectors_of_the_draft_are_verified_and_no_other_time_tag_or_key_is(shared: Path) -> None:
    found = vectors(shared)
    assert len(found) == 4
    for vector in found:
        bot = Bot("Vector", Purpose.ARCHIVE, keys=(read_key(public(vector["key"])),))
        auth, request, made = auth_of(bot), request_of(vector), vector["created_ms"] / 1000
        for now, proof in (
            (made - 61, Proof.IMPOSTOR),
            (made + 1, Proof.VERIFIED),
            (made + 2, Proof.IMPOSTOR),  # its nonce is used up
            (made + 3661, Proof.IMPOSTOR),
        ):
            claim = auth.check(request, now)
            assert claim is not None
            assert claim.proof is proof
        stranger = auth_of().check(request, made + 1)
        assert stranger is not None
        assert stranger.proof is Proof.UNVERIFIED
        described = request.fields[b"signature-input"].replace(b'"web-bot-auth"', b'"web-bot-autj"')
        other = request._replace(fields={**request.fields, b"signature-input": described})
        assert auth_of(bot).check(other, made + 1) is None


@pytest.mark.usefixtures("examples")
def test_the_dictionary_vector_of_the_draft_is_verified() -> None:
    """Appendix "Test Vectors" of draft-ietf-webbotauth-httpsig-protocol: the member has another key than the label."""
    described = (
        'sig2=("@authority" "signature-agent";key="agent2");created=1735689600'
        ';keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519";expires=4889289600'
        ';nonce="n9p433xm+NJ3ph3upfBIGmsuwHw387YV7Q/F+6BSpGCVjYCqQw6rznNA8PVVLySrAWsv0hQtFioQb6E1YsauiA=="'
        ';tag="web-bot-auth"'
    )
    value = "RdNFx5Bj6au3YgAMQL/RzmUlZE8QZLIaXGRpw985hWnwPfMxT228NMk6ehRS1PSl4e8PhbNZACSanGdhEwYCCg=="
    fields = {
        b"signature-agent": b'agent2="https://signature-agent.test"',
        b"signature-input": described.encode(),
        b"signature": f"sig2=:{value}:".encode(),
    }
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}
    keys = BotKeys([Bot("Vector", None, "https://signature-agent.test")])
    keys.list_keys("https://signature-agent.test", check_keys(jwk, "vector"))
    auth = BotAuth(keys, BotAuthRules(window=4_000_000_000))
    assert proof_of(fields, auth, authority="example.com") is Proof.VERIFIED
    assert proof_of(fields, BotAuth(keys), authority="example.com") is Proof.IMPOSTOR, "for a century"


B2 = Message(
    "POST",
    "https",
    "example.com",
    b"/foo",
    b"param=Value&Pet=dog",
    {
        b"date": b"Tue, 20 Apr 2021 02:07:55 GMT",
        b"content-type": b"application/json",
        b"content-length": b"18",
    },
)
ANSWER = Response(
    200,
    {
        b"content-type": b"application/json",
        b"content-digest": b"sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:",
        b"content-length": b"23",
    },
)


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize(
    ("jwk", "covered", "value", "response"),
    [
        (
            {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"},
            (
                '("date" "@method" "@path" "@authority" "content-type" "content-length")'
                ';created=1618884473;keyid="test-key-ed25519"'
            ),
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
            None,
        ),
        (
            {
                "kty": "EC",
                "crv": "P-256",
                "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
                "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
            },
            (
                '("@status" "content-type" "content-digest" "content-length")'
                ';created=1618884473;keyid="test-key-ecc-p256"'
            ),
            "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
            ANSWER,
        ),
    ],
    ids=["B.2.6", "B.2.4"],
)
def test_the_vectors_of_rfc_9421_verify(
    jwk: dict[str, Any], covered: str, value: str, response: Response | None
) -> None:
    fields = {b"signature-input": f"s={covered}".encode(), b"signature": f"s=:{value}:".encode()}
    signature = parsed(fields)
    base = signature_base(signature, B2, response)
    key = read_key(jwk)
    assert key.check(signature.value, base)
    assert not key.check(signature.value, base + b" ")
    assert not key.check(signature.value[:-1], base)


GOOD = OURS.signed(OWN, request_with(AGENT_FIELD), nonce='"n-1"') | AGENT_FIELD


@pytest.mark.security("H6")
def test_a_signed_request_with_one_bit_changed_is_never_verified() -> None:
    """Each bit of each byte of the three fields, in two forms of signature: more than 5,000 changes."""
    legacy = {b"signature-agent": f'"{AGENT}"'.encode()}
    whole = '("@method" "@target-uri" "signature-agent")'
    tried = 0
    curve = p256()
    for good in (
        GOOD,
        OURS.signed(whole, request_with(legacy), alg='"ed25519"') | legacy,
        curve.signed('("@authority" "@query")', nonce='"n-2"'),
    ):
        auth = auth_of(BOT, Bot("Curve", None, keys=(read_key(curve.jwk),)))
        for name, field in good.items():
            for place in range(8 * len(field)):
                changed = {**good, name: flipped(field, place // 8, place % 8)}
                claim = auth.check(request_with(changed), NOW)
                assert claim is None or claim.proof is not Proof.VERIFIED, changed
                tried += 1
        assert proof_of(good, auth) is Proof.VERIFIED
    assert tried > 5000


@pytest.mark.security("H6")
@settings(max_examples=times(100))
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4))
def test_bytes_put_in_or_taken_out_change_the_meaning_or_the_outcome(
    name: bytes, at: int, length: int, new: bytes
) -> None:
    """White space between parts is the one thing that may differ: it is no part of what is signed."""
    field = GOOD[name]
    at %= len(field)
    changed = {**GOOD, name: field[:at] + new + field[at + length :]}
    claim = auth_of().check(request_with(changed), NOW)
    if claim is not None and claim.proof is Proof.VERIFIED:
        first, *_ = read_signatures(changed)
        assert first == parsed(GOOD)
        assert named_agent(first, changed) == AGENT


@pytest.mark.security("H6")
@pytest.mark.parametrize("signer", [ed25519(), p256(), rsa_pss()], ids=["ed25519", "p256", "rsa-pss"])
def test_every_byte_of_signature_and_base_counts(signer: Signer) -> None:
    key = read_key(signer.jwk)
    fields = signer.signed()
    signature = parsed(fields)
    base = signature_base(signature, REQUEST)
    assert key.check(signature.value, base)
    for at in range(len(signature.value)):
        assert not key.check(flipped(signature.value, at, at % 8), base)
    for at in range(len(base)):
        assert not key.check(signature.value, flipped(base, at, at % 8))


@given(
    st.dictionaries(
        st.sampled_from([b"signature-input", b"signature", b"signature-agent"]),
        st.binary(max_size=80) | st.text('s1=();:,"@authority AA= tag', max_size=80).map(str.encode),
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_nothing_is_raised_and_nobody_verified_whatever_is_sent(
    fields: dict[bytes, bytes], now: float
) -> None:
    claim = auth_of().check(request_with({**GOOD, **fields}), now)
    assert (
        fields == {} or claim is None or claim.proof is not Proof.VERIFIED or fields.items() <= GOOD.items()
    )


@pytest.mark.security("H8")
def test_hostile_heads_of_sixty_four_kilobytes_end() -> None:
    auth = auth_of()
    covered = "(" + " ".join(f'"x-big";key="k{n}"' for n in range(32)) + ' "@authority")'
    labels = b", ".join(b's%d=("@authority");tag="web-bot-auth";keyid="x"' % n for n in range(100))
    values = b", ".join(b"s%d=:AA==:" % n for n in range(100))
    heads = [
        {name: (unit * 65_536)[:65_536]}
        for name in (b"signature-input", b"signature", b"signature-agent")
        for unit in (b"s=(),", b'"', b"a=1;", b"(", b"\\", labels)
    ]
    heads.append(
        {
            b"signature-input": OURS.signed()[b"signature-input"].replace(
                b'("@authority" "@path")', covered.encode()
            ),
            b"x-big": b", ".join(b"k%d" % n for n in range(10_000)),
        }
    )
    with ends(5):
        for head in heads:
            for _ in range(50):
                auth.check(request_with({**GOOD, **head}), NOW)
    assert proof_of({b"signature-input": labels, b"signature": values}) is Proof.UNVERIFIED


@pytest.mark.security("H6")
def test_a_signature_on_p_256_has_one_length() -> None:
    """Halves with zeros in front are the same numbers, and would be further spellings of one signature."""
    key, signature = read_key(p256().jwk), parsed(p256().signed())
    base = signature_base(signature, REQUEST)
    r, s = signature.value[:32], signature.value[32:]
    assert key.check(r + s, base)
    for spelt in (r + b"\0" + s, b"\0" + r + s, r, r + s + b"\0", b""):
        assert not key.check(spelt, base)
