"""Nobody but the holder of the secret makes a grant, and no grant has a second spelling."""

from __future__ import annotations

import hmac
import random
import re
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer, URLSafeTimedSerializer

from antiscrape.core.grants import Grants, GrantState
from antiscrape.core.rules import GrantRules
from antiscrape.core.tokens import KeyRing

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = b"Zr1c0l8-gJ5dVQ2nXw9yT4uHs7bKfEaM3pN6oLiRtYq"
OTHER = b"m3Xk9-Wq7Lp2Rt8Vb5Yc1Zn6Hd4Jf0Sg_aTeUoIwKxB"
RULES = GrantRules(prefixes=("/photos/",))
NOW = 1_800_000_123.0
GRANTS = Grants(KeyRing([SECRET]), RULES, "site")
URL = "/photos/ann/1.jpg?w=640&h=480"
ALPHABET = bytes(range(0x21, 0x7F))


def split(url: str) -> tuple[bytes, bytes]:
    path, _, query = url.partition("?")
    return path.encode(), query.encode()


PATH, QUERY = split(GRANTS.sign(URL, now=NOW))
REST, TOKEN = QUERY.rsplit(b"&as=", 1)


def accepted(path: bytes, query: bytes, grants: Grants = GRANTS) -> bool:
    return grants.check(path, query, now=NOW) is GrantState.VALID


def test_the_grant_that_everything_here_is_a_change_of_is_valid() -> None:
    assert accepted(PATH, QUERY)


@pytest.mark.security("F1")
def test_every_change_of_one_character_is_refused() -> None:
    """Replaced, added or taken away, at every place of the token, by every printable character."""
    for place, byte in product(range(len(TOKEN) + 1), ALPHABET):
        replaced = TOKEN[:place] + bytes([byte]) + TOKEN[place + 1 :]
        added = TOKEN[:place] + bytes([byte]) + TOKEN[place:]
        for token in {replaced, added, TOKEN[:place] + TOKEN[place + 1 :]} - {TOKEN}:
            assert not accepted(PATH, REST + b"&as=" + token), token


@pytest.mark.security("F1")
@pytest.mark.parametrize(
    "query",
    [
        QUERY + b"=", QUERY + b"==", QUERY + b"@@@", QUERY + b".", QUERY + b"%20", QUERY + b"+", QUERY + b" ", QUERY + b"\n",
        QUERY + b"&", QUERY + b"&x", QUERY + b";x", b"&" + QUERY, QUERY.upper(), QUERY.lower(), QUERY.swapcase(),
        QUERY.replace(b"as=", b"as=="), QUERY.replace(b"as=", b"%61s="), QUERY.replace(b"as=", b"a%73="),
        QUERY.replace(b"as=", b"as%3D"), QUERY.replace(b".", b"%2E"), QUERY.replace(b"&", b"%26"), QUERY.replace(b"&as", b";as"),
        QUERY.replace(b"&as", b"&&as"), b"as=" + TOKEN + b"&" + REST, b"h=480&w=640&as=" + TOKEN, REST + b"&as=" + TOKEN[:2] + b"0" + TOKEN[2:],
        QUERY + b"&as=" + TOKEN, QUERY + b"&as=", QUERY + b"&as", b"as&" + QUERY, b"%61s=1&" + QUERY, b"as=" + TOKEN + b"&" + QUERY,
        QUERY + b"&%61%73=x", REST + b"&as=", REST + b"&as", REST + b"&as=1." + TOKEN.split(b".")[1] + b".", b"as=" + TOKEN,
        REST + b"&as=2" + TOKEN[1:], REST + b"&as=" + TOKEN[:2] + TOKEN[2:10].upper() + TOKEN[10:],
    ],
)  # fmt: skip
def test_no_other_spelling_of_a_grant_is_valid(query: bytes) -> None:
    state = GRANTS.check(PATH, query, now=NOW)
    assert state in {GrantState.FORGED, GrantState.NONE}
    assert query != QUERY


@pytest.mark.security("F1")
def test_an_empty_query_before_the_grant_is_another_spelling() -> None:
    path, query = split(GRANTS.sign("/photos/1", now=NOW))
    assert accepted(path, query)
    assert not accepted(path, b"&" + query)


@pytest.mark.security("F1")
@pytest.mark.parametrize("rest", [b"as=x", b"w=1&as", b"%61s=1"])
def test_two_grants_are_none_even_if_the_second_is_signed_over_the_first(rest: bytes) -> None:
    """Another reader of the query would take the first for the grant."""
    stamp = TOKEN.split(b".")[1]
    token = GRANTS._token(GRANTS._keys[0], GRANTS._message(PATH, rest, stamp), stamp)
    assert not accepted(PATH, rest + b"&as=" + token)


