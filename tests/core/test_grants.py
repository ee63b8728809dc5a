"""A grant is one string for one URL and one window, and the URL is otherwise left alone."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.grants import SKEW, Grants, GrantState
from antiscrape.core.locations import LONGEST_URL, path_of
from antiscrape.core.rules import GrantRules
from antiscrape.core.tokens import KeyRing
from antiscrape.errors import ConfigurationError
from tests.costs import calls_of, ends

SECRET = b"Zr1c0l8-gJ5dVQ2nXw9yT4uHs7bKfEaM3pN6oLiRtYq"
RULES = GrantRules(prefixes=("/photos/", "/media/large"))
START = 1_800_000_000 // 900 * 900
GRANTS = Grants(KeyRing([SECRET]), RULES, "site")

segments = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\?#%"), min_size=1
).filter(lambda text: text not in {".", ".."} and text == text.strip())
queries = st.text("abcas019=&%+;,é'\"<> -", max_size=20).map(str.strip).filter(lambda text: "%" not in text)


def sent(url: str) -> tuple[bytes, bytes]:
    """Return raw path and query as a browser sends them: everything but what URLs are made of is encoded."""
    located = url.partition("#")[0]
    path, _, query = located.partition("?")
    return quote(path, safe="/%:;,=&+@!$()*~'[]|^`{}").encode(), quote(
        query, safe="%;,=&+/?:@!$()*~-._[]|^`{}\\"
    ).encode()


@given(st.lists(segments, min_size=1, max_size=3), queries, st.sampled_from(["", "#", "#a?b&as=1"]))
def test_what_is_signed_is_valid_as_a_browser_sends_it(parts: list[str], query: str, fragment: str) -> None:
    url = "/photos/" + "/".join(parts) + (f"?{query}" if query else "") + fragment
    signed = GRANTS.sign(url, now=START)
    assert GRANTS.check(*sent(signed), now=START + 100) is GrantState.VALID
    assert signed.endswith(fragment)
    assert GRANTS.sign(signed, now=START) == signed


@given(queries)
def test_the_query_without_its_grant_is_the_query_that_was_signed(query: str) -> None:
    query = "&".join(piece for piece in query.split("&") if piece.partition("=")[0] != "as")
    signed = GRANTS.sign(f"/photos/1?{query}", now=START)
    assert GRANTS.strip(signed.partition("?")[2].encode()) == query.encode()


@pytest.mark.parametrize(
    ("url", "before", "after"),
    [
        ("/photos/1.jpg", "/photos/1.jpg?as=2", ""),
        ("/photos/1.jpg?", "/photos/1.jpg?as=2", ""),
        ("/photos/1.jpg?w=1;h=2&&x#top", "/photos/1.jpg?w=1;h=2&&x&as=2", "#top"),
        ("//cdn.example/photos/1", "//cdn.example/photos/1?as=2", ""),
        ("https://a.example:8443/photos/1?q", "https://a.example:8443/photos/1?q&as=2", ""),
        ("http://[::1]:80/photos/1", "http://[::1]:80/photos/1?as=2", ""),
        ("/photos/1?as=old&x=2&%61s=older", "/photos/1?x=2&as=2", ""),
        ("/photos/1?AS=mine&bas=2&as2=3", "/photos/1?AS=mine&bas=2&as2=3&as=2", ""),
    ],
)
def test_every_byte_but_the_grant_stays(url: str, before: str, after: str) -> None:
    signed = GRANTS.sign(url, now=START)
    assert signed.startswith(before)
    assert signed.endswith(after)
    assert len(signed) == len(before) + 35 + len(after)


def test_one_window_has_one_string_and_the_next_another() -> None:
    first = GRANTS.sign("/photos/1", now=START)
    assert {GRANTS.sign("/photos/1", now=START + second) for second in (0.5, 450, 899.9)} == {first}
    assert GRANTS.sign("/photos/1", now=START + 900) != first
    assert Grants(KeyRing([SECRET]), RULES, "site").sign("/photos/1", now=START + 1) == first


@pytest.mark.security("F6")
@pytest.mark.parametrize(
    ("later", "state"),
    [
        (0, GrantState.VALID),
        (1799.9, GrantState.VALID),
        (1800, GrantState.EXPIRED),
        (10**9, GrantState.EXPIRED),
        (-SKEW, GrantState.VALID),
        (-SKEW - 1, GrantState.FORGED),
        (-3600, GrantState.FORGED),
    ],
)
def test_a_grant_lives_two_windows_and_a_minute_of_skew(later: float, state: GrantState) -> None:
    """Both where it is checked for the first time and where it is remembered from another moment."""
    request = sent(GRANTS.sign("/photos/1", now=START + 450))
    fresh = Grants(KeyRing([SECRET]), RULES, "site")
    assert fresh.check(*request, now=START + later) is state
    assert fresh.check(*request, now=START) is GrantState.VALID
    assert fresh.check(*request, now=START + later) is state


@pytest.mark.security("F6")
@given(st.floats(-3600, 3600), st.floats(0, 10_000))
def test_no_step_of_the_clock_makes_a_grant_live_longer_than_its_windows(step: float, later: float) -> None:
    """Signed by a clock that is wrong by ``step``, a grant ends at most two windows after that clock's time."""
    request = sent(GRANTS.sign("/photos/1", now=START + step))
    if GRANTS.check(*request, now=START + later) is GrantState.VALID:
        assert later - step <= 2 * RULES.window
        assert step - later <= RULES.window + SKEW


