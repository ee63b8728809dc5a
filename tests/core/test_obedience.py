"""Whether robots.txt was disobeyed: by the files that crawlers were served, today's and those of a day ago."""

from __future__ import annotations

from antiscrape.core.crawler import Answer
from antiscrape.core.obedience import STALE_AFTER, RobotsBook
from antiscrape.core.robots import Robots


def book_of(*files: tuple[float, str]) -> RobotsBook:
    book = RobotsBook()
    for now, text in files:
        book.learn("site.test", Robots.parse(text.encode()), now)
    return book


def test_nothing_is_known_of_a_host_whose_file_has_not_passed_by() -> None:
    book = book_of((0, "User-agent: *\nDisallow: /x\nUser-agent: Foo\nDisallow: /y\n"))
    assert book.disallowed("other.test", "Foo", b"/y", 1) is Answer.UNKNOWN
    told = [book.disallowed("site.test", agent, b"/x?q=1", 1) for agent in ("", "Foo", "Bar")]
    assert told == [Answer.YES, Answer.NO, Answer.YES]
    assert book.disallowed("site.test", "Foo", b"/y", 1) is Answer.YES


def test_a_crawler_may_go_by_a_copy_that_is_a_day_old() -> None:
    """RFC 9309 §2.4. A rule that was added an hour ago is not disobeyed yet."""
    first, second, third = (
        "User-agent: *\nDisallow: /x\n" + more
        for more in ("", "Disallow: /y\n", "Disallow: /y\nDisallow: /z\n")
    )
    book = book_of((0, first), (100, first + "# a comment is no change"), (1_000, second), (2_000, third))
    ask = [book.disallowed("site.test", "", path, 3_000) for path in (b"/x", b"/y", b"/z")]
    assert ask == [Answer.YES, Answer.NO, Answer.NO]
    later = [book.disallowed("site.test", "", path, 1_000 + STALE_AFTER) for path in (b"/y", b"/z")]
    assert later == [Answer.YES, Answer.NO]  # the first file is a day old, the second is not
    assert book.disallowed("site.test", "", b"/z", 2_000 + STALE_AFTER) is Answer.YES


def test_the_book_is_bounded() -> None:
    book = RobotsBook(bound=8)
    for number in range(1_000):
        book.learn(f"host{number}.test", Robots(), 0)
        book.learn("site.test", Robots.parse(b"User-agent: *\nDisallow: /%d" % number), number)
    known = [
        number
        for number in range(1_000)
        if book.disallowed(f"host{number}.test", "", b"/", 0) is not Answer.UNKNOWN
    ]
    assert 0 < len(known) <= 8
