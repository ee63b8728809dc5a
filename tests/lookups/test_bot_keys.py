"""A key is named by itself, belongs to one bot, and a bad one stops the start with the reason."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.crawler import Purpose
from antiscrape.errors import ConfigurationError
from antiscrape.lookups import public_keys
from antiscrape.lookups.bot_keys import (
    LARGEST_SET,
    MOST_KEYS,
    Bot,
    BotKeys,
    check_keys,
    load_keys,
    read_json,
    read_key,
    read_listed,
    read_origin,
    thumbprint,
)
from tests.lookups.signers import AGENT, OTHER, OURS, ed25519, number, p256, rsa_jwk, rsa_pss, text

if TYPE_CHECKING:
    from pathlib import Path

KEY, SECOND = read_key(OURS.jwk), read_key(OTHER.jwk)


def test_thumbprints_are_those_of_the_rfcs(shared: Path) -> None:
    """RFC 7638 §3.1 and RFC 8037, appendix A.3: members that are not required do not count."""
    folder = shared / "corpora/rfc9421-web-bot-auth/cloudflare/packages/jsonwebkey-thumbprint/test/fixtures"
    found = json.loads((folder / "vectors.json").read_text())
    assert len(found) == 2
    for vector in found:
        jwk = json.loads(vector["jwk"])
        assert thumbprint(jwk) == vector["thumbprint"]
        assert thumbprint({**jwk, "kid": "else", "use": "sig"}) == vector["thumbprint"]


@pytest.mark.security("H6")
def test_the_algorithm_is_the_keys() -> None:
    found = [read_key(signer.jwk).algorithm for signer in (ed25519(), p256(), rsa_pss())]
    assert found == ["ed25519", "ecdsa-p256-sha256", "rsa-pss-sha512"]
    assert read_key({**OURS.jwk, "alg": "EdDSA", "use": "sig", "key_ops": ["verify"]}).keyid == OURS.keyid


OKP, EC = OURS.jwk, p256().jwk


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    ("jwk", "words"),
    [
        (None, "no JWK"),
        ("key", "no JWK"),
        ({}, "no public key"),
        ({"kty": ["OKP"]}, "no public key"),
        ({"kty": "oct", "k": "AAAA"}, "no public key"),
        ({"kty": "OKP", "crv": "Ed25519"}, "no public key"),
        ({**OKP, "x": 1}, "no public key"),
        ({**OKP, "d": "AAAA"}, "a private key"),
        ({**EC, "d": "AAAA"}, "a private key"),
        ({**OKP, "crv": "X25519"}, "expected Ed25519"),
        ({**OKP, "crv": "Ed448"}, "expected Ed25519"),
        ({**EC, "crv": "P-384"}, "expected Ed25519"),
        ({**EC, "crv": "secp256k1"}, "expected Ed25519"),
        ({**OKP, "alg": "RS256"}, "expected Ed25519"),
        ({**OKP, "alg": []}, "expected Ed25519"),
        ({**rsa_jwk(2048), "alg": "RS256"}, "expected Ed25519"),
        ({**rsa_jwk(2048), "alg": "none"}, "expected Ed25519"),
        ({**OKP, "use": "enc"}, "not for signatures"),
        ({**OKP, "key_ops": ["sign"]}, "not for signatures"),
        ({**OKP, "key_ops": 1}, "not for signatures"),
        ({**OKP, "x": OKP["x"] + "="}, "base64url"),
        ({**OKP, "x": OKP["x"][:-1] + "+"}, "base64url"),
        ({**OKP, "x": OKP["x"] + "\n"}, "base64url"),
        ({**OKP, "x": OKP["x"][:-1] + chr(ord(OKP["x"][-1]) + 1)}, "base64url"),
        ({**OKP, "x": ""}, "base64url"),
        ({**OKP, "x": "A"}, "base64"),
        ({**OKP, "x": text(bytes([5] * 31))}, "32 bytes"),
        ({**OKP, "x": text(bytes([5] * 33))}, "32 bytes"),
        ({**OKP, "x": text(bytes(32))}, "small order"),
        ({**EC, "y": EC["x"]}, "curve"),
        ({**EC, "x": text(bytes([5] * 31))}, "coordinate"),
        ({**rsa_jwk(2048), "n": text(b"\0" + bytes([255] * 256))}, "base64url"),
        ({**rsa_jwk(2048), "n": number((1 << 1023) + 1)}, "2048 to 4096 bits"),
        ({**rsa_jwk(2048), "n": number((1 << 4200) + 1)}, "2048 to 4096 bits"),
        ({**rsa_jwk(2048), "e": number(3)}, "exponent"),
        ({**rsa_jwk(2048), "e": number((1 << 33) + 1)}, "e"),
        ({**OKP, "nbf": "soon"}, "'nbf'"),
        ({**OKP, "exp": True}, "'exp'"),
        ({**OKP, "exp": float("nan")}, "'exp'"),
        ({**OKP, "exp": 10**400}, "'exp'"),
        ({**OKP, "exp": -1}, "'exp'"),
        ({"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}, "printed in an RFC"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_used_is_refused_with_the_reason(jwk: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_key(jwk)


def test_a_time_in_milliseconds_is_the_second_it_means() -> None:
    key = read_key({**OKP, "nbf": 1_700_000_000, "exp": 1_800_000_000_000})
    assert (key.since, key.until) == (1_700_000_000, 1_800_000_000)
    assert read_key(OKP).since < 0 < read_key(OKP).until


@pytest.mark.security("H6")
def test_points_of_small_order_are_refused_in_every_spelling() -> None:
    """For such a key, a signature of the identity and zero is right for some of a handful of messages."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    forged = bytes([1]) + bytes(63)
    spellings = [
        y + more for y in public_keys._SMALL_ORDER for more in (0, public_keys._PRIME) if y + more < 2**255
    ]
    assert len(spellings) == 7
    forgeable = 0
    for y in spellings:
        for sign in (0, 1 << 255):
            raw = (y | sign).to_bytes(32, "little")
            with pytest.raises(ValueError, match="small order"):
                public_keys.ed25519(raw)
            key = Ed25519PublicKey.from_public_bytes(raw)
            for message in range(64):
                try:
                    key.verify(forged, bytes([message]))
                except InvalidSignature:
                    continue
                forgeable += 1
                break
    assert forgeable >= 8


