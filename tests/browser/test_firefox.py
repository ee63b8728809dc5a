"""One Firefox in a window, and all that befalls a visit in it: tabs, the way back, a worker, a frame, a slow phone."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

from tests.browser.browsing import ARTIFACTS, WIDTH, site
from tests.browser.undriven import slow_line, undriven

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.browsing import Site
    from tests.browser.undriven import Page, Window

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PREVIEW = 480
ALL = "document.images.length && [...document.images].every((image) => image.naturalWidth === {})"
WHOLE, LESSER = ALL.format(WIDTH), ALL.format(PREVIEW)
#: What the check has noted of itself, as it is after twelve hours.
ENDED = "localStorage.setItem('antiscrape', JSON.stringify({ until: 1, asked: 1 }))"
#: A line and a processor as Lighthouse has its slow phone: 150 ms to and fro, 1.6 Mbit/s, four times slower.
DELAY, RATE, SLOWER = 0.075, 204_800.0, 4


@contextmanager
def visited(window: Window, name: str, **rules: Any) -> Iterator[Site]:
    """Serve the site under a name of its own, whose cookies are no other's, with pages that the window has a hand in."""
    with site(**rules) as served:
        served.url = served.url.replace("127.0.0.1", f"{name}.localhost")
        served.page = served.page.replace("/report.js", window.script)
        yield served


def keep(window: Window, page: Page, name: str) -> None:
    """Keep what is shown once the page is painted."""
    page.do(
        "document.hidden || new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go())))"
    )
    window.shown.picture(ARTIFACTS / f"firefox-{name}.png")


def add(number: int) -> str:
    return f"void document.body.append(Object.assign(new Image(), {{ src: '/media/{number}.jpg', alt: '' }}))"


def two_tabs(window: Window) -> None:
    """Of two that open at once one does the check, and both have their pictures, the one that allows no frames, too.

    Now and then both do it: what one keeps (localStorage) reaches the other some time after the lock that it waited for.
    """
    with visited(window, "tabs") as served:
        served.policies["/"] = "frame-src 'none'"
        pages = window.open(served.url, served.url + "next")
        for page in pages:
            page.until(WHOLE)
        assert served.counts["proven"] <= 2
        keep(window, pages[1], "tabs")


def ended_and_back(window: Window) -> None:
    """A clearance ends amidst a visit, the next page earns another, and the first comes back as it was left: with a preview."""
    with visited(window, "back") as served:
        (first,), following = window.open(served.url), window.page(served.url + "next")
        first.until(WHOLE)
        served.later(43_260.0)
        first.do(add(7))
        first.until(f"document.images[3].naturalWidth === {PREVIEW}")
        first.leave("location.assign('/next')")
        following.do(ENDED)
        following.do(add(8))
        following.until(WHOLE)
        assert served.counts["proven"] == 2
        following.leave("history.back()")
        first.until("persisted")
        first.until(WHOLE)
        assert first.do("document.images.length") == 4
        assert served.counts["proven"] == 2
        keep(window, first, "back")


def service_worker(window: Window) -> None:
    """The site's own worker fetches everything, the check's script and answers among it."""
    worker = (
        "addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));"
        "addEventListener('activate', (event) => event.waitUntil(clients.claim()));"
    )
    with visited(window, "worker") as served:
        served.files["/worker.js"] = ("text/javascript", worker)
        served.files["/quiet"] = ("text/html", f'<!doctype html><script src="{window.script}"></script>')
        served.policies["/quiet"] = f"script-src 'unsafe-eval' {window.script}; worker-src 'self'"
        (quiet,) = window.open(served.url + "quiet")
        quiet.do(
            "navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready).then(Boolean)"
        )
        quiet.leave("location.assign('/')")
        page = window.page(served.url)
        page.until(WHOLE)
        assert page.do("navigator.serviceWorker.controller !== null")
        assert served.counts["proven"] == 1
        keep(window, page, "worker")


def came_and_was_cleared(served: Site, times: int) -> bool:
    return served.asked.count("GET /") == times and bool(served.counts.get("proven"))


def others_frame(window: Window) -> None:
    """Its cookie is not taken there (SameSite), so pictures stay previews, and it is earned once; in a tab it is another."""
    with visited(window, "frame") as served:
        (around,), frame = window.open(f"{window.home.url}around?{served.url}"), window.page(served.url)
        for times in (1, 2, 3):
            served.until(partial(came_and_was_cleared, served, times))
            frame.until(LESSER)
            if times < 3:
                around.leave("location.reload()")
        keep(window, around, "frame")
        around.leave("location.assign('/')")
        assert served.counts["asked"] <= 2
        assert served.counts["proven"] == 1
        assert len(served.asked) < 60, "nothing goes round in circles"
        (alone,) = window.open(served.url)
        alone.until(WHOLE)
        assert served.counts["proven"] == 2


def slow_phone(window: Window) -> None:
    """In a window as narrow as a phone's, over its line, by a browser that is stopped three quarters of the time."""
    with visited(window, "phone") as served:
        name, _, port = served.url.rstrip("/").rpartition(":")
        with slow_line(int(port), delay=DELAY, rate=RATE) as far, window.slowed(SLOWER):
            (page,) = window.open(f"{name}:{far}/", features="popup,width=390,height=760")
            page.until(WHOLE)
            assert served.counts["proven"] == 1
        assert page.do("innerWidth") == 390
        keep(window, page, "phone")


def test_a_persons_firefox_has_its_originals_whatever_befalls_the_visit() -> None:
    """All in one browser, for to start one costs more than they do."""
    with undriven() as window:
        for situation in (two_tabs, ended_and_back, service_worker, others_frame, slow_phone):
            situation(window)
