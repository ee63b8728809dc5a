"""From a scope to a head: one reading, whatever the server leaves out."""

from __future__ import annotations

import pytest

from antiscrape.asgi.head import HeadReader
from antiscrape.core.request import MOST_FIELDS
from antiscrape.errors import RequestError
from tests.house import changed, person, scope_of


def test_a_head_is_what_the_request_says_of_itself() -> None:
    scope = scope_of("/a%20b?c=%64", person(), method="PUT", peer="192.0.2.1", http_version="2")
    head = HeadReader().read(scope)
    assert (head.method, head.raw_path, head.query, head.peer) == ("PUT", b"/a%20b", b"c=%64", "192.0.2.1")
    assert (head.host, head.scheme, head.http_version, head.secure) == ("photos.example", "https", "2", True)
    assert head.names == tuple(name for name, _ in person())
    assert head.fields == dict(person())
    assert head.repeated == frozenset()


def test_lists_are_joined_and_other_repeated_fields_keep_their_first() -> None:
    headers = [
        *person(),
        (b"accept", b"text/x"),
        (b"user-agent", b"curl"),
        (b"cookie", b"b=2"),
        (b"via", b"a"),
        (b"via", b"b"),
    ]
    head = HeadReader().read(scope_of("/", headers))
    own = dict(person())
    assert head.fields[b"accept"] == own[b"accept"] + b", text/x"
    assert head.fields[b"user-agent"] == own[b"user-agent"]
    assert head.fields[b"cookie"] == own[b"cookie"] + b"; b=2"  # RFC 9113 §8.2.3
    assert head.fields[b"via"] == b"a, b"
    assert head.repeated == {b"accept", b"user-agent", b"cookie", b"via"}


@pytest.mark.parametrize("path", ["/a b", "/caf\u00e9", "/a?b", "/100%", "/a;b", "/\U0001f600"])
def test_a_server_that_gives_no_raw_path_gives_the_decoded_one(path: str) -> None:
    scope = scope_of("/", person())
    del scope["raw_path"]
    scope["path"] = path
    head = HeadReader().read(scope)
    from urllib.parse import unquote

    assert unquote(head.raw_path.decode("ascii")) == path
    assert b"?" not in head.raw_path


def test_what_a_server_may_leave_out_is_left_out() -> None:
    scope = {"type": "websocket", "path": "/", "raw_path": None, "headers": [(b"host", b"a.example")]}
    head = HeadReader().read(scope)
    assert (head.method, head.peer, head.query, head.secure) == ("GET", "", b"", False)


@pytest.mark.parametrize(
    ("scheme", "host", "proto", "secure"),
    [
        ("https", b"a.example", b"", True), ("wss", b"a.example", b"", True), ("http", b"a.example", b"", False),
        ("http", b"localhost:8000", b"", True), ("http", b"127.0.0.1", b"", True), ("http", b"[::1]:80", b"", True),
        ("http", b"a.example", b"http", False),
    ],
)  # fmt: skip
def test_trustworthy_is_https_or_loopback(scheme: str, host: bytes, proto: bytes, secure: bool) -> None:  # noqa: FBT001 - a table's column
    """W3C Secure Contexts §3.1: only there do browsers send Sec-Fetch fields."""
    headers = changed(person(), (b"host", host), (b"x-forwarded-proto", proto or None))
    assert HeadReader().read(scope_of("/", headers, scheme=scheme)).secure is secure


@pytest.mark.parametrize(
    "host", [b"localhosting.example", b"127.photos.example", b"localhost.photos.example"]
)
def test_a_name_that_begins_like_loopback_is_not(host: bytes) -> None:
    """Browsers send no Sec-Fetch fields there over plain http; to ask for them would charge people for it."""
    assert HeadReader().read(scope_of("/", changed(person(), (b"host", host)), scheme="http")).secure is False


def test_only_hosts_of_the_site_are_served() -> None:
    reader = HeadReader(("Photos.example", "m.photos.example."))
    for host in (b"photos.example", b"PHOTOS.example:8443", b"m.photos.example"):
        reader.read(scope_of("/", changed(person(), (b"host", host))))
    for host in (b"evil.example", b"photos.example.evil", b"xphotos.example"):
        for _ in range(2):  # the second time, what was remembered must not let it in
            with pytest.raises(RequestError):
                reader.read(scope_of("/", changed(person(), (b"host", host))))


@pytest.mark.security("C5")
def test_more_fields_than_any_browser_sends_are_refused() -> None:
    few = [*person(), *[(b"x-%d" % number, b"") for number in range(MOST_FIELDS - len(person()))]]
    HeadReader().read(scope_of("/", few))
    with pytest.raises(RequestError):
        HeadReader().read(scope_of("/", [*few, (b"x-more", b"")]))
