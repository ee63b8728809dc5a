"""A warning that any request can cause is said once a minute, and nothing is left untold."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from antiscrape.asgi.seldom import Seldom

if TYPE_CHECKING:
    import pytest

LOG = logging.getLogger("tests.seldom")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name == LOG.name]
    caplog.clear()
    return found


def test_a_thousand_of_a_kind_are_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(LOG)
    for number in range(1000):
        seldom.warn(f"the site declined a websocket: {200 + number % 2}", now=number / 100)
    seldom.warn("the site closed the connection before its answer", now=10.0)
    assert said(caplog) == [
        "the site declined a websocket: 200",
        "the site closed the connection before its answer",
    ]
    seldom.warn("the site declined a websocket: 404", now=60.0)
    assert said(caplog) == ["the site declined a websocket: 404 (and 999 more like it since the last time)"]
    seldom.warn("the site declined a websocket: 404", now=120.0)
    assert said(caplog) == ["the site declined a websocket: 404"]


def test_kinds_without_end_take_no_memory_without_end(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(LOG)
    for number in range(1000):
        seldom.warn(f"{number}", now=0.0)
    assert len(said(caplog)) == 1000
    assert len(seldom._until) <= 64
