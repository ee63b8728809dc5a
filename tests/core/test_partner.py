"""Partners: known by what they show, until their day is over, and by nothing that merely looks like it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core import partner as room
from antiscrape.core.budgets import parse_limits
from antiscrape.core.partner import (
    BEARER_FIELD,
    FEWEST_RANDOM,
    KEY_FIELD,
    LONGEST_KEY,
    MOST_RANDOM,
    Partner,
    PartnerBook,
    find_key,
    hash_key,
    is_key,
    key_in,
    new_key,
)
from antiscrape.core.rules import Allowance
from antiscrape.core.verdict import Rendition, Standing
from antiscrape.errors import ConfigurationError
from tests.costs import calls_of, ends

GRANT = Allowance(Standing.PARTNER, Rendition.ORIGINAL, Rendition.PREVIEW, originals=parse_limits("1000/day"))
NEW_YEAR = 1_767_225_600.0  # 2026-01-01T00:00:00Z

keys = st.binary(min_size=FEWEST_RANDOM, max_size=MOST_RANDOM).map(lambda random: new_key(random).encode())


def key_of(number: int) -> bytes:
    return new_key(bytes([number]) * 32).encode()


def partner_of(name: str, *shown: bytes, **more: Any) -> Partner:
    values: dict[str, Any] = {
        "purpose": "a catalogue",
        "allowance": GRANT,
        "key_hashes": tuple(map(hash_key, shown)),
    } | more
    return Partner(name=name, **values)


MUSEUM = partner_of("museum", key_of(1), key_of(2), until=NEW_YEAR)
PRESS = partner_of("press", key_of(3), identities=("https://press.example", "poqkLGiymh_W0uP6PZFw"))


def test_each_key_of_a_partner_is_the_partner() -> None:
    """Two keys while one is changed for the other."""
    book = PartnerBook((MUSEUM, PRESS))
    found = [book.by_key(key_of(number), 0.0) for number in (1, 2, 3, 4)]
    assert found == [MUSEUM, MUSEUM, PRESS, None]
    assert len(book) == 2


def test_a_key_that_is_taken_off_is_nobodys() -> None:
    """A reload makes a new book: nothing that the old one remembered lives on in it."""
    before = PartnerBook([MUSEUM])
    assert before.by_key(key_of(1), 0.0) is MUSEUM
    rotated = partner_of("museum", key_of(2))
    after = PartnerBook([rotated])
    assert (after.by_key(key_of(1), 0.0), after.by_key(key_of(2), 0.0)) == (None, rotated)


def test_an_identity_is_a_partner_by_exactly_its_name() -> None:
    book = PartnerBook((MUSEUM, PRESS))
    assert book.by_identity("https://press.example", 0.0) is PRESS
    assert book.by_identity("poqkLGiymh_W0uP6PZFw", 0.0) is PRESS
    for other in ("", "press", "museum", "https://press.example/", "POQKLGIYMH_W0UP6PZFW"):
        assert book.by_identity(other, 0.0) is None


@pytest.mark.parametrize(
    ("now", "there"),
    [(0.0, True), (NEW_YEAR - 0.001, True), (NEW_YEAR, False), (NEW_YEAR + 1, False), (math.inf, False)],
)
def test_a_grant_ends_at_its_second(now: float, there: bool) -> None:  # noqa: FBT001  a parameter of the table
    signer = partner_of("signer", until=NEW_YEAR, identities=("signer",))
    book = PartnerBook((MUSEUM, signer))
    for _ in range(2):  # the second time from memory
        assert (book.by_key(key_of(1), now) is MUSEUM) is there
    assert (book.by_identity("signer", now) is signer) is there
    assert MUSEUM.ended(now) is not there


def test_a_key_that_is_remembered_ends_all_the_same() -> None:
    book = PartnerBook([MUSEUM])
    assert book.by_key(key_of(1), NEW_YEAR - 1) is MUSEUM
    assert book.by_key(key_of(1), NEW_YEAR) is None


def test_a_grant_without_an_end_never_ends() -> None:
    assert PartnerBook([PRESS]).by_key(key_of(3), math.inf) is PRESS


def test_an_ended_partners_key_is_still_kept_from_the_site() -> None:
    book = PartnerBook((MUSEUM, PRESS))
    book.by_key(key_of(1), math.inf)
    assert [book.holds(key_of(number)) for number in (1, 2, 3, 4)] == [True, True, True, False]


@pytest.mark.security("D9")
@given(st.binary(max_size=300), st.floats())
def test_no_bytes_are_a_partners_but_its_keys(value: bytes, now: float) -> None:
    book = PartnerBook((MUSEUM, PRESS))
    assert book.by_key(value, now) is None
    assert not book.holds(value)


@pytest.mark.security("F1")
@given(st.data())
def test_a_key_with_one_change_is_nobodys(data: st.DataObject) -> None:
    """In base64url the last character may have spare bits: another spelling of the bytes is another key."""
    key = data.draw(keys)
    at = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != key[at]))
    book = PartnerBook([partner_of("one", key)])
    for changed in (key[:at] + bytes([other]) + key[at + 1 :], key[:at] + key[at + 1 :], key + key[:1]):
        assert book.by_key(changed, 0.0) is None
    assert book.by_key(key, 0.0) is not None


@pytest.mark.security("F7")
def test_the_hash_and_not_the_key_opens() -> None:
    """Whoever reads the settings has hashes, and a hash in place of a key is nobody's."""
    book = PartnerBook((MUSEUM, PRESS))
    for digest in (hash_key(key_of(1)), hash_key(key_of(1)).hex().encode()):
        assert book.by_key(digest, 0.0) is None


