"""Forged clearances, challenges and steps: 20,000 of them from a few families, of which none is taken.

The seed is fixed and part of every failure's message. ``make fuzz`` runs ten times as many.
"""

from __future__ import annotations

import base64
import copy
import hmac
import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.browser.steps import Fault, Steps
from antiscrape.core.clearance import NAME, Clearances, Level
from antiscrape.core.grants import Grants, GrantState
from antiscrape.core.rules import GrantRules
from antiscrape.core.tokens import KeyRing
from tests.house import SECRET, Clock

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20_261_122
COUNT = 200_000 if os.environ.get("ANTISCRAPE_FUZZ") else 20_000
NOW = 1_700_000_000.0
ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ %"\\;,\n\0'
HOSTS = ("photos.example", "www.photos.example", "photos.example.evil", "xn--photos-9ya.example")
FAMILIES = ("browser/gecko/Linux/", "browser/chromium/Linux/", "browser/gecko/Android/mobile")
OTHER = b"Yq2-other-secret-of-32-bytes-and-more-0xZ"


def mutated(text: str, others: list[str], dice: random.Random) -> str:
    """Return ``text`` cut, spliced, re-encoded, or with some characters others than they were."""
    at, to = sorted((dice.randrange(len(text) + 1), dice.randrange(len(text) + 1)))
    other = dice.choice(others)
    choice = dice.randrange(8)
    if choice == 0:
        return text[:at] + text[to:]
    if choice == 1:
        return text[:at] + dice.choice(ALPHABET) + text[at:]
    if choice == 2:
        return text[:at] + other[at:]
    if choice == 3:
        return text[:at] + "".join(dice.choices(ALPHABET, k=to - at)) + text[to:]
    if choice == 4:
        return base64.b64encode(text.encode()).decode()
    if choice == 5:
        return text[:at] + text[at:to].swapcase() + text[to:]
    if choice == 6:
        head, _, tail = text.partition(".")
        return dice.choice(
            (f"{tail}.{head}", f"{head}.{other.partition('.')[2]}", f"{head}.{tail}.{tail}", f"{head}{tail}")
        )
    bits = bytearray(text.encode())
    bits[dice.randrange(len(bits))] ^= 1 << dice.randrange(7)
    return bits.decode("latin-1")


