"""A bot's signature is verified, an impostor's, or unknown, and the three are never mixed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.crawler import Proof, Purpose
from antiscrape.lookups.bot_auth import BotAuth, Nonces, named_agent
from antiscrape.lookups.bot_keys import Bot, BotKeys, read_key
from tests.lookups.signers import (
    AGENT,
    AGENT_FIELD,
    BOT,
    NOW,
    OTHER,
    OURS,
    OWN,
    REQUEST,
    auth_of,
    ed25519,
    judged,
    p256,
    parsed,
    proof_of,
    request_with,
    rsa_pss,
)

if TYPE_CHECKING:
    from tests.lookups.signers import Signer


@pytest.mark.parametrize("signer", [ed25519(), p256(), rsa_pss()], ids=["ed25519", "p256", "rsa-pss"])
@pytest.mark.security("H6")
def test_who_holds_a_bots_key_is_that_bot(signer: Signer) -> None:
    bot = Bot("Example Search", Purpose.SEARCH, keys=(read_key(signer.jwk),))
    claim = judged(signer.signed(), auth_of(bot))
    assert (claim.proof, claim.bot) == (Proof.VERIFIED, bot)
    assert signer.keyid in claim.reason


def test_a_request_without_a_bots_signature_claims_nothing() -> None:
    auth = auth_of()
    assert auth.check(REQUEST, NOW) is None
    assert auth.check(request_with({b"signature": b'keyId="https://a.example/#k"'}), NOW) is None
    assert auth.check(request_with(OURS.signed(tag="")), NOW) is None
    assert auth.check(request_with(OURS.signed(tag='"another-application"')), NOW) is None
    assert auth.check(request_with(OURS.signed(tag="web-bot-auth")), NOW) is None, "a token is no string"


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    ("covered", "words"),
    [
        ("()", "neither authority nor target"),
        ('("@path" "@method")', "neither authority nor target"),
        ('("host")', "neither authority nor target"),
        ('("@authority" "x-missing")', "no field"),
        ('("@authority" "@status")', "no component"),
    ],
)
def test_a_signature_over_too_little_is_an_impostors(covered: str, words: str) -> None:
    """GHSA-x9cc-346q-g27m: ``sig1=()`` is right for every request there is."""
    try:
        fields = OURS.signed(covered)
    except ValueError:  # nothing that could be signed: a right signature of something else takes its place
        fields = OURS.signed()
        fields[b"signature-input"] = fields[b"signature-input"].replace(
            b'("@authority" "@path")', covered.encode()
        )
    claim = judged(fields)
    assert (claim.proof, claim.bot) == (Proof.IMPOSTOR, BOT)
    assert words in claim.reason


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"created": ""}, "does not say when"),
        ({"expires": ""}, "does not say when"),
        ({"created": '"1735689890"'}, "does not say when"),
        ({"expires": "@1735690190"}, "does not say when"),
        ({"expires": "1735690190.0"}, "does not say when"),
        ({"created": f"{NOW + 61:.0f}", "expires": f"{NOW + 100:.0f}"}, "from now"),
        ({"created": f"{NOW - 200:.0f}", "expires": f"{NOW - 61:.0f}"}, "61 s ago"),
        ({"created": f"{NOW - 10:.0f}", "expires": f"{NOW + 86_391:.0f}"}, "not for up to 86400 s"),
        ({"created": f"{NOW:.0f}", "expires": f"{NOW:.0f}"}, "not for up to"),
        ({"created": f"{NOW + 9:.0f}", "expires": f"{NOW + 8:.0f}"}, "not for up to"),
        ({"created": "-999999999999999", "expires": "999999999999999"}, "not for up to"),
        ({"alg": '"rsa-pss-sha512"'}, "says otherwise"),
        ({"alg": '"hmac-sha256"'}, "says otherwise"),
        ({"alg": "ed25519"}, "says otherwise"),
        ({"nonce": ":AAAA:"}, "no string"),
    ],
)
def test_a_signature_out_of_time_or_at_odds_with_its_key_is_an_impostors(
    params: dict[str, str], words: str
) -> None:
    claim = judged(OURS.signed(params=params))
    assert (claim.proof, claim.bot) == (Proof.IMPOSTOR, BOT)
    assert words in claim.reason


@pytest.mark.parametrize(
    "params",
    [
        {"created": f"{NOW + 59:.0f}"},
        {"created": f"{NOW - 200:.0f}", "expires": f"{NOW - 59:.0f}"},
        {"created": f"{NOW - 10:.0f}", "expires": f"{NOW - 10 + 86_400:.0f}"},
        {"alg": '"ed25519"'},
        {"x-later": '"whatever the draft adds"'},
    ],
)
def test_a_signature_within_the_bounds_is_verified(params: dict[str, str]) -> None:
    assert proof_of(OURS.signed(params=params)) is Proof.VERIFIED


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    "changes",
    [{"authority": "other.example"}, {"authority": "photos.example:8443"}, {"path": b"/media/1002.jpg"}],
)
def test_a_signature_for_another_request_is_an_impostors(changes: dict[str, Any]) -> None:
    claim = judged(OURS.signed(), **changes)
    assert (claim.proof, claim.reason) == (Proof.IMPOSTOR, "the signature is wrong for this request")


@pytest.mark.security("H6")
def test_a_signature_for_the_authority_alone_is_right_for_every_path_unless_paths_are_asked_for() -> None:
    fields = OURS.signed('("@authority")')
    assert proof_of(fields, path=b"/media/1002.jpg") is Proof.VERIFIED
    assert judged(fields, auth_of(paths=True)).reason == "the signature covers no path"
    assert proof_of(OURS.signed(), auth_of(paths=True)) is Proof.VERIFIED
    assert proof_of(OURS.signed('("@target-uri")'), auth_of(paths=True)) is Proof.VERIFIED


@pytest.mark.security("H6")
def test_an_unknown_key_is_unverified_and_no_impostor() -> None:
    assert proof_of(OTHER.signed()) is Proof.UNVERIFIED
    assert proof_of(OTHER.signed("()")) is Proof.UNVERIFIED
    assert proof_of(OTHER.signed(created="")) is Proof.UNVERIFIED
    assert proof_of(OURS.signed(keyid="")) is Proof.UNVERIFIED
    assert proof_of(OURS.signed(keyid="poqk")) is Proof.UNVERIFIED


@pytest.mark.security("H6")
def test_another_key_under_a_bots_key_id_is_an_impostor() -> None:
    assert proof_of(OTHER.signed(keyid=f'"{OURS.keyid}"')) is Proof.IMPOSTOR


@pytest.mark.security("H6")
def test_a_key_of_one_kind_never_checks_a_signature_of_another() -> None:
    """The algorithm is the key's: none is tried because a message asks for it."""
    bots = [
        Bot(f"bot {n}", None, keys=(read_key(one.jwk),))
        for n, one in enumerate((ed25519(), p256(), rsa_pss()))
    ]
    auth = auth_of(*bots)
    for signer in (ed25519(), p256(), rsa_pss()):
        for other in (ed25519(), p256(), rsa_pss()):
            fields = other.signed(keyid=f'"{signer.keyid}"')
            assert (proof_of(fields, auth) is Proof.VERIFIED) == (signer is other)


