"""What a token says is what was signed, and who it is for stands in it nowhere."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.grant_tokens import (
    CEILINGS,
    MOST_MINUTES,
    Binding,
    Holder,
    Key,
    Message,
    Terms,
    read_first,
    read_second,
)
from antiscrape.core.grants import PASSED, Grants, GrantState, Manner
from antiscrape.core.rules import GrantRules
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Rendition

SECRET = b"Zr1c0l8-gJ5dVQ2nXw9yT4uHs7bKfEaM3pN6oLiRtYq"
OTHER = b"m3Xk9-Wq7Lp2Rt8Vb5Yc1Zn6Hd4Jf0Sg_aTeUoIwKxB"
KEY = Key(KeyRing([SECRET]).signer("grant"), SECRET)
MESSAGE = Message(b"site", b"/photos/1", b"w=1")
RULES = GrantRules(prefixes=("/photos/",))
START = 1_800_000_000 // 900 * 900
ANN = Holder("192.0.2.0/24", "ann")
BOB = Holder("198.51.100.0/24", "bob")

terms = st.builds(
    Terms,
    st.integers(0, 2**36 - 1),
    st.integers(0, MOST_MINUTES),
    st.sampled_from(CEILINGS),
    st.sampled_from(Binding),
)


def grants(*secrets: bytes) -> Grants:
    return Grants(KeyRing(secrets or (SECRET,)), RULES, "site")


def sent(url: str) -> tuple[bytes, bytes]:
    path, _, query = url.partition("?")
    return path.encode(), query.encode()


def fields(*values: bytes) -> bytes:
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)


@given(terms, st.sampled_from([b"", b"w=1", b"x" * 300]), st.sampled_from([ANN, BOB]))
def test_a_token_ends_in_the_hmac_of_all_its_fields(said: Terms, query: bytes, holder: Holder) -> None:
    """Each behind its length (SECURITY F4), whatever was signed before."""
    key = KeyRing([SECRET]).signer("grant").derive_key(SECRET)
    token = KEY.token(MESSAGE._replace(query=query), said, holder)
    located, whom = (b"site", b"/photos/1", query), holder.named(said.binding).encode()
    made = hmac.digest(key, fields(b"grant 2", *located, token[:12], whom), "sha256")
    assert token[12:36] == urlsafe_b64encode(made[:18])
    sealed = hmac.digest(key, fields(b"grant 2 seal", *located, token[:36]), "sha256")
    assert token[36:] == (urlsafe_b64encode(sealed[:3]) if said.binding else b"")
    first = hmac.digest(key, fields(b"grant 1", *located, b"1a"), "sha256")
    assert KEY.first(MESSAGE._replace(query=query), b"1a") == b"1.1a." + urlsafe_b64encode(first[:18])


@given(terms)
def test_a_token_says_what_was_signed(said: Terms) -> None:
    token = KEY.token(MESSAGE, said, ANN)
    assert read_second(token) == said
    assert len(token) == (40 if said.binding else 36)
    assert read_first(token) == b""


@given(terms, terms)
def test_other_terms_are_another_signature(one: Terms, other: Terms) -> None:
    tokens = [KEY.token(MESSAGE, said, ANN)[12:] for said in (one, other)]
    assert (tokens[0] == tokens[1]) is (one == other)


@given(st.binary(max_size=50))
def test_what_is_no_token_says_nothing(token: bytes) -> None:
    assert read_second(token) is None


@pytest.mark.parametrize(
    "token",
    [b"2aD" + b"A" * 33, b"2aE" + b"A" * 33, b"2aA" + b"A" * 37, b"2aQ" + b"A" * 37, b"2a_" + b"A" * 33, b"2" + b"A" * 34, b"3" + b"A" * 35],
)  # fmt: skip
def test_a_ceiling_a_binding_or_a_length_that_does_not_exist_is_no_token(token: bytes) -> None:
    assert read_second(token) is None


def test_what_a_grant_opens_is_signed_with_it() -> None:
    signer = grants()
    for ceiling in CEILINGS:
        url = signer.sign("/photos/1", now=START, manner=Manner(900, ceiling))
        grant = signer.read(*sent(url), now=START)
        assert (grant.state, grant.ceiling) == (GrantState.VALID, ceiling)


def test_a_grant_lives_as_long_as_it_says_whatever_the_policy_says_later() -> None:
    url = grants().sign("/photos/1", now=START, manner=Manner(7 * 86_400))
    week = START // (7 * 86_400) * 7 * 86_400
    assert grants().check(*sent(url), now=week + 14 * 86_400 - 1) is GrantState.VALID
    assert grants().check(*sent(url), now=week + 14 * 86_400) is GrantState.EXPIRED


@pytest.mark.security("F3")
def test_what_was_signed_by_a_key_that_is_gone_has_run_out_and_is_no_forgery() -> None:
    """A person with a page open over a rotation has done nothing."""
    grant = grants(OTHER).read(*sent(grants().sign("/photos/1", now=START)), now=START)
    assert grant.state is GrantState.EXPIRED
    assert not grant.invented


def test_a_token_on_another_picture_is_invented_and_a_mangled_one_is_not() -> None:
    _, query = sent(grants().sign("/photos/1", now=START))
    moved = grants().read(b"/photos/2", query, now=START)
    assert (moved.state, moved.invented) == (GrantState.FORGED, True)
    for mangled in (query + b"&fbclid=x", query[:-3], query.lower(), query + b"="):
        grant = grants().read(b"/photos/1", mangled, now=START)
        assert (grant.state, grant.invented) == (GrantState.FORGED, False) or mangled == query.lower()


@pytest.mark.parametrize(
    ("binding", "holder", "bound"),
    [
        (Binding.NETWORK, ANN, Binding.NETWORK),
        (Binding.ACCOUNT, ANN, Binding.ACCOUNT),
        (Binding.ACCOUNT, ANN._replace(account=""), Binding.NETWORK),
        (Binding.CLEARANCE, ANN._replace(clearance="c"), Binding.CLEARANCE),
        (Binding.CLEARANCE, ANN, Binding.NETWORK),
        (Binding.NETWORK, Holder(), Binding.NONE),
        (Binding.NONE, ANN, Binding.NONE),
    ],
)
def test_a_grant_is_bound_to_the_best_that_is_known(binding: Binding, holder: Holder, bound: Binding) -> None:
    url = grants().sign("/photos/1", now=START, holder=holder, manner=Manner(900, binding=binding))
    said = read_second(url.rpartition("=")[2].encode())
    assert said is not None
    assert said.binding is bound


def test_within_a_window_one_visitor_has_one_url_and_another_has_another() -> None:
    signer, manner = grants(), Manner(900, binding=Binding.ACCOUNT)
    urls = [
        signer.sign("/photos/1", now=START + second, holder=holder, manner=manner)
        for holder in (ANN, BOB)
        for second in (0, 450, 899)
    ]
    assert len(set(urls)) == 2
    assert grants().sign("/photos/1", now=START, holder=ANN, manner=manner) == urls[0]


def test_an_account_may_change_its_network_and_not_be_everywhere() -> None:
    """A phone, a home and an office, some of them dual-stack, are five networks; a hundred proxies are more."""
    signer = grants()
    request = sent(
        signer.sign("/photos/1", now=START, holder=ANN, manner=Manner(900, binding=Binding.ACCOUNT))
    )
    places = [signer.check(*request, now=START, visitor=Holder(f"10.0.{n}.0/24", "ann")) for n in range(30)]
    assert places == [GrantState.VALID] * (PASSED - 1) + [GrantState.FOREIGN] * (31 - PASSED)
    assert signer.check(*request, now=START, visitor=ANN) is GrantState.FOREIGN
    other = sent(signer.sign("/photos/2", now=START, holder=ANN, manner=Manner(900, binding=Binding.ACCOUNT)))
    assert signer.check(*other, now=START, visitor=ANN) is GrantState.VALID


@pytest.mark.parametrize("binding", [Binding.NONE, Binding.NETWORK])
def test_what_everybody_has_from_a_cache_or_passes_on_is_not_convicted(binding: Binding) -> None:
    signer = grants()
    request = sent(signer.sign("/photos/1", now=START, holder=ANN, manner=Manner(900, binding=binding)))
    for number in range(200):
        signer.check(*request, now=START, visitor=Holder(f"10.0.{number}.0/24"))
    assert signer.check(*request, now=START, visitor=ANN) is GrantState.VALID


@pytest.mark.security("F3")
def test_a_ring_is_changed_between_two_requests() -> None:
    signer = grants(SECRET)
    old = sent(signer.sign("/photos/1", now=START))
    signer.rekey(KeyRing([SECRET, OTHER]))
    new = sent(signer.sign("/photos/1", now=START))
    assert new != old
    assert {signer.check(*request, now=START) for request in (old, new)} == {GrantState.VALID}
    signer.rekey(KeyRing([OTHER]))
    assert signer.check(*old, now=START) is GrantState.EXPIRED
    assert signer.check(*new, now=START) is GrantState.VALID
    assert signer.read(*new, now=START).ceiling is Rendition.ORIGINAL


@pytest.mark.security("F3")
def test_of_100000_requests_while_keys_change_none_is_refused_that_should_not_be() -> None:
    """One thread changes the ring all the time; every grant in use is of a key that is always among them."""
    signer = grants(SECRET)
    urls = [sent(signer.sign(f"/photos/{number}", now=START)) for number in range(100)]
    rings = [KeyRing([SECRET]), KeyRing([SECRET, OTHER]), KeyRing([OTHER, SECRET])]
    done = Event()

    def change() -> None:
        while not done.is_set():
            for ring in rings:
                signer.rekey(ring)

    changer = Thread(target=change)
    changer.start()
    try:
        refused = sum(
            signer.check(*urls[number % 100], now=START) is not GrantState.VALID for number in range(100_000)
        )
    finally:
        done.set()
        changer.join()
    assert refused == 0
    signer.rekey(KeyRing([OTHER]))
    assert all(signer.check(*url, now=START) is GrantState.EXPIRED for url in urls), (
        "a removed key ends at once"
    )
