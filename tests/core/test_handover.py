"""Handovers are good for one request and for nobody else's, and exactly one string stands for each."""

from __future__ import annotations

import random
import string

import pytest

from antiscrape.core.handover import LASTS, NAME, SKEW, Bound, Handover, Handovers
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Action, Budget, Exceeded, Rendition, Standing, Verdict
from tests.house import SECRET

NOW = 1_700_000_000.0
OTHER = b"8tRkq1ZbX5vWm2ScYh7LdPn4Jf9GaUe3"
BOUND = Bound("GET", "photos.example", b"/photos/1.jpg?a=1", "203.0.113.7")
PREVIEW = Verdict(Action.ADMIT, Rendition.PREVIEW, Standing.BOT, 70)


def handovers(*secrets: bytes) -> Handovers:
    return Handovers(KeyRing(secrets or (SECRET.encode(),)))


def handed(verdict: Verdict = PREVIEW, taker: int = 0x1234_5678_9ABC_DEF0) -> Handover:
    return Handover(verdict, taker, bytes(range(NAME)))


def limited(wait: float, limit: str = "600/5min", *, shared: bool = False) -> Verdict:
    spent = Exceeded(Budget.REQUESTS, limit, wait, shared)
    return Verdict(Action.LIMIT, Rendition.REFUSED, Standing.BROWSER, 3, exceeded=spent)


def test_what_is_handed_over_arrives() -> None:
    text = handovers().seal(handed(), BOUND, now=NOW)
    known = handovers().open(text, BOUND, now=NOW + 1)
    assert known is not None
    assert known.taker == 0x1234_5678_9ABC_DEF0
    assert known.name == bytes(range(NAME))
    assert known.verdict[:3] == PREVIEW[:3]
    assert known.verdict.exceeded is None


@pytest.mark.parametrize(
    ("wait", "limit", "told", "never"),
    [(2.2, "600/5min", 3.0, False), (float("inf"), "0", 2**32 - 1, True), (60.0, "5/min", 60.0, False)],
)
def test_a_refusal_arrives_with_its_wait(wait: float, limit: str, told: float, *, never: bool) -> None:
    """Rounded up: who waits as long as told is answered."""
    text = handovers().seal(handed(limited(wait, limit, shared=True)), BOUND, now=NOW)
    known = handovers().open(text, BOUND, now=NOW)
    assert known is not None
    spent = known.verdict.exceeded
    assert spent is not None
    assert (spent.wait, spent.shared, "0" in spent.limit.split(", ")) == (told, True, never)
    assert known.verdict.action is Action.LIMIT


@pytest.mark.parametrize(
    "bound",
    [
        BOUND._replace(method="HEAD"),
        BOUND._replace(host="other.example"),
        BOUND._replace(target=b"/photos/2.jpg?a=1"),
        BOUND._replace(target=b"/photos/1.jpg"),
        BOUND._replace(client="203.0.113.8"),
        BOUND._replace(host="photos.example/", target=b"photos/1.jpg?a=1"),
    ],
)
@pytest.mark.security("F8")
def test_it_is_of_one_request(bound: Bound) -> None:
    text = handovers().seal(handed(), BOUND, now=NOW)
    assert handovers().open(text, bound, now=NOW) is None


@pytest.mark.security("F6")
def test_it_is_of_its_few_seconds() -> None:
    text = handovers().seal(handed(), BOUND, now=NOW)
    for late, good in ((LASTS - 1, True), (LASTS, False), (-SKEW, True), (-SKEW - 1, False)):
        assert (handovers().open(text, BOUND, now=NOW + late) is not None) is good


@pytest.mark.security("F3")
def test_all_secrets_open_and_the_newest_seals() -> None:
    old, both, new = handovers(), handovers(SECRET.encode(), OTHER), handovers(OTHER)
    assert both.open(old.seal(handed(), BOUND, now=NOW), BOUND, now=NOW) is not None
    assert new.open(both.seal(handed(), BOUND, now=NOW), BOUND, now=NOW) is not None
    assert new.open(old.seal(handed(), BOUND, now=NOW), BOUND, now=NOW) is None


@pytest.mark.security("F1")
def test_no_other_text_opens() -> None:
    """Every character counts: another one anywhere, one more, one less, in another place, is nothing."""
    ours = handovers()
    text = ours.seal(handed(), BOUND, now=NOW)
    letters = (string.ascii_letters + string.digits + "-_=.").encode()
    changed = {text[:at] + bytes([letter]) + text[at + 1 :] for at in range(len(text)) for letter in letters}
    dice = random.Random(1)
    changed |= {text[: dice.randrange(len(text))] for _ in range(50)} | {
        text + b"=",
        b"=" + text,
        text * 2,
        b"",
    }
    changed |= {text.replace(b".", b""), text.swapcase(), text + b"\n", bytes(reversed(text))}
    assert [one for one in changed - {text} if ours.open(one, BOUND, now=NOW) is not None] == []


def test_another_purpose_opens_nothing() -> None:
    """A clearance's or a grant's key is no key of this."""
    keys = KeyRing((SECRET.encode(),))
    assert keys.signer("handover").derive_key(SECRET) != keys.signer("clearance").derive_key(SECRET)