def test_origins_have_one_form() -> None:
    for spelt in ("https://Bot.example", "HTTPS://bot.EXAMPLE:443/", "https://bot.example/"):
        assert read_origin(spelt) == "https://bot.example"
    assert read_origin("https://a-b.bot_1.example:8443") == "https://a-b.bot_1.example:8443"
    wrong = (
        "", "bot.example", "http://bot.example", "https://bot", "https://127.0.0.1", "https://1.2.3", "https://[::1]",
        "https://bot.example/x", "https://bot.example?", "https://bot.example#", "https://a@bot.example", "https://.example",
        "https://bot..example", "https://bot.example:", "https://bot.example:0", "https://bot.example:99999",
        "https://bot.example\n", "https://bücher.example", "https://bot.example.", f"https://{'a.' * 200}example",
    )  # fmt: skip
    for text_ in wrong:
        assert read_origin(text_) == "", text_


def test_a_file_holds_a_key_or_a_set(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for document in (OKP, [OKP], {"keys": [OKP]}):
        path.write_text(json.dumps(document))
        assert [key.keyid for key in load_keys(path)] == [OURS.keyid]
    path.write_text(json.dumps({"keys": [{**OKP, "kid": "as the operator likes"}, EC, rsa_jwk(2048)]}))
    assert len(load_keys(path)) == 3


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        load_keys(path)
    return refused.value.problems


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * LARGEST_SET, "nested too deep"),
        (b" " * (LARGEST_SET + 1), "more than 65536 bytes"),
        (b"{}", "no keys"),
        (b"[]", "no keys"),
        (b'{"keys": []}', "no keys"),
        (b'{"keys": {}}', "no keys"),
        (b"1", "no keys"),
        (json.dumps([OKP] * (MOST_KEYS + 1)).encode(), "no keys; expected a JWK, or a list of 1 to 32"),
        (b"<!doctype html>", "no JSON"),
    ],
)
def test_a_file_that_is_no_key_set_is_told_by_its_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}: ")
    assert words in problem
    (problem,) = problems_of(tmp_path / "gone.json")
    assert "cannot be read: No such file" in problem