@pytest.mark.security("H6")
def test_a_nonce_is_good_once() -> None:
    auth = auth_of()
    fields = OURS.signed(nonce='"abc"')
    assert proof_of(fields, auth) is Proof.VERIFIED
    assert judged(fields, auth).reason == "the signature was used before"
    again = OURS.signed('("@authority")', nonce='"abc"')
    assert proof_of(again, auth) is Proof.IMPOSTOR, "another signature with the nonce is a replay too"
    assert proof_of(OURS.signed(nonce='"abd"'), auth) is Proof.VERIFIED
    assert proof_of(fields, auth, now=NOW + 349) is Proof.IMPOSTOR
    assert "ago" in judged(fields, auth, now=NOW + 351).reason


@pytest.mark.security("H6")
def test_a_nonce_that_spells_none_is_not_the_want_of_one() -> None:
    auth = auth_of()
    assert proof_of(OURS.signed(nonce='"None"'), auth) is Proof.VERIFIED
    assert [proof_of(OURS.signed(), auth) for _ in range(2)] == [Proof.VERIFIED] * 2


@pytest.mark.security("H6")
def test_two_bots_may_use_the_same_nonce() -> None:
    auth = auth_of(BOT, Bot("Other", None, keys=(read_key(OTHER.jwk),)))
    assert proof_of(OURS.signed(nonce='"abc"'), auth) is Proof.VERIFIED
    assert proof_of(OTHER.signed(nonce='"abc"'), auth) is Proof.VERIFIED