@pytest.mark.parametrize("query", [b"", b"w=1", b"as2=1", b"xas=1", b"AS=1.0.x", b"a=s", b"x=as", b"%"])
def test_a_query_without_the_parameter_has_no_grant(query: bytes) -> None:
    assert GRANTS.check(b"/photos/1", query, now=START) is GrantState.NONE
    assert GRANTS.strip(query) == query


@pytest.mark.security("B4")
@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("/photos/1.jpg", "/photos/%31.jpg"),
        ("/photos/1.jpg", "/%70hotos/1%2Ejpg"),
        ("/photos/a b.jpg", "/photos/a%20b.jpg"),
        ("/photos/é.jpg", "/photos/%c3%a9.jpg"),
        ("/photos/~x", "/photos/%7ex"),
        ("/photos/100%25.jpg", "/photos/%3100%25.jpg"),
    ],
)
def test_spellings_of_one_resource_share_their_grant(one: str, another: str) -> None:
    signed, other = GRANTS.sign(one, now=START), GRANTS.sign(another, now=START)
    assert signed.partition("?")[2] == other.partition("?")[2]
    assert GRANTS.check(*sent(other), now=START) is GrantState.VALID


@pytest.mark.security("F8")
@pytest.mark.parametrize(
    "path",
    [
        "/photos/..%2fprivate", "/photos/a%2Fb", "/photos/%5cb", "/photos/a\\b", "/photos/../b", "/photos/./b",
        "/photos/%2e%2e/b", "/photos/.%2E/b", "/photos/b/..", "/photos/b%00", "/photos/b\x00", "/photos/%0a",
        "/photos/%c0%ae", "/photos/%ff", "/photos/%zz", "/photos/%", "/photos/%2", "/photos/%252e%252e/b",
        "/photos/%252fb", "/photos/%255cb", "/photos/%2500",
    ],
)  # fmt: skip
def test_a_path_with_two_readings_is_neither_signed_nor_valid(path: str) -> None:
    with pytest.raises(ValueError, match=r"/photos/|controls"):
        GRANTS.sign(path, now=START)
    query = GRANTS.sign("/photos/b", now=START).partition("?")[2].encode()
    assert GRANTS.check(path.encode(), query, now=START) is GrantState.FORGED


