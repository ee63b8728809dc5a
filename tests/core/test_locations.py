"""A path that is plain is read in one step, and to the same as every other."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiscrape.core.locations import LONGEST_URL, as_sent, canonical_path, split_url

PIECES = st.sampled_from(
    ["/", "//", "a", "photos", "1.jpg", ".", "..", "-", "_", "~", "%", "%2f", "%41", "?", "#", "&", "=", ":", "\\", " ", "\n", "\x7f", "é", "\udc80", "http://h"]
)  # fmt: skip
URLS = st.lists(PIECES, max_size=8).map("".join)


def split(url: str) -> tuple[str, ...] | None:
    try:
        return split_url(url)
    except ValueError:
        return None


@pytest.mark.security("B5")
@given(URLS)
@example("/photos/1.jpg")
@example("/photos/")
@example("/a\n")
def test_a_fragment_changes_nothing_of_what_stands_before_it(url: str) -> None:
    """With one, a URL is not plain."""
    longer, whole = split(url + "#f"), split(url)
    if "#" in url or url[-1:].isspace():
        return
    assert longer == (whole and (*whole[:3], "#f"))


@pytest.mark.security("B5")
@given(URLS)
@example("photos/1.jpg")
@example("photos/")
@example("./a")
@example("a\n")
def test_an_escape_changes_nothing_of_what_stands_before_it(url: str) -> None:
    """With one, a path is not plain: of a letter, behind one more slash."""
    path = b"/" + url.encode("utf-8", "surrogateescape")
    if path.endswith((b"%", b"%4")):
        return
    decoded = canonical_path(path)
    longer = canonical_path(path + b"/%41" if not path.endswith(b"/") else path + b"%41")
    assert longer == (None if decoded is None else decoded + (b"A" if path.endswith(b"/") else b"/A"))


def test_a_plain_path_may_be_as_long_as_any() -> None:
    path = "/" + "a" * (LONGEST_URL - 1)
    assert split_url(path) == ("", path, "", "")
    with pytest.raises(ValueError, match="characters"):
        split_url(path + "a")


def test_no_query_is_sent_as_none() -> None:
    assert as_sent(b"") == b""
    assert as_sent(b"a=<") == b"a=%3C"
