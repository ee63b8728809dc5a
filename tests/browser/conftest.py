"""What the tests with real browsers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.browsing import driven_by_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def playwright_driver() -> Iterator[None]:
    with driven_by_playwright():
        yield