@pytest.mark.security("D10")
def test_what_is_too_long_for_a_key_is_not_even_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    def counted(key: bytes) -> bytes:
        hashed.append(len(key))
        return hash_key(key)

    book = PartnerBook((MUSEUM, partner_of("long", b"x" * (LONGEST_KEY + 1))))
    monkeypatch.setattr(room, "hash_key", counted)
    assert book.by_key(b"x" * (LONGEST_KEY + 1), 0.0) is None
    assert book.by_key(b"x" * 10**7, 0.0) is None
    assert hashed == []
    assert book.by_key(b"x" * LONGEST_KEY, 0.0) is None
    assert hashed == [LONGEST_KEY]


def test_a_partners_key_is_hashed_once_and_guesses_are_not_remembered() -> None:
    book = PartnerBook((MUSEUM, PRESS))
    for number in range(1000):
        book.by_key(b"ask_%022d" % number, 0.0)
    assert len(book._known) == 0
    first = calls_of(lambda: book.by_key(key_of(1), 0.0))
    assert calls_of(lambda: book.by_key(key_of(1), 0.0)) < first
    assert len(book._known) == 1


def test_more_keys_than_are_remembered_are_all_known() -> None:
    many = [partner_of(str(number), b"%050d" % number) for number in range(1000)]
    book = PartnerBook(many)
    for _ in range(2):
        assert all(book.by_key(b"%050d" % number, 0.0) is one for number, one in enumerate(many))
    assert len(book._known) <= room._REMEMBERED


def test_every_problem_of_a_book_is_told_at_once_and_no_key_with_it() -> None:
    browser = Allowance(Standing.BROWSER, Rendition.ORIGINAL, Rendition.PREVIEW)
    with pytest.raises(ConfigurationError) as caught:
        PartnerBook(
            (
                MUSEUM,
                partner_of("museum", key_of(2)),
                partner_of("", key_of(5)),
                partner_of("nobody"),
                partner_of("browser", key_of(6), allowance=browser),
                partner_of("a", identities=("same",)),
                partner_of("b", identities=("same",)),
                partner_of("plain", key_hashes=(key_of(7),)),
            )
        )
    assert caught.value.problems == (
        "partner 3 has no name",
        "partner 'nobody' has neither a key nor an identity",
        "partner 'browser' has the budgets of the standing 'browser'",
        "partner 'plain' has a key's hash that is not the 32 bytes of SHA-256",
        "2 partners have the name 'museum'",
        "the partners 'museum', 'museum' have one key",
        "2 partners have the identity 'same'",
    )


def test_an_empty_book_knows_nobody() -> None:
    book = PartnerBook(())
    assert (book.by_key(b"", 0.0), book.by_identity("", 0.0)) == (None, None)


