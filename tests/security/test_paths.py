"""One decision for every spelling of a resource, or none at all: B2 to B8, B11."""

from __future__ import annotations

import random
from urllib.parse import quote, unquote_to_bytes

import pytest

from antiscrape.core import routes
from antiscrape.core.request import read_host
from antiscrape.core.resource import Kind, Size
from antiscrape.core.routes import RouteTable, read_path
from antiscrape.core.rules import Route
from antiscrape.errors import ConfigurationError, RequestError
from tests.costs import ends
from tests.house import policy_of

TABLE = RouteTable(policy_of().routes)
FOLDING = RouteTable(policy_of().routes, ignore_case=True)
LENIENT = {Kind.EXEMPT, Kind.ASSET}
RESOURCES = [
    "/", "/robots.txt", "/.well-known/acme-challenge/x", "/favicon.ico", "/static/app.css", "/assets/a/b.js",
    "/u/ada", "/u/j\u00f6rg", "/users/bob", "/@cy", "/profile/dee", "/media/1.jpg", "/media/2024/01/IMG_0007.jpeg",
    "/images/a b.png", "/img/%.gif", "/uploads/\u96ea.webp", "/thumbs/9.jpg", "/avatars/x.png", "/api/photos", "/api/v1/u/7",
    "/p/8842", "/photo/12_640x480.jpg", "/search", "/a/b/c/d/e", "/account/x.jpg", "/admin", "/login", "/about.html",
    "/feed.xml", "/media/", "/static", "/u/", "/u/a/b", "/robots.txt.bak", "/xrobots.txt", "/private/robots.txt",
    "/static.private/1.jpg", "/.well-known", "/.well-knownx/a", "/media/caf\u00e9.jpg", "/tag/#1", "/q/what?", "/~eve",
    "/media/1;v=2.jpg", "/a+b", "/a&b=c", "/a:b", "/\U0001f600", "/media/-1", "/media/00012",
]  # fmt: skip


def spell(rng: random.Random, path: str) -> bytes:
    """Write ``path`` with some of its bytes escaped, in either case; the slashes stay."""
    out = b""
    for byte in path.encode():
        char = bytes([byte])
        must = byte <= 0x20 or byte >= 0x7F or char in b'%?#\\"<>^`{|}'
        if char != b"/" and (must or rng.random() < 0.3):
            out += rng.choice([b"%%%02X", b"%%%02x"]) % byte
        else:
            out += char
    return out


