"""A signature base is rebuilt to the byte as RFC 9421 says, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.signature import (
    LONGEST_FIELD,
    MOST_COMPONENTS,
    Message,
    Response,
    Signature,
    join_lines,
    read_signatures,
    signature_base,
)
from tests.costs import ends

DIGEST = b"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
#: The request of RFC 9421, appendix B.2.
REQUEST = Message(
    "POST",
    "https",
    "example.com",
    b"/foo",
    b"param=Value&Pet=dog",
    {
        b"host": b"example.com",
        b"date": b"Tue, 20 Apr 2021 02:07:55 GMT",
        b"content-type": b"application/json",
        b"content-digest": DIGEST,
        b"content-length": b"18",
    },
)


def signature_of(covered: str, value: str = "AAAA") -> Signature:
    found = read_signatures(
        {b"signature-input": f"s={covered}".encode(), b"signature": f"s=:{value}:".encode()}
    )
    assert len(found) == 1
    return found[0]


def base_of(covered: str, request: Message = REQUEST, response: Response | None = None) -> str:
    return signature_base(signature_of(covered), request, response).decode("ascii")


def value_of(component: str, request: Message = REQUEST, response: Response | None = None) -> str:
    """Return the value that a base has for the one component, its identifier checked."""
    lines = base_of(f"({component})", request, response).split("\n")
    assert lines[1:] == [f'"@signature-params": ({component})']
    assert lines[0].startswith(f"{component}: ")
    return lines[0].removeprefix(f"{component}: ")


def test_the_base_of_appendix_b_2_3_comes_out_to_the_byte() -> None:
    covered = (
        '("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length")'
        ';created=1618884473;keyid="test-key-rsa-pss"'
    )
    assert base_of(covered) == "\n".join(
        [
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@method": POST',
            '"@path": /foo',
            '"@query": ?param=Value&Pet=dog',
            '"@authority": example.com',
            '"content-type": application/json',
            f'"content-digest": {DIGEST.decode()}',
            '"content-length": 18',
            f'"@signature-params": {covered}',
        ]
    )


def test_a_signature_over_nothing_has_a_base_of_its_parameters_alone() -> None:
    """Appendix B.2.1: well-formed, and true of every request; that it is not enough is for its reader to say."""
    covered = '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"'
    assert base_of(covered) == f'"@signature-params": {covered}'


@pytest.mark.parametrize(
    ("component", "changes", "value"),
    [
        ('"@method"', {}, "POST"),
        ('"@method"', {"method": "get"}, "get"),
        ('"@authority"', {"authority": "WWW.Example.COM:443"}, "www.example.com"),
        ('"@authority"', {"authority": "example.com:80"}, "example.com:80"),
        ('"@authority"', {"authority": "example.com:80", "scheme": "http"}, "example.com"),
        ('"@authority"', {"authority": "[2001:DB8::1]:8443"}, "[2001:db8::1]:8443"),
        ('"@scheme"', {"scheme": "HTTP"}, "http"),
        ('"@scheme"', {"scheme": "wss"}, "https"),
        ('"@target-uri"', {}, "https://example.com/foo?param=Value&Pet=dog"),
        ('"@target-uri"', {"query": b"", "path": b""}, "https://example.com/"),
        ('"@request-target"', {}, "/foo?param=Value&Pet=dog"),
        ('"@request-target"', {"query": b""}, "/foo"),
        ('"@path"', {"path": b"/a%2Fb/../c%20d"}, "/a%2Fb/../c%20d"),
        ('"@path"', {"path": b""}, "/"),
        ('"@query"', {"query": b""}, "?"),
        ('"@query"', {"query": b"a=%20+b"}, "?a=%20+b"),
        ('"@query-param";name="Pet"', {}, "dog"),
        ('"@query-param";name="qux"', {"query": b"baz=batman&qux="}, ""),
        (
            '"@query-param";name="var"',
            {"query": b"var=this%20is%20a%20big%0Amultiline%20value"},
            "this%20is%20a%20big%0Amultiline%20value",
        ),
        ('"@query-param";name="bar"', {"query": b"bar=with+plus+whitespace"}, "with%20plus%20whitespace"),
        (
            '"@query-param";name="fa%C3%A7ade%22%3A%20"',
            {"query": b"fa%C3%A7ade%22%3A%20=something"},
            "something",
        ),
    ],
)
def test_derived_components_are_those_of_section_2_2(
    component: str, changes: dict[str, Any], value: str
) -> None:
    assert value_of(component, REQUEST._replace(**changes)) == value


FIELDS = {
    b"x-ows-header": b"  Leading and trailing whitespace.\t ",
    b"x-empty-header": b"",
    b"example-dict": b"a=1,    b=2;x=1;y=2,   c=(a   b   c), d",
    b"priority": b"u=1 ,  i",
    b"x-lost": b"one",
    b"x-broken": b'a\r\n"@method": GET',
    b"x-foreign": b"caf\xc3\xa9",
}


@pytest.mark.parametrize(
    ("component", "value"),
    [
        ('"x-ows-header"', "Leading and trailing whitespace."),
        ('"x-empty-header"', ""),
        ('"example-dict"', "a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
        ('"example-dict";key="a"', "1"),
        ('"example-dict";key="d"', "?1"),
        ('"example-dict";key="b"', "2;x=1;y=2"),
        ('"example-dict";key="c"', "(a b c)"),
        ('"priority";sf', "u=1, i"),
    ],
)
def test_fields_and_their_members_are_those_of_section_2_1(component: str, value: str) -> None:
    assert value_of(component, REQUEST._replace(fields=FIELDS)) == value


def test_lines_of_one_field_are_one_value() -> None:
    """The example of section 2.1, with its whitespace."""
    lines = [
        (b"Cache-Control", b"max-age=60"),
        (b"X-Caching", b" "),
        (b"Cache-Control", b"    must-revalidate"),
    ]
    fields = join_lines(lines)
    assert fields == {b"cache-control": b"max-age=60, must-revalidate", b"x-caching": b""}


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    "component",
    [
        '"@status"', '"@signature-params"', '"@unknown"', '"@Method"', '"@"', '""', "method", "1", ":QUJD:",
        '"@method";req', '"@method";x', '"@path";key="a"', '"@query-param"', '"@query-param";name=Pet',
        '"@query-param";name="cat"', '"@query-param";name="two"', '"@query-param";name="Pet";x',
        '"x-missing"', '"X-Empty-Header"', '"x-lost"', '"x-broken"', '"x-foreign"', '"x-ows-header";bs',
        '"x-ows-header";tr', '"x-ows-header";req', '"x-ows-header";sf', '"x-ows-header";key="a"',
        '"example-dict";key="z"', '"example-dict";key=a', '"example-dict";key', '"example-dict";key="a";sf',
        '"example-dict";key="a";bs', '"priority";sf=?0', '"priority";sf=1', '"x y"', '"x-empty-header:"',
        '"@authority" "@authority"', '"x-empty-header" "x-empty-header"', '"@method" "@path" "@method"',
        '"example-dict";key="a" "example-dict";key="a"',
    ],
)  # fmt: skip
def test_what_is_unknown_missing_unclear_or_twice_leaves_no_base(component: str) -> None:
    request = REQUEST._replace(
        fields=FIELDS, lost=frozenset({b"x-lost"}), query=b"Pet=dog&two=1&two=2", path=b"/a"
    )
    with pytest.raises(ValueError):  # noqa: PT011  a refusal of whatever words; the base must not exist
        base_of(f"({component})", request)


@pytest.mark.security("H6")
@pytest.mark.parametrize(
    "changes",
    [
        {"path": b"*"}, {"path": b"http://other.example/"}, {"path": b"/\xff"}, {"path": b"/a\n"}, {"query": b"a\rb"},
        {"authority": "a\nb"}, {"authority": "bücher.example"}, {"method": "GET\n"},
    ],
)  # fmt: skip
def test_a_target_that_could_forge_a_line_leaves_no_base(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no signature base|not a path"):
        base_of('("@target-uri" "@method")', REQUEST._replace(**changes))


def test_identifiers_that_differ_in_a_parameter_are_two() -> None:
    request = REQUEST._replace(fields=FIELDS)
    covered = '("example-dict";key="a" "example-dict";key="d" "example-dict")'
    assert base_of(covered, request).count("\n") == 3


def test_a_response_is_signed_with_a_part_of_its_request() -> None:
    """Section 2.4, as key directories use it; what has no ``;req`` is the response's own."""
    response = Response(200, {b"content-digest": b"sha-256=:AAAA:", b"content-type": b"a/b"})
    assert value_of('"@authority";req', response=response) == "example.com"
    assert value_of('"content-digest";req', response=response) == DIGEST.decode()
    assert value_of('"content-digest"', response=response) == "sha-256=:AAAA:"
    assert value_of('"@status"', response=response) == "200"
    for component in ('"@authority"', '"@status";req', '"@authority";req=?0', '"date"', '"@status";x'):
        with pytest.raises(ValueError, match=r"component|field"):
            value_of(component, response=response)


