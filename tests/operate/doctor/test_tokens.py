"""The doctor's password opens one thing, for two minutes, in one spelling."""

from __future__ import annotations

import pytest

from antiscrape.core.clearance import Clearances, Level
from antiscrape.core.tokens import KeyRing
from antiscrape.operate.doctor.tokens import LASTS, NONCE, SKEW, Passwords

OLD, NEW = b"kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f", b"Zq4Tg7Hn1Vb8Xc5Rm2Ks9Jd6Lw3Py0Ef"
NOW = 1_800_000_000.0
NONCE_ = bytes(range(NONCE))
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def passwords(*secrets: bytes, site: str = "album") -> Passwords:
    return Passwords(KeyRing(secrets or (OLD,)), site)


def test_it_is_read_while_it_is_young() -> None:
    text = passwords().make(NONCE_, now=NOW).encode()
    assert passwords().read(text, now=NOW) == NONCE_
    assert passwords().read(text, now=NOW + LASTS) == NONCE_
    assert passwords().read(text, now=NOW - SKEW) == NONCE_


@pytest.mark.security("F6")
def test_it_ends_and_comes_not_from_the_future() -> None:
    text = passwords().make(NONCE_, now=NOW).encode()
    assert passwords().read(text, now=NOW + LASTS + 1) is None
    assert passwords().read(text, now=NOW - SKEW - 1) is None
    endless = passwords().make(NONCE_, now=float("nan")).encode()
    assert passwords().read(endless, now=NOW) is None


@pytest.mark.security("F1")
def test_there_is_one_spelling() -> None:
    text = passwords().make(NONCE_, now=NOW).encode()
    for place in range(len(text)):
        for other in ALPHABET:
            forged = text[:place] + bytes([other]) + text[place + 1 :]
            assert forged == text or passwords().read(forged, now=NOW) is None
    for odd in (text + b"=", text + b"\n", b" " + text, text.replace(b".", b""), text[:-1], b"", text + b"A"):
        assert passwords().read(odd, now=NOW) is None


@pytest.mark.security("F5")
def test_it_is_of_one_purpose_and_one_site() -> None:
    ring = KeyRing([OLD])
    clearance = Clearances(ring, "album").make(
        NONCE_, Level.BROWSER, now=NOW, lasts=600, network="n", family="f", host="h"
    )
    assert passwords().read(clearance.encode(), now=NOW) is None
    other = passwords(site="albums").make(NONCE_, now=NOW)
    assert passwords().read(other.encode(), now=NOW) is None


def test_all_secrets_verify_and_those_taken_off_do_not() -> None:
    text = passwords(OLD).make(NONCE_, now=NOW).encode()
    both = passwords(OLD, NEW)
    assert both.read(text, now=NOW) == NONCE_
    assert both.make(NONCE_, now=NOW, key=1).encode() == text
    both.rekey(KeyRing([NEW]))
    assert both.read(text, now=NOW) is None
