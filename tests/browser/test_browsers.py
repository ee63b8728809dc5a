"""Real browsers do the check unseen, and what became of it shows in their pages."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

from antiscrape.core.budgets import Limit
from antiscrape.core.rules import GrantRules
from tests.browser.browsing import ARTIFACTS, POINTER, WIDTH, chromium, firefox, phone, site

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("playwright_driver")]
PICTURES = 3
#: Pixels of a preview's long side.
PREVIEW = 480


def test_chromium_sees_previews_become_originals_in_place() -> None:
    """And nothing that it asks for on the way leaves the site."""
    with site() as served, chromium() as browser:
        page = browser.pages[0]
        hosts: set[str] = set()
        browser.on("request", lambda request: hosts.add(request.url.split("/")[2]))

        def late(route: Any) -> None:
            served.until(lambda: served.told and served.told[-1] == [PREVIEW] * PICTURES)
            route.continue_()

        page.route("**/challenge", late)
        page.goto(served.url, wait_until="commit")
        served.until_seen(page, lambda: served.told and served.told[-1] == [WIDTH] * PICTURES)
        assert served.counts == {"asked": 1, "proven": 1}
        assert page.url == served.url, "the page was not loaded again"
        wanted = [asked for asked in served.asked if "/media/" in asked]
        assert len(wanted) == 2 * PICTURES, f"each picture once as a preview and once more: {wanted}"
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTIFACTS / "chromium-cleared.png")
        page.goto(served.url + "next", wait_until="networkidle")
        assert served.counts == {"asked": 1, "proven": 1}, "cleared once is cleared"
        assert served.standings["127.0.0.1"] == "proven"
        assert hosts == {served.url.split("/")[2]}


def test_firefox_does_the_same() -> None:
    with site() as served, firefox(served.url, **POINTER):
        served.until(lambda: served.told and served.told[-1] == [WIDTH] * PICTURES)
        assert served.counts == {"asked": 1, "proven": 1}
        wanted = [asked for asked in served.asked if "/media/" in asked]
        assert len(wanted) == 2 * PICTURES, wanted


def test_a_driven_chromium_is_told_apart() -> None:
    """By its own word, navigator.webdriver; its User-Agent says that it has no window, too."""
    with site() as served, chromium(driven=True) as browser:
        browser.pages[0].goto(served.url, wait_until="networkidle")
        served.until(lambda: "denied" in served.counts)
        assert served.counts == {"asked": 1, "denied": 1}
        assert served.standings["127.0.0.1"] == "bot"
        browser.pages[0].goto(served.url + "next", wait_until="networkidle")
        assert served.counts == {"asked": 1, "denied": 1}, "and it is not asked at every page"


def test_a_driven_chromium_under_anothers_name_is_told_apart() -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
    with site(browser="100/hour") as served, chromium(driven=True, user_agent=agent) as browser:
        browser.pages[0].goto(served.url, wait_until="networkidle")
        served.until(lambda: "denied" in served.counts)
        browser.pages[0].goto(served.url + "next", wait_until="networkidle")
        assert served.standings["127.0.0.1"] == "bot"


def test_a_driven_firefox_is_told_apart() -> None:
    with site() as served, firefox(served.url, "--marionette"):
        served.until(lambda: "denied" in served.counts)
        assert served.counts == {"asked": 1, "denied": 1}


def test_two_tabs_at_once_are_both_served() -> None:
    with site() as served, chromium() as browser:
        pages = [browser.pages[0], browser.new_page()]
        for page in pages:
            page.goto(served.url, wait_until="commit")
        for page in pages:
            page.wait_for_function(f"[...document.images].every((image) => image.naturalWidth === {WIDTH})")


def test_a_folder_of_tabs_opened_at_once_is_one_check_and_no_tab_loses_its_picture() -> None:
    """An address earns so many clearances: were each tab to ask for its own, most of forty would be left with previews.

    When what one tab keeps (localStorage) reaches another is the browser's affair: now and then a second one asks.
    """
    numbers = (7, 3, 1, 8, 2, 5)
    around = "".join(f'<img alt="" src="/small/{number}.jpg">' for number in range(3))
    with site(browser="40/10min", issues=Limit(2, 3600, "2/hour")) as served, chromium() as browser:
        for number in numbers:
            page_of = f'<!doctype html><title>{number}</title><body><img alt="" src="/media/{number}.jpg">{around}</body>'
            served.files[f"/p/{number}"] = ("text/html; charset=utf-8", page_of)
        served.files["/folder"] = ("text/plain", "")
        folder = browser.pages[0]
        folder.goto(served.url + "folder")
        folder.evaluate(f"for (const number of {list(numbers)}) open(`/p/${{number}}`)")
        served.until_seen(folder, lambda: len(browser.pages) == len(numbers) + 1)
        for page in browser.pages[1:]:
            page.wait_for_function(f"document.images[0]?.naturalWidth === {WIDTH}")
        assert served.counts["asked"] <= 2, served.counts


def test_what_one_tab_earned_reaches_another_that_loaded_before() -> None:
    """Its script comes late, finds the check done, and has previews on its page all the same."""
    whole = f"[...document.images].every((image) => image.naturalWidth === {WIDTH})"
    with site() as served, chromium() as browser:
        late, first = browser.pages[0], browser.new_page()
        held: list[Any] = []
        late.route("**/check.js", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
        late.goto(served.url, wait_until="commit")
        late.wait_for_function(
            "document.images.length && [...document.images].every((image) => image.complete)"
        )
        assert not late.evaluate(whole)
        first.goto(served.url)
        first.wait_for_function(whole)
        assert len(held) == 1
        held[0].continue_()
        late.wait_for_function(whole)
        assert served.counts["proven"] == 1


def test_a_clearance_that_ends_amidst_a_visit_is_earned_again() -> None:
    with site() as served, chromium() as browser:
        page = browser.pages[0]
        page.goto(served.url)
        whole = f"[...document.images].every((image) => image.naturalWidth === {WIDTH})"
        page.wait_for_function(whole)
        browser.clear_cookies(name="clearance")
        page.evaluate("localStorage.setItem('antiscrape', JSON.stringify({ until: 1, asked: 1 }))")
        page.evaluate(
            "document.body.append(Object.assign(new Image(), { src: '/media/7.jpg', alt: 'seven' }))"
        )
        served.until(lambda: served.counts.get("proven") == 2)
        page.wait_for_function(whole)


def test_pictures_further_down_an_open_page_outlive_its_clearance() -> None:
    """Their URLs are bound to the clearance that the page was made for, which has ended when somebody scrolls there."""
    further = '<div style="height:40000px"></div><img alt="further" loading="lazy" src="/media/8.jpg">'
    page_of_two = (
        f'<!doctype html><title>Two</title><body><img alt="here" src="/media/7.jpg">{further}</body>'
    )
    binding = GrantRules(prefixes=("/media/",), binding="clearance")
    with site(grants=binding) as served, chromium() as browser:
        served.files["/two"] = ("text/html; charset=utf-8", page_of_two)
        page = browser.pages[0]
        page.goto(served.url)
        served.until(lambda: "proven" in served.counts)
        page.goto(served.url + "two")
        page.wait_for_function(f"document.images[0].naturalWidth === {WIDTH}")
        assert not page.evaluate("document.images[1].complete"), "nobody has scrolled there"
        served.later(43_260.0)
        page.evaluate("localStorage.setItem('antiscrape', JSON.stringify({ until: 1, asked: 1 }))")
        page.evaluate("document.images[1].scrollIntoView()")
        page.wait_for_function(f"document.images[1].naturalWidth === {WIDTH}")
        assert served.counts == {"asked": 2, "proven": 2}
        assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_a_page_comes_back_out_of_the_back_forward_cache() -> None:
    with site() as served, chromium() as browser:
        page = browser.pages[0]
        page.goto(served.url, wait_until="commit")
        page.goto(served.url + "next")
        served.until(lambda: "proven" in served.counts)
        page.go_back()
        page.wait_for_function(f"[...document.images].every((image) => image.naturalWidth === {WIDTH})")
        assert served.counts["proven"] <= 2


def test_a_service_worker_is_no_hindrance() -> None:
    """The page that was cleared shows its originals, though its pictures are the worker's, and so does the next."""
    worker = (
        "addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));"
        "addEventListener('activate', (event) => event.waitUntil(clients.claim()));"
    )
    with site() as served, chromium() as browser:
        served.files["/worker.js"] = ("text/javascript", worker)
        served.files["/empty"] = ("text/plain", "")
        page = browser.pages[0]
        page.goto(served.url + "empty")
        page.evaluate(
            "async () => { await navigator.serviceWorker.register('/worker.js'); await navigator.serviceWorker.ready; }"
        )
        whole = f"[...document.images].every((image) => image.naturalWidth === {WIDTH})"
        page.goto(served.url)
        page.wait_for_function(whole)
        page.goto(served.url + "next")
        page.wait_for_function(whole)
        assert served.counts == {"asked": 1, "proven": 1}