@pytest.mark.security("F1", "F4", "G6")
def test_no_forged_clearance_is_taken() -> None:
    dice = random.Random(SEED)
    clearances = Clearances(KeyRing([SECRET.encode()]), "site")
    others = Clearances(KeyRing([OTHER]), "site"), Clearances(KeyRing([SECRET.encode()]), "other")

    def make(of: Clearances, host: str = HOSTS[0], family: str = FAMILIES[0], now: float = NOW) -> str:
        level = dice.choice(list(Level))
        return of.make(
            dice.randbytes(NAME),
            level,
            now=now,
            lasts=3600.0,
            network="203.0.113.0/24",
            family=family,
            host=host,
        )

    genuine = [make(clearances) for _ in range(50)]
    foreign = [make(one, host, family) for one in others for host in HOSTS for family in FAMILIES]
    foreign += [
        make(clearances, host, family)
        for host in HOSTS
        for family in FAMILIES
        if (host, family) != (HOSTS[0], FAMILIES[0])
    ]
    foreign += [make(clearances, now=NOW - 3600 - back) for back in range(20)] + [
        make(clearances, now=NOW + 61)
    ]
    assert all(clearances.read(text.encode(), now=NOW, host=HOSTS[0], family=FAMILIES[0]) for text in genuine)
    known = set(genuine)
    taken = []
    for _ in range(COUNT // 2):
        text = (
            mutated(dice.choice(genuine), genuine + foreign, dice)
            if dice.random() < 0.9
            else dice.choice(foreign)
        )
        if text in known:
            continue
        if clearances.read(text.encode("latin-1"), now=NOW, host=HOSTS[0], family=FAMILIES[0]) is not None:
            taken.append(text)
    assert not taken, f"seed {SEED}"


@pytest.mark.security("F1", "G5", "G8")
def test_no_forged_step_is_taken() -> None:
    dice = random.Random(SEED + 1)
    clock = Clock()
    steps, other = (Steps(KeyRing([key]), wait=5.0, wall=clock.wall) for key in (SECRET.encode(), OTHER))
    genuine = [steps.issue("me") for _ in range(50)]
    foreign = [steps.issue(f"them {number}") for number in range(20)] + [other.issue("me") for _ in range(20)]
    clock.tick(6.0)
    assert all(isinstance(steps.open(text, "me"), bytes) for text in genuine)
    known = set(genuine)
    texts = (
        mutated(dice.choice(genuine), genuine + foreign, dice)
        if dice.random() < 0.9
        else dice.choice(foreign)
        for _ in range(COUNT // 4)
    )
    assert not [text for text in texts if text not in known and isinstance(steps.open(text, "me"), bytes)], (
        f"seed {SEED}"
    )


def _changes() -> dict[str, Callable[[dict[str, Any], random.Random], None]]:
    def swap(name: str, values: list[Any]) -> Callable[[dict[str, Any], random.Random], None]:
        def change(parameters: dict[str, Any], dice: random.Random) -> None:
            parameters[name] = dice.choice([value for value in values if value != parameters.get(name)])

        return change

    def later(parameters: dict[str, Any], dice: random.Random) -> None:
        parameters["data"]["at"] += dice.choice((-600, -1, 1, 240, 10**9))

    def anothers(parameters: dict[str, Any], dice: random.Random) -> None:
        parameters["data"]["to"] = dice.randbytes(12).hex()

    def more(parameters: dict[str, Any], dice: random.Random) -> None:
        parameters[dice.choice(("keySignature", "expiresAt", "parallelism"))] = dice.choice(
            ("00", 0, None, 7, [], {})
        )

    return {
        "algorithm": swap("algorithm", ["SHA-256", "PBKDF2/SHA-256", "scrypt", "ARGON2ID", "", None, 7]),
        "cost": swap("cost", [1, 2, 512, 0, -1, 2**40, "1024", 1024.5, True, None]),
        "prefix": swap("keyPrefix", ["", "00", "f", "0" * 64, None, 0, "0\n"]),
        "length": swap("keyLength", [0, 1, 16, 64, 2**31, "32", None]),
        "nonce": swap("nonce", ["00" * 16, "", "zz", None, 7]),
        "salt": swap("salt", ["00" * 16, "", "zz", None, 7]),
        "block": swap("memoryCost", [1, 4, 0, 2**31, None, "8"]),
        "later": later,
        "anothers": anothers,
        "more": more,
    }


@pytest.mark.security("G1", "G4", "G8")
def test_no_forged_challenge_is_taken() -> None:
    pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")
    from antiscrape.browser.challenge import Answer, Challenges

    dice, clock = random.Random(SEED + 2), Clock()
    challenges = Challenges(KeyRing([SECRET.encode()]), wall=clock.wall)
    genuine = [challenges.issue("me", 0) for _ in range(50)]
    changes = _changes()
    taken = []
    for number in range(COUNT // 4):
        challenge = copy.deepcopy(dice.choice(genuine))
        before = json.dumps(challenge, sort_keys=True)
        if dice.random() < 0.2:
            challenge["signature"] = mutated(
                challenge["signature"], [other["signature"] for other in genuine], dice
            )
            if challenge["signature"].lower() == json.loads(before)["signature"]:
                continue
        else:
            changes[dice.choice(list(changes))](challenge["parameters"], dice)
        told = {"challenge": challenge, "solution": {"counter": number, "derivedKey": "0" * 64}}
        if json.dumps(challenge, sort_keys=True) != before and isinstance(
            challenges.open(told, "me"), Answer
        ):
            taken.append(told)
    assert not taken, f"seed {SEED}: {taken[:3]}"


@pytest.mark.security("F9")
@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS256", "RS256"])
def test_no_token_says_how_it_is_to_be_verified(algorithm: str) -> None:
    """A JWT names its own algorithm (RFC 8725 section 2.1), and is no token here, not even under the right secret."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    keys = KeyRing([SECRET.encode()])
    head = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part({'level': 2, 'exp': int(NOW) + 3600})}"
    rules = GrantRules(prefixes=("/photos/",))
    for secret in (b"", SECRET.encode(), keys.derive_all("challenge")[0]):
        seal = hmac.digest(secret, head.encode(), "sha256") if secret else b""
        token = f"{head}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"
        found = Clearances(keys, "site").read(token.encode(), now=NOW, host=HOSTS[0], family=FAMILIES[0])
        assert found is None
        assert Steps(keys, wait=0.0, wall=lambda: NOW).open(token, "me") is Fault.LATE
        state = Grants(keys, rules, "site").check(b"/photos/1.jpg", f"as={token}".encode(), now=NOW)
        assert state is GrantState.FORGED


@pytest.mark.security("F9")
def test_no_library_of_such_tokens_is_asked_for() -> None:
    asked = Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8").lower()
    assert "itsdangerous" in asked
    assert not [name for name in ("pyjwt", "python-jose", "joserfc", "authlib", "jwcrypto") if name in asked]
