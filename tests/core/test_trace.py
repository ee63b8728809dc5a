"""What a trace says, packed and unpacked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import (
    EPOCH,
    Payload,
    hour_of,
    payload_for,
    principal_code,
    served_around,
    served_at,
    shorten,
    trace_keys,
    unpack,
    unpack_short,
)

OLD, NEW = b"an-older-secret-of-the-site-0123456789", b"the-newest-secret-of-the-site-98765432"
payloads = st.builds(Payload, st.integers(0, 15), st.integers(0, 2**20 - 1), st.integers(0, 2**32 - 1))
HOUR = 3600


@given(payloads)
def test_a_payload_is_packed_into_56_bits_and_comes_back(payload: Payload) -> None:
    assert payload.pack().bit_length() <= 56
    assert unpack(payload.pack()) == payload


@given(payloads)
def test_a_short_payload_is_packed_into_32_bits_and_agrees_with_the_long_one(payload: Payload) -> None:
    short = shorten(payload)
    assert short.pack().bit_length() <= 32
    assert unpack_short(short.pack()) == short
    assert short.says(payload)
    assert short.code == payload.code >> 12


@pytest.mark.parametrize(
    "payload", [Payload(16, 0, 0), Payload(0, 2**20, 0), Payload(0, 0, 2**32), Payload(0, -1, 0)]
)
def test_what_does_not_fit_is_refused(payload: Payload) -> None:
    with pytest.raises(ValueError, match="56 bits"):
        payload.pack()


@pytest.mark.parametrize("packed", [-1, 2**56])
def test_what_is_no_payload_is_refused(packed: int) -> None:
    with pytest.raises(ValueError, match="56 bits"):
        unpack(packed)


@given(st.integers(EPOCH * HOUR, 10**11), st.integers(0, 2**20 - 1))
def test_the_hour_of_a_time_is_found_again(now: int, later: int) -> None:
    """Up to 119 years later."""
    begun = served_at(hour_of(now), now + later * HOUR)
    assert begun <= now < begun + HOUR


@given(st.integers(EPOCH * HOUR, (EPOCH + 2**20 - 1) * HOUR), st.integers(0, 1000 * 24))
def test_the_quarter_day_of_a_time_is_found_again(now: int, later: int) -> None:
    """Up to a thousand days later."""
    begun = served_around(shorten(Payload(0, hour_of(now), 0)).quarter, now + later * HOUR)
    assert begun <= now < begun + 6 * HOUR


def test_every_secret_has_keys_of_its_own_and_the_newest_come_first() -> None:
    both, old = trace_keys(KeyRing([OLD, NEW])), trace_keys(KeyRing([OLD]))
    assert both[1] == old[0]
    assert both[0] == trace_keys(KeyRing([NEW]))[0]
    assert len({key for keys in both for key in keys[:3]}) == 6


def test_a_code_is_the_keys_and_the_principals() -> None:
    new, old = trace_keys(KeyRing([OLD, NEW]))
    assert principal_code(new.code, "203.0.113.9") == principal_code(new.code, "203.0.113.9")
    assert principal_code(new.code, "203.0.113.9") != principal_code(old.code, "203.0.113.9")
    assert principal_code(new.code, "203.0.113.9") != principal_code(new.code, "203.0.113.8")


def test_a_payload_says_who_and_when() -> None:
    keys = trace_keys(KeyRing([NEW]))[0]
    now = (EPOCH + 5) * HOUR + 17
    assert unpack(payload_for(keys, "a:mallory", now)) == Payload(
        keys.ident, 5, principal_code(keys.code, "a:mallory")
    )