def test_what_a_signature_covers_is_told_by_name_and_only_where_it_is_whole() -> None:
    signature = signature_of('("@authority" "signature-agent";key="a" "@query-param";name="b")')
    assert signature.covers("@authority")
    assert signature.covers()
    assert not signature.covers("signature-agent")
    assert not signature.covers("@authority", "@query-param")


def test_parameters_of_another_type_are_as_good_as_none() -> None:
    signature = signature_of('();created=?1;expires="1";keyid=k;tag="t";nonce=:AAAA:')
    assert [signature.second(name) for name in ("created", "expires", "gone")] == [None, None, None]
    assert [signature.text(name) for name in ("keyid", "nonce", "tag")] == [None, None, "t"]


def test_labels_are_paired_and_the_rest_is_passed_over() -> None:
    fields = {b"signature-input": b"a=(), b=();x, c=()", b"signature": b"c=:AQ==:, b=:Ag==:, d=:Aw==:, a=1"}
    assert [(found.label, found.value) for found in read_signatures(fields)] == [
        ("b", b"\x02"),
        ("c", b"\x01"),
    ]
    assert read_signatures({}) == []


@pytest.mark.security("H8")
def test_two_signature_input_lines_are_one_field() -> None:
    lines = [
        (b"Signature-Input", b'a=("@method")'),
        (b"signature", b"a=:AQ==:, b=:Ag==:"),
        (b"signature-input", b'b=("@path")'),
    ]
    assert [found.label for found in read_signatures(join_lines(lines))] == ["a", "b"]


