"""The challenge: stateless, current, bound, recomputed with the server's own difficulty, and made by a well-kept part."""

from __future__ import annotations

import copy
import hashlib
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.tokens import KeyRing
from tests.house import Clock

altcha = pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

from antiscrape.browser.challenge import LASTS, MOST_WORK, Answer, Challenges, Outcome  # noqa: E402  behind the skip

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = b"kJ8s2Lx0Qm4vT7yBn3Rz6WcE1pUaHdFg9iOt"
KEYS = KeyRing([SECRET])
OTHER = b"Yq2-other-secret-of-32-bytes-and-more-0xZ"
HOLDER = "photos.example 203.0.113.0/24 browser/gecko/Linux/"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def challenges(clock: Clock) -> Challenges:
    return Challenges(KEYS, wall=clock.wall)


def solved(challenge: dict[str, Any]) -> dict[str, Any]:
    """Solve a challenge with the library's own solver, as a client without a browser would."""
    solution = altcha.solve_challenge(altcha.Challenge.from_dict(challenge))
    return {
        "challenge": challenge,
        "solution": {"counter": solution.counter, "derivedKey": solution.derived_key},
    }


def taken(challenges: Challenges, told: object, holder: str = HOLDER) -> bool:
    opened = challenges.open(told, holder)
    return isinstance(opened, Answer) and challenges.verify(opened)


def test_what_is_solved_is_taken_and_has_a_name_to_be_spent_by(challenges: Challenges) -> None:
    told = json.loads(json.dumps(solved(challenges.issue(HOLDER, 0))))
    opened = challenges.open(told, HOLDER)
    assert isinstance(opened, Answer)
    assert challenges.verify(opened)
    assert len(opened.token) == 16


@pytest.mark.security("G1")
def test_the_work_is_scrypt_of_half_a_mebibyte(challenges: Challenges) -> None:
    """RFC 7914 §2: 128 * r * N bytes."""
    parameters = challenges.issue(HOLDER, 0)["parameters"]
    assert (parameters["algorithm"], 128 * parameters["memoryCost"] * parameters["cost"]) == ("SCRYPT", 2**19)
    told = solved({"parameters": parameters, "signature": "x"})["solution"]
    password = bytes.fromhex(parameters["nonce"]) + told["counter"].to_bytes(4, "big")
    salt = bytes.fromhex(parameters["salt"])
    assert hashlib.scrypt(password, salt=salt, n=512, r=8, p=1, dklen=32).hex() == told["derivedKey"]


