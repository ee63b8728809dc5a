"""Whom a trace names, and how the events tell it."""

from __future__ import annotations

from functools import partial

from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import payload_for, principal_code, trace_keys, unpack
from antiscrape.evidence.recorder import Recorder
from antiscrape.evidence.takers import Takers
from tests.house import SECRET, Clock, Ledger, gate_of, head_of, policy_of, tool

RING = KeyRing((SECRET.encode(),))
KEYS = trace_keys(RING)[0]


def made(clock: Clock, ledger: Ledger, addresses: str = "hashed") -> tuple[Takers, Recorder]:
    recorder = Recorder(ledger, site="album", keys=RING, addresses=addresses, wall=clock.wall)
    return Takers(name=recorder.name, pack=partial(payload_for, KEYS), wall=clock.wall), recorder


def test_who_took_it_is_found_among_the_events() -> None:
    """The event of a traced rendition holds the trace, and its client's name gives the code in it."""
    clock, ledger = Clock(), Ledger()
    takers, recorder = made(clock, ledger)
    gate = gate_of(policy_of(), clock)
    for peer in ("203.0.113.7", "203.0.113.8"):
        passage = gate.judge(head_of("/media/1.jpg", tool(), peer=peer))
        passage.taker = takers.of(passage)
        recorder.record(passage, 200)
    one, other = ledger.events
    assert one["trace"] != other["trace"]
    found = unpack(int(str(one["trace"]), 16))
    assert found.code == principal_code(KEYS.code, str(one["client"]))
    assert found.code != principal_code(KEYS.code, str(other["client"]))


def test_a_rendition_without_a_trace_names_none() -> None:
    clock, ledger = Clock(), Ledger()
    _, recorder = made(clock, ledger)
    gate = gate_of(policy_of(), clock)
    for taker in (None, 0):
        passage = gate.judge(head_of("/media/1.jpg", tool()))
        if taker is not None:
            passage.taker = taker
        recorder.record(passage, 200)
    assert all("trace" not in event for event in ledger.events)


def test_a_trace_ties_no_week_to_the_next() -> None:
    """As the client's name in events: unless the policy says plain, whoever reads logs cannot follow anybody."""
    clock = Clock()
    passage = gate_of(policy_of(), clock).judge(head_of("/media/1.jpg", tool()))
    for addresses, same in (("hashed", False), ("plain", True)):
        takers, _ = made(clock, Ledger(), addresses)
        codes = []
        for _ in range(2):
            codes.append(unpack(takers.of(passage)).code)
            clock.tick(7 * 86_400)
        assert (codes[0] == codes[1]) is same
