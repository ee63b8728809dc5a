"""Groups of clients: what machines have in common, and what people have."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.habits import VISIT
from antiscrape.core.signals.spread import SIGNALS
from antiscrape.core.spread import (
    ALONE,
    Distinct,
    GroupFacts,
    Level,
    Spread,
    Taking,
    from_elsewhere,
    look_of,
    share_ration,
)
from antiscrape.core.verdict import Budget
from tests.costs import ends
from tests.house import changed, head_of, visitor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.core.rules import Policy

KEY = b"k" * 32
LOOK = b"chrome"
HOUR = 3600.0


def spread_of(**settings: int) -> Spread:
    return Spread(key=KEY, started=0.0, **settings)


def taking(place: int, image: int, *, look: bytes = LOOK, shown: bool = False, **more: Any) -> Taking:
    known = Taking(f"10.{place // 256}.{place % 256}.9", f"10.{place // 256}.{place % 256}.0/24", look, image)
    return known._replace(shown=shown, **more)


def begin(spread: Spread, places: Iterable[int], now: float = HOUR, **more: Any) -> GroupFacts:
    """Let each client ask for an original of its own, first of all; return what the last one is told."""
    facts = ALONE
    for place in places:
        facts = spread.note(taking(place, 1_000_000 + place, **more), now)
    return facts


def take(spread: Spread, places: Iterable[int], now: float = HOUR, many: int = 3, **more: Any) -> GroupFacts:
    """Let each client take originals that no other takes; return what the last one is told."""
    facts = ALONE
    for place in places:
        for turn in range(many):
            facts = spread.note(taking(place, 100 * place + turn, **more), now)
    return facts


def hashes(count: int) -> Iterable[int]:
    """Yield different 64-bit hashes."""
    return (int.from_bytes(blake2b(b"%d" % place, digest_size=8).digest(), "big") for place in range(count))


@pytest.mark.parametrize("count", [0, 1, 8, 40, 300, 5000, 100_000])
def test_distinct_pictures_are_counted_within_a_sixth(count: int) -> None:
    sketch = Distinct()
    for digest in hashes(count):
        sketch.add(digest)
    assert abs(len(sketch) - count) <= count / 6


def test_what_was_counted_counts_no_more() -> None:
    once, thrice = Distinct(), Distinct()
    for turn in range(3):
        for digest in (0, 2**64 - 1, *hashes(500)):
            thrice.add(digest)
            if not turn:
                once.add(digest)
    assert len(once) == len(thrice) > 400


def test_a_browser_has_one_look_for_pages_pictures_and_downloads_which_have_no_hints() -> None:
    page, image, other = map(visitor, ("chromium page", "chromium image", "chrome on windows image"))
    looks = [look_of(head_of("/", one)) for one in (page, image, changed(image, (b"sec-ch-ua", None)), other)]
    assert looks[0] == looks[1] == looks[2] != looks[3]


def test_no_value_moves_from_one_field_to_the_next() -> None:
    plain = visitor("firefox image")
    one = changed(plain, (b"accept-language", b"en"), (b"accept-encoding", b"1:gzip"))
    other = changed(plain, (b"accept-language", b"en6:1"), (b"accept-encoding", b":gzip"))
    assert look_of(head_of("/", one)) != look_of(head_of("/", other))


@pytest.mark.parametrize(
    ("site", "referer", "elsewhere"),
    [
        (b"same-origin", None, False),
        (b"cross-site", b"https://photos.example/", True),
        (b"none", None, True),
        (None, None, True),
        (None, b"https://photos.example/p/1", False),
        (None, b"https://photos.example.attacker.example/", True),
        (None, b"\xff[" * 40_000, True),
    ],
)
def test_a_request_says_whether_a_page_of_ours_led_to_it(
    *, site: bytes | None, referer: bytes | None, elsewhere: bool
) -> None:
    fields = changed(visitor("firefox image"), (b"sec-fetch-site", site), (b"referer", referer))
    assert from_elsewhere(head_of("/a.jpg", fields)) is elsewhere


@pytest.mark.security("A11")
@pytest.mark.parametrize(
    ("clients", "level"),
    [(7, Level.NONE), (8, Level.SUSPECTED), (20, Level.DOUBTED), (80, Level.CONVICTED)],
)
def test_evidence_against_beginners_grows_with_their_number(clients: int, level: Level) -> None:
    facts = begin(spread_of(), range(clients))
    assert facts.beginners is level
    assert (facts.ration is not None) is (level > Level.NONE)


@pytest.mark.parametrize("united", ["look", "network", "owner", "stretch"])
def test_any_one_thing_in_common_unites(united: str) -> None:
    spread, facts = spread_of(), ALONE
    for place in range(40):
        look = LOOK if united == "look" else b"look %d" % place
        known = taking(place, 1000 + place, look=look)
        known = known._replace(
            network="10.0.0.0/24" if united == "network" else known.network,
            asn=64500 if united == "owner" else 0,
            number=512 + place if united == "stretch" else -1,
        )
        facts = spread.note(known, HOUR)
    assert (facts.beginners, facts.group) == (Level.DOUBTED, united)


def test_who_has_nothing_in_common_but_the_site_shares_a_ration_at_most() -> None:
    spread, facts = spread_of(), ALONE
    for place in range(300):
        for turn in range(3):
            facts = spread.note(taking(place, 10 * place + turn, look=b"look %d" % place), HOUR)
    assert (facts.beginners, facts.takers, facts.group) == (Level.SUSPECTED, Level.SUSPECTED, "site")


def test_many_small_groups_share_the_ration_of_the_wide_one() -> None:
    spread, rations = spread_of(), set()
    for place in range(100):
        facts = spread.note(taking(place, place, look=b"look %d" % (place // 10)), HOUR)
        rations.add(id(facts.ration))
    assert (facts.beginners, facts.group) == (Level.SUSPECTED, "site")
    assert len(rations) == 2  # one, and none for the first few


def test_a_crowd_that_follows_one_link_is_no_machine() -> None:
    spread = spread_of()
    for place in range(2000):
        assert spread.note(taking(place, 4711), HOUR) is ALONE


def test_a_crowd_keeps_its_picture_while_a_machine_is_at_work_among_it() -> None:
    spread = spread_of()
    for place in range(200):
        spread.note(taking(place, 4711), HOUR)
    assert begin(spread, range(1000, 1100)).beginners is Level.CONVICTED
    assert spread.note(taking(5000, 4711), HOUR).beginners is Level.NONE


def test_what_another_site_leads_to_is_no_beginning_of_a_machine_and_an_album_no_taking() -> None:
    spread = spread_of()
    assert begin(spread, range(1000, 1500), elsewhere=True) is ALONE
    for place in range(300):
        for image in range(8):
            assert spread.note(taking(place, image, elsewhere=True), HOUR).takers is Level.NONE


def test_a_few_with_full_caches_among_many_are_no_machine() -> None:
    spread = spread_of()
    for place in range(600):
        shown = place % 4 != 0
        assert spread.note(taking(place, place, shown=shown), HOUR) is ALONE


@pytest.mark.security("A11")
def test_takers_are_found_amid_a_popular_look() -> None:
    spread = spread_of()
    begin(spread, [9000])
    take(spread, range(1000, 1200), shown=True)
    assert begin(spread, range(20)) is ALONE
    facts = take(spread, range(20))
    assert (facts.takers, facts.group) == (Level.DOUBTED, "look")


def test_a_few_in_a_hundred_takers_are_no_machine() -> None:
    spread = spread_of()
    take(spread, [0])
    take(spread, range(1000, 1400), shown=True)
    assert take(spread, range(1, 20)) is ALONE


def test_members_that_are_shown_something_are_not_told_of_the_others() -> None:
    spread = spread_of()
    assert take(spread, range(100)).takers is Level.CONVICTED
    assert take(spread, range(1000, 1010), shown=True) is ALONE
    assert spread.note(taking(2000, 9, paged=True), HOUR) is ALONE


def test_pages_alone_are_held_against_takers_where_the_site_shows_more_to_others() -> None:
    bare = spread_of()
    assert take(bare, range(100), paged=True) is ALONE
    lively = spread_of()
    begin(lively, [9000])
    take(lively, range(1000, 1020), look=b"firefox", shown=True)
    assert take(lively, range(100), paged=True).takers is Level.CONVICTED


def test_the_next_beginner_is_not_waited_for_where_nearly_all_go_on() -> None:
    most, half = spread_of(), spread_of()
    take(most, range(60), elsewhere=True)
    begin(half, range(1000, 1060), elsewhere=True)
    take(half, range(60), elsewhere=True)
    assert begin(most, [500], elsewhere=True).beginners is Level.DOUBTED
    assert begin(half, [500], elsewhere=True).beginners is Level.NONE


def test_a_group_of_which_others_are_shown_something_has_doubts_but_no_bots() -> None:
    spread = spread_of()
    begin(spread, [9000])
    take(spread, range(1000, 1020), shown=True)
    assert begin(spread, range(100)).beginners is Level.DOUBTED
    take(spread, range(1020, 1200), shown=True)
    assert take(spread, range(2000, 2080)).takers is Level.DOUBTED


def test_takers_are_few_among_those_who_begin_with_a_page() -> None:
    spread = spread_of()
    begin(spread, [9000])
    begin(spread, range(1000, 1400), paged=True)
    assert take(spread, range(20)).takers is Level.NONE


def test_three_visits_of_one_picture_are_no_taker() -> None:
    spread, facts = spread_of(), ALONE
    for turn in range(3):
        for place in range(30):
            known = taking(place, 100 * place + turn, shown=place % 2 == 0)
            facts = spread.note(known, HOUR + turn * (VISIT + 60.0))
    assert facts.takers is Level.NONE


def test_people_of_ours_hide_no_machine_that_claims_to_come_from_elsewhere() -> None:
    spread = spread_of()
    begin(spread, [9000])
    take(spread, range(1000, 1500), shown=True)
    assert take(spread, range(30), elsewhere=True).takers is Level.DOUBTED


def test_from_elsewhere_it_takes_more_takers() -> None:
    spread = spread_of()
    assert take(spread, range(11), elsewhere=True) is ALONE
    assert take(spread, range(11, 24), elsewhere=True).takers is Level.DOUBTED


@pytest.mark.parametrize("spacing", [1.0, VISIT + 1.0])
def test_one_client_is_no_group(spacing: float) -> None:
    spread, facts = spread_of(), ALONE
    for image in range(7):
        facts = spread.note(taking(0, image), HOUR + image * spacing)
    assert facts.beginners is Level.NONE


def test_asking_twice_counts_once() -> None:
    spread = spread_of()
    for _ in range(10):
        facts = begin(spread, range(7))
    assert facts is ALONE


def test_right_after_a_start_nobody_is_counted() -> None:
    """Whoever was in the midst of a visit asks for the next original as if it were the first."""
    spread = Spread(key=KEY, started=HOUR)
    assert begin(spread, range(500), now=HOUR + 299) is ALONE
    assert begin(spread, range(500, 507), now=HOUR + 300) is ALONE
    assert begin(spread, range(507, 515), now=HOUR + 301).beginners is Level.SUSPECTED


def test_what_a_group_did_is_forgotten_after_the_window() -> None:
    for later, level in ((1.5, Level.CONVICTED), (2.0, Level.NONE), (3.5, Level.NONE)):
        spread = Spread(key=KEY, started=0.0, window=HOUR)
        begin(spread, range(100), now=HOUR)
        assert begin(spread, [500], now=later * HOUR).beginners is level


@pytest.mark.parametrize(
    ("networks", "level"),
    [(5, Level.NONE), (6, Level.SUSPECTED), (9, Level.SUSPECTED), (10, Level.CONVICTED)],
)
def test_a_url_made_for_one_visitor_is_used_from_few_networks(networks: int, level: Level) -> None:
    spread = spread_of()
    for place in range(networks):
        known = taking(place, place)
        for _ in range(3):
            spread.note_token(b"tag", known.principal, known.network, HOUR)
    facts = spread.note(taking(0, 1, shown=True), HOUR)
    assert facts.passers is level
    assert facts.group == ("token" if level else "")


def test_tokens_are_told_apart_and_forgotten() -> None:
    spread = Spread(key=KEY, started=0.0, window=HOUR)
    for place in range(9):
        known = taking(place, place)
        spread.note_token(b"tag %d" % (place % 2), known.principal, known.network, HOUR)
    assert spread.note(taking(0, 1, shown=True), HOUR) is ALONE
    spread.note_token(b"tag 0", "late", "late network", 3 * HOUR)
    assert spread.note(taking(0, 2)._replace(principal="late", shown=True), 3 * HOUR) is ALONE


def test_a_group_shares_one_ration() -> None:
    spread, limits, got = spread_of(), parse_limits("5/hour"), []
    begin(spread, range(8))
    for place in range(8, 14):
        facts = begin(spread, [place])
        got.append(share_ration(facts, limits, place, HOUR))
    assert [exceeded is None for exceeded in got] == [True] * 5 + [False]
    assert got[-1] is not None
    assert (got[-1].budget, got[-1].shared) == (Budget.ORIGINALS, True)
    assert share_ration(facts, limits, 8, HOUR) is None
    assert share_ration(ALONE, limits, 99, HOUR) is None


@pytest.mark.security("A12")
def test_made_up_groups_fill_no_memory_and_hash_to_no_one_place() -> None:
    spread = spread_of(groups=64)
    with ends(20):
        for place in range(5000):
            number = place * (2**61 - 1) << 8
            known = taking(place, place * (2**61 - 1), look=b"look %d" % place, number=number, asn=number + 1)
            spread.note(known, HOUR)
            spread.note_token(b"tag %d" % place, known.principal, known.network, HOUR)
    assert max(len(table) for table in spread._groups.values()) <= 64
    assert len(spread._tokens) <= 64


def test_a_group_that_is_at_work_outlives_made_up_ones() -> None:
    spread = spread_of(groups=64)
    for place in range(1000):
        begin(spread, [10_000 + place], look=b"look %d" % place)
        if place % 20 == 0:
            begin(spread, [place])
    assert begin(spread, [50_000]).group in {"look", "site"}
    assert LOOK.hex() in spread._groups["look"].young


FIELDS = st.builds(
    taking,
    st.integers(0, 20),
    st.integers(0, 30),
    look=st.sampled_from([b"one", b"two"]),
    shown=st.booleans(),
    paged=st.booleans(),
    elsewhere=st.booleans(),
    number=st.integers(-1, 1000),
    asn=st.integers(0, 2),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FIELDS, st.floats(0, 7200)), max_size=120))
def test_the_same_calls_give_the_same_answers(events: list[tuple[Taking, float]]) -> None:
    one, same = spread_of(), spread_of()
    now = 0.0
    for known, gap in events:
        now += gap
        facts = one.note(known, now)
        assert facts[:4] == same.note(known, now)[:4]
        assert max(facts[:3]) == Level.NONE or facts.ration is not None
        if known.shown:
            assert facts is ALONE


def test_evidence_makes_members_unknown_and_then_bots(policy: Policy) -> None:
    def score(**levels: Level) -> int:
        facts = GroupFacts(**levels)  # type: ignore[arg-type]  # levels by name
        return sum(row.weight for row in SIGNALS if row.test(facts))

    assert score() == score(beginners=Level.SUSPECTED, takers=Level.SUSPECTED, passers=Level.SUSPECTED) == 0
    for rule in ("beginners", "takers"):
        assert policy.unknown_at <= score(**{rule: Level.DOUBTED}) < policy.bot_at
        assert policy.bot_at <= score(**{rule: Level.CONVICTED}) < policy.banned_at
    assert policy.bot_at <= score(passers=Level.CONVICTED) < policy.banned_at
