"""An opaque path stands for one path, tells nothing of it, and cannot be made by anybody else."""

from __future__ import annotations

import random
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.opaque import OpaquePaths
from antiscrape.core.tokens import KeyRing
from tests.fuzz import times

ONE = b"Zr1c0l8-gJ5dVQ2nXw9yT4uHs7bKfEaM3pN6oLiRtYq"
TWO = b"m3Xk9-Wq7Lp2Rt8Vb5Yc1Zn6Hd4Jf0Sg_aTeUoIwKxB"
PATHS = OpaquePaths(KeyRing([ONE]), b"site", b"/p/")
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

segments = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1
).filter(lambda text: text not in {".", ".."} and "%" not in text)


@given(st.lists(segments, min_size=1, max_size=4))
def test_what_is_sealed_opens_to_the_same_path(parts: list[str]) -> None:
    path = ("/" + "/".join(parts)).encode()
    sealed = PATHS.seal(path)
    raw = PATHS.open(sealed)
    assert raw is not None
    assert unquote_to_bytes(raw) == path
    assert PATHS.seal(path) == sealed, "one path has one form, which caches keep"
    assert quote(sealed, safe="/") == sealed.decode(), "it needs no escapes"


def test_nothing_of_a_path_can_be_seen() -> None:
    sealed = [PATHS.seal(b"/photos/%d" % number) for number in (1, 2, 12, 1234567)]
    assert len({len(path) for path in sealed}) == 1
    for place in range(len(sealed)):
        bytes_ = [path[3:] for path in sealed[:place] + sealed[place + 1 :]]
        shared = max(sum(a == b for a, b in zip(sealed[place][3:], other, strict=True)) for other in bytes_)
        assert shared < 12, "as many as chance has alike"


@pytest.mark.security("F1")
def test_no_other_string_opens() -> None:
    sealed = PATHS.seal(b"/photos/ann/1.jpg")
    for place in range(3, len(sealed)):
        for letter in LETTERS + b"=@%+/ ":
            changed = sealed[:place] + bytes([letter]) + sealed[place + 1 :]
            assert changed == sealed or PATHS.open(changed) is None
    for changed in (sealed + b"=", sealed + b"AAAA", sealed[:-4], sealed[:-1], sealed + b"/", b"/p/", b"/p/AAAA", b"/P/" + sealed[3:], b"/p/" + b"A" * 9000):  # fmt: skip
        assert PATHS.open(changed) is None


@pytest.mark.security("F1", "F5")
def test_of_seeded_guesses_none_opens() -> None:
    dice = random.Random(14)
    others = [
        OpaquePaths(KeyRing([TWO]), b"site", b"/p/").seal(b"/photos/1"),
        OpaquePaths(KeyRing([ONE]), b"other", b"/p/").seal(b"/photos/1"),
        PATHS.seal(b"/photos/1"),
        PATHS.seal(b"/photos/2"),
    ]
    for _ in range(times(1000)):
        one, other = dice.choice(others), dice.choice(others)
        cut = dice.randrange(3, len(one))
        for guess in (one[:cut] + other[cut:], b"/p/" + bytes(dice.choices(LETTERS, k=43))):
            assert guess in others[2:] or PATHS.open(guess) is None


@pytest.mark.security("F3")
def test_older_secrets_open_what_they_sealed() -> None:
    sealed = PATHS.seal(b"/photos/1")
    assert OpaquePaths(KeyRing([ONE, TWO]), b"site", b"/p/").open(sealed) == b"/photos/1"
    assert OpaquePaths(KeyRing([TWO]), b"site", b"/p/").open(sealed) is None


@pytest.mark.security("F8")
@pytest.mark.parametrize("path", [b"/photos/../x", b"/a\\b", b"/a%2fb", b"/\xff", b"x", b"//x/./y"])
def test_a_path_with_two_readings_does_not_come_back(path: bytes) -> None:
    assert PATHS.open(PATHS.seal(path)) is None
