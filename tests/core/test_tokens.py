"""Secrets are refused before they can do harm, and purposes never share a key."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.tokens import EXAMPLE_SECRET, KeyRing, check_secret
from antiscrape.errors import SecretError

GOOD = b"Zr1c0l8-gJ5dVQ2nXw9yT4uHs7bKfEaM3pN6oLiRtYq"
OTHER = b"m3Xk9-Wq7Lp2Rt8Vb5Yc1Zn6Hd4Jf0Sg_aTeUoIwKxB"


@pytest.mark.security("F2")
@pytest.mark.parametrize(
    ("secret", "word"),
    [
        (b"", "no secret"),
        (b" \n", "no secret"),
        (b"short", "needs 32"),
        (GOOD[:31], "31 bytes"),
        (GOOD[:31] + b"\n", "31 bytes"),
        (b"a" * 64, "repeats"),
        (b"abcdefgh12" * 4, "repeats"),
        (b"abcdef" * 3 + b"fedcba" * 3, "repeats"),
        (EXAMPLE_SECRET, "example"),
        (EXAMPLE_SECRET + b"\n", "example"),
        (b"my-" + EXAMPLE_SECRET, "example"),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused_with_the_way_to_make_one(secret: bytes, word: str) -> None:
    with pytest.raises(SecretError) as refused:
        check_secret(secret)
    assert word in str(refused.value)
    assert 'python3 -c "import secrets; print(secrets.token_urlsafe(32))"' in str(refused.value)


@pytest.mark.security("F2")
def test_secrets_as_people_make_them_are_taken() -> None:
    for _ in range(500):
        check_secret(secrets.token_urlsafe(32).encode())
        check_secret(secrets.token_hex(32).encode())
        check_secret(secrets.token_bytes(48))


@pytest.mark.security("F10")
@given(st.binary(max_size=80))
def test_no_refusal_tells_the_secret(secret: bytes) -> None:
    try:
        KeyRing([secret])
    except SecretError as error:
        told = str(error)
        assert len(secret) < 4 or secret.decode("latin-1") not in told


@pytest.mark.security("F2")
def test_a_ring_without_secrets_is_refused() -> None:
    with pytest.raises(SecretError, match="no secret"):
        KeyRing([])


@pytest.mark.security("F2")
def test_every_bad_secret_of_a_ring_is_told_at_once() -> None:
    with pytest.raises(SecretError) as refused:
        KeyRing([b"short", GOOD, b"b" * 40])
    assert len(refused.value.problems) == 2


@pytest.mark.security("F10")
def test_a_ring_does_not_show_its_secrets() -> None:
    assert GOOD.decode() not in repr(KeyRing([GOOD])) + str(KeyRing([GOOD]))


@pytest.mark.security("F3")
def test_the_newest_secret_signs_and_all_verify() -> None:
    old, both, new = KeyRing([OTHER]), KeyRing([OTHER, GOOD]), KeyRing([GOOD])
    assert both.signer("grant").sign(b"x") == new.signer("grant").sign(b"x")
    assert both.signer("grant").unsign(old.signer("grant").sign(b"x")) == b"x"
    assert not new.signer("grant").validate(old.signer("grant").sign(b"x"))


@pytest.mark.security("F5")
def test_what_is_signed_for_one_purpose_is_noise_to_another() -> None:
    ring = KeyRing([GOOD])
    for purpose in ("clearance", "grants", "gran"):
        assert not ring.signer(purpose).validate(ring.signer("grant").sign(b"x"))


@pytest.mark.security("F5")
def test_derived_keys_differ_by_purpose_by_secret_and_from_every_signing_key() -> None:
    ring = KeyRing([GOOD])
    keys = {ring.derive("grant"), ring.derive("address"), KeyRing([OTHER]).derive("grant")}
    keys |= {ring.signer("grant").derive_key(), ring.signer("address").derive_key(), GOOD}
    assert len(keys) == 6
    assert all(len(key) == 32 for key in keys - {GOOD})
    assert ring.derive("grant") == KeyRing([OTHER, GOOD]).derive("grant")


@pytest.mark.security("F5")
@pytest.mark.parametrize("purpose", ["", "Grant", "derive:grant", "a b", "grant\n", "é"])
def test_a_purpose_that_could_be_taken_for_another_is_refused(purpose: str) -> None:
    with pytest.raises(ValueError, match="purpose"):
        KeyRing([GOOD]).signer(purpose)
    with pytest.raises(ValueError, match="purpose"):
        KeyRing([GOOD]).derive(purpose)