@pytest.mark.security("F1")
def test_no_last_character_stands_for_another() -> None:
    """18 bytes fill 24 base64 characters, so the last one has no spare bits to play with."""
    assert sum(accepted(PATH, QUERY[:-1] + bytes([byte])) for byte in range(256)) == 1


def forgeries(dice: random.Random) -> Iterator[tuple[bytes, bytes]]:
    """Yield requests near a valid one: cut, spliced, swapped, re-encoded, re-dated, signed for something else."""
    elsewhere = [
        split(Grants(KeyRing([secret]), rules, site).sign(url, now=now))
        for secret in (SECRET, OTHER)
        for rules in (RULES, GrantRules(prefixes=("/photos/",), window=3600))
        for site in ("site", "other")
        for url in (URL, "/photos/ann/2.jpg?w=640&h=480", "/photos/ann/1.jpg?w=640", "/photos/ann/1.jpg")
        for now in (NOW, NOW - 900, NOW + 7200)
        if (secret, site, url) != (SECRET, "site", URL)  # those would be real
    ]
    while True:
        path, query = dice.choice(elsewhere)
        token = query.rpartition(b"as=")[2]
        match dice.randrange(8):
            case 0:
                yield PATH, REST + b"&as=" + token
            case 1:
                cut = dice.randrange(len(TOKEN))
                yield PATH, REST + b"&as=" + TOKEN[:cut] + token[cut:]
            case 2:
                yield path, QUERY
            case 3:
                yield PATH, REST + b"&as=" + bytes(dice.choices(ALPHABET, k=len(TOKEN)))
            case 4:
                start = b"%x" % (int(TOKEN.split(b".")[1], 16) + dice.choice((-900, 900, 1, -1, 1 << 32)))
                yield PATH, REST + b"&as=1." + start + b"." + TOKEN.rsplit(b".", 1)[1]
            case 5:
                place = dice.randrange(len(QUERY))
                yield PATH, QUERY[:place] + b"%%%02X" % QUERY[place] + QUERY[place + 1 :]
            case 6:
                place = dice.randrange(len(PATH))
                yield PATH[:place] + bytes([dice.randrange(1, 256)]) + PATH[place + 1 :], QUERY
            case _:
                mutable = bytearray(QUERY)
                for _ in range(dice.randrange(1, 4)):
                    mutable[dice.randrange(len(mutable))] ^= 1 << dice.randrange(8)
                yield PATH, bytes(mutable)


@pytest.mark.security("F1")
def test_of_20000_forgeries_none_is_accepted() -> None:
    seed = 20260817
    tried = 0
    for path, query in forgeries(random.Random(seed)):
        if (path, query) == (PATH, QUERY):
            continue
        assert not accepted(path, query), (seed, path, query)
        tried += 1
        if tried == 20_000:
            break
    assert len(GRANTS._verified) < 100, "forgeries are remembered"


@pytest.mark.security("F3")
def test_after_a_rotation_old_grants_hold_until_their_secret_goes() -> None:
    old = Grants(KeyRing([OTHER]), RULES, "site")
    both = Grants(KeyRing([OTHER, SECRET]), RULES, "site")
    new = Grants(KeyRing([SECRET]), RULES, "site")
    path, query = split(old.sign(URL, now=NOW))
    assert accepted(path, query, both)
    assert accepted(PATH, QUERY, both)
    assert not accepted(path, query, new)
    assert both.sign(URL, now=NOW) == new.sign(URL, now=NOW)


@pytest.mark.security("F3")
def test_a_window_of_another_length_does_not_turn_old_grants_into_forgeries() -> None:
    for window in (300, 901, 7200):
        longer = Grants(KeyRing([SECRET]), GrantRules(prefixes=("/photos/",), window=window), "site")
        assert longer.check(PATH, QUERY, now=NOW) is GrantState.VALID


