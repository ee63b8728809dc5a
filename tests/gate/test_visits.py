"""Visits that share an address: what people gain by being told apart, and what a harvester that imitates a crowd does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.core.habits import VISIT
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import Route
from antiscrape.core.signals import navigation
from antiscrape.core.verdict import Rendition
from tests.house import Clock, changed, gate_of, head_of, person, policy_of

if TYPE_CHECKING:
    from antiscrape.gate import Gate
    from tests.house import Pairs

ROUTES = (
    Route("/media/**", Kind.IMAGE, Size.ORIGINAL),
    Route("/p/**", Kind.PAGE, Size.UNTOLD),
    Route("/static/**", Kind.ASSET, Size.UNTOLD),
)


class House:
    """One address, whose visitors are told apart by their languages."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.gate: Gate = gate_of(policy_of(routes=ROUTES), self.clock)

    def ask(self, path: str, look: int) -> bool:
        """Ask for a path; tell whether it was given in full."""
        kind = "image" if path.startswith("/media/") else "page"
        return self.gate.judge(head_of(path, fields(look, kind))).verdict.rendition is Rendition.ORIGINAL

    def crowd(self, looks: range, *, drawn: bool) -> None:
        """Let others come by for a page, and for what draws it."""
        for look in looks:
            self.ask("/p/1", look)
            if drawn:
                self.ask("/static/site.css", look)
                self.ask("/p/2", look)

    def pages_until_in_a_hurry(self, look: int) -> int:
        """Open page after page at once, and return at which the visit is found to be in a hurry."""
        for page in range(1, 100):
            self.clock.now += 0.5
            passage = self.gate.judge(head_of(f"/p/{page}", fields(look, "page")))
            self.ask(f"/media/{page * 7919 % 1000}.jpg", look)  # at which a visit is reviewed
            if "pages-in-a-hurry" in {finding.name for finding in passage.habits.visit.findings}:
                return page
        raise AssertionError("never in a hurry")


def fields(look: int, kind: str) -> Pairs:
    return changed(person(kind=kind), (b"accept-language", f"en-US,en;q=0.{look + 1}".encode()))


@pytest.mark.parametrize(
    ("others", "drawn", "at"), [(0, True, 8), (5, True, 8), (6, True, 16), (60, True, 16), (60, False, 8)]
)
def test_a_visit_among_many_that_have_drawn_pages_may_be_two_peoples(
    others: int,
    drawn: bool,  # noqa: FBT001 - a table's column
    at: int,
) -> None:
    house = House()
    house.ask("/p/9", 0)
    house.crowd(range(1, others + 1), drawn=drawn)
    house.ask("/p/9", 99)  # The address's own record is the first look's; this one is kept beside it
    assert house.pages_until_in_a_hurry(99) == at


def test_a_crowd_is_forgotten_when_it_has_gone() -> None:
    house = House()
    house.crowd(range(12), drawn=True)
    house.clock.now += 2 * VISIT + 1
    house.ask("/p/9", 99)
    assert house.pages_until_in_a_hurry(99) == 8


def test_a_crowd_that_stays_is_not_forgotten_between_two_half_hours() -> None:
    house = House()
    house.crowd(range(1, 8), drawn=True)
    house.clock.now += VISIT + 1
    house.ask("/p/9", 99)
    assert house.pages_until_in_a_hurry(99) == 16


def harvest(looks: int, *, visits: int = 14) -> list[int]:
    """Come as a crowd of one's own again and again, and take all that each look is given.

    Return how many originals were granted by the end of each visit.
    """
    house, granted, told = House(), 0, []
    for visit in range(visits):
        house.crowd(range(looks), drawn=True)
        for look in range(looks):
            for turn in range(16):
                house.clock.now += 0.5
                number = ((visit * looks + look) * 16 + turn) * 7919 % 100_003
                house.ask(f"/p/{number}", look)
                granted += house.ask(f"/media/{number}.jpg", look)
        house.clock.now += VISIT + 1
        told.append(granted)
    return told


@pytest.mark.security("A11")
def test_a_harvester_that_imitates_a_crowd_gains_a_pace_and_no_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of its looks has the day's budget that it had before, for the pages that it drew; no more of them, but sooner."""
    leave = harvest(7)
    monkeypatch.setattr(navigation, "_CROWD", 1000)
    none = harvest(7)
    assert none[0] < leave[0] <= none[0] + 7 * 8
    assert leave[-1] == none[-1] == 7 * 60


@pytest.mark.parametrize(
    ("path", "more", "found"),
    [
        ("/media/{}.jpg", (), True),
        ("/media/0.jpg?id={}", (), True),
        ("/media/{}.jpg", ((b"if-none-match", b'"a"'),), False),
    ],
)
def test_originals_that_are_had_and_fetched_anew_are_noted(
    path: str,
    more: tuple[tuple[bytes, bytes], ...],
    found: bool,  # noqa: FBT001 - a table's column
) -> None:
    house, names = House(), set[str]()
    house.crowd(range(1), drawn=True)
    for turn in range(30):
        house.clock.now += 7.0 + turn % 3
        head = head_of(path.format(turn % 10), changed(fields(0, "image"), *(more if turn >= 10 else ())))
        names |= {finding.name for finding in house.gate.judge(head).verdict.findings}
    assert ("never-conditional" in names) is found


def test_what_another_person_at_the_address_had_is_not_fetched_anew() -> None:
    """Several people with one browser are one visit where others draw pages, too."""
    house = House()
    house.crowd(range(2), drawn=True)
    for turn in range(30):
        house.clock.now += 7.0 + turn % 3
        passage = house.gate.judge(head_of(f"/media/{turn % 10}.jpg", fields(0, "image")))
    assert passage.habits.odd.again >= 8
    assert "never-conditional" not in {finding.name for finding in passage.verdict.findings}


def test_a_picture_whose_size_its_answer_tells_is_had_once_when_it_has_come() -> None:
    gate = gate_of(policy_of(routes=(Route("/i/**", Kind.IMAGE, Size.UNTOLD),)), Clock())
    for _ in range(2):
        for number in range(3):
            passage = gate.judge(head_of(f"/i/{number}", person()))
            gate.judge_image(passage, Size.ORIGINAL)
    assert passage.habits.odd.again == 3