def test_every_bad_key_of_a_file_is_told_at_once_and_no_secret_with_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{**OKP, "d": "c2VjcmV0LXNlY3JldA"}, EC, {"kty": "oct"}, EC]}))
    problems = problems_of(path)
    assert [problem.removeprefix(f"{path}: ")[:6] for problem in problems] == ["key 1:", "key 3:", "key 4 "]
    assert "c2VjcmV0" not in str(problems)


def test_bots_that_could_be_mixed_up_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        BotKeys(
            [
                Bot("A", Purpose.SEARCH, keys=(KEY,)),
                Bot("A", None, "https://a.example"),
                Bot("B", None, "HTTPS://A.example:443/"),
                Bot("C", None, "http://c.example"),
                Bot("D", None),
                Bot("", None, keys=(SECOND,)),
                Bot("E", None, keys=(KEY,)),
            ]
        )
    assert set(refused.value.problems) == {
        "2 bots have the name 'A'; expected one",
        "2 bots have the agent 'https://a.example'; expected one",
        "bot 'C' has the agent 'http://c.example'; expected an origin, such as 'https://bot.example'",
        "bot 'D' has neither keys nor an agent that lists them",
        "bot 6 has no name",
        f"2 bots have the key '{KEY.keyid}'; expected one",
    }


def test_who_holds_a_key_is_told_for_pinned_and_listed_ones() -> None:
    ours, theirs = Bot("Ours", None, keys=(KEY,)), Bot("Theirs", None, AGENT)
    keys = BotKeys([ours, theirs])
    assert keys.agents == (AGENT,)
    assert keys.holds(SECOND.keyid) is None
    keys.list_keys(AGENT, [SECOND])
    found = keys.holds(SECOND.keyid), keys.holds(KEY.keyid)
    assert [one and one.bot for one in found] == [theirs, ours]
    with pytest.raises(KeyError):
        keys.list_keys("https://other.example", [SECOND])


@pytest.mark.security("H7")
def test_of_a_fetched_set_the_usable_keys_count() -> None:
    rows = [
        OKP,
        {**EC, "kid": p256().keyid},
        {**OTHER.jwk, "kid": "mine"},
        {"kty": "oct"},
        1,
        {**OKP, "exp": "x"},
    ]
    assert {key.keyid for key in read_listed({"keys": rows})} == {OURS.keyid, p256().keyid}
    assert read_listed({"keys": []}) == ()
    wrongs: list[object] = [{}, [], {"keys": {}}, {"keys": [OKP] * 33}, "keys"]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="keys"):
            read_listed(wrong)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*OKP, *EC, "n", "e", "alg", "use", "key_ops", "nbf", "exp"]), json_values
    )
)
def test_nothing_but_a_value_error_comes_of_any_jwk(changes: dict[str, Any]) -> None:
    for base in (OKP, EC, rsa_jwk(2048)):
        try:
            read_key({**base, **changes})
        except ValueError:
            continue
    for document in (changes, [changes], {"keys": changes}, {"keys": [changes]}):
        try:
            check_keys(document, "x")
        except ConfigurationError:
            continue
        try:
            read_listed(document)
        except ValueError:
            continue


def test_json_is_read_within_bounds() -> None:
    assert read_json(b'{"keys": []}') == {"keys": []}
    with pytest.raises(ValueError, match="more than"):
        read_json(b"1" * (LARGEST_SET + 1))


def test_without_the_package_all_starts_but_a_bot() -> None:
    """The extra is asked for by name, at the start, and only by a site that has bots."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from antiscrape.lookups import bot_auth, bot_keys, federation\n"
        "bot_keys.BotKeys([])\n"
        "try: bot_keys.BotKeys([bot_keys.Bot('A', None, 'https://a.example')])\n"
        "except bot_keys.ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "signatures of bots need the package cryptography; install antiscrape[bot-auth]\n"