@pytest.mark.security("H6")
def test_a_forgery_uses_no_nonce_up() -> None:
    auth = auth_of(nonces=1)
    forged = OTHER.signed(keyid=f'"{OURS.keyid}"', nonce='"abc"')
    assert proof_of(forged, auth) is Proof.IMPOSTOR
    assert proof_of(OURS.signed(nonce='"abc"'), auth) is Proof.VERIFIED


@pytest.mark.security("H6")
def test_without_room_for_a_nonce_nothing_is_forgotten_and_nothing_verified() -> None:
    auth = auth_of(nonces=3)
    first = OURS.signed(nonce='"0"')
    assert [proof_of(OURS.signed(nonce=f'"{n}"'), auth) for n in range(3)] == [Proof.VERIFIED] * 3
    assert proof_of(OURS.signed(nonce='"3"'), auth) is Proof.UNVERIFIED
    assert proof_of(first, auth) is Proof.IMPOSTOR
    assert proof_of(OURS.signed(), auth) is Proof.VERIFIED, "one without a nonce needs no room"
    later = {"created": f"{NOW + 400:.0f}", "expires": f"{NOW + 500:.0f}"}
    assert proof_of(OURS.signed(nonce='"3"', params=later), auth, now=NOW + 410) is Proof.VERIFIED


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 20), st.integers(0, 5)), max_size=60))
def test_what_is_remembered_is_what_a_plain_list_remembers(steps: list[tuple[int, int, int]]) -> None:
    nonces, model, now = Nonces(4), dict[bytes, float](), 0.0
    for name, lifetime, passed in steps:
        now += passed
        mark = bytes([name])
        alive = {known: until for known, until in model.items() if until >= now}
        if mark in alive:
            assert mark in nonces
            continue
        if mark in nonces:  # past its end, and not yet let go of
            assert mark in model
        expected = len(alive) < 4
        assert nonces.add(mark, now + lifetime, now) is expected
        model = alive | ({mark: now + lifetime} if expected else {})
        assert len(nonces) == len(model)


@pytest.mark.security("H6")
def test_an_agent_that_is_named_has_to_be_covered() -> None:
    claim = judged(OURS.signed() | AGENT_FIELD)
    assert (claim.proof, claim.bot) == (Proof.IMPOSTOR, BOT)
    assert "leaves out the agent" in claim.reason
    assert proof_of(OTHER.signed() | AGENT_FIELD) is Proof.UNVERIFIED
    assert proof_of(OURS.signed(OWN, request_with(AGENT_FIELD)) | AGENT_FIELD) is Proof.VERIFIED


@pytest.mark.security("H6")
def test_a_listed_key_speaks_under_its_own_directory_only() -> None:
    """A directory that lists somebody else's key would take over that somebody's requests."""
    keys = BotKeys([Bot("Ours", Purpose.SEARCH, AGENT), Bot("Thief", None, "https://thief.example")])
    auth = BotAuth(keys)
    fields = OURS.signed(OWN, request_with(AGENT_FIELD)) | AGENT_FIELD
    assert proof_of(fields, auth) is Proof.UNVERIFIED
    keys.list_keys("https://thief.example", [read_key(OURS.jwk)])
    assert proof_of(fields, auth) is Proof.UNVERIFIED
    keys.list_keys(AGENT, [read_key(OURS.jwk)])
    claim = judged(fields, auth)
    assert claim.proof is Proof.VERIFIED
    assert claim.bot is not None
    assert claim.bot.name == "Ours"
    assert proof_of(OURS.signed(), auth) is Proof.UNVERIFIED, "who names no directory has no listed key"
    keys.list_keys(AGENT, [])
    assert proof_of(fields, auth) is Proof.UNVERIFIED, "a key that is listed no longer is known no longer"


