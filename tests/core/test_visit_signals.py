"""Every signal of a visit, for and against: made by hand one step from each other, and as they were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.core.history import History, names_host
from antiscrape.core.signals import OF_VISIT, Panel
from antiscrape.core.traits import read_traits
from tests.core.visits import (
    ASSET,
    BARE,
    FRAMED,
    LINKED,
    PAGE,
    PREFETCHED,
    REFERRED,
    SAVES,
    SHOWN,
    THUMBNAIL,
    TRAP,
    TRAP_PICTURE,
    TYPED,
    again,
    borrowed,
    disobedient,
    head_with,
    image,
    inventor,
    offered,
    paced,
    recorded,
    refused,
    shown,
    sitemap_read,
    subject,
    unfound,
    visit,
    walked,
)  # fmt: skip
from tests.house import agent_book, head_of, policy_of, visitor, visitors

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.core.resource import Resource
    from tests.house import Visitor

PANEL = Panel({})


OF_HABITS: dict[str, tuple[History, History]] = {
    "images-without-a-page": (visit(*[(image(), BARE)] * 5), visit((PAGE, BARE), *[(image(), BARE)] * 20)),
    "pages-without-rendering": (visit(*[(PAGE, BARE)] * 4), visit(*[(PAGE, BARE)] * 20, (ASSET, BARE))),
    "originals-without-thumbnails": (
        visit(*[(PAGE, BARE), (image(), BARE)] * 5),
        visit(*[(PAGE, BARE), (image(), BARE)] * 30, (THUMBNAIL, BARE)),
    ),
    "cookie-never-returned": (offered(4, BARE), offered(9, {b"cookie": b"a=1"})),
    "much-not-found": (unfound(12, 47), unfound(12, 48)),
    "numbers-walked": (walked(13, smaller=1), walked(24, smaller=4)),
    "images-fetched-by-script-again": (
        visit(*[(image(), shown(b"empty"))] * 3),
        visit(*[(image(), SHOWN)] * 30, *[(image(), shown(b"empty"))] * 2, *[(image(), SAVES)] * 5),
    ),
    "images-opened-as-pages": (
        visit(*[(image(), shown(b"document"))] * 8, *[(image(), SAVES)] * 8),
        visit(*[(image(), shown(b"document"))] * 9, *[(image(), SAVES)] * 3),
    ),
    "referer-never-sent": (
        visit(*[(image(), BARE)] * 8),
        visit(*[(image(), BARE)] * 20, (image(), REFERRED)),
    ),
    "pages-faster-than-reading": (
        visit(*[(PAGE, BARE)] * 60, pause=0.9),
        visit(*[(PAGE, BARE)] * 60, pause=3.4),
    ),
    "pages-typed-one-by-one": (
        visit(*[(PAGE, TYPED)] * 8, *[(PAGE, LINKED)] * 7),
        visit(*[(PAGE, TYPED)] * 8, *[(PAGE, LINKED)] * 8),
    ),
    "pages-in-a-hurry": (
        visit(*[(PAGE, LINKED)] * 9, pause=1.4),
        visit(*[(PAGE, LINKED)] * 90, pause=1.6),
    ),
    "page-claimed-never-opened": (
        visit(*[(image(), REFERRED)] * 3),
        visit((PAGE, BARE), *[(image(), REFERRED)] * 30),
    ),
    "originals-out-of-nowhere": (
        visit(*[(image(), BARE)] * 3),
        visit((THUMBNAIL, BARE), *[(image(), BARE)] * 30),
    ),
    "subject-after-subject": (
        visit(*[(subject(f"person{n}"), LINKED) for n in range(20)]),
        visit(
            *[
                step
                for n in range(20)
                for step in ((subject(f"person{n}"), LINKED), *[(THUMBNAIL, SHOWN)] * 5)
            ]
        ),
    ),
    "sitemap-walked": (sitemap_read(*[(PAGE, BARE)] * 8), visit(*[(PAGE, BARE)] * 80)),
    "refusals-ignored": (refused(PAGE, 8), refused(image(), 80)),
    "cadence-too-regular": (
        paced(*[3.0, 3.1, 2.9] * 3),
        paced(*[3.0, 3.1, 2.9] * 30, beside=THUMBNAIL),
    ),
    "never-conditional": (again(8), again(80, {b"if-none-match": b'"a"'})),
    "robots-disobeyed": (
        disobedient(image(1), image(2), image(3)),
        disobedient(image(1), image(1), image(2), PAGE._replace(identity=2)),
    ),
    "trap-picture-fetched": (visit((TRAP_PICTURE, BARE)), visit(*[(TRAP, BARE)] * 2)),
    "grants-made-up": (inventor(1, 2, 3), inventor(*[1] * 9, *[2] * 9)),
    "trap-link-borrowed": (borrowed(), visit((TRAP, BARE))),
    "trap-followed": (visit((TRAP, BARE)), visit(*[(TRAP_PICTURE, BARE)] * 9)),
    "trap-followed-again": (
        visit(*[(TRAP, BARE)] * 3),
        visit(*[(TRAP, BARE)] * 2, *[(TRAP_PICTURE, BARE)] * 9),
    ),
}


def test_every_signal_of_a_visit_has_a_case_for_and_a_case_against() -> None:
    told = {signal.name for signal in OF_VISIT if signal.family != "browser"}  # see test_probes.py
    assert set(OF_HABITS) == told


def test_the_same_image_again_is_no_habit() -> None:
    """Who reloads one picture twenty times has asked for one."""
    history = History(0.0)
    for step in range(20):
        history.note_request(image(7), head_with(BARE), float(step))
    assert (history.requests, history.images) == (20, 1)


@pytest.mark.parametrize("name", OF_HABITS)
def test_a_signal_of_a_visit_fires_where_it_should_and_nowhere_near(name: str) -> None:
    shows, shows_not = OF_HABITS[name]
    assert name in {finding.name for finding in PANEL.of_visit(shows)[1]}
    assert name not in {finding.name for finding in PANEL.of_visit(shows_not)[1]}


def found(history: History) -> set[str]:
    return {finding.name for finding in PANEL.of_visit(history)[1]}


@pytest.mark.parametrize(
    ("name", "history"),
    [
        ("images-without-a-page", visit(*[(image(), BARE)] * 4)),
        ("pages-without-rendering", visit(*[(PAGE, BARE)] * 3)),
        ("pages-without-rendering", visit(*[(PAGE, BARE)] * 20, (THUMBNAIL, BARE))),
        ("originals-without-thumbnails", visit(*[(PAGE, BARE), (image(), BARE)] * 4)),
        ("originals-without-thumbnails", visit(*[(image(), BARE)] * 9)),
        ("originals-without-thumbnails", visit((PAGE, BARE), *[(image(), BARE)] * 30)),
        ("numbers-walked", visit((PAGE, BARE), *[(image(number), BARE) for number in range(100, 150)])),
        ("numbers-walked", visit(*[(image(number), BARE) for number in range(100, 112)])),
        ("numbers-walked", visit(*[(image(number * 7 % 31), BARE) for number in range(31)])),
        ("numbers-walked", walked(40, smaller=2)),
        ("images-opened-as-pages", visit(*[(image(), SAVES)] * 15)),
        ("images-opened-as-pages", visit(*[(image(), SAVES), (THUMBNAIL, SHOWN), (THUMBNAIL, SHOWN)] * 40)),
        ("pages-typed-one-by-one", visit(*[(PAGE, TYPED)] * 7)),
        ("pages-typed-one-by-one", visit(*[(PAGE, PREFETCHED)] * 80)),
        ("pages-in-a-hurry", visit(*[(PAGE, LINKED)] * 8, pause=0.1)),
        ("pages-in-a-hurry", visit(*[(PAGE, PREFETCHED)] * 80, pause=0.1)),
        ("pages-in-a-hurry", visit(*[(PAGE, FRAMED)] * 80, pause=0.1)),
        ("page-claimed-never-opened", visit(*[(image(), REFERRED)] * 2)),
        ("page-claimed-never-opened", visit(*[(image(), {b"referer": b"https://elsewhere.example/"})] * 30)),
        ("page-claimed-never-opened", visit(*[(image(), {**REFERRED, b"cookie": b"a=1"})] * 30)),
        ("page-claimed-never-opened", visit((THUMBNAIL, REFERRED), *[(image(), REFERRED)] * 30)),
        ("page-claimed-never-opened", visit(*[(image(), REFERRED)] * 3, (PAGE, REFERRED))),
        ("originals-out-of-nowhere", visit(*[(image(), BARE)] * 2)),
        ("originals-out-of-nowhere", visit(*[(image(), {b"sec-fetch-site": b"cross-site"})] * 30)),
        ("originals-out-of-nowhere", visit((ASSET, BARE), *[(image(), BARE)] * 30)),
        ("subject-after-subject", visit(*[(subject(f"person{n % 11}"), LINKED) for n in range(80)])),
        ("sitemap-walked", sitemap_read(*[(PAGE, BARE)] * 7)),
        ("sitemap-walked", sitemap_read(*[(PAGE, BARE)] * 20, *[(THUMBNAIL, BARE)] * 20)),
        ("refusals-ignored", refused(PAGE, 7)),
        ("cadence-too-regular", paced(*[3.0] * 8)),
        ("cadence-too-regular", paced(*[3.0] * 8, 3.4, *[3.0] * 8)),
        ("cadence-too-regular", paced(*[3.0, 3.4] * 40)),
        ("cadence-too-regular", paced(*[0.15] * 80)),
        ("cadence-too-regular", visit(*[(THUMBNAIL, SHOWN)] * 80)),
        ("never-conditional", again(7)),
        ("never-conditional", again(80, {b"range": b"bytes=0-"})),
        ("never-conditional", again(80, method="HEAD")),
    ],
)
def test_one_step_short_of_a_signal_is_none(name: str, history: History) -> None:
    assert name not in found(history)


def test_who_opens_many_tabs_at_once_is_in_a_hurry_no_longer_than_that() -> None:
    """A burst is forgotten with the next page that is looked at; a program goes on."""
    history = visit((ASSET, SHOWN), *[(PAGE, LINKED)] * 12, pause=0.5)
    assert found(history) == {"pages-in-a-hurry"}
    assert PANEL.of_visit(history)[0] < policy_of().unknown_at
    history.note_request(PAGE, head_with(LINKED), 60.0)
    assert "pages-in-a-hurry" not in found(history)


def test_who_walks_in_a_hurry_is_known_before_the_tenth_original() -> None:
    """With the request mix of a page view, and a person's fields, order and pace are all that is left."""
    step = [(PAGE, LINKED), (THUMBNAIL, SHOWN)]
    history = visit(*[one for n in range(9) for one in (*step, (image(1000 - n), SHOWN))], pause=0.2)
    assert {"pages-in-a-hurry", "numbers-walked"} <= found(history)
    assert PANEL.of_visit(history)[0] >= policy_of().bot_at


