"""Tags of trap links: made for one, read by all workers, unreadable to everybody else; and the links themselves."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.core.tokens import KeyRing
from antiscrape.core.traps import ARCHIVE, PICTURE, TrapLinks, TrapTags
from tests.costs import calls_of
from tests.house import SECRET

HOUR = 3600.0
NOW = 1_800_000_000.0
ALICE, BOB = "192.0.2.1", "198.51.100.7"


def tags_of(secret: str = SECRET) -> TrapTags:
    return TrapTags(KeyRing([secret.encode()]))


TAGS = tags_of()


def path_of(tag: str) -> str:
    return f"/3f9a/{tag}{ARCHIVE}/4b1c"


def test_a_tag_is_ten_letters_that_are_the_same_all_hour_in_every_worker() -> None:
    start = NOW - NOW % HOUR
    made = {tags_of().make(ALICE, start + seconds) for seconds in (0.0, 1800.0, 3599.9)}
    assert made == {TAGS.make(ALICE, start)}
    assert re.fullmatch("[a-z2-7]{10}", made.pop())


def test_who_uses_a_link_that_was_given_to_them_has_borrowed_nothing() -> None:
    reading = TAGS.read(path_of(TAGS.make(ALICE, NOW)), NOW + 60, ALICE)
    assert reading is not None
    assert (reading.holder, reading.borrowed, reading.made) == (ALICE, False, NOW - NOW % HOUR)


def test_who_uses_a_link_that_was_given_to_somebody_else_is_told_from_who_invents_one() -> None:
    tag = TAGS.make(ALICE, NOW)
    reading = TAGS.read(path_of(tag), NOW, BOB)
    assert reading is not None
    assert (reading.tag, reading.borrowed) == (tag, True)
    assert TAGS.read(path_of("aaaaaaaaaa"), NOW, BOB) is None
    assert TAGS.read("/3f9a/archive", NOW, BOB) is None


def test_of_many_candidates_the_one_it_was_given_to_is_named() -> None:
    path = path_of(TAGS.make("198.51.100.40", NOW))
    reading = TAGS.read(path, NOW, *[f"198.51.100.{last}" for last in range(100)])
    assert reading is not None
    assert reading.holder == "198.51.100.40"


@pytest.mark.parametrize(
    ("hours", "read"), [(-1, True), (0, True), (24, True), (30, True), (31, False), (300, False)]
)
def test_a_tag_is_read_for_a_day_and_is_nobodys_afterwards(hours: int, read: bool) -> None:  # noqa: FBT001 - a table's column
    """An old link of one's own must not become one that was given to somebody else."""
    path = path_of(TAGS.make(ALICE, NOW))
    for key in (ALICE, BOB):
        reading = TAGS.read(path, NOW + hours * HOUR, key)
        assert (reading is not None) is read
        if reading is not None:
            assert reading.borrowed == (key == BOB)


def test_tags_of_one_principal_have_nothing_in_common_from_hour_to_hour_nor_those_of_one_hour() -> None:
    """A page in a foreign cache or log must not name a person: neither whole tags nor single letters may repeat."""
    for made in (
        [TAGS.make(ALICE, NOW + hour * HOUR) for hour in range(200)],
        [TAGS.make(f"192.0.2.{n}", NOW) for n in range(200)],
    ):
        assert len(set(made)) == 200
        for place in range(10):
            assert len({tag[place] for tag in made}) > 20


@settings(max_examples=60)
@given(place=st.integers(0, 9), letter=st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_letter_makes_a_tag_nobodys(place: int, letter: str) -> None:
    tag = TAGS.make(ALICE, NOW)
    changed = tag[:place] + letter + tag[place + 1 :]
    assert (TAGS.read(path_of(changed), NOW, ALICE) is not None) == (changed == tag)


def test_without_the_secret_tags_are_neither_made_nor_read() -> None:
    foreign = tags_of("another-site's-secret-4Rj8uEaGi-9pTf2mZ7")
    tag = foreign.make(ALICE, NOW)
    assert tag != TAGS.make(ALICE, NOW)
    assert TAGS.read(path_of(tag), NOW, ALICE) is None


def test_a_site_that_folds_its_paths_reads_tags_all_the_same() -> None:
    path = path_of(TAGS.make(ALICE, NOW)).upper()
    reading = TAGS.read(path, NOW, ALICE)
    assert reading is not None
    assert reading.holder == ALICE


@settings(max_examples=80)
@given(st.text(max_size=80), st.text(max_size=20))
def test_any_path_and_any_key_can_be_read(path: str, key: str) -> None:
    assert TAGS.read("/" + path, NOW, key) is None


def test_a_path_of_a_thousand_invented_tags_costs_no_more_than_one_of_ten() -> None:
    few, many = ("/abcdefghij" * count for count in (10, 740))
    assert calls_of(lambda: TAGS.read(many, NOW, ALICE)) == calls_of(lambda: TAGS.read(few, NOW, ALICE))


class Seen(HTMLParser):
    """What a program sees that reads the markup: every link and picture."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"}:
                self.found[tag] = value or ""


@pytest.mark.parametrize("base", ["/3f9a", "/3f9a/", "/hidden/place"])
def test_a_page_has_one_link_and_one_picture_under_the_traps_path(base: str) -> None:
    links = TrapLinks(base)
    found = Seen(links.snippet(ALICE, NOW)).found
    root = base.rstrip("/")
    assert found == {"a": root + ARCHIVE, "img": root + PICTURE}
    assert links.snippet(BOB, NOW + 9 * HOUR) == links.snippet(ALICE, NOW), (
        "caches may share what is not tagged"
    )


def test_a_site_may_do_without_the_picture() -> None:
    assert Seen(TrapLinks("/3f9a", pictures=False).snippet(ALICE, NOW)).found == {"a": "/3f9a" + ARCHIVE}


def test_tagged_links_are_those_of_one_principal_and_lead_back_to_it() -> None:
    links = TrapLinks("/3f9a/", TAGS)
    mine, others = (Seen(links.snippet(key, NOW)).found for key in (ALICE, BOB))
    assert set(mine.values()).isdisjoint(others.values())
    for path in (*mine.values(), *links.entries("", ALICE, NOW)):
        reading = TAGS.read(path, NOW, BOB, ALICE)
        assert reading is not None
        assert reading.holder == ALICE


def test_a_sitemaps_entries_are_urls_of_the_site_under_the_traps_path() -> None:
    entries = TrapLinks("/3f9a/").entries("https://photos.example", ALICE, NOW, count=3)
    assert len(set(entries)) == 3
    assert all(url.startswith("https://photos.example/3f9a/archive/") for url in entries)


def test_a_snippet_has_no_words_and_stands_in_a_template() -> None:
    """A text browser knows no templates: what it would show is the text, and there is none."""
    snippet = TrapLinks("/3f9a", TAGS).snippet(ALICE, NOW)
    assert re.sub(rb"<[^>]*>", b"", snippet) == b""
    assert snippet.startswith(b"<template>")
    assert snippet.endswith(b"</template>")
    assert b'loading="lazy" alt=""' in snippet