@given(st.binary(min_size=FEWEST_RANDOM, max_size=MOST_RANDOM))
def test_every_new_key_has_the_form_of_one_and_is_found_in_both_fields(random: bytes) -> None:
    key = new_key(random).encode()
    assert key.startswith(b"ask_")
    assert is_key(key)
    assert key_in(KEY_FIELD, key) == key
    assert key_in(BEARER_FIELD, b"Bearer " + key) == key


@given(st.lists(st.binary(min_size=FEWEST_RANDOM, max_size=MOST_RANDOM), unique=True, max_size=20))
def test_different_randomness_makes_different_keys(randoms: list[bytes]) -> None:
    assert len({new_key(random) for random in randoms}) == len(randoms)


@pytest.mark.parametrize("count", [0, 1, FEWEST_RANDOM - 1, MOST_RANDOM + 1])
def test_a_key_of_too_little_or_too_much_randomness_is_not_made(count: int) -> None:
    with pytest.raises(ValueError, match="16 to 64 random bytes"):
        new_key(bytes(count))


KEY = key_of(9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (KEY_FIELD, KEY),
        (KEY_FIELD, b" \t" + KEY + b"\t "),
        (BEARER_FIELD, b"Bearer " + KEY),
        (BEARER_FIELD, b"bearer   " + KEY + b" "),
        (BEARER_FIELD, b"BEARER " + KEY),
    ],
)
def test_a_key_is_found_as_the_rfcs_let_it_be_written(name: bytes, value: bytes) -> None:
    assert key_in(name, value) == KEY


@pytest.mark.security("D9")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (KEY_FIELD, b""),
        (KEY_FIELD, b"Bearer " + KEY),
        (KEY_FIELD, KEY + b", " + KEY),
        (KEY_FIELD, KEY + b"\n"),
        (KEY_FIELD, KEY + b"\0"),
        (KEY_FIELD, b"\xff" + KEY),
        (KEY_FIELD, KEY.upper()),
        (KEY_FIELD, b"ask_short"),
        (KEY_FIELD, b"ask_" + b"a" * (LONGEST_KEY - 3)),
        (BEARER_FIELD, b"Bearer ask_" + b"a" * (LONGEST_KEY - 3)),
        (BEARER_FIELD, KEY),
        (BEARER_FIELD, b"Bearer" + KEY),
        (BEARER_FIELD, b"Bearer\t" + KEY),
        (BEARER_FIELD, b"Basic " + KEY),
        (BEARER_FIELD, b"Bearer eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"),
        (BEARER_FIELD, b"Bearer ASK_" + KEY[4:]),
        (BEARER_FIELD, b"Bearer " + KEY + b", Bearer " + KEY),
        (BEARER_FIELD, b"Bearer " + b" " * 10**5 + KEY),
        (b"cookie", KEY),
        (b"x-api-key", KEY),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_no_key_is_not_taken_for_one(name: bytes, value: bytes) -> None:
    assert key_in(name, value) is None


def test_the_longest_key_is_one() -> None:
    key = b"ask_" + b"a" * (LONGEST_KEY - 4)
    assert len(key) == LONGEST_KEY
    assert key_in(BEARER_FIELD, b"Bearer " + key) == key_in(KEY_FIELD, key) == key


def test_the_field_of_our_own_goes_before_authorization() -> None:
    other = b"Bearer " + key_of(8)
    assert find_key({KEY_FIELD: KEY, BEARER_FIELD: other}.get) == KEY
    assert find_key({BEARER_FIELD: other}.get) == key_of(8)
    assert find_key({KEY_FIELD: b"rubbish", BEARER_FIELD: other}.get) == key_of(8)
    assert find_key({BEARER_FIELD: b"Basic dTpw"}.get) is None
    assert find_key(lambda _: None) is None


@pytest.mark.security("D9")
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_of_the_fields_are_answered(own: bytes, bearer: bytes) -> None:
    found = find_key({KEY_FIELD: own, BEARER_FIELD: bearer}.get)
    assert found is None or (is_key(found) and (found in own or found in bearer))


@pytest.mark.security("D4")
@pytest.mark.parametrize(
    "value", [b"Bearer " + b" " * 10**6, b"a" * 10**6, b"ask_" * 250_000, b" \t" * 500_000 + b"x"]
)
def test_a_megabyte_is_answered_at_once(value: bytes) -> None:
    with ends():
        for _ in range(100):
            assert key_in(KEY_FIELD, value) is None
            assert key_in(BEARER_FIELD, value) is None