@pytest.mark.parametrize(("bits", "many"), [(11, False), (12, True)])
def test_twelve_bits_of_the_ring_are_many_subjects(bits: int, many: bool) -> None:  # noqa: FBT001 - a table's column
    history = History(0.0)
    history.own_habits().ring = (1 << bits) - 1
    assert ("subject-after-subject" in found(history)) is many


def test_oddities_are_nobody_elses_and_end_with_the_visit() -> None:
    """Visits without any share one record of none, so whoever has some must have another."""
    odd, plain = visit((TRAP_PICTURE, BARE)), visit((PAGE, BARE))
    assert (odd.odd.pictures, plain.odd.pictures, History(0.0).odd.pictures) == (1, 0, 0)
    odd.note_request(PAGE, head_with(BARE), 5000.0)
    assert odd.odd is plain.odd


def test_what_is_odd_is_news() -> None:
    for note in (History.note_sitemap, History.note_borrowed, lambda h: h.note_refused(PAGE)):
        history = History(0.0)
        note(history)
        assert history.news


@pytest.mark.parametrize(
    ("url", "same"),
    [
        (b"https://photos.example/p/1", True), (b"http://PHOTOS.example:8080/", True), (b"https://photos.example", True),
        (b"https://photos.example.evil/", False), (b"https://evil/photos.example/", False), (b"photos.example", False),
        (b"https://x@photos.example/", False), (b"", False), (b"https://" + b"a" * 9000 + b"photos.example", False),
    ],
)  # fmt: skip
def test_a_referer_is_the_sites_own_or_it_is_not(url: bytes, same: bool) -> None:  # noqa: FBT001 - a table's column
    assert names_host(url, "photos.example") is same


