"""The pages whose signing is timed are what they are said to be."""

from __future__ import annotations

import pytest

from loadtests.bench.texts import feed, listing, texts


@pytest.mark.parametrize("pictures", [0, 1, 100])
def test_a_listing_has_its_size_and_its_pictures(pictures: int) -> None:
    page = listing(pictures)
    assert 100_000 < len(page) < 101_000
    assert page.count(b"/media/") == pictures


def test_a_feed_has_its_size_and_its_pictures() -> None:
    page = feed(100)
    assert 95_000 < len(page) < 105_000
    assert page.count(b"/media/") == 100


def test_each_figure_is_measured_by_signing() -> None:
    figures = {cost.name: cost.value for cost in texts(1)}
    assert all(value > 0 for value in figures.values())
    assert figures.keys() >= {"html_mb_per_s", "html_bare_mb_per_s", "html_put_mb_per_s", "html_100_mb_per_s"}