@pytest.mark.parametrize(
    ("covered", "field", "agent"),
    [
        (OWN, f'sig1="{AGENT}"', AGENT),
        (OWN, f'sig1="{AGENT.upper()}:443/";type=directory', AGENT),
        (OWN, f'sig1="{AGENT}:8443"', f"{AGENT}:8443"),
        ('("@authority" "signature-agent";key="a2")', f'a2="{AGENT}", b="https://b.example"', AGENT),
        ('("@authority" "signature-agent")', f'"{AGENT}"', AGENT),
        ('("@authority" "signature-agent")', f'a2="{AGENT}"', AGENT),
        ('("@authority" "signature-agent")', f'b="https://b.example", sig1="{AGENT}"', AGENT),
        (OWN, f'sig1="{AGENT}/jwks.json";type=jwks_uri', ""),
        (OWN, f'sig1="{AGENT}/card";type=cimd', ""),
        (OWN, f'sig1="{AGENT}";type=cimd', ""),
        (OWN, f'sig1="{AGENT}";type="directory"', ""),
        (OWN, f'sig1="{AGENT}/path"', ""),
        (OWN, 'sig1="http://signer.example"', ""),
        (OWN, 'sig1="https://user@signer.example"', ""),
        (OWN, 'sig1="https://127.0.0.1"', ""),
        (OWN, 'sig1="https://[::1]"', ""),
        (OWN, 'sig1="https://localhost"', ""),
        (OWN, 'sig1="https://signer.example:0"', ""),
        (OWN, 'sig1="https://signer.example:65536"', ""),
        (OWN, 'sig1="https://signer.example?x"', ""),
        (OWN, 'sig1="https://signer.example#x"', ""),
        (OWN, "sig1=https://signer.example", ""),
        (OWN, "sig1", ""),
        (OWN, 'sig1=("https://signer.example")', ""),
    ],
)
def test_an_agent_is_an_origin_of_https_or_as_good_as_unknown(covered: str, field: str, agent: str) -> None:
    fields = {b"signature-agent": field.encode()}
    signature = parsed(OURS.signed(covered, request_with(fields)))
    assert named_agent(signature, fields) == agent
    assert named_agent(signature, {}) is None


@pytest.mark.security("H6")
@pytest.mark.parametrize("field", ["", "a=", '"', "a b", '"https://a.example", b', "\x00"])
def test_an_agent_field_that_is_none_is_refused(field: str) -> None:
    fields = OURS.signed('("@authority" "signature-agent")', request_with({b"signature-agent": b'"a"'}))
    claim = judged(fields | {b"signature-agent": field.encode()})
    assert claim.proof is Proof.IMPOSTOR


@pytest.mark.security("H6")
def test_several_agents_and_none_of_its_own_label_are_nobody() -> None:
    agents = {b"signature-agent": b'a="https://a.example", b="https://b.example"'}
    covered = '("@authority" "signature-agent";key="a" "signature-agent";key="b")'
    claim = judged(OURS.signed(covered, request_with(agents)) | agents)
    assert (claim.proof, claim.reason[:32]) == (Proof.IMPOSTOR, "the signature covers several age")