def test_whoever_walks_on_is_no_person_however_much_is_shown_beside_it() -> None:
    """A driven browser loads every thumbnail of every page; nobody presses "next" forty times without a miss."""
    assert "numbers-walked" in found(walked(41, smaller=8))


def test_a_long_visit_keeps_the_share_of_smaller_pictures() -> None:
    """Counters that stop one after the other would make of a scraper's 1 : 1 anything that it likes."""
    history = walked(150, smaller=1)
    assert 100 <= history.images < 200
    assert abs(2 * history.thumbnails - history.images) <= 2


def test_a_hundred_people_who_open_and_save_some_are_nobody_who_opens_them_all() -> None:
    """Behind one address, with one look: one in ten saves a dozen pictures, with four smaller ones to each."""
    reader = [(PAGE, LINKED), *[(THUMBNAIL, SHOWN)] * 12, (image(), SHOWN)]
    collector = [*reader, *[(THUMBNAIL, SHOWN)] * 36, *[(image(), SAVES)] * 12]
    history = visit(*[*reader * 9, *collector] * 10)
    assert "images-opened-as-pages" not in found(history)


def test_who_types_an_address_now_and_then_is_nobody_who_types_them_all() -> None:
    history = visit(*[(PAGE, TYPED), (PAGE, LINKED), (PAGE, LINKED), (THUMBNAIL, SHOWN)] * 200)
    assert "pages-typed-one-by-one" not in found(history)
    assert history.pages < 200