def test_in_another_sites_frame_nothing_goes_round_in_circles() -> None:
    """Its cookie is not taken there (SameSite), so pictures stay previews, and it is asked for once."""
    with site() as served, chromium() as browser:
        page = browser.pages[0]
        outer = served.url.replace("127.0.0.1", "localhost")
        served.files["/outer"] = ("text/html", f'<iframe src="{served.url}" title="inner"></iframe>')
        for _ in range(3):
            page.goto(outer + "outer", wait_until="networkidle")
        assert served.counts.get("asked", 0) <= 2
        assert len(served.asked) < 60


def test_where_no_cookies_are_kept_the_check_leaves_it() -> None:
    with site() as served, chromium(cookies=False) as browser:
        browser.pages[0].goto(served.url, wait_until="networkidle")
        browser.pages[0].goto(served.url + "next", wait_until="networkidle")
        assert served.counts == {"asked": 1}, "what the first page told ahead"
        assert served.told[-1] == [PREVIEW] * PICTURES


def test_a_slow_phone_is_cleared_too() -> None:
    """Four times slower than this machine."""
    with site() as served, chromium(**phone()) as browser:
        page = browser.pages[0]
        session = browser.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        page.goto(served.url)
        served.until(lambda: "proven" in served.counts)
        page.wait_for_function(f"[...document.images].every((image) => image.naturalWidth === {WIDTH})")
        page.screenshot(path=ARTIFACTS / "phone-cleared.png")
