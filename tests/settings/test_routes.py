"""Route patterns: what the settings take, the judge can match, and in linear time."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from antiscrape.core import routes
from antiscrape.core.resource import Kind
from antiscrape.core.routes import RouteTable
from antiscrape.core.rules import Route
from antiscrape.settings.routes import ROUTES, RouteLine
from tests.costs import ends

RIGHT = [
    "/",
    "/a",
    "/a/**",
    "/**",
    "/@{subject}",
    "/u/{subject}/**",
    "/*/x/*.html",
    "/**/thumbs/**",
    "/{subject}",
    "/é",
]


@pytest.mark.parametrize("pattern", RIGHT)
def test_a_pattern_that_is_taken_compiles(pattern: str) -> None:
    line = RouteLine(pattern=pattern, kind=Kind.PAGE)
    RouteTable([Route(line.pattern, line.kind, line.size)])


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "starts with"),
        ("a/b", "starts with"),
        ("https://x/a", "starts with"),
        ("/a?b=1", "no query"),
        ("/a#b", "no query"),
        ("/a\\b", "backslash"),
        ("/a b", "space"),
        ("/a\n", "control"),
        ("/{user}", "{subject}"),
        ("/{subject}/{subject}", "{subject}"),
        ("/{subject", "{subject}"),
        ("/***", "one segment"),
        ("/a*b*", "one segment"),
        ("/{subject}*", "one segment"),
        ("/**/a/**/b/**", "at the end and once before"),
        ("/" + "a" * 600, "512"),
    ],
)
def test_what_is_no_pattern_is_refused_in_words(pattern: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("{", r"\{")):
        RouteLine(pattern=pattern, kind=Kind.PAGE)


@pytest.mark.security("D4")
@pytest.mark.parametrize(
    "pattern", ["/**/a/*/b/{subject}/c", "/**/x/**", "/*a/*b/*c/*d", "/**a/*/{subject}/z"]
)
@pytest.mark.parametrize("unit", ["/a", "/", "a", "/a/b", "ax", "/x"])
def test_matching_takes_time_linear_in_the_path(
    pattern: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "LONGEST_PATH", 10**6)
    line = RouteLine(pattern=pattern, kind=Kind.PAGE)
    table = RouteTable([Route(line.pattern, line.kind, line.size)])
    path = b"/" + unit.encode() * (200_000 // len(unit))
    with ends():
        table.classify(path)


def test_the_default_routes_tell_what_they_are_for() -> None:
    table = RouteTable([Route(line.pattern, line.kind, line.size) for line in ROUTES])
    kinds = {
        b"/robots.txt": Kind.EXEMPT,
        b"/.well-known/acme-challenge/x": Kind.EXEMPT,
        b"/favicon.ico": Kind.ASSET,
        b"/static/site.css": Kind.ASSET,
        b"/u/grace": Kind.SUBJECT,
        b"/@grace": Kind.SUBJECT,
        b"/media/2024/1.jpg": Kind.IMAGE,
        b"/api/v1/photos": Kind.API,
        b"/": Kind.UNTOLD,
        b"/photos/1": Kind.UNTOLD,
        b"/robots.txt.bak": Kind.UNTOLD,
    }
    assert {path: table.classify(path).kind for path in kinds} == kinds