@pytest.mark.parametrize("first", [200, 400, 4000])
def test_a_harvester_that_begins_with_thumbnails_is_weighed_by_what_it_does_next(first: int) -> None:
    """However many it loads before: eighty originals later they are a small share."""
    opens = [(image(), shown(b"document"))] * 80
    history = visit((PAGE, LINKED), *[(THUMBNAIL, SHOWN)] * first, *opens)
    assert "images-opened-as-pages" in found(history)


def test_one_thumbnail_and_one_page_are_remembered_however_long_a_visit_is() -> None:
    history = visit((PAGE, REFERRED), (THUMBNAIL, BARE), *[(image(), BARE)] * 1000)
    assert (history.pages, history.thumbnails) == (1, 1)
    assert history.unreferred == history.images
    named = visit((THUMBNAIL, REFERRED), *[(image(), BARE)] * 1000)
    assert named.unreferred < named.images


def test_a_person_who_sends_neither_cookies_nor_referers_stays_a_browser() -> None:
    history = offered(9, BARE)
    for step in range(30):
        history.note_request(THUMBNAIL._replace(identity=step), head_with(BARE), 100.0 + step)
    assert found(history) == {"cookie-never-returned", "referer-never-sent"}
    assert PANEL.of_visit(history)[0] < policy_of().unknown_at


def test_a_page_for_each_original_is_no_slideshow_whatever_it_shows() -> None:
    assert "cadence-too-regular" in found(paced(*[2.0] * 9, beside=THUMBNAIL, between=PAGE))
    assert PANEL.of_visit(paced(*[2.0] * 60, beside=THUMBNAIL))[0] < policy_of().unknown_at


def test_who_asks_once_whether_a_picture_has_changed_has_a_cache() -> None:
    """Until it is eight times more without."""
    history = again(7)
    history.note_again(image(3), head_with({b"if-modified-since": b"Sun, 06 Nov 1994 08:49:37 GMT"}))
    for number in range(7):
        history.note_again(image(number), head_with(BARE))
    assert "never-conditional" not in found(history)
    history.note_again(image(0), head_with(BARE))
    assert "never-conditional" in found(history)


def test_a_picture_that_is_reloaded_is_had_again_once_and_another_was_never_had() -> None:
    history = again(1)
    for _ in range(20):
        history.note_again(image(0), head_with(BARE))
        history.note_again(image(99), head_with(BARE))
    assert history.odd.again == 1


