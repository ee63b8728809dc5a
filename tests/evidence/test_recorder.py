"""The recorder: every verdict is counted, every one that is not a plain allow is an event, addresses are hashed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from antiscrape.core.consequences import cool
from antiscrape.core.tokens import KeyRing
from antiscrape.core.verdict import Action, Mode, Rendition, Standing
from antiscrape.errors import RequestError
from antiscrape.evidence.events import encode
from antiscrape.evidence.recorder import Recorder
from tests.house import SECRET, Clock, Ledger, gate_of, head_of, person, policy_of, tool

if TYPE_CHECKING:
    from antiscrape.gate import Gate, Passage

WEEK = 7 * 86_400


def recorder(clock: Clock, ledger: Ledger, addresses: str = "hashed") -> Recorder:
    keys = KeyRing((SECRET.encode(),))
    return Recorder(ledger, site="album", keys=keys, addresses=addresses, wall=clock.wall)


def passage(
    gate: Gate, path: str = "/media/1.jpg", *, robot: bool = True, peer: str = "203.0.113.7"
) -> Passage:
    return gate.judge(head_of(path, tool() if robot else person(), peer=peer))


def test_a_plain_allow_is_counted_and_no_event() -> None:
    clock, ledger = Clock(), Ledger()
    records = recorder(clock, ledger)
    records.record(passage(gate_of(policy_of(), clock), robot=False), 200)
    assert records.plain[Standing.BROWSER] == 1
    assert (ledger.events, records.verdicts) == ([], {})


def test_a_lowered_standing_is_told_in_words_with_what_it_was_and_what_is_left() -> None:
    clock, ledger = Clock(), Ledger()
    gate, records = gate_of(policy_of(), clock), recorder(clock, ledger)
    history = passage(gate, robot=False).history
    cool(history, clock.now + 90.0, 1)
    records.record(passage(gate, robot=False), 200)
    (event,) = ledger.events
    read = json.loads(encode(event))
    assert (read["standing"], read["rendition"], read["score"]) == ("unknown", "preview", 0)
    assert read["cooling"] == {
        "instead_of": "browser",
        "left": 90.0,
        "sentence": "It spent its request budget again and again, so it is unknown for a while.",
    }


def test_anything_else_is_counted_and_an_event_that_tells_why() -> None:
    clock, ledger = Clock(), Ledger()
    records = recorder(clock, ledger)
    seen = passage(gate_of(policy_of(), clock))
    records.record(seen, 200)
    assert records.verdicts == {(Standing.BOT, Action.ADMIT, Rendition.PREVIEW): 1}
    (event,) = ledger.events
    read = json.loads(encode(event))
    assert read["site"] == "album"
    assert (read["path"], read["status"], read["rendition"], read["standing"]) == (
        "/media/1.jpg",
        200,
        "preview",
        "bot",
    )
    assert read["score"] == sum(signal["weight"] for signal in read["signals"]) == seen.verdict.score
    weights = [signal["weight"] for signal in read["signals"]]
    assert weights == sorted(weights, reverse=True)
    assert all(signal["sentence"] for signal in read["signals"])


def test_shadow_is_said_to_be_shadow() -> None:
    clock, ledger = Clock(), Ledger()
    recorder(clock, ledger).record(passage(gate_of(replace(policy_of(), mode=Mode.SHADOW), clock)), 200)
    assert ledger.events[0]["shadow"] is True


def test_an_address_is_a_keyed_hash_that_changes_with_the_week() -> None:
    clock, ledger = Clock(epoch=2800.0 * WEEK + 5), Ledger()
    records, gate = recorder(clock, ledger), gate_of(policy_of(), clock)

    def name(peer: str) -> object:
        records.record(passage(gate, peer=peer), 200)
        return ledger.events[-1]["client"]

    first = name("203.0.113.7")
    assert first == name("203.0.113.7")
    assert first != name("203.0.113.8")
    assert "203.0.113" not in json.dumps(ledger.events)
    clock.epoch += WEEK - 10
    assert first == name("203.0.113.7")
    clock.epoch += 10
    assert first != name("203.0.113.7")


def test_plain_addresses_are_the_principals_key() -> None:
    clock, ledger = Clock(), Ledger()
    records = recorder(clock, ledger, "plain")
    records.record(passage(gate_of(policy_of(), clock), peer="2001:db8:1:2::9"), 200)
    assert ledger.events[0]["client"] == "2001:db8:1:2::/64"


def test_a_spent_budget_is_named_with_its_wait() -> None:
    clock, ledger = Clock(), Ledger()
    policy = policy_of({"ANTISCRAPE__STANDING__BROWSER__REQUESTS": "2/min"})
    records, gate = recorder(clock, ledger), gate_of(policy, clock)
    for _ in range(3):
        seen = passage(gate, "/page", robot=False)
        records.record(seen, 200 if seen.verdict.action is Action.ADMIT else 429)
    (event,) = ledger.events
    assert event["exceeded"] == {"budget": "requests", "limit": "2/min", "wait": 30.0, "shared": False}
    assert event["action"] == "limit"


def test_what_could_not_be_judged_is_counted_with_its_cause() -> None:
    clock, ledger = Clock(), Ledger()
    records = recorder(clock, ledger)
    records.refuse(RequestError("two Host lines"))
    assert records.malformed == 1
    assert (ledger.events[0]["event"], ledger.events[0]["cause"], ledger.events[0]["status"]) == (
        "malformed",
        "two Host lines",
        400,
    )