@pytest.mark.parametrize(
    "url",
    ["", "photos/1", "?x", "#x", "data:image/png;base64,AA", "ftp://a/photos/1", "///photos/1", "//", "https://a.example",
     "https://user@a.example/photos/1", "https://a b/photos/1", " /photos/1", "/photos/1 ", "/photos/1\n", "/pho\ttos/1",
     "/photos/1?a\x00b", "/photos/\ud800", "/photos/" + "x" * LONGEST_URL, "https:/photos/1", "https:\\\\a\\photos"],
)  # fmt: skip
def test_what_is_no_url_of_the_site_is_not_signed(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        GRANTS.sign(url, now=START)


def test_a_time_before_the_epoch_is_not_signed() -> None:
    with pytest.raises(ValueError, match="not signed"):
        GRANTS.sign("/photos/1", now=-1)


@pytest.mark.security("B11")
@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("/photos/", True), ("/photos/1.jpg", True), ("/photos", False), ("/photosets/1", False), ("/a/photos/1", False),
        ("/media/large", True), ("/media/large/1", True), ("/media/larger", False), ("/media/", False), ("/", False),
        ("/photos/é", True), ("/PHOTOS/1", False), ("", False),
    ],
)  # fmt: skip
def test_prefixes_end_at_segments(path: str, covered: bool) -> None:  # noqa: FBT001  a column of the table
    assert GRANTS.covers(path) is covered
    assert GRANTS.covers(quote(path).encode()) is covered


@pytest.mark.security("B5")
@pytest.mark.parametrize(
    "path",
    [b"//photos/1", b"/x/../photos/1", b"/x/%2e%2e/photos/1", b"/./photos/1", b"/photos%2f1", b"/%70hotos/1", b"\\photos\\1",
     b"/x/..;a=b/photos/1", b"/photos;v=1/1", b"/%2570hotos/1", b"/x\\..\\photos/1", b"/photos//1", b"/photos/../about"],
)  # fmt: skip
def test_no_spelling_of_a_covered_path_leads_around_its_grant(path: bytes) -> None:
    assert GRANTS.covers(path)


@pytest.mark.security("B4")
def test_where_case_does_not_count_no_case_leads_around_the_grant() -> None:
    grants = Grants(KeyRing([SECRET]), GrantRules(prefixes=("/Photos/",)), "site", ignore_case=True)
    query = grants.sign("/photos/A.jpg", now=START).partition("?")[2].encode()
    assert grants.covers("/PHOTOS/a.JPG")
    assert grants.check(b"/PHOTOS/a.JPG", query, now=START) is GrantState.VALID
    assert GRANTS.check(b"/PHOTOS/a.JPG", query, now=START) is GrantState.FORGED


def test_the_root_prefix_covers_everything() -> None:
    grants = Grants(KeyRing([SECRET]), GrantRules(prefixes=("/",)), "site")
    assert grants.covers("/")
    assert grants.covers("/x/y")
    assert not Grants(KeyRing([SECRET]), GrantRules(), "site").covers("/")


def test_rules_that_cannot_be_carried_out_are_all_told_at_once() -> None:
    rules = GrantRules(prefixes=("photos/", "/a%20b/", "/x/../y", "/ok/"), window=5, parameter="a&b")
    with pytest.raises(ConfigurationError) as refused:
        Grants(KeyRing([SECRET]), rules, "site")
    assert len(refused.value.problems) == 5


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("/photos/1?x#y", "", "/photos/1"),
        ("//A.Example./p", "a.example", "/p"),
        ("https://a.example:8443/p?q", "a.example", "/p"),
        ("http://[::1]:80/p", "[::1]", "/p"),
        ("http://[::1]/p", "[::1]", "/p"),
        ("mailto:x@y", "", ""),
        ("https://a.example", "", ""),
        ("https://u@a.example/p", "", ""),
        ("p/q", "", ""),
    ],
)
def test_host_and_path_are_told_of_a_url(url: str, host: str, path: str) -> None:
    assert path_of(url) == (host, path)