def test_pace_and_repetition_are_kept_for_those_alone_who_have_some() -> None:
    looker = visit((PAGE, LINKED), *[(THUMBNAIL, SHOWN)] * 30, (ASSET, SHOWN))
    looker.originals = {7: 0.0}
    looker.note_again(image(7), head_with({b"if-none-match": b'"a"'}))
    assert (looker.pace, looker.odd) == (None, History(0.0).odd)
    taker = paced(*[3.0] * 9)
    taker.note_request(PAGE, head_with(LINKED), 5000.0)
    assert taker.pace is None


@pytest.mark.parametrize(("name", "steps"), [
    ("lynx", [PAGE, PAGE, PAGE, PAGE, PAGE, TRAP]), ("w3m", [PAGE] * 9 + [TRAP]), ("elinks", [PAGE, ASSET, PAGE, PAGE, TRAP]),
])  # fmt: skip
def test_a_text_browser_that_walks_into_a_trap_is_no_bot(name: str, steps: list[Resource]) -> None:
    """Text browsers show what style sheets hide and load nothing that is needed to show a page."""
    head = head_of("/x", visitor(name), scheme="https")
    traits = read_traits(head, agent_book().read(head.value(b"user-agent")), PAGE.kind)
    profile, _ = PANEL.of_request(traits)
    habits, findings = PANEL.of_visit(visit(*[(step, REFERRED) for step in steps]))
    assert "trap-followed" in {finding.name for finding in findings}
    assert profile + habits < policy_of().bot_at


@pytest.mark.parametrize("one", visitors("small_browsers"), ids=lambda one: one.name)
def test_a_small_browser_that_fetches_the_traps_picture_on_every_page_is_no_bot(one: Visitor) -> None:
    """It knows no templates, so for it the picture is one like any other."""
    head = head_of("/x", one.headers, http_version=one.version, scheme="https")
    kind = PAGE.kind if one.kind == "page" else THUMBNAIL.kind
    profile, _ = PANEL.of_request(read_traits(head, agent_book().read(head.value(b"user-agent")), kind))
    habits, findings = PANEL.of_visit(
        visit(*[(PAGE, REFERRED), (THUMBNAIL, REFERRED), (TRAP_PICTURE, REFERRED)] * 30)
    )
    assert [finding.name for finding in findings] == ["trap-picture-fetched"]
    assert profile + habits < policy_of().bot_at


def test_a_visit_ends_after_half_an_hour_and_its_spending_does_not() -> None:
    history = visit(*[(TRAP, BARE)] * 3)
    history.originals = {1: 5.0}
    history.note_request(PAGE, head_with(BARE), 2000.0)
    assert (history.traps, history.pages, history.requests) == (0, 1, 1)
    assert history.originals == {1: 5.0}


#: Signal, a scraper's recording that shows it, and that of the person who comes nearest.
RECORDED = {
    "pages-typed-one-by-one": ("http1/scrapling-stealthy", "http1/human-firefox-returning"),
    "pages-in-a-hurry": ("http1/adaptive-pageview", "http2/human-firefox-tabs@h2"),
    "page-claimed-never-opened": ("http1/adaptive-rotate-slow", "http1/human-chromium-direct-image"),
    "originals-out-of-nowhere": ("http1/curl-copied", "http1/human-chromium-direct-image"),
    "subject-after-subject": ("http1/scrapy-polite", "http1/human-firefox-privoxy"),
    "sitemap-walked": ("http1/simplecrawler", "http1/human-chromium-fast-scroller"),
    "cadence-too-regular": ("http1/curl_cffi-paced", "http1/human-chromium-android-flip"),
    "never-conditional": ("http1/siege", "http1/human-chromium-collector"),
    "refusals-ignored": ("http1/wget-r", "http1/human-chromium-android-flip"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_habit_of_a_recorded_scraper_is_not_that_of_the_person_who_comes_nearest(
    shared: Path, name: str
) -> None:
    scraper, person = RECORDED[name]
    assert name in recorded(shared, scraper)
    assert name not in recorded(shared, person)


def test_no_recorded_person_has_one_of_these_habits_even_at_twice_their_pace(shared: Path) -> None:
    people = sorted((shared / "redteam" / "corpus").glob("*/human-*.jsonl.gz"))
    assert len(people) >= 40
    for path in people:
        who = f"{path.parent.name}/{path.name.removesuffix('.jsonl.gz')}"
        assert not set(RECORDED) & recorded(shared, who, pace=2.0), who
