"""The parser behind signatures and preferences gives what RFC 9651 says, refuses the rest, and takes linear time."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.structured import (
    LONGEST,
    Bare,
    Date,
    Display,
    InnerList,
    Item,
    Member,
    Parameters,
    Token,
    read_dictionary,
    read_item,
    read_list,
    write_dictionary,
    write_item,
    write_list,
)
from tests.costs import ends

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Field = Item | list[Member] | dict[str, Member]
READ: dict[str, Callable[[bytes], Field]] = {
    "item": read_item,
    "list": read_list,
    "dictionary": read_dictionary,
}


def write(field: Field) -> str:
    if isinstance(field, Item):
        return write_item(field)
    return write_list(field) if isinstance(field, list) else write_dictionary(field)


def bare(value: Any) -> Bare:
    """Return what the corpus means by a JSON value."""
    if not isinstance(value, dict):
        assert isinstance(value, bool | int | Decimal | str)
        return value
    made: dict[str, Callable[[Any], Bare]] = {
        "token": Token,
        "date": Date,
        "displaystring": Display,
        "binary": base64.b32decode,
    }
    return made[value["__type"]](value["value"])


def params(rows: list[Any]) -> Parameters:
    return {key: bare(value) for key, value in rows}


def member(row: list[Any]) -> Member:
    value, rest = row
    if isinstance(value, list):
        return InnerList(tuple(Item(bare(one), params(its)) for one, its in value), params(rest))
    return Item(bare(value), params(rest))


def expected(case: dict[str, Any]) -> Field:
    if case["header_type"] == "item":
        value, rest = case["expected"]
        return Item(bare(value), params(rest))
    if case["header_type"] == "list":
        return [member(row) for row in case["expected"]]
    return {key: member(row) for key, row in case["expected"]}


def typed(value: Any) -> Any:
    """Return ``value`` with its types spelt out: to Python, True equals 1 and 1 equals Decimal(1)."""
    if isinstance(value, dict):
        return [(key, typed(one)) for key, one in value.items()]
    if isinstance(value, tuple | list):
        return [type(value).__name__, [typed(one) for one in value]]
    return type(value).__name__, value


def cases(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.json"))
    assert files
    return [case for file in files for case in json.loads(file.read_text(), parse_float=Decimal)]


@pytest.mark.security("H8")
def test_every_field_of_the_corpus_is_read_or_refused_as_it_says(shared: Path) -> None:
    """All 1,580 of httpwg/structured-field-tests that are to be read; where it leaves a choice, both are right."""
    refused = 0
    found = cases(shared / "corpora/structured-field-tests")
    for case in found:
        field = ", ".join(case["raw"]).encode("utf-8", "surrogatepass")
        try:
            value = READ[case["header_type"]](field)
        except ValueError:
            assert case.get("must_fail") or case.get("can_fail"), case["name"]
            refused += 1
            continue
        assert not case.get("must_fail"), case["name"]
        assert typed(value) == typed(expected(case)), case["name"]
        assert write(value) == ", ".join(case.get("canonical", case["raw"])), case["name"]
    assert (len(found), refused) == (1580, 866)


@pytest.mark.security("H8")
def test_every_value_of_the_corpus_is_written_or_refused_as_it_says(shared: Path) -> None:
    """All 544 that are to be written."""
    refused = 0
    found = cases(shared / "corpora/structured-field-tests/serialisation-tests")
    for case in found:
        try:
            text = write(expected(case))
        except ValueError:
            assert case.get("must_fail"), case["name"]
            refused += 1
            continue
        assert not case.get("must_fail"), case["name"]
        assert text == ", ".join(case["canonical"]), case["name"]
    assert (len(found), refused) == (544, 539)


def test_a_signature_input_is_read_as_rfc_9421_shows_it() -> None:
    field = b'sig1=("@authority" "signature-agent";key="a");created=1618884473;keyid="k", b;q=?0'
    assert read_dictionary(field) == {
        "sig1": InnerList(
            (Item("@authority", {}), Item("signature-agent", {"key": "a"})),
            {"created": 1618884473, "keyid": "k"},
        ),
        "b": Item(value=True, params={"q": False}),
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"1", 1),
        (b"-0", 0),
        (b"-999999999999999", -999999999999999),
        (b"1.50", Decimal("1.5")),
        (b'"a\\"\\\\b"', 'a"\\b'),
        (b"*a:/b", Token("*a:/b")),
        (b"::", b""),
        (b":AQI=:", b"\x01\x02"),
        (b"?0", False),
        (b"@-1", Date(-1)),
        (b'%"caf%c3%a9 %25"', Display("café %")),
        (b"   a   ", Token("a")),
    ],
)
def test_an_item_is_read(field: bytes, value: Bare) -> None:
    assert typed(read_item(field)) == typed(Item(value, {}))


@pytest.mark.security("H8")
@pytest.mark.parametrize(
    "field",
    [
        b"", b" ", b"-", b"--1", b"1.", b".1", b"1.2345", b"1234567890123.1", b"1234567890123456", b"+1", b"1e3",
        b'"', b'"a', b'"\\a"', b'"\x7f"', b'"a\n"', b'"\xc3\xa9"', b"?2", b"?", b"@1.5", b"@", b":AQI:", b":AQJ=:",
        b":A:", b":AQI=", b":AQ_-:", b":AQ I=:", b'%"%C3"', b'%"%c3"', b'%"%"', b"%a", b"a b", b"a, b", b"(a)",
        b"a;B=1", b"a;=1", b"a;b=", b"a ;b", b"\ta", b"a\t", b"\xef\xbb\xbfa", b"a\x00",
    ],
)  # fmt: skip
def test_what_is_no_item_is_refused(field: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its words tell the place, not the kind
        read_item(field)


@pytest.mark.security("H8")
@pytest.mark.parametrize(
    "field",
    [b"a,", b",a", b"a,,b", b"(a", b"a)", b'("a""b")', b"(a,b)", b"((a))", b"(a\tb)", b"a b", b"(a)b"],
)
def test_what_is_no_list_is_refused(field: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_list(field)


@pytest.mark.security("H6")
def test_a_byte_sequence_has_one_spelling() -> None:
    """64 bytes end in a character of which 4 bits say nothing: 16 spellings of each signature, of which one is read."""
    spelt = base64.b64encode(bytes(64)).decode()
    accepted: list[Bare] = []
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/":
        try:
            accepted.append(read_item(f":{spelt[:-3]}{last}==:".encode()).value)
        except ValueError:
            continue
    assert accepted == [bytes(63) + bytes([last]) for last in range(4)]


def test_a_token_is_not_the_string_of_its_letters() -> None:
    """Python would take named tuples or a subclass of str for equal: a tag could then be written without quotes."""
    assert len({Token("a"), Display("a"), "a"}) == 3
    assert len({Date(1), 1}) == 2


@pytest.mark.security("H8")
@pytest.mark.parametrize(
    "unit",
    [
        b"(", b")", b'"', b'"\\', b"\\", b":", b"%", b'%"', b"a;", b";a", b"a;b;", b"a,", b"a=,", b" ", b"\t", b"1", b"-",
        b"((", b"()", b'"a" ', b"a=(b c);d,", b":AAAA:,", b'%"%c3', b"1.", b"?", b"@", b"a \t,\t ", b'\\"', b"a=1;a=1;",
    ],
)  # fmt: skip
def test_sixty_four_kilobytes_are_read_or_refused_at_once(unit: bytes) -> None:
    for lead in (b"", b'"', b"(", b':"', b"a=(", b'%"', b":", b"a;b="):
        field = (lead + unit * LONGEST)[:LONGEST]
        with ends(2):
            for read in READ.values():
                try:
                    read(field)
                except ValueError:
                    continue


@pytest.mark.security("H8")
def test_what_is_longer_is_not_even_looked_at() -> None:
    for read in READ.values():
        with pytest.raises(ValueError, match="bytes are more"):
            read(b" " * (LONGEST + 1))


@pytest.mark.security("H8")
def test_a_hundred_labels_on_two_lines_are_one_dictionary() -> None:
    lines = [b", ".join(b"s%d=(%d)" % (n, n) for n in range(start, start + 50)) for start in (0, 50)]
    found = read_dictionary(b", ".join(lines))
    assert list(found) == [f"s{n}" for n in range(100)]
    assert found["s99"] == InnerList((Item(99, {}),), {})


def test_of_two_members_with_one_key_the_last_counts() -> None:
    assert read_dictionary(b"a=1, b=2, a=3;x") == {"a": Item(3, {"x": True}), "b": Item(2, {})}
    assert list(read_dictionary(b"a=1, b=2, a=3")) == ["a", "b"]


keys = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
bares: st.SearchStrategy[Bare] = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.decimals(-(10**12) + 1, 10**12 - 1, places=3, allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)),
    st.from_regex(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]{0,8}", fullmatch=True).map(Token),
    st.binary(max_size=70),
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1).map(Date),
    st.text().map(Display),
)
items = st.builds(Item, bares, st.dictionaries(keys, bares, max_size=3))
members = items | st.builds(
    InnerList, st.lists(items, max_size=3).map(tuple), st.dictionaries(keys, bares, max_size=3)
)


@given(st.one_of(items, st.lists(members, min_size=1), st.dictionaries(keys, members, min_size=1)))
def test_what_is_written_is_read_again(field: Field) -> None:
    text = write(field)
    read = READ["item" if isinstance(field, Item) else "list" if isinstance(field, list) else "dictionary"]
    assert typed(read(text.encode())) == typed(field)
    assert write(read(text.encode())) == text


@given(st.binary(max_size=60) | st.text('a1=();,:"?@%\\ -.*/A', max_size=60).map(str.encode))
def test_nothing_but_a_value_error_comes_of_any_bytes(field: bytes) -> None:
    for read in READ.values():
        try:
            value = read(field)
        except ValueError:
            continue
        assert typed(read(write(value).encode())) == typed(value)


@pytest.mark.parametrize(
    "value", [Decimal("NaN"), Decimal("Infinity"), Decimal(10**12), Decimal("999999999999.9996"), 10**15, "é"]
)
def test_what_no_field_can_hold_is_not_written(value: Bare) -> None:
    with pytest.raises(ValueError, match=r"digits|ASCII"):
        write_item(Item(value, {}))