def test_a_pinned_key_of_a_bot_with_a_directory_speaks_under_that_or_none() -> None:
    auth = auth_of(BOT._replace(agent=AGENT))
    other = {b"signature-agent": b'sig1="https://other.example"'}
    assert proof_of(OURS.signed(), auth) is Proof.VERIFIED
    assert proof_of(OURS.signed(OWN, request_with(AGENT_FIELD)) | AGENT_FIELD, auth) is Proof.VERIFIED
    assert proof_of(OURS.signed(OWN, request_with(other)) | other, auth) is Proof.UNVERIFIED
    assert proof_of(OURS.signed(OWN, request_with(other)) | other) is Proof.VERIFIED, (
        "pinned, without a directory"
    )


def joined(*several: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {
        name: b", ".join(fields[name] for fields in several) for name in (b"signature-input", b"signature")
    }


@pytest.mark.security("H8")
def test_of_several_signatures_the_first_that_verifies_counts_and_four_are_tried() -> None:
    good = OURS.signed(label="good")
    unknown = [OTHER.signed(label=f"u{n}") for n in range(4)]
    forged = OTHER.signed(label="forged", keyid=f'"{OURS.keyid}"')
    foreign = [OTHER.signed(label=f"f{n}", tag='"else"') for n in range(6)]
    assert proof_of(joined(*unknown[:3], good)) is Proof.VERIFIED
    assert proof_of(joined(forged, good)) is Proof.VERIFIED
    assert proof_of(joined(*foreign, good)) is Proof.VERIFIED, "those of others are not counted"
    assert proof_of(joined(*unknown, good)) is Proof.UNVERIFIED
    assert proof_of(joined(*unknown[:2], forged)) is Proof.IMPOSTOR
    assert proof_of(joined(forged, *unknown[:2])) is Proof.IMPOSTOR


@pytest.mark.security("H8")
def test_lines_that_were_lost_or_cannot_be_read_prove_nothing() -> None:
    fields = OURS.signed()
    for name in (b"signature-input", b"signature", b"signature-agent"):
        assert proof_of(fields, lost=frozenset({name})) is Proof.UNVERIFIED
    for broken in (b"sig1", b"sig1=(", b"\xff", b"s=()," * 2000):
        assert proof_of(fields | {b"signature-input": broken}) is Proof.UNVERIFIED


def test_a_key_counts_between_the_times_that_its_directory_gives() -> None:
    key = read_key({**OURS.jwk, "nbf": int(NOW - 1000), "exp": int((NOW + 100) * 1000)})
    auth = auth_of(BOT._replace(keys=(key,)))
    times = {"created": f"{NOW - 1100:.0f}", "expires": f"{NOW + 1000:.0f}"}
    fields = OURS.signed(params=times)
    assert proof_of(fields, auth) is Proof.VERIFIED
    assert proof_of(fields, auth, now=NOW + 159) is Proof.VERIFIED
    assert proof_of(fields, auth, now=NOW + 160) is Proof.UNVERIFIED
    assert proof_of(fields, auth, now=NOW - 1061) is Proof.UNVERIFIED


@pytest.mark.security("H6")
def test_another_policy_knows_what_was_signed_and_listed_before() -> None:
    """A nonce that was used stays used, and a directory need not be fetched again: for bots that both policies name."""
    pinned, listing = BOT, Bot("Listing", Purpose.SEARCH, agent=AGENT)
    keys = BotKeys((pinned, listing))
    keys.list_keys(AGENT, [read_key(OTHER.jwk)])
    former = BotAuth(keys)
    used = OURS.signed(nonce='"abc"')
    listed = OTHER.signed(OWN, request_with(AGENT_FIELD))
    assert proof_of(used, former) is Proof.VERIFIED
    for follows, expected in ((True, Proof.VERIFIED), (False, Proof.UNVERIFIED)):
        auth = BotAuth(BotKeys((listing, pinned)))
        auth.follow(former, listed=follows)
        assert proof_of(used, auth) is Proof.IMPOSTOR
        assert proof_of({**AGENT_FIELD, **listed}, auth) is expected
    alone = BotAuth(BotKeys((pinned,)))
    alone.follow(former, listed=True)
    assert proof_of({**AGENT_FIELD, **listed}, alone) is Proof.UNVERIFIED
