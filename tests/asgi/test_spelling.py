"""Protected URLs are found in a buffer, and the candidates of a srcset where the HTML standard finds them, in linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.asgi.quoted import LONGEST
from antiscrape.asgi.spelling import HTML, Occurrences, Urls
from tests.costs import calls_of, ends

URLS = Urls(lambda url: url + "?!", ("/p/",), "photos.example", fold=False)
SPACE = b" \t\n\f\r"


def by_the_standard(raw: bytes) -> bytes:
    """Sign ``raw`` as HTML 4.8.4.2.1 splits it, one state and one byte after the other."""
    out, at = b"", 0
    while at < len(raw):
        begun = at
        while at < len(raw) and raw[at] in SPACE + b",":
            at += 1
        out += raw[begun:at]
        begun = at
        while at < len(raw) and raw[at] not in SPACE:
            at += 1
        url = raw[begun:at].rstrip(b",")
        out += URLS.sign(url, HTML) + raw[begun + len(url) : at]
        if at > begun and raw[at - 1 : at] == b",":
            continue
        begun, inside = at, False
        while at < len(raw) and (inside or raw[at] != ord(",")):
            inside = raw[at] != ord(")") if inside else raw[at] == ord("(")
            at += 1
        out += raw[begun:at]
    return out


@given(
    st.lists(st.sampled_from([b"/p/1", b"/p/a,b", b"x", b",", b" ", b"\n", b"(", b")", b" 2x"])).map(b"".join)
)
def test_candidates_are_those_of_the_standard(raw: bytes) -> None:
    assert URLS.sign_candidates(raw, HTML) == by_the_standard(raw)


@pytest.mark.parametrize(
    ("raw", "signed"),
    [
        (b"/p/1, /p/2 2x", b"/p/1?!, /p/2?! 2x"),
        (b" ,/p/1 (a, /p/2), /p/3,,", b" ,/p/1?! (a, /p/2), /p/3?!,,"),
        (b"/p/1, (/p/2 3x, /p/3 2x", b"/p/1?!, (/p/2 3x, /p/3?! 2x"),
        (b"/p/1 (/p/2 3x, /p/3 2x", b"/p/1?! (/p/2 3x, /p/3 2x"),
        (b"", b""),
        (b" , ", b" , "),
    ],
)
def test_a_comma_ends_a_candidate_outside_of_parentheses(raw: bytes, signed: bytes) -> None:
    assert URLS.sign_candidates(raw, HTML) == signed


@pytest.mark.security("D6")
@pytest.mark.parametrize(
    "unit",
    [b" ", b",", b", ", b"(", b"()", b"x, (", b"/p/, (", b"x (", b"x,", b"/p/1 (,", b"/p/1, ", b"x ) "],
)
def test_the_longest_srcset_ends(unit: bytes) -> None:
    """No recursion either: a parenthesis after each comma once went one call deeper each."""
    raw = unit * (LONGEST // len(unit))
    with ends():
        assert len(URLS.sign_candidates(raw, HTML)) >= len(raw)


@pytest.mark.security("D6")
@pytest.mark.parametrize(("prefixes", "calls"), [(("/p/",), 1), (("/p/", "/q/"), 4), (("/",), 4)])
def test_a_place_that_is_far_off_is_searched_for_once(prefixes: tuple[str, ...], calls: int) -> None:
    """However often it is asked for; one that is passed is followed by the next."""
    data = b"x" * 1000 + b"/p/" + b"x" * 1000 + b"/p/"
    places = Occurrences(Urls(lambda url: url, prefixes, "", fold=False), data)
    assert [places.after(start) for start in (0, 999, 1000)] == [1000] * 3

    def ask(times: int) -> int:
        places = Occurrences(Urls(lambda url: url, prefixes, "", fold=False), data)
        return calls_of(lambda: [places.after(start) for start in range(times)])

    assert ask(900) - ask(100) <= calls * 800
    assert [places.after(start) for start in (1003, 2003, 2006)] == [2003, 2003, 2006]