def test_every_doubling_doubles_the_work(challenges: Challenges) -> None:
    def expected(work: int) -> int:
        parameters = challenges.issue(HOLDER, work)["parameters"]
        return int(parameters["cost"]) << 4 * len(parameters["keyPrefix"])

    works = [expected(work) for work in range(MOST_WORK + 1)]
    assert [later // former for former, later in pairwise(works)] == [2] * MOST_WORK
    assert expected(-5) == works[0]
    assert expected(99) == works[-1]


@pytest.mark.security("G4")
def test_nothing_of_a_challenge_can_be_foreseen(challenges: Challenges) -> None:
    made = [challenges.issue(HOLDER, 0)["parameters"] for _ in range(100)]
    assert len({one["nonce"] for one in made}) == len({one["salt"] for one in made}) == 100


@pytest.mark.security("G4")
def test_an_answer_has_its_time(challenges: Challenges, clock: Clock) -> None:
    assert LASTS <= 300
    told = solved(challenges.issue(HOLDER, 0))
    clock.tick(LASTS)
    assert taken(challenges, told)
    clock.tick(1)
    assert challenges.open(told, HOLDER) is Outcome.STALE
    clock.tick(-LASTS - 100)
    assert challenges.open(told, HOLDER) is Outcome.STALE, "of the future"


@pytest.mark.security("G4")
@pytest.mark.parametrize(
    "holder", ["other.example", "", HOLDER.replace("113", "112"), HOLDER.replace("gecko", "webkit")]
)
def test_an_answer_is_its_holders(challenges: Challenges, holder: str) -> None:
    assert challenges.open(solved(challenges.issue(HOLDER, 0)), holder) is Outcome.STALE


@pytest.mark.security("G4")
def test_another_instances_challenge_is_refused(challenges: Challenges, clock: Clock) -> None:
    other = Challenges(KeyRing([OTHER]), wall=clock.wall)
    assert challenges.open(solved(other.issue(HOLDER, 0)), HOLDER) is Outcome.STALE


@pytest.mark.security("F3", "G4")
def test_a_challenge_of_a_secret_that_was_taken_off_is_nobodys(challenges: Challenges) -> None:
    """Whoever has stolen it would otherwise make challenges as easy as he likes, until the next start."""
    answer = solved(challenges.issue(HOLDER, 0))
    assert taken(challenges, answer)
    challenges.rekey(KeyRing([SECRET, OTHER]))
    assert taken(challenges, answer)
    assert taken(challenges, solved(challenges.issue(HOLDER, 0)))
    challenges.rekey(KeyRing([OTHER]))
    assert challenges.open(answer, HOLDER) is Outcome.STALE


def _less(parameters: dict[str, Any]) -> None:
    parameters["cost"] = 256


def _shorter(parameters: dict[str, Any]) -> None:
    parameters["keyPrefix"] = ""


def _other(parameters: dict[str, Any]) -> None:
    parameters["algorithm"] = "SHA-256"


def _later(parameters: dict[str, Any]) -> None:
    parameters["data"]["at"] += 1


def _known(parameters: dict[str, Any]) -> None:
    parameters["nonce"] = "00" * 16


@pytest.mark.security("G1")
@pytest.mark.parametrize("change", [_less, _shorter, _other, _later, _known])
def test_no_part_of_a_challenge_is_the_clients_to_choose(
    challenges: Challenges, change: Callable[[dict[str, Any]], None]
) -> None:
    challenge = copy.deepcopy(challenges.issue(HOLDER, 0))
    change(challenge["parameters"])
    assert challenges.open(solved(challenge), HOLDER) is Outcome.STALE


@pytest.mark.security("G1")
def test_a_key_that_only_looks_like_one_is_refused(challenges: Challenges) -> None:
    """Whoever makes up a key with the right beginning passes what is cheap, and not the try itself."""
    challenge = challenges.issue(HOLDER, 0)
    made_up = {"challenge": challenge, "solution": {"counter": 0, "derivedKey": "0" * 64}}
    opened = challenges.open(made_up, HOLDER)
    assert isinstance(opened, Answer)
    assert not challenges.verify(opened)
    wrong = {"challenge": challenge, "solution": {"counter": 0, "derivedKey": "f" * 64}}
    assert challenges.open(wrong, HOLDER) is Outcome.WRONG, "without a try"


@pytest.mark.security("G8")
@pytest.mark.parametrize(
    "told",
    [
        None, [], {}, "x", 7, {"challenge": None}, {"challenge": {}, "solution": {}}, {"challenge": [], "solution": []},
        {"challenge": {"parameters": "x"}, "solution": {"counter": 1, "derivedKey": "00"}},
        {"challenge": {"parameters": {}}, "solution": {"counter": 1, "derivedKey": 5}},
        {"challenge": {"parameters": dict.fromkeys(("algorithm", "nonce", "salt", "cost"))}, "solution": {"counter": "a", "derivedKey": "00"}},
        {"challenge": {"parameters": {"algorithm": {"__proto__": 1}, "nonce": [], "salt": {}, "cost": [1]}, "signature": {}}, "solution": {"counter": 1, "derivedKey": ""}},
    ],
)  # fmt: skip
def test_rubbish_is_no_answer_and_no_error(challenges: Challenges, told: object) -> None:
    assert isinstance(challenges.open(told, HOLDER), Outcome)


@pytest.mark.security("G9")
def test_issuing_remembers_nothing(challenges: Challenges) -> None:
    before = copy.deepcopy({name: repr(value) for name, value in vars(challenges).items()})
    for _ in range(1000):
        challenges.issue(HOLDER, 0)
    assert {name: repr(value) for name, value in vars(challenges).items()} == before
