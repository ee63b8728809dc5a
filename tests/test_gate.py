"""The gate: what it gathers, what it charges, what it remembers, on a clock that the test moves."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.budgets import parse_limits
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import GrantRules, Route
from antiscrape.core.verdict import Action, Budget, Mode, Rendition, Standing
from antiscrape.signing import sign_url
from tests.house import Clock, changed, gate_of, head_of, person, policy_of, store_of, tool, visitor

if TYPE_CHECKING:
    from antiscrape.core.rules import Policy
    from antiscrape.core.verdict import Verdict
    from antiscrape.gate import Gate
    from tests.house import Pairs

ROUTES = (
    Route("/robots.txt", Kind.EXEMPT, Size.UNTOLD),
    Route("/o/**", Kind.IMAGE, Size.ORIGINAL),
    Route("/t/**", Kind.IMAGE, Size.THUMBNAIL),
    Route("/u/{subject}", Kind.SUBJECT, Size.UNTOLD),
    Route("/trap/**", Kind.TRAP, Size.UNTOLD),
)
POLICY = policy_of(routes=ROUTES, banned_at=120)


def browsers(**limits: str) -> Policy:
    """Return the policy with other budgets for browsers."""
    parsed: Any = {name: parse_limits(text, sizes=name == "bytes") for name, text in limits.items()}
    browser = replace(POLICY.standings[Standing.BROWSER], **parsed)
    return replace(POLICY, standings={**POLICY.standings, Standing.BROWSER: browser})


def ask(gate: Gate, path: str = "/", headers: Pairs | None = None, peer: str = "203.0.113.7") -> Verdict:
    head = head_of(path, person() if headers is None else headers, peer=peer)
    return gate.judge(head).verdict


def test_a_day_of_originals_is_a_day_of_originals_however_they_are_spaced() -> None:
    """A harvester that waits just as long as it must: sixty in any 24 hours, and forty in any ten minutes."""
    rng = random.Random(8)
    clock = Clock()
    gate = gate_of(browsers(originals="40/10min, 60/day", requests="unlimited"), clock)
    taken: list[float] = []
    for number in range(1500):
        clock.tick(rng.choice([0.0, 1.0, 9.0, 60.0, 300.0]))
        # pages and thumbnails in between, so that the visit looks like a person's and the budget alone decides
        for path in ("/album", "/t/1"):
            ask(gate, path, changed(person(), (b"referer", b"https://photos.example/"), (b"cookie", b"a=1")))
        photo = f"/o/{number * 7919 % 10_007}"
        headers = changed(person(), (b"cookie", b"a=1"))
        if ask(gate, photo, headers).rendition is Rendition.ORIGINAL:
            taken.append(clock.now)
    assert 100 < len(taken) < 400
    for start in taken:
        assert sum(start <= at < start + 600 for at in taken) <= 40
        assert sum(start <= at < start + 86_400 for at in taken) <= 60


def test_the_same_image_in_any_spelling_costs_once() -> None:
    gate = gate_of(browsers(originals="1/day"), Clock())
    ask(gate, "/t/1")
    for path in ("/o/1.jpg", "/o/%31.jpg", "/o/1%2Ejpg", "/%6f/1.jpg", "/o/1.jpg"):
        assert ask(gate, path).rendition is Rendition.ORIGINAL
    assert ask(gate, "/o/2.jpg").rendition is Rendition.PREVIEW


def test_another_query_is_another_image() -> None:
    gate = gate_of(browsers(originals="1/day"), Clock())
    assert ask(gate, "/o/photo?id=1").rendition is Rendition.ORIGINAL
    assert ask(gate, "/o/photo?id=2").rendition is Rendition.PREVIEW
    assert ask(gate, "/o/photo?id=1").rendition is Rendition.ORIGINAL


def test_a_grant_in_the_query_makes_no_other_image() -> None:
    policy = replace(browsers(originals="1/day"), grants=GrantRules(prefixes=("/o/",)))
    clock = Clock()
    gate = gate_of(policy, clock)
    for _ in range(3):
        url = sign_url("/o/1.jpg", policy, now=clock.epoch)
        assert ask(gate, url).rendition is Rendition.ORIGINAL
        clock.tick(1000.0)


@pytest.mark.parametrize("spelling", ["/o/Photo.JPG", "/O/photo.jpg"])
def test_a_grant_holds_in_every_case_where_case_does_not_matter(spelling: str) -> None:
    policy = replace(POLICY, grants=GrantRules(prefixes=("/o/",)), ignore_case=True)
    clock = Clock()
    gate = gate_of(policy, clock)
    assert ask(gate, sign_url(spelling, policy, now=clock.epoch)).rendition is Rendition.ORIGINAL
    assert ask(gate, spelling).rendition is Rendition.PREVIEW


def test_requests_beyond_the_budget_are_limited_and_obeying_the_wait_is_enough() -> None:
    clock = Clock()
    gate = gate_of(browsers(requests="10/min"), clock)
    assert [ask(gate).action for _ in range(10)] == [Action.ADMIT] * 10
    for _ in range(30):
        limited = ask(gate)
        assert limited.action is Action.LIMIT
        assert limited.exceeded is not None
        assert limited.exceeded.budget is Budget.REQUESTS
        clock.tick(limited.exceeded.wait)
        assert ask(gate).action is Action.ADMIT


def test_subjects_beyond_the_budget_cost_the_pictures_not_the_page() -> None:
    gate = gate_of(browsers(subjects="2/hour"), Clock())
    for name in ("ada", "bob", "ada"):
        assert ask(gate, f"/u/{name}").exceeded is None
    third = ask(gate, "/u/cy")
    assert (third.action, third.rendition) == (Action.ADMIT, Rendition.PREVIEW)
    assert third.exceeded is not None
    assert third.exceeded.budget is Budget.SUBJECTS


def test_who_follows_the_trap_is_reviewed_at_once() -> None:
    gate = gate_of(POLICY, Clock())
    assert ask(gate).findings == ()
    assert [finding.name for finding in ask(gate, "/trap/archive").findings] == ["trap-followed"]
    assert ask(gate, "/o/1").rendition is Rendition.ORIGINAL
    for _ in range(2):
        ask(gate, "/trap/archive")
    assert ask(gate, "/o/1").rendition is Rendition.PREVIEW


def test_a_ban_lasts_as_long_as_it_should_whatever_the_client_sends() -> None:
    clock = Clock()
    gate = gate_of(POLICY, clock)
    assert ask(gate, "/o/1", tool((b"accept", None), (b"x-antiscrape-a", b"1"))).standing is Standing.BANNED
    for _ in range(5):
        clock.tick(POLICY.ban_seconds / 6)
        assert ask(gate).action is Action.REFUSE
        assert ask(gate, "/robots.txt").action is Action.ADMIT
    assert ask(gate, peer="203.0.113.8").action is Action.ADMIT
    clock.tick(POLICY.ban_seconds / 6 + 1)
    assert ask(gate).action is Action.ADMIT


def test_shadow_says_what_it_would_do_and_that_it_does_not() -> None:
    gate = gate_of(replace(POLICY, mode=Mode.SHADOW), Clock())
    robot = ask(gate, "/o/1", tool())
    assert (robot.rendition, robot.shadowed) == (Rendition.PREVIEW, True)
    assert ask(gate, "/o/1").shadowed is False


def test_an_untold_picture_is_charged_when_it_turns_out_to_be_one() -> None:
    gate = gate_of(browsers(originals="1/day"), Clock())

    def fetch(path: str, size: Size) -> Rendition:
        passage = gate.judge(head_of(path, person()))
        assert passage.verdict.rendition is Rendition.ORIGINAL
        assert passage.verdict.exceeded is None
        return gate.judge_image(passage, size).rendition

    assert fetch("/x/1", Size.THUMBNAIL) is Rendition.ORIGINAL
    assert fetch("/x/2", Size.ORIGINAL) is Rendition.ORIGINAL
    assert fetch("/x/3", Size.ORIGINAL) is Rendition.PREVIEW
    assert fetch("/x/4", Size.THUMBNAIL) is Rendition.ORIGINAL


def test_what_a_path_turned_out_to_hold_makes_the_next_judgement_only_stricter() -> None:
    gate = gate_of(POLICY, Clock())
    for path, size, then in (("/x/1", Size.ORIGINAL, Size.ORIGINAL), ("/x/2", Size.THUMBNAIL, Size.UNTOLD)):
        passage = gate.judge(head_of(path, person()))
        gate.judge_image(passage, size)
        gate.learn(passage, Kind.IMAGE, size)
        again = gate.judge(head_of(path, person())).resource
        assert (again.kind, again.size) == (Kind.IMAGE, then)


def test_a_visit_of_pages_reads_as_a_person_and_a_list_of_pictures_as_a_harvester() -> None:
    """The same header fields, two habits: the mix and the order tell them apart."""
    clock = Clock()
    gate = gate_of(browsers(originals="unlimited"), clock)
    browsing = changed(person(), (b"cookie", b"a=1"))
    for number in range(40):
        clock.tick(20.0)
        ask(gate, "/album", changed(visitor("firefox page"), (b"cookie", b"a=1")), peer="198.51.100.1")
        for thumbnail in range(6):
            ask(gate, f"/t/{number}-{thumbnail}", browsing, peer="198.51.100.1")
        got = ask(gate, f"/o/{number * 37 % 101}", browsing, peer="198.51.100.1")
        assert got.standing is Standing.BROWSER, got.findings
    alone = changed(person(), (b"referer", None), (b"cookie", None))
    standings = []
    for number in range(40):
        clock.tick(20.0)
        standings.append(ask(gate, f"/o/{number}", alone, peer="198.51.100.2").standing)
    assert standings[0] is Standing.BROWSER
    assert standings[-1] is Standing.BOT


@pytest.mark.security("A13")
def test_hostile_names_and_paths_fill_no_memory() -> None:
    """A path or a set of field names that nobody else sends is not worth remembering at its full length."""
    import tracemalloc

    gate = gate_of(policy_of(), Clock(), store_of(POLICY))
    rng = random.Random(4)
    tracemalloc.start()
    for number in range(1500):
        name = f"x-{number}-{rng.getrandbits(64):x}".encode() + b"a" * 4000
        ask(gate, f"/{number}/" + "a" * 7000, [*person(), (name, b"1")])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 4 * 2**20, f"{held / 1500:.0f} bytes a request"


@pytest.mark.parametrize(("query", "learned"), [("", Size.ORIGINAL), ("w=2000", Size.UNTOLD)])
def test_a_signed_url_is_learned_like_an_unsigned_one_but_another_query_is_another_picture(
    query: str, learned: Size
) -> None:
    clock = Clock()
    signed = replace(POLICY, grants=GrantRules(prefixes=("/p/",)))
    gate = gate_of(signed, clock)
    url = sign_url(f"/p/1?{query}" if query else "/p/1", signed, now=clock.wall())
    passage = gate.judge(head_of(url, person()))
    gate.judge_image(passage, Size.ORIGINAL)
    gate.learn(passage, Kind.IMAGE, Size.ORIGINAL)
    known = gate.judge(head_of(url, person())).resource
    assert (known.kind, known.size) == (Kind.IMAGE, learned)


SHARED = (
    Route("/media/**", Kind.IMAGE, Size.ORIGINAL),
    Route("/page", Kind.PAGE, Size.UNTOLD),
    Route("/static/**", Kind.ASSET, Size.UNTOLD),
)


def looks(number: int) -> Pairs:
    return changed(person(), (b"accept-language", f"en-US,en;q=0.{number + 1}".encode()))


@pytest.mark.parametrize("drawn", [True, False])
def test_browsers_behind_one_address_have_budgets_of_their_own_if_they_draw_pages(drawn: bool) -> None:  # noqa: FBT001 - a table's column
    """And a harvester that only changes its headers has one for all of them."""
    gate = gate_of(replace(browsers(originals="5/day"), routes=SHARED), Clock())
    granted = 0
    for number in range(6):
        ask(gate, "/page", looks(number))
        if drawn:
            ask(gate, "/static/site.css", looks(number))
        for photo in range(8):
            verdict = ask(gate, f"/media/{number}-{7919 * photo % 1000}.jpg", looks(number))
            granted += verdict.rendition is Rendition.ORIGINAL
    assert granted == (30 if drawn else 5)


@pytest.mark.security("A11")
def test_a_harvester_that_changes_its_client_hints_has_one_visit_and_one_budget() -> None:
    """They are no part of the look that tells visits apart: with or without them, in whatever words."""
    gate = gate_of(replace(browsers(originals="5/day"), routes=SHARED), Clock())
    chrome, granted, visits = visitor("chromium image"), 0, set()
    for number in range(9):
        fields = changed(chrome, (b"sec-ch-ua", b'"Chromium";v="151", "Brand %d";v="9"' % number))
        ask(gate, "/page", fields)
        ask(gate, "/static/site.css", fields)
        passage = gate.judge(head_of(f"/media/{7919 * number % 1000}.jpg", fields))
        granted += passage.verdict.rendition is Rendition.ORIGINAL
        visits.add(id(passage.habits))
    assert (granted, len(visits)) == (5, 1)


def test_what_one_browser_does_is_not_held_against_another_at_its_address() -> None:
    gate = gate_of(policy_of(routes=SHARED), Clock())
    for photo in range(30):
        ask(gate, f"/media/{photo}.jpg", looks(1))
    assert ask(gate, "/media/99.jpg", looks(1)).standing is not Standing.BROWSER
    assert ask(gate, "/media/99.jpg", looks(2)).standing is Standing.BROWSER
