"""The step without a script, in real browsers: readable, without loops, and accessible as axe-core sees it."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

from antiscrape.browser.languages import Languages
from tests.browser.browsing import ARTIFACTS, chromium, site

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("playwright_driver")]
ROOT = Path(__file__).parents[2]
BASE = ".well-known/antiscrape"
AXE = "4.14.1"
#: WCAG 2.2 AA and everything that it builds on.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@functools.cache
def axe() -> str:
    """Return axe-core's source, fetched once by the npm client into the cache."""
    kept = ROOT / ".cache" / f"axe-core-{AXE}.js"
    if not kept.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm client is installed, which fetches axe-core")
        with tempfile.TemporaryDirectory() as folder:
            command = [
                npm,
                "pack",
                "--silent",
                "--ignore-scripts",
                "--pack-destination",
                folder,
                f"axe-core@{AXE}",
            ]
            if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode:
                pytest.skip("axe-core could not be fetched")
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
                found = archive.extractfile("package/axe.min.js")
                assert found is not None
                kept.parent.mkdir(exist_ok=True)
                kept.write_bytes(found.read())
    return kept.read_text("utf-8")


def complaints(page: Any) -> list[str]:
    """Return what axe-core finds wrong with the page that is shown."""
    page.evaluate(axe())
    found = page.evaluate("(tags) => axe.run(document, { runOnly: tags })", RULES)
    assert found["passes"], "it looked at something"
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found["violations"]]


def test_without_scripts_a_person_takes_one_step_and_is_back() -> None:
    with site(wait=3600.0) as served, chromium(scripts=False) as browser:
        page = browser.pages[0]
        page.goto(served.url)
        page.get_by_role("link", name="See pictures in full").click()
        assert page.get_by_role("heading").inner_text() == "See the pictures in full"
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTIFACTS / "step.png")
        page.get_by_role("button").click()
        assert "a little too soon" in page.get_by_role("alert").inner_text()
        served.hurry()
        page.get_by_role("button").click()
        page.wait_for_url(served.url)
        assert served.counts == {"asked": 1, "stale": 1, "browser": 1}, (
            "a browser loads ahead without scripts, too"
        )
        assert [cookie["name"] for cookie in browser.cookies()] == ["clearance"]


def test_without_scripts_and_cookies_it_ends_with_words_and_no_loop() -> None:
    with site(wait=3600.0) as served, chromium(scripts=False, cookies=False) as browser:
        page = browser.pages[0]
        page.goto(f"{served.url}{BASE}/step?to=/next")
        served.hurry()
        page.get_by_role("button").click()
        assert page.get_by_role("heading").inner_text() == "Your browser keeps no cookies"
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTIFACTS / "no-cookies.png")
        page.get_by_role("link", name="Back to where you were").click()
        assert page.url == served.url + "next"


@pytest.mark.parametrize(("language", "scheme"), [("en", "dark"), ("ar", "light"), ("ja", "dark")])
def test_axe_has_nothing_against_the_pages(language: str, scheme: Any) -> None:
    """In both schemes, in both directions; one browser each, for the language is its own."""
    axe()
    with site(wait=3600.0) as served, chromium(locale=language, color_scheme=scheme) as browser:
        page = browser.pages[0]
        page.goto(f"{served.url}{BASE}/step?to=/next")
        assert page.get_attribute("html", "lang") == language
        assert page.get_attribute("html", "dir") == ("rtl" if language == "ar" else "ltr")
        assert complaints(page) == []
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"step-{language}-{scheme}.png")
        page.get_by_role("button").click()
        assert page.get_by_role("alert").is_visible()
        assert complaints(page) == []
        page.goto(f"{served.url}{BASE}/done?to=/next")
        assert page.get_by_role("heading").inner_text() == Languages().words[language].no_cookies
        assert complaints(page) == []


def test_it_works_with_the_keyboard_alone() -> None:
    with site(wait=3600.0) as served, chromium(scripts=False) as browser:
        page = browser.pages[0]
        page.goto(f"{served.url}{BASE}/step?to=/next")
        served.hurry()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url(served.url + "next")
