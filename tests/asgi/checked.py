"""What tests of the check share: a policy that has it, and a client that solves it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from antiscrape.core.clearance import ClearanceRules
from tests.house import changed, policy_of, visitor

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy
    from tests.house import Answer, House, Pairs

altcha = pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

BASE = "/.well-known/antiscrape"
#: As check.js posts them from Firefox, by hand.
PROBES = {
    "bot": "", "driven": False, "engine": "gecko", "languages": True, "window": True, "pointer": True, "named": True,
    "watched": False,
}  # fmt: skip


def checking(settings: dict[str, str] | None = None, **rules: Any) -> Policy:
    """Return a policy with the check."""
    return policy_of(settings, clearance=ClearanceRules(**{"enabled": True, **rules}))


def fields(*changes: tuple[bytes, bytes | None], kind: str = "fetch") -> Pairs:
    """Return Firefox's fields of a request by a script of the page, or of another kind."""
    names = {"page": "firefox page", "image": "firefox image"}
    if kind in names:
        return changed(visitor(names[kind]), *changes)
    base = changed(
        visitor("firefox image"),
        (b"accept", b"*/*"),
        (b"sec-fetch-dest", b"empty"),
        (b"sec-fetch-mode", b"cors"),
        (b"content-type", b"application/json"),
        (b"origin", b"https://" + dict(visitor("firefox image"))[b"host"]),
    )
    return changed(base, *changes)


async def posted(
    house: House, path: str, told: object, *changes: tuple[bytes, bytes | None], **more: Any
) -> Answer:
    """Post JSON to one of the check's paths."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return await house.ask(f"{BASE}/{path}", fields(*changes), method="POST", body=body, **more)


async def challenged(house: House, *changes: tuple[bytes, bytes | None], **more: Any) -> dict[str, Any]:
    """Ask for a challenge."""
    told: dict[str, Any] = json.loads((await posted(house, "challenge", {}, *changes, **more)).body)
    return told


def solved(challenge: dict[str, Any], probes: object = PROBES) -> dict[str, Any]:
    """Return the answer to a challenge, by the library's own solver."""
    solution = altcha.solve_challenge(altcha.Challenge.from_dict(challenge))
    return {
        "challenge": challenge,
        "solution": {"counter": solution.counter, "derivedKey": solution.derived_key},
        "probes": probes,
    }


async def cleared(
    house: House, *changes: tuple[bytes, bytes | None], probes: object = PROBES, **more: Any
) -> bytes:
    """Do the check, and return the cookie as a browser sends it, ``b""`` where none was given."""
    answer = await posted(
        house, "answer", solved(await challenged(house, *changes, **more), probes), *changes, **more
    )
    return answer.get(b"set-cookie").partition(b";")[0]


def form(**told: str) -> bytes:
    return urlencode(told).encode()
