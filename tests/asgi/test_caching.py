"""Cache-Control, entity tags and ranges, against the RFCs and against a reader that is written out plainly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.asgi.caching import etag_matches, keep_private, lend, mark_tags, read_range, unmark_tags
from tests.costs import ends


def control(value: bytes, **more: int) -> bytes:
    fields = dict(keep_private([(b"cache-control", value)], **more))
    return fields[b"cache-control"]


@pytest.mark.security("J1")
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"public, max-age=600", b"private, max-age=600"),
        (b"PUBLIC, S-MaxAge=600, Max-Age=60", b"private, max-age=60"),
        (b"private", b"private"),
        (b'private="set-cookie", max-age=5', b"private, max-age=5"),
        (b"no-store", b"private, no-store"),
        (b"no-cache, must-revalidate", b"private, no-cache, must-revalidate"),
        (b"immutable, max-age=31536000, stale-while-revalidate=60, stale-if-error=9", b"private, immutable, max-age=31536000"),
        (b"", b"private"),
        (b"max-age = 60", b"private, max-age=60"),
        (b"proxy-revalidate", b"private"),
    ],
)  # fmt: skip
def test_what_is_decided_per_client_is_private(given: bytes, kept: bytes) -> None:
    assert control(given) == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [(b"max-age=600", b"60"), (b"max-age=5", b"5"), (b"", b"0"), (b'max-age="30"', b"30"), (b"max-age=99999999999999", b"0"),
     (b"max-age=x", b"0"), (b"public", b"0")],
)  # fmt: skip
def test_a_cap_only_shortens(given: bytes, kept: bytes) -> None:
    assert control(given, most=60) == b"private, max-age=" + kept


def test_a_cap_leaves_no_store_alone_and_takes_expires_away() -> None:
    fields = keep_private(
        [(b"cache-control", b"no-store"), (b"expires", b"Thu, 01 Jan 2037 00:00:00 GMT")], most=60
    )
    assert fields == [(b"cache-control", b"private, no-store")]


@pytest.mark.security("J1")
def test_fields_that_only_cdns_read_do_not_override_it() -> None:
    fields = keep_private([(b"cdn-cache-control", b"max-age=9"), (b"surrogate-control", b"max-age=9"), (b"x-accel-expires", b"9"),
                           (b"cloudflare-cdn-cache-control", b"public"), (b"vary", b"accept")])  # fmt: skip
    assert fields == [(b"vary", b"accept"), (b"cache-control", b"private")]


def test_several_lines_become_one() -> None:
    fields = keep_private([(b"cache-control", b"public"), (b"a", b"b"), (b"cache-control", b"max-age=7")])
    assert fields == [(b"a", b"b"), (b"cache-control", b"private, max-age=7")]


@given(st.binary(max_size=60))
def test_no_directive_speaks_to_a_shared_cache_whatever_the_site_wrote(value: bytes) -> None:
    names = {part.split(b"=")[0].strip().lower() for part in control(value).split(b",")}
    assert b"private" in names
    assert not names & {b"public", b"s-maxage"}


@pytest.mark.parametrize(
    ("field", "matches"),
    [
        (b'"a"', True), (b'W/"a"', True), (b'"b", "a"', True), (b' "a" ', True), (b"*", True), (b'"A"', False), (b"a", False),
        (b'"b"', False), (b"", False), (b'"aa"', False), (b'"b",' * 1000 + b'"a"', True),
    ],
)  # fmt: skip
def test_if_none_match_compares_weakly(field: bytes, matches: bool) -> None:  # noqa: FBT001 - a table's column
    """RFC 9110 §13.1.2. A list so long that its end is not read only costs the client a body."""
    assert etag_matches(field, b'"a"') is (matches and len(field) < 4096)


def plainly(field: str, length: int) -> tuple[int, int] | bool | None:
    """Read one byte range as RFC 9110 §14.1.2 tells it, in words of one step."""
    unit, equals, spec = field.partition("=")
    first, dash, last = spec.partition("-")
    digits = all(part == "" or (part.isascii() and part.isdigit()) for part in (first, last))
    if unit != "bytes" or not equals or not dash or not digits or first == last == "":
        return None
    if first == "":
        return (max(0, length - int(last)), length - 1) if int(last) and length else False
    if last and int(last) < int(first) and int(first) < length:
        return None
    if int(first) >= length:
        return False
    return int(first), min(int(last), length - 1) if last else length - 1


numbers = st.one_of(st.just(""), st.integers(0, 120).map(str))


@given(numbers, numbers, st.integers(1, 100), st.sampled_from(["bytes", "items"]), st.sampled_from(["-", ""]))
def test_one_range_is_read_as_the_rfc_tells_it(
    first: str, last: str, length: int, unit: str, dash: str
) -> None:
    field = f"{unit}={first}{dash}{last}"
    assert read_range(field.encode(), length) == plainly(field, length)


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    "field",
    [b"bytes=" + b"0-0," * 10_000, b"bytes=0-1,2-3", b"bytes=-" + b"9" * 500, b"bytes=" + b"1" * 500 + b"-", b"bytes=0-" * 9000],
)  # fmt: skip
def test_several_ranges_and_absurd_ones_are_the_whole_body(field: bytes) -> None:
    with ends():
        assert read_range(field, 1000) is None


def test_a_window_is_part_of_a_pages_tag() -> None:
    tagged = dict(mark_tags([(b"etag", b'"abc"'), (b"last-modified", b"x")], b"-as1f"))
    assert tagged == {b"etag": b'W/"abc-as1f"'}
    assert unmark_tags(b'W/"abc-as1f"', (b"-as1f", b"-as-abc")) == b'"abc", W/"abc"'
    assert unmark_tags(b'W/"abc-as1e"', (b"-as1f", b"-as-abc")) == b""
    assert unmark_tags(b'"abc"', (b"-as1f", b"-as-abc")) == b""
    assert unmark_tags(b"*", (b"-as1f", b"-as-abc")) == b""


@pytest.mark.security("J1")
@pytest.mark.parametrize(
    ("said", "seconds", "expected"),
    [
        (b"", 600, b"public, s-maxage=600"),
        (b"max-age=60", 600, b"public, max-age=60, s-maxage=60"),
        (b"public, max-age=31536000, immutable", 600, b"public, max-age=31536000, immutable, s-maxage=600"),
        (b"s-maxage=30, max-age=9, stale-while-revalidate=99", 600, b"public, max-age=9, s-maxage=30"),
        (b"max-age=60", 0, b"private, max-age=60"),
        (b"max-age=60", -5, b"private, max-age=60"),
        (b"private, max-age=60", 600, b"private, max-age=60"),
        (b"no-store", 600, b"private, no-store"),
        (b"No-Cache", 600, b"private, no-cache"),
    ],
)
def test_what_is_lent_to_shared_caches_ends_with_its_grant(
    said: bytes, seconds: int, expected: bytes
) -> None:
    fields = [(b"content-type", b"image/jpeg"), (b"cdn-cache-control", b"max-age=99999")]
    lent = lend([*fields, *([(b"cache-control", said)] if said else [])], seconds)
    assert dict(lent)[b"cache-control"] == expected
    assert b"cdn-cache-control" not in dict(lent)


def test_an_answer_that_sets_a_cookie_is_lent_to_nobody() -> None:
    assert dict(lend([(b"set-cookie", b"a=b")], 600))[b"cache-control"] == b"private"
