"""How a limit is written."""

from __future__ import annotations

import pytest

from antiscrape.core.budgets import Limit, parse_limits


@pytest.mark.parametrize(
    ("text", "amount", "window"),
    [("40/10min", 40, 600), ("60/day", 60, 86400), ("1.5/s", 1.5, 1), (" 600 / 5 min ", 600, 300), ("2/2HOURS", 2, 7200),
     ("0", 0, 86400), ("7/31d", 7, 31 * 86400)],
)  # fmt: skip
def test_a_limit_is_an_amount_and_a_window(text: str, amount: float, window: float) -> None:
    (limit,) = parse_limits(text)
    assert (limit.amount, limit.window) == (amount, window)
    assert limit.interval == pytest.approx(window / amount if amount else 0.0, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("50MB/hour", 5e7), ("1 kib/s", 1024), ("7/day", 7), ("2GiB/31day", 2 * 2**30)],
)
def test_a_limit_of_bytes_has_a_unit(text: str, amount: float) -> None:
    assert parse_limits(text, sizes=True)[0].amount == amount


@pytest.mark.parametrize("text", ["", "  ", "unlimited", "Unlimited"])
def test_no_limit_is_no_row(text: str) -> None:
    assert parse_limits(text) == ()


@pytest.mark.parametrize(
    "text",
    ["x", "5", "5/", "/min", "-1/min", "5/fortnight", "5MB/min", "5/32day", "5/0min", "1e3/min", "5/min;6/h", "5/min,", "\u0665/min0"],
)  # fmt: skip
def test_what_is_no_limit_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"limit|unit|window"):
        parse_limits(text)


def test_several_limits_keep_their_order_and_their_words() -> None:
    assert parse_limits("40/10min, 60/day") == (Limit(40, 600, "40/10min"), Limit(60, 86400, "60/day"))
