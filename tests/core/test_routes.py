"""What a route pattern may be, which paths are one resource, and what number a photo has."""

from __future__ import annotations

import pytest

from antiscrape.core import routes
from antiscrape.core.resource import Kind, Size
from antiscrape.core.routes import RouteTable
from antiscrape.core.rules import Route
from antiscrape.errors import ConfigurationError
from tests.costs import ends

PLAIN = RouteTable([])
FOLDING = RouteTable([], ignore_case=True)


@pytest.mark.security("D4")
@pytest.mark.parametrize(
    "pattern",
    ["/**/x/**/x/**/z", "/**/x/**/z", "/**/x/**/", "/a**b**", "/*a*b", "/***", "/{subject}*", "/**{subject}"],
)
def test_a_pattern_that_backtracks_stops_the_start(pattern: str) -> None:
    """No settings are read here: who makes a ``Policy`` by hand is held to the same rule."""
    with pytest.raises(ConfigurationError, match=r"one segment|once before"):
        RouteTable([Route(pattern, Kind.IMAGE, Size.UNTOLD)])


@pytest.mark.security("D4")
@pytest.mark.parametrize("pattern", ["/**/x/*/x/{subject}/z", "/**x/**", "/**/*x/y", "/*x/*x/**x/z"])
@pytest.mark.parametrize("unit", ["/x", "x", "/", "x/", "/xx/y"])
def test_the_longest_path_is_told_in_time_linear_in_it(
    pattern: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "LONGEST_PATH", 10**6)
    table = RouteTable([Route(pattern, Kind.IMAGE, Size.UNTOLD)])
    with ends():
        table.classify(b"/" + unit.encode() * (200_000 // len(unit)))


@pytest.mark.security("B4")
def test_two_files_whose_names_read_alike_are_two() -> None:
    """A latin-1 site and a UTF-8 site both show é, but the bytes name different files."""
    latin, utf = PLAIN.classify(b"/media/caf%E9.jpg"), PLAIN.classify(b"/media/caf%C3%A9.jpg")
    assert latin.path == utf.path
    assert latin.identity != utf.identity
    assert (
        FOLDING.classify(b"/media/caf%E9.jpg").identity != FOLDING.classify(b"/media/caf%C3%A9.jpg").identity
    )


@pytest.mark.security("B4")
@pytest.mark.parametrize(
    ("one", "another"),
    [
        (b"/media/A.jpg", b"/MEDIA/a.JPG"),
        (b"/media/%C3%89.jpg", b"/media/%c3%a9.JPG"),
        (b"/media/A%E9.jpg", b"/MEDIA/a%e9.jpg"),
    ],
)
def test_two_cases_are_one_resource_where_the_policy_says_so(one: bytes, another: bytes) -> None:
    assert FOLDING.classify(one).identity == FOLDING.classify(another).identity
    assert PLAIN.classify(one).identity != PLAIN.classify(another).identity


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (b"/media/1001-320.jpg", 1001),
        (b"/2024/07/x7.jpg", 7),
        (b"/2024/07/x.jpg", -1),
        (b"/2024/", -1),
        (b"/IMG_0012.jpeg", 12),
        (b"/" + b"9" * 40, 10**15 - 1),
        ("/media/\u0664\u0662.jpg".encode(), -1),
    ],
)
def test_a_photos_number_is_the_first_of_its_name(path: bytes, number: int) -> None:
    assert PLAIN.classify(path).number == number
