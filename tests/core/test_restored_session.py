"""A session that a browser restores at its start: many pages at once, none of them reached by a link."""

from __future__ import annotations

from antiscrape.core.signals import Panel
from tests.core.visits import PAGE, SHOWN, THUMBNAIL, TYPED, image, visit
from tests.house import policy_of


def test_forty_tabs_of_a_session_that_is_restored_are_unknown_and_no_bot() -> None:
    """As Chromium asks for them: typed, at once, each with its pictures. A clearance lifts what is unknown, never a bot."""
    pictures = [(image(number * 7 % 40), SHOWN) for number in range(40)]
    history = visit(*[(PAGE, TYPED)] * 40, *pictures, *[(THUMBNAIL, SHOWN)] * 120, pause=0.05)
    policy = policy_of()
    score, findings = Panel({}).of_visit(history)
    assert {one.name for one in findings} == {"pages-typed-one-by-one", "pages-in-a-hurry"}
    assert policy.unknown_at <= score < policy.bot_at