@pytest.mark.security("F4")
@given(
    path=st.text("ab19x", min_size=1, max_size=8),
    query=st.text("ab19.=x", min_size=1, max_size=8),
    site=st.text("sx", max_size=3),
)
def test_no_byte_moves_from_one_field_to_the_next(path: str, query: str, site: str) -> None:
    """The same bytes, divided otherwise among site, path, query and start, are another message."""
    signed = Grants(KeyRing([SECRET]), RULES, site).sign(f"/photos/{path}?{query}", now=NOW)
    token = signed.rpartition("=")[2]
    for cut in range(1, len(path)):
        moved = f"/photos/{path[:cut]}", f"{path[cut:]}{query}&as={token}"
        assert not accepted(moved[0].encode(), moved[1].encode(), Grants(KeyRing([SECRET]), RULES, site))
    for cut in range(1, len(query)):
        moved = f"/photos/{path}{query[:cut]}", f"{query[cut:]}&as={token}"
        assert not accepted(moved[0].encode(), moved[1].encode(), Grants(KeyRing([SECRET]), RULES, site))
    for other in (site + "/", site[:-1], site + path[0]):
        if other != site:
            assert not accepted(*split(signed), Grants(KeyRing([SECRET]), RULES, other))


@pytest.mark.security("F4")
@given(st.tuples(*[st.binary(max_size=4)] * 3), st.tuples(*[st.binary(max_size=4)] * 3))
def test_different_fields_are_different_messages(one: tuple[bytes, ...], another: tuple[bytes, ...]) -> None:
    quoted = [GRANTS._message(*fields) for fields in (one, another)]
    # the query's own normal form is the one thing in which different bytes mean the same
    normal = [
        (path, re.sub(rb"[^!$-&(-;=?-~]", lambda m: b"%%%02X" % ord(m[0]), query), start)
        for path, query, start in (one, another)
    ]
    assert (quoted[0] == quoted[1]) == (normal[0] == normal[1])


@pytest.mark.security("F5")
def test_a_signature_of_another_purpose_is_no_grant() -> None:
    ring = KeyRing([SECRET])
    message = GRANTS._message(PATH, REST, TOKEN.split(b".")[1])
    for purpose in ("clearance", "grants", "address"):
        signature = ring.signer(purpose).get_signature(message)[:24]
        assert not accepted(PATH, REST + b"&as=1." + TOKEN.split(b".")[1] + b"." + signature)
    assert ring.signer("grant").get_signature(message)[:24] == TOKEN.split(b".")[2]
    assert not accepted(PATH, REST + b"&as=" + Signer(SECRET).sign(b"1")[:35])
    assert not accepted(PATH, REST + b"&as=" + str(URLSafeTimedSerializer(SECRET.decode()).dumps(1)).encode())


@pytest.mark.security("F7")
def test_a_signature_has_more_than_128_bits_and_is_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(TOKEN.split(b".")[2]) * 6 >= 128
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, another: bytes) -> bool:
        compared.append((len(one), len(another)))
        return compare(one, another)

    monkeypatch.setattr("antiscrape.core.grants.hmac.compare_digest", watched)
    fresh = Grants(KeyRing([SECRET]), RULES, "site")
    assert accepted(PATH, QUERY, fresh)
    assert not accepted(PATH, QUERY[:-1] + bytes([QUERY[-1] ^ 1]), fresh)
    assert compared == [(len(TOKEN), len(TOKEN))] * 2


@pytest.mark.security("F8")
@pytest.mark.parametrize(
    "path",
    [b"/photos/ann/2.jpg", b"/photos/ann//1.jpg", b"/photos//ann/1.jpg", b"//photos/ann/1.jpg", b"/photos/ann/1.jpg/", b"/photos/ann/1.jpg;x",
     b"/photos/ann/./1.jpg", b"/photos/bob/../ann/1.jpg", b"/photos/ann%2f1.jpg", b"/photos/ann%252f1.jpg", b"/photos/ann\\1.jpg",
     b"/photos/ann/1.jpg%00", b"/photos/ann/1.jpg%20", b"/photos/ann/1.jpg%3Fw=640", b"/Photos/ann/1.jpg", b"/photos/ann/1.JPG", b"/photos/ann/%2531.jpg",
     b"photos/ann/1.jpg", b"", b"*", b"http://a/photos/ann/1.jpg"],
)  # fmt: skip
def test_a_grant_opens_no_path_but_its_own(path: bytes) -> None:
    assert GRANTS.check(path, QUERY, now=NOW) is GrantState.FORGED


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_is_sent_is_answered_with_a_state(path: bytes, query: bytes) -> None:
    assert GRANTS.check(path, query + b"&as=" + TOKEN, now=NOW) is GrantState.FORGED
    assert GRANTS.check(path, query, now=NOW) in {GrantState.NONE, GrantState.FORGED}
    assert GRANTS.covers(path) in {True, False}
    assert b"as=" + TOKEN not in GRANTS.strip(query + b"&as=" + TOKEN)
