"""The ladder: what is measured has to last before anything is shed, and to be well over before it is done again."""

from __future__ import annotations

from antiscrape.core.overload import CALM, CHECKS, RENDITIONS, REQUESTS, Ladder
from antiscrape.core.rules import OverloadRules

RULES = OverloadRules(lag=(0.1, 0.2, 0.4), memory=(0.8, 0.9, 0.95), calm=5.0)


def climb(ladder: Ladder, lag: float, memory: float = 0.0, start: float = 0.0, looks: int = 5) -> int:
    for look in range(looks):
        ladder.look(lag, memory, start + look * 0.1)
    return ladder.rung


def test_each_mark_has_its_rung_and_either_measure_reaches_it() -> None:
    expected = [(0.05, CALM), (0.1, CHECKS), (0.25, RENDITIONS), (3.0, REQUESTS)]
    assert [(lag, climb(Ladder(RULES), lag)) for lag, _ in expected] == expected
    expected = [(0.5, CALM), (0.8, CHECKS), (0.92, RENDITIONS), (0.95, REQUESTS)]
    assert [(share, climb(Ladder(RULES), 0.0, share)) for share, _ in expected] == expected


def test_one_late_turn_is_no_overload() -> None:
    ladder = Ladder(RULES)
    for look in range(50):
        ladder.look(2.0 if look % 5 == 0 else 0.01, 0.0, look * 0.1)
        assert ladder.rung == CALM


def test_rungs_are_left_one_by_one_and_only_when_it_is_well_below() -> None:
    """Shedding lowers what it is measured by: at 90 % of the mark it goes on, at 70 % it ends after ``calm``."""
    ladder = Ladder(RULES)
    assert climb(ladder, 0.5) == REQUESTS
    for look in range(200):
        ladder.look(0.37, 0.0, 1 + look * 0.1)
    assert ladder.rung == REQUESTS
    left: list[tuple[int, int]] = []
    for look in range(200):
        before = ladder.rung
        if ladder.look(0.01, 0.0, 21 + look * 0.1) != before:
            left.append((round(look / 10), ladder.rung))
    assert left == [(5, RENDITIONS), (10, CHECKS), (15, CALM)]


def test_what_is_switched_off_sheds_nothing() -> None:
    assert climb(Ladder(OverloadRules(enabled=False)), 60.0, 1.0) == CALM