@pytest.mark.security("H8")
@pytest.mark.parametrize(
    "field",
    [
        b"a", b"a=1", b'a="()"', b"a=(),", b"a=(", b"\xff", b"()", b'"a"=()', b"A=()", b"a=()\n", b"a=() b=()",
        b"a=()" + b" " * LONGEST_FIELD, b", ".join(b"s%d=()" % n for n in range(600)), b"a=(" + b'"a" ' * 600 + b")",
    ],
)  # fmt: skip
def test_what_is_no_signature_input_is_refused(field: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  a refusal of whatever words
        read_signatures({b"signature-input": field, b"signature": b"a=:AQ==:"})


@pytest.mark.security("H8")
def test_a_hundred_labels_are_read_and_sixty_four_kilobytes_refused_unread() -> None:
    labels = b", ".join(b's%d=("@method");tag="a"' % n for n in range(100))
    values = b", ".join(b"s%d=:AQ==:" % n for n in range(100))
    assert len(read_signatures({b"signature-input": labels, b"signature": values})) == 100
    with ends(1):
        for unit in (b"s=(),", b"a;", b"(", b'"'):
            for _ in range(1000):
                with pytest.raises(ValueError, match="more than a field of signatures"):
                    read_signatures({b"signature-input": (unit * 65_536)[:65_536], b"signature": values})


@pytest.mark.security("H8")
def test_more_components_than_anyone_needs_leave_no_base() -> None:
    fields = {b"f%d" % n: b"x" for n in range(MOST_COMPONENTS + 1)}
    names = [f'"f{n}"' for n in range(MOST_COMPONENTS + 1)]
    request = REQUEST._replace(fields=fields)
    assert base_of(f"({' '.join(names[:-1])})", request).count("\n") == MOST_COMPONENTS
    with pytest.raises(ValueError, match="more than 32 components"):
        base_of(f"({' '.join(names)})", request)
    long = REQUEST._replace(fields={b"a": b", ".join(b"k%d" % n for n in range(2000))})
    assert base_of('("a")', long)
    with pytest.raises(ValueError, match="more than a field"):
        base_of('("a";key="k1")', long)
    big = REQUEST._replace(fields={b"a": b"x" * 40_000, b"b": b"x" * 40_000})
    with pytest.raises(ValueError, match="bytes are covered"):
        base_of('("a" "b")', big)


@given(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    st.binary(max_size=10),
)
def test_no_two_requests_share_a_base(one: str, other: str, path: bytes) -> None:
    """Each component has its own line: nothing moves from one to the next, and no value makes a line of its own."""

    def base(first: str, second: str) -> str | None:
        fields = {b"a": first.encode(), b"b": second.encode()}
        try:
            return base_of('("a" "b" "@path")', REQUEST._replace(fields=fields, path=b"/" + path))
        except ValueError:
            return None

    mine = base(one, other)
    if mine is not None:
        assert mine.count("\n") == 3
        assert mine.split("\n")[:2] == [f'"a": {one.strip(" ")}', f'"b": {other.strip(" ")}']
        assert (base(other, one) == mine) == (one.strip(" ") == other.strip(" "))
    else:
        assert any((byte < 0x20 and byte != 9) or byte > 0x7E for byte in path)
