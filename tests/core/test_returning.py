"""Where somebody is sent back to: never off the site, whatever a browser makes of it."""

from __future__ import annotations

import random
from urllib.parse import urljoin

import pytest

from antiscrape.core.returning import safe_path

#: What WHATWG's URL parser takes for another host, another scheme, or a script, and what proxies may.
HOSTILE = [
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/\t/evil.example",
    "/\n/evil.example", "\t//evil.example", " //evil.example", "https://evil.example", "https:evil.example", "http:/evil.example",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/..//evil.example", "/.//evil.example", "/a/..//evil.example",
    "/%2f%2fevil.example", "/%5cevil.example", "/%2e%2e//evil.example", "/a//evil.example", "evil.example", "?to=x", "#x", "",
    "/a\r\nset-cookie: x=1", "/a\0", "/a#//evil", "/é", "/\u2028", "/a b", "/" + "a" * 2048, "/%", "/%0d%0aX:1", "/%00", "/a/../b",
    "/a/./b", "/..", '/a"onload=x', "/<script>", "/@evil.example\\..", "//", "/\\", "/;//evil", '/a?x="><b>',
]  # fmt: skip
KEPT = [
    "/",
    "/gallery",
    "/u/ada?page=2",
    "/a.b/c~d",
    "/p/%C3%A9",
    "/?q=a%20b&c=%2F%2F",
    "/a:b@c",
    "/.well-known/x",
    "/a/...",
    "/a/",
]


@pytest.mark.security("G3")
@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_plain_path_stands_for_the_start_page(text: str) -> None:
    assert safe_path(text) == "/"


@pytest.mark.parametrize("text", KEPT)
def test_a_path_of_the_site_is_kept(text: str) -> None:
    assert safe_path(text) == text


@pytest.mark.security("G3")
def test_five_thousand_made_up_targets_stay_on_the_site() -> None:
    """Judged as a browser resolves: controls stripped, backslashes turned, then RFC 3986."""
    pieces = [
        "/",
        "\\",
        "//",
        "..",
        ".",
        "evil.example",
        "@",
        ":",
        "https:",
        "%2f",
        "%5c",
        "\t",
        "\n",
        " ",
        "?",
        "#",
        "a",
        "%",
        "é",
        ";",
    ]
    dice = random.Random(6)
    for _ in range(5000):
        text = safe_path("".join(dice.choices(pieces, k=dice.randrange(1, 9))))
        seen = "".join(sign for sign in text.strip() if sign not in "\t\r\n").replace("\\", "/")
        assert urljoin("https://site.example/x", seen).startswith("https://site.example/"), repr(text)
        assert not seen.startswith("//")