def deface(rng: random.Random, raw: bytes) -> bytes:
    """Put in what some servers read away: dot segments, doubled slashes, parameters, other separators."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.choice([index for index, byte in enumerate(raw) if byte == 0x2F] or [0])
        raw = raw[:at] + rng.choice([
            b"/./", b"//", b"/x/../", b"/%2e/", b"/x/%2E%2e/", b"\\", b"/%5c", b"%2f", b"%252f", b"/;x=1/", b"/..;/", b"/%00",
            b"/%c0%af", b"/%e0%80%af", b"/..%2f", b"/.%2e/", b"/\xff", b"/%u002f", b"/%2", b"/%zz", b"/\t", b"/%0d%0a", b"/%20/",
        ]) + raw[at + 1 :]  # fmt: skip
    return raw


def lenient_server(raw: bytes) -> set[bytes]:
    """Return the paths that servers may serve at ``raw``: each way of decoding, merging, cutting and resolving."""
    found = set()
    for times in (1, 2):
        path = raw
        for _ in range(times):
            path = unquote_to_bytes(path)
        for separators in (path, path.replace(b"\\", b"/")):
            for plain in (separators, b"/".join(part.partition(b";")[0] for part in separators.split(b"/"))):
                kept: list[bytes] = []
                for part in plain.split(b"/"):
                    if part == b"..":
                        del kept[-1:]
                    elif part not in {b"", b"."}:
                        kept.append(part)
                found.add(b"/" + b"/".join(kept))
    return found


@pytest.mark.security("B4")
def test_20_000_spellings_of_50_resources_get_one_decision_each() -> None:
    rng = random.Random(50)
    assert len(RESOURCES) == 50
    for path in RESOURCES:
        plain = TABLE.classify(quote(path, safe="/:@!$&'()*+,;=~-._").encode())
        for _ in range(400):
            got = TABLE.classify(spell(rng, path))
            assert got.identity == plain.identity
            assert got.path == path
            assert got.subject == plain.subject
            assert got.number == plain.number
            assert got.kind is plain.kind or (plain.kind in LENIENT and got.kind is Kind.UNTOLD)


@pytest.mark.security("B5")
def test_20_000_defaced_spellings_are_refused_or_never_lenient_by_accident() -> None:
    """Where any server may serve something else there, the request is judged; else it may be exempt."""
    rng = random.Random(51)
    refused = judged = 0
    for _ in range(20_000):
        raw = deface(rng, spell(rng, rng.choice(RESOURCES)))
        try:
            got = TABLE.classify(raw)
        except RequestError:
            refused += 1
            continue
        judged += 1
        if got.kind in LENIENT:
            for served in lenient_server(raw):
                elsewhere = TABLE.classify(quote(served, safe="/").encode())
                assert elsewhere.kind is got.kind, (raw, served)
    assert min(refused, judged) > 2000


@pytest.mark.security("B5")
@pytest.mark.security("B6")
@pytest.mark.security("B3")
@pytest.mark.security("B2")
@pytest.mark.parametrize(
    "raw",
    [
        b"/a/../b", b"/a/..", b"/..", b"/.", b"/./a", b"/a/./b", b"/%2e%2e/a", b"/a/%2E%2E%2fb", b"/a\\b", b"/a%5cb", b"/a%5C..%5Cb",
        b"/a%00", b"/a%0d%0aX: y", b"/a\x7f", b"/a b", b"/%c0%ae", b"/%c1%9c", b"/\xff", b"/%f5%80%80%80", b"/a#b",
        b"http://evil.example/img/1.jpg", b"*", b"", b"evil.example:443", b"a", b"/" + b"a" * 9000,
    ],
)  # fmt: skip
def test_what_servers_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestError):
        TABLE.classify(raw)


@pytest.mark.security("B5")
@pytest.mark.parametrize(
    "raw",
    [b"/static/..;/media/1.jpg", b"/static%2f..%252f", b"/static//media/1.jpg", b"/robots.txt;x", b"/robots.txt%3f", b"/robots.txt%",
     b"//robots.txt", b"/.well-known%2fx", b"/.well-known/..;/media/1.jpg", b"/static/%e0%80%af", b"/static/%zz"],
)  # fmt: skip
def test_odd_spellings_are_never_lenient(raw: bytes) -> None:
    assert TABLE.classify(raw).kind not in LENIENT


@pytest.mark.security("B5")
@pytest.mark.parametrize("raw", [b"/thumbs/..;/media/1.jpg", b"/thumbs//media/1.jpg", b"/thumbs/x%2f1.jpg"])
def test_an_odd_spelling_is_no_thumbnail(raw: bytes) -> None:
    """Thumbnails cost no budget, and Tomcat reads ``..;`` as ``..``."""
    table = RouteTable([Route("/thumbs/**", Kind.IMAGE, Size.THUMBNAIL)])
    assert table.classify(b"/thumbs/1.jpg").size is Size.THUMBNAIL
    got = table.classify(raw)
    assert (got.kind, got.size) == (Kind.IMAGE, Size.UNTOLD)


@pytest.mark.security("B8")
@pytest.mark.security("B11")
@pytest.mark.parametrize(
    ("raw", "exempt"),
    [
        (b"/robots.txt", True), (b"/robots%2Etxt", True), (b"/.well-known/security.txt", True), (b"/.well-known/a/b/c", True),
        (b"/robots.txtx", False), (b"/xrobots.txt", False), (b"/a/robots.txt", False), (b"/robots.txt/x", False),
        (b"/ROBOTS.TXT", False), (b"/.well-knownx/a", False), (b"/a/.well-known/b", False), (b"/.well-known.evil/a", False),
        (b"/media/robots.txt", False), (b"/robots0txt", False), (b"/xwell-known/a", False),
    ],
)  # fmt: skip
def test_exempt_is_told_by_the_whole_path_or_a_whole_segment(raw: bytes, exempt: bool) -> None:  # noqa: FBT001 - a table's column
    assert (TABLE.classify(raw).kind is Kind.EXEMPT) is exempt


@pytest.mark.security("B4")
def test_case_is_one_resource_only_where_the_policy_says_so() -> None:
    assert TABLE.classify(b"/IMG/1.jpg").kind is Kind.UNTOLD
    assert FOLDING.classify(b"/IMG/1.JPG").kind is Kind.IMAGE
    assert FOLDING.classify(b"/IMG/1.JPG").identity == FOLDING.classify(b"/img/%31.jpg").identity
    assert TABLE.classify(b"/img/1.JPG").identity != TABLE.classify(b"/img/1.jpg").identity


@pytest.mark.security("B11")
@pytest.mark.parametrize("raw", ["/robot\u017f.txt", "/.well-\u212anown/x", "/\u017ftatic/x"])
def test_letters_that_only_unicode_folds_are_not_the_letters_of_a_rule(raw: str) -> None:
    """The long s and the Kelvin sign are no s and no k to any server."""
    assert FOLDING.classify(quote(raw).encode()).kind not in LENIENT


@pytest.mark.security("B7")
@pytest.mark.parametrize(
    ("field", "host"),
    [(b"Photos.Example", "photos.example"), (b"photos.example:8080", "photos.example"), (b"photos.example.", "photos.example"),
     (b"photos.example.:443", "photos.example"), (b"[2001:DB8::1]:443", "[2001:db8::1]"), (b"127.0.0.1", "127.0.0.1")],
)  # fmt: skip
def test_a_host_has_one_name(field: bytes, host: str) -> None:
    assert read_host(field) == host


def test_a_path_is_decoded_once() -> None:
    assert read_path(b"/a%252e%252e/b") == b"/a%2e%2e/b"
    assert TABLE.classify(b"/media/a%252f..%252f").path == "/media/a%2f..%2f"


@pytest.mark.parametrize("pattern", ["media/**", "/{subject}/{subject}", "/{user}", "/a{", "}"])
def test_a_pattern_that_is_none_stops_the_start(pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        RouteTable([Route(pattern, Kind.IMAGE, Size.UNTOLD)])


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("/a/*", ["/a/b", "/a/b/", "/a/"], ["/a", "/a/b/c"]),
        ("/a/**", ["/a/", "/a/b/c"], ["/a", "/ab/c"]),
        ("/u/{subject}", ["/u/ada", "/u/ada/"], ["/u/", "/u/a/b"]),
        ("/u/{subject}/photos/*.jpg", ["/u/x/photos/1.jpg"], ["/u/x/photos/1xjpg", "/u/x/photos/a/1.jpg"]),
        ("/a.b", ["/a.b", "/a.b/"], ["/aXb"]),
    ],
)  # fmt: skip
def test_a_star_is_one_segment_and_two_are_any_number(
    pattern: str, matches: list[str], misses: list[str]
) -> None:
    table = RouteTable([Route(pattern, Kind.IMAGE, Size.UNTOLD)])
    assert [table.classify(path.encode()).kind for path in matches] == [Kind.IMAGE] * len(matches)
    assert [table.classify(path.encode()).kind for path in misses] == [Kind.UNTOLD] * len(misses)


def test_the_first_line_that_matches_tells() -> None:
    table = RouteTable([Route("/a/b", Kind.API, Size.UNTOLD), Route("/a/**", Kind.IMAGE, Size.ORIGINAL)])
    assert table.classify(b"/a/b").kind is Kind.API
    assert table.classify(b"/a/c").kind is Kind.IMAGE
    assert RouteTable([]).classify(b"/a").kind is Kind.UNTOLD


@pytest.mark.security("D5")
def test_the_default_routes_take_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "LONGEST_PATH", 10**6)
    for path in (b"/" + b"a/" * 10**5, b"/u/" + b"{" * 10**5, b"/media" + b"/" * 10**5, b"/" * 10**5):
        with ends():
            TABLE.classify(path)
