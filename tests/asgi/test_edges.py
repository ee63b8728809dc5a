"""What edges say is read once, in one way, and only theirs."""

from __future__ import annotations

import pytest

from antiscrape.asgi.edges import BY_STATUS, ENVOY, FORWARDED, Edge, asked_of, edge_of, taken_of
from antiscrape.errors import RequestError
from tests.house import Pairs, scope_of

#: What each edge says of a request for "/a%20b?x=1", by its kind.
SAID = {
    BY_STATUS: [(b"x-original-uri", b"/a%20b?x=1"), (b"x-original-method", b"POST"), (b"host", b"photos.example")],
    FORWARDED: [
        (b"x-forwarded-uri", b"/a%20b?x=1"), (b"x-forwarded-method", b"POST"), (b"x-forwarded-host", b"photos.example"),
        (b"host", b"127.0.0.1:8079"),
    ],
    ENVOY: [(b"host", b"photos.example")],
}  # fmt: skip


def path_of(edge: Edge) -> bytes:
    return edge.path + (b"/a%20b?x=1" if edge is ENVOY else b"")


@pytest.mark.parametrize("edge", SAID, ids=["by status", "forwarded", "envoy"])
@pytest.mark.security("B9")
def test_what_is_judged_is_what_the_client_asked(edge: Edge) -> None:
    client: Pairs = [(b"user-agent", b"x"), (b"x-forwarded-for", b"203.0.113.7"), (b"accept", b"*/*")]
    method = "POST" if edge is ENVOY else "GET"
    scope = scope_of(path_of(edge), [*SAID[edge], *client], method=method)
    assert edge_of(scope["raw_path"]) is edge
    asked = asked_of(edge, scope)
    assert (asked["method"], asked["raw_path"], asked["query_string"]) == ("POST", b"/a%20b", b"x=1")
    assert asked["path"] == "/a b"
    assert asked["headers"] == [(b"host", b"photos.example"), *client]


@pytest.mark.parametrize("name", [b"x-original-uri", b"x-original-method"])
@pytest.mark.parametrize("value", [None, b"", b"twice"])
@pytest.mark.security("B9")
def test_what_is_missing_empty_or_said_twice_is_refused(name: bytes, value: bytes | None) -> None:
    said = SAID[BY_STATUS]
    changed = [pair for pair in said if pair[0] != name]
    if value == b"twice":
        changed = [*said, *(pair for pair in said if pair[0] == name)]
    elif value is not None:
        changed.append((name, value))
    with pytest.raises(RequestError):
        asked_of(BY_STATUS, scope_of(BY_STATUS.path, changed))


@pytest.mark.parametrize("name", [b"x-forwarded-uri", b"x-forwarded-method", b"x-forwarded-host"])
def test_traefik_and_caddy_say_each_once(name: bytes) -> None:
    said = SAID[FORWARDED]
    for changed in ([pair for pair in said if pair[0] != name], [*said, *(p for p in said if p[0] == name)]):
        with pytest.raises(RequestError):
            asked_of(FORWARDED, scope_of(FORWARDED.path, changed))


@pytest.mark.parametrize(
    "uri",
    [
        b"http://photos.example/", b"*", b"//a\x00", b"/a b", b"/a#b", b"/\xc3\xa4", b"a", b"/" + b"a" * 8192, b"/a\r\nx: y",
        b"/a\x7f", b"\\a",
    ],
)  # fmt: skip
@pytest.mark.security("B3")
def test_a_path_that_no_request_line_could_have_is_refused(uri: bytes) -> None:
    said = [(b"x-original-uri", uri), (b"x-original-method", b"GET")]
    with pytest.raises(RequestError):
        asked_of(BY_STATUS, scope_of(BY_STATUS.path, said))


@pytest.mark.parametrize("method", [b"get", b"GET /", b"G\tT", b"G" * 40, b"GET, POST", b"-"])
def test_a_method_is_a_word_in_capitals(method: bytes) -> None:
    said = [(b"x-original-uri", b"/"), (b"x-original-method", method)]
    with pytest.raises(RequestError):
        asked_of(BY_STATUS, scope_of(BY_STATUS.path, said))


@pytest.mark.security("A8")
def test_fields_of_another_edge_mean_nothing() -> None:
    """A client behind nginx may send what Traefik would set."""
    lies = [
        (b"x-forwarded-uri", b"/free"),
        (b"x-forwarded-host", b"else.example"),
        (b"x-antiscrape-take", b"x"),
    ]
    asked = asked_of(BY_STATUS, scope_of(BY_STATUS.path, [*SAID[BY_STATUS], *lies]))
    assert (asked["raw_path"], asked["headers"]) == (b"/a%20b", [(b"host", b"photos.example")])
    spelled = [(b"x_original_uri", b"/free"), (b"x.original.uri", b"/free")]
    asked = asked_of(BY_STATUS, scope_of(BY_STATUS.path, [*spelled, *SAID[BY_STATUS]]))
    assert asked["raw_path"] == b"/a%20b"


@pytest.mark.parametrize(
    "path",
    [b"/.antiscrape/", b"/.antiscrape/verdict/", b"/.antiscrape/Verdict", b"/.antiscrape/envoy", b"/verdict"],
)
def test_nothing_else_is_an_edges_question(path: bytes) -> None:
    assert edge_of(path) is None


def test_what_a_client_brings_is_one_thing_or_nothing() -> None:
    fields = [(b"host", b"a.example"), (b"x-antiscrape-take", b"one"), (b"x-original-uri", b"/")]
    scope, brought = taken_of(scope_of("/", fields))
    assert (scope["headers"], brought) == ([(b"host", b"a.example")], b"one")
    assert taken_of(scope_of("/", [*fields, (b"x-antiscrape-take", b"two")]))[1] == b""
    assert taken_of(scope_of("/", fields[:1]))[1] == b""
