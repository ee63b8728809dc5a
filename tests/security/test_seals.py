"""Every seal is of 128 bits and more, and is compared as a whole: how much of a guess is right takes no time to tell."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

from antiscrape.browser.challenge import Answer, Challenges
from antiscrape.browser.steps import Steps
from antiscrape.core.clearance import NAME, Clearances, Level
from antiscrape.core.handover import Bound, Handover, Handovers
from antiscrape.core.opaque import OpaquePaths
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Action, Rendition, Standing, Verdict
from tests.house import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
KEYS = KeyRing([SECRET.encode()])
HOST, FAMILY = "photos.example", "browser/gecko/Linux/"
HOLDER = f"{HOST} 203.0.113.0/24 {FAMILY}"


class Sealed(NamedTuple):
    """A text, where its seal begins and ends, and what opens it."""

    text: str
    begins: int
    ends: int
    opens: Callable[[str], bool]


def clearance() -> Sealed:
    made, network = Clearances(KEYS, "site"), "203.0.113.0/24"
    text = made.make(
        bytes(NAME), Level.PROVEN, now=NOW, lasts=3600.0, network=network, family=FAMILY, host=HOST
    )

    def opens(told: str) -> bool:
        return made.read(told.encode(), now=NOW, family=FAMILY, host=HOST) is not None

    return Sealed(text, text.index(".") + 1, len(text), opens)


def step() -> Sealed:
    steps = Steps(KEYS, wait=0.0, wall=lambda: NOW)
    text = steps.issue(HOLDER)
    return Sealed(
        text, text.rindex(".") + 1, len(text), lambda told: isinstance(steps.open(told, HOLDER), bytes)
    )


def handover() -> Sealed:
    made, bound = Handovers(KEYS), Bound("GET", HOST, b"/1.jpg", "203.0.113.7")
    verdict = Verdict(Action.ADMIT, Rendition.PREVIEW, Standing.BOT, 70)
    text = made.seal(Handover(verdict, 7, bytes(10)), bound, now=NOW).decode()
    return Sealed(
        text,
        text.index(".") + 1,
        len(text),
        lambda told: made.open(told.encode(), bound, now=NOW) is not None,
    )


def opaque() -> Sealed:
    paths = OpaquePaths(KEYS, b"site", b"/p/")
    text = paths.seal(b"/media/1.jpg").decode()
    return Sealed(
        text, 3, 3 + 21, lambda told: OpaquePaths(KEYS, b"site", b"/p/").open(told.encode()) is not None
    )


def challenge() -> Sealed:
    challenges = Challenges(KEYS, wall=lambda: NOW)
    told: dict[str, Any] = challenges.issue(HOLDER, 0)
    prefix = told["parameters"]["keyPrefix"]

    def opens(signature: str) -> bool:
        solution = {"counter": 0, "derivedKey": prefix.ljust(64, "0")}
        answer = challenges.open(
            {"challenge": {**told, "signature": signature}, "solution": solution}, HOLDER
        )
        return isinstance(answer, Answer)

    return Sealed(told["signature"], 0, len(told["signature"]), opens)


@pytest.mark.security("F7")
@pytest.mark.parametrize("made", [clearance, step, handover, opaque, challenge])
def test_a_guess_that_is_nearly_right_is_compared_as_any_other(
    made: Callable[[], Sealed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``hmac.compare_digest`` takes as long for any two of one length; so the lengths are all there is to see."""
    text, begins, ends, opens = made()
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(one: Any, another: Any) -> bool:
        compared.append((len(one), len(another)))
        return compare(one, another)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    assert opens(text)
    seen = compared[:1]
    assert 16 <= seen[0][0] == seen[0][1], "bytes, or more letters"
    for at in range(begins, ends):
        compared.clear()
        other = "1" if text[at] == "0" else "0"
        assert not opens(text[:at] + other + text[at + 1 :])
        assert compared == seen, "one comparison, as long as of the whole"