@pytest.mark.security("D3")
@pytest.mark.parametrize("unit", [b"x=%22&", b"%&", b"as=&", b"&", b"%61%73&", b'"', b"as;", b"a"])
@pytest.mark.parametrize("end", [b"", b"&as=2" + b"x" * 35])
def test_a_megabyte_of_query_is_read_once(unit: bytes, end: bytes) -> None:
    query = unit * (1_000_000 // len(unit)) + end
    with ends():
        assert GRANTS.check(b"/photos/1", query, now=START) is GrantState.FORGED
        assert GRANTS.strip(query) == query


@pytest.mark.security("D3")
@pytest.mark.parametrize("unit", [b"x=%22&", b"%&", b"&as=", b"&", b"%61%73=&", b'"', b"as;", b"a", b"\xff"])
def test_the_longest_query_that_is_read_is_judged(unit: bytes) -> None:
    end = b"&as=2" + b"x" * 35
    query = unit * ((LONGEST_URL - len(end)) // len(unit)) + end
    with ends():
        assert GRANTS.check(b"/photos/1", query, now=START) is GrantState.FORGED
        GRANTS.strip(query)


@pytest.mark.parametrize("letter", ["x", "'", "é", "\U0001f600"])
def test_the_longest_query_that_is_signed_is_valid(letter: str) -> None:
    """It is measured as a browser sends it, in which a letter beyond ASCII takes six bytes or more."""
    grant = len(GRANTS.sign("/p", now=START)) - len("/p?")
    room = LONGEST_URL - grant - len("&")
    letters, padding = divmod(room, len(quote(letter)))
    query = letter * letters + "y" * padding
    request = sent(GRANTS.sign(f"/p?{query}", now=START))
    assert len(request[1]) == LONGEST_URL
    assert GRANTS.check(*request, now=START) is GrantState.VALID
    with pytest.raises(ValueError, match="encoded and with its grant"):
        GRANTS.sign(f"/p?{query}y", now=START)


@given(
    st.lists(st.sampled_from([b"as", b"a", b"s", b"%61", b"%73", b"%7", b"3", b"=", b"&", b"x", b"%"])).map(
        b"".join
    )
)
def test_a_grant_is_found_under_every_spelling_of_its_name_and_under_no_other(query: bytes) -> None:
    kept = [piece for piece in query.split(b"&") if unquote_to_bytes(piece.partition(b"=")[0]) != b"as"]
    assert GRANTS.strip(query) == b"&".join(kept)
    found = len(kept) <= query.count(b"&")
    assert GRANTS.check(b"/photos/1", query, now=START) is (GrantState.FORGED if found else GrantState.NONE)


def test_what_is_remembered_has_a_bound() -> None:
    """However many URLs are signed and checked, and however long they are."""
    grants = Grants(KeyRing([SECRET]), RULES, "site")
    for number in range(9000):
        assert grants.check(*sent(grants.sign(f"/photos/{number}", now=START)), now=START) is GrantState.VALID
    verified, signed = grants._ring.verified, grants._ring.signed[grants.manner][1]
    assert len(verified) <= 8192
    assert len(signed) <= 8192
    before = len(verified), len(signed)
    assert grants.check(*sent(grants.sign("/photos/" + "x" * 600, now=START)), now=START) is GrantState.VALID
    assert grants.check(b"/photos/1", b"as=2" + b"x" * 35, now=START) is not GrantState.VALID
    assert (len(verified), len(signed)) == before


def test_a_check_that_is_remembered_calls_a_small_part_of_one_that_is_not() -> None:
    request = sent(GRANTS.sign("/photos/ratio.jpg", now=START))
    cold = calls_of(lambda: GRANTS.check(*request, now=START))
    warm = calls_of(lambda: GRANTS.check(*request, now=START))
    assert warm * 4 < cold
