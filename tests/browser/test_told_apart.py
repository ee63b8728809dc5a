"""What separates a browser in a window from one that a program has: measured with both, and convicting neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

from tests.browser.browsing import (
    WIDTH,
    by_another_name,
    chromium,
    driven_by_playwright,
    firefox,
    plain_chromium,
    screen,
    site,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.browsing import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with screen() as shown:
        yield shown.name


def is_proven(served: Site) -> None:
    served.until(lambda: "proven" in served.counts)
    assert served.counts == {"asked": 1, "proven": 1}


def keeps_a_browsers_budget(served: Site) -> None:
    """Not proven, and none of its originals lost."""
    served.until(lambda: "browser" in served.counts)
    assert served.counts == {"asked": 1, "browser": 1}
    served.until(lambda: served.told and served.told[-1] == [WIDTH] * 3)
    assert served.standings["127.0.0.1"] == "browser"


def test_chromium_in_a_window_is_proven(display: str) -> None:
    with site() as served, plain_chromium(served.url, display=display):
        is_proven(served)


def test_firefox_in_a_window_is_proven(display: str) -> None:
    with site() as served, firefox(served.url, display=display):
        is_proven(served)


def test_chromium_without_a_window_is_not_whatever_it_calls_itself() -> None:
    with site(browser="100/hour") as served, plain_chromium(served.url, by_another_name()):
        keeps_a_browsers_budget(served)


def test_firefox_without_a_window_is_not() -> None:
    with site(browser="100/hour") as served, firefox(served.url):
        keeps_a_browsers_budget(served)


def test_chromium_that_a_debugger_listens_to_is_not() -> None:
    """It hides that it has no mouse, no window and WebDriver, as Playwright does; not what listens to its console."""
    with driven_by_playwright(), site(browser="100/hour") as served, chromium(watched=True) as browser:
        browser.pages[0].goto(served.url)
        keeps_a_browsers_budget(served)
