"""How many clearances one address may earn, and what the next one costs."""

from __future__ import annotations

from antiscrape.core.budgets import Limit
from antiscrape.core.issuing import IssueBook

LIMIT = Limit(16, 3600, "16/hour")


def test_an_address_has_as_many_as_its_limit_and_others_have_theirs() -> None:
    book = IssueBook()
    waits = [book.issue("192.0.2.1", LIMIT, 0.0) for _ in range(20)]
    assert waits[:16] == [0.0] * 16
    assert all(wait > 0 for wait in waits[16:])
    assert book.issue("192.0.2.2", LIMIT, 0.0) == 0.0
    assert book.issue("192.0.2.1", LIMIT, waits[-1] + 1) == 0.0, "the wait that was told was honest"


def test_the_nearer_the_limit_the_harder_and_never_harder_for_the_first() -> None:
    book = IssueBook()
    costs = []
    for _ in range(16):
        costs.append(book.doublings("a", LIMIT, 0.0))
        book.issue("a", LIMIT, 0.0)
    assert costs[:3] == [0, 0, 0]
    assert costs == sorted(costs)
    assert costs[-1] >= 5
    assert book.doublings("a", LIMIT, 3600.0) == 0, "and after an hour it is forgotten"


def test_none_at_all_is_none_at_all() -> None:
    assert IssueBook().issue("a", Limit(0, 86_400, "0"), 0.0) > 0
