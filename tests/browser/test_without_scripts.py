"""Firefox without scripts or cookies, and set as a Tor Browser at its safest: one step, no loop, no dead end."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("altcha", reason="ALTCHA's library is not installed (antiscrape[browser])")

from antiscrape.browser.languages import Languages
from tests.browser.browsing import ARTIFACTS, site
from tests.browser.marionette import hand

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ENGLISH = Languages().words["en"]
#: What "Safest" comes to: no scripts, no drawings (SVG), no fingerprint, nothing kept beyond the session.
SAFEST: dict[str, Any] = {
    "javascript__enabled": False,
    "svg__disabled": True,
    "privacy__resistFingerprinting": True,
    "browser__privatebrowsing__autostart": True,
    "network__http__referer__XOriginPolicy": 2,
    "webgl__disabled": True,
}
NO_COOKIES = 2


def test_one_step_and_the_pictures_are_there() -> None:
    with site(wait=3600.0, browser="20/hour") as served, hand(**SAFEST) as firefox:
        firefox.go(served.url)
        firefox.picture(ARTIFACTS / "firefox-safest-page.png")
        firefox.follow(ENGLISH.link)
        assert firefox.text("h1") == ENGLISH.title
        firefox.press()
        assert firefox.text("[role=alert]").startswith("That was a little too soon")
        firefox.picture(ARTIFACTS / "firefox-safest-soon.png")
        served.hurry()
        firefox.press()
        served.until(lambda: firefox.url == served.url)
        assert served.counts["browser"] == 1
        firefox.follow("Next")
        served.until(lambda: firefox.url == served.url + "next")
        firefox.picture(ARTIFACTS / "firefox-safest-cleared.png")
        assert served.standings["127.0.0.1"] == "browser"
        assert served.counts["asked"] <= 2, "no challenge with every page"


def test_where_no_cookie_is_kept_there_are_words_and_a_way_back() -> None:
    refused = {"network__cookie__cookieBehavior": NO_COOKIES, "javascript__enabled": False}
    with site(wait=3600.0) as served, hand(**refused) as firefox:
        for path in ("", "next", ""):
            firefox.go(served.url + path)
        assert served.counts.get("asked", 0) <= 1
        firefox.go(f"{served.url}.well-known/antiscrape/step?to=/next")
        served.hurry()
        firefox.press()
        served.until(lambda: firefox.text("h1") == ENGLISH.no_cookies)
        firefox.picture(ARTIFACTS / "firefox-no-cookies.png")
        firefox.follow(ENGLISH.again)
        assert firefox.text("h1") == ENGLISH.title
        firefox.follow(ENGLISH.back)
        served.until(lambda: firefox.url == served.url + "next")
        assert len(served.asked) < 60, "nothing goes round in circles"
        assert served.counts["browser"] == 1
