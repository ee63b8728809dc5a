"""Bodies are signed where a browser will fetch, and are the same bytes everywhere else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.asgi.quoted import LONGEST
from antiscrape.asgi.rewriting import HtmlSigner, JsonSigner, media_kind
from antiscrape.core.grants import Grants, GrantState
from antiscrape.core.rules import GrantRules
from antiscrape.core.tokens import KeyRing
from tests.fuzz import times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PREFIXES = ("/photos/", "/media/large")
NOW = 1_800_000_123.0
GRANTS = Grants(
    KeyRing([b"Zr1c0l8-gJ5dVQ2nXw9yT4uHs7bKfEaM3pN6oLiRtYq"]), GrantRules(prefixes=PREFIXES), "site"
)
HOST = "photos.example"
ADDED = re.compile(rb"(?:\?|&amp;|&|\\u0026)as=2[A-Za-z0-9_-]{35}")
MARK = re.compile(rb"(\?|&amp;|&|\\u0026)as=2[A-Za-z0-9_-]{35}")


def grant(url: str) -> str:
    return GRANTS.sign(url, now=NOW)


def html(*, insert: bytes = b"", host: str = HOST, ignore_case: bool = False) -> HtmlSigner:
    return HtmlSigner(grant, PREFIXES, host, insert=insert, ignore_case=ignore_case)


def json_(*, host: str = HOST) -> JsonSigner:
    return JsonSigner(grant, PREFIXES, host)


def run(signer: HtmlSigner | JsonSigner, body: bytes, cuts: Iterable[int] = ()) -> bytes:
    """Feed ``body`` in the chunks that ``cuts`` make of it."""
    out, begun = [], 0
    for cut in cuts:
        out.append(signer.feed(body[begun:cut], last=False))
        begun = cut
    return b"".join(out) + signer.feed(body[begun:], last=True)


def shown(body: bytes) -> str:
    """Return a signed body with ``!`` for each grant, after the sign that joins it."""
    return MARK.sub(rb"\1!", body).decode("utf-8", "surrogateescape")


PAGE = r"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>"/photos/t.jpg" <img src="/photos/t.jpg"></title>
<meta property="og:image" content="https://photos.example/photos/1.jpg?w=1200&amp;h=630"><link rel="preload" as="image" imagesrcset="/photos/1.jpg 1x, /photos/1@2.jpg 2x">
<style>.hero{background:url(/photos/hero.jpg)} .x{background-image:url( "/photos/x y.jpg" )}</style>
<script>var first = "/photos/script.jpg"; if (a < b) { document.write("<img src='/photos/w.jpg'>") }</script>
<script type="application/ld+json">{"@type":"ImageObject","contentUrl":"https:\/\/photos.example\/photos\/1.jpg?a=1\u0026b=2","/photos/name":1}</script></head>
<body class="feed"><!-- <img src="/photos/comment.jpg"> --!> <p title="/photos/title.jpg">/photos/text.jpg 1 < 2 & <b>x</b>
<a href=/photos/u.jpg?x&y>a > b</a><img alt="a > b" src='/photos/my pic.jpg#f' srcset="/photos/1.jpg 1x, /photos/c_1,h_2.jpg 2x,/photos/3.jpg?x=1&amp;y=2 3x">
<video poster="/photos/p.jpg" data-full='{"u":"\/photos\/9.jpg","v":"/photos/8.jpg?a=1&b=2"}' data-q="{&quot;u&quot;:&quot;/photos/q.jpg&quot;}"></video>
<div style="background:url('/photos/s.jpg')" data-list="/photos/1.jpg, /photos/2.jpg 2x" data-src=" /photos/a b.jpg"></div>
<textarea><img src="/photos/area.jpg"></textarea><svg><title/><image xlink:href="/media/large"/></svg>
<img src="https://elsewhere.example/photos/1.jpg"><img src="//Photos.Example/photos/1.jpg"><img src="&#x2F;photos&#x2F;e.jpg"><img src=/photos/é.jpg>
</BODY ></html><!-- </body> -->
""".encode()  # fmt: skip


def test_a_page_is_signed_where_a_browser_fetches_and_nowhere_else() -> None:
    lines = shown(run(html(insert=b"<a>trap</a>"), PAGE)).splitlines()
    assert lines[0] == PAGE.splitlines()[0].decode()
    assert 'content="https://photos.example/photos/1.jpg?w=1200&amp;h=630&amp;!"' in lines[1]
    assert 'imagesrcset="/photos/1.jpg?! 1x, /photos/1@2.jpg?! 2x"' in lines[1]
    assert (
        lines[2]
        == '<style>.hero{background:url(/photos/hero.jpg?!)} .x{background-image:url( "/photos/x y.jpg?!" )}</style>'
    )
    assert lines[3] == PAGE.splitlines()[3].decode()
    assert r'"https:\/\/photos.example\/photos\/1.jpg?a=1\u0026b=2\u0026!","/photos/name":1}' in lines[4]
    assert lines[5] == PAGE.splitlines()[5].decode()
    assert "<a href=/photos/u.jpg?x&y&amp;!>a > b</a>" in lines[6]
    assert "src='/photos/my pic.jpg?!#f'" in lines[6]
    assert '"/photos/1.jpg?! 1x, /photos/c_1,h_2.jpg?! 2x,/photos/3.jpg?x=1&amp;y=2&amp;! 3x"' in lines[6]
    assert r"""'{"u":"\/photos\/9.jpg?!","v":"/photos/8.jpg?a=1&b=2&amp;!"}'""" in lines[7]
    assert 'poster="/photos/p.jpg?!"' in lines[7]
    assert 'data-q="{&quot;u&quot;:&quot;/photos/q.jpg?!&quot;}"' in lines[7]
    assert "url('/photos/s.jpg?!')" in lines[8]
    assert 'data-list="/photos/1.jpg?!, /photos/2.jpg?! 2x" data-src=" /photos/a b.jpg?!"' in lines[8]
    assert lines[9].endswith(
        '<textarea><img src="/photos/area.jpg"></textarea><svg><title/><image xlink:href="/media/large?!"/></svg>'
    )
    assert lines[10].startswith(
        '<img src="https://elsewhere.example/photos/1.jpg"><img src="//Photos.Example/photos/1.jpg?!">'
    )
    assert lines[10].endswith('<img src="&#x2F;photos&#x2F;e.jpg?!"><img src=/photos/é.jpg?!>')
    assert lines[11] == "<a>trap</a></BODY ></html><!-- </body> -->"


@pytest.mark.security("J2")
def test_without_what_was_added_the_page_is_what_it_was() -> None:
    signed = run(html(insert=b"<a>trap</a>"), PAGE)
    assert ADDED.sub(b"", signed).replace(b"<a>trap</a>", b"") == PAGE


def test_where_the_chunks_end_changes_nothing() -> None:
    """At every single place, at every two close ones, and with every byte alone."""
    whole = run(html(insert=b"<i>"), PAGE)
    for cut in range(len(PAGE) + 1):
        assert run(html(insert=b"<i>"), PAGE, [cut, cut + 3]) == whole, cut
    assert run(html(insert=b"<i>"), PAGE, range(len(PAGE))) == whole


@pytest.mark.parametrize(
    "body",
    [
        b"<style>a{b:url(/photos/",
        b'<script type="text/json">["/photos/1',
        b"<img src='/photos/1",
        b"<!--",
        b"<",
    ],
)
def test_what_is_held_when_the_body_ends_without_another_byte_comes(body: bytes) -> None:
    signer = html()
    assert signer.feed(body, last=False) + signer.feed(b"", last=True) == body


@pytest.mark.parametrize(
    "attribute",
    ["src", "href", "SRC", "poster", "content", "background", "data", "xlink:href", "data-x", "data-src"],
)
def test_every_signed_attribute_carries_a_valid_grant(attribute: str) -> None:
    body = f'<x a=b {attribute} = "/photos/1.jpg?w=1&amp;h=2">'.encode()
    url = re.findall(rb'"([^"]+)"', run(html(), body))[0].decode().replace("&amp;", "&")
    path, _, query = url.partition("?")
    assert query.startswith("w=1&h=2&as=")
    assert GRANTS.check(path.encode(), query.encode(), now=NOW) is GrantState.VALID


@pytest.mark.parametrize(
    "attribute",
    ["title", "alt", "value", "action", "class", "id", "placeholder", "aria-label", "formaction", "srcx"],
)
def test_attributes_that_no_browser_fetches_stay(attribute: str) -> None:
    body = f'<x {attribute}="/photos/1.jpg">'.encode()
    assert run(html(), body) == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<img src='/photos/1?a&lt;b'>", "<img src='/photos/1?a&lt;b&amp;!'>"),
        ("<img src='/photos/1?a=1&copy=2'>", "<img src='/photos/1?a=1&copy=2&amp;!'>"),
        ("<img src='/photos/1&#35;f'>", "<img src='/photos/1?!#f'>"),
        ("<img src='\n /photos/1\t'>", "<img src='\n /photos/1?!\t'>"),
        ("<img src='/photos/a%2Fb'>", "<img src='/photos/a%2Fb'>"),
        ("<img src='/photos/../b'>", "<img src='/photos/../b'>"),
        ("<img src='/photosets/1'>", "<img src='/photosets/1'>"),
        ("<img src='/media/larger'>", "<img src='/media/larger'>"),
        ("<img src='/media/large?x'>", "<img src='/media/large?x&amp;!'>"),
        ("<img src='/a/photos/1'>", "<img src='/a/photos/1'>"),
        ("<img src=/photos/1/>", "<img src=/photos/1/?!>"),
        ("<img src=/photos/1 />", "<img src=/photos/1?! />"),
        ("<img/src='/photos/1'/>", "<img/src='/photos/1?!'/>"),
        ("<img =src='/photos/1'>", "<img =src='/photos/1'>"),
        ("<img alt=it's src='/photos/1'>", "<img alt=it's src='/photos/1?!'>"),
        ("<img alt= src='/photos/1'>", "<img alt= src='/photos/1'>"),
        ("<img src='/photos/1' src", "<img src='/photos/1?!' src"),
        ("<img src='/photos/1", "<img src='/photos/1"),
        ("<img src=/photos/1", "<img src=/photos/1"),
        ("< img src='/photos/1'>", "< img src='/photos/1'>"),
        ("</p src='/photos/1'>", "</p src='/photos/1'>"),
        ("<!-->x<img src='/photos/1'>", "<!-->x<img src='/photos/1?!'>"),
        ("<!--->x<img src='/photos/1'>", "<!--->x<img src='/photos/1?!'>"),
        ("<!--!><img src='/photos/1'>-->", "<!--!><img src='/photos/1'>-->"),
        ("<!-- -- ><img src='/photos/1'>", "<!-- -- ><img src='/photos/1'>"),
        ("<!x '><img src='/photos/1'>", "<!x '><img src='/photos/1?!'>"),
        ("<?x ?><img src='/photos/1'>", "<?x ?><img src='/photos/1?!'>"),
        ("</><img src='/photos/1'>", "</><img src='/photos/1?!'>"),
        ("</ src='/photos/1'><img src='/photos/1'>", "</ src='/photos/1'><img src='/photos/1?!'>"),
        ("<script>'<img src=\"/photos/1\">'</SCRIPT ><img src='/photos/1'>", "<script>'<img src=\"/photos/1\">'</SCRIPT ><img src='/photos/1?!'>"),
        ("<script></scripty><img src='/photos/1'></script>", "<script></scripty><img src='/photos/1'></script>"),
        ("<script src='/photos/1.js'></script>", "<script src='/photos/1.js?!'></script>"),
        ('<script type=application/json>{"a":"/photos/1"', '<script type=application/json>{"a":"/photos/1?!"'),
        ("<style>a{b:url(/photos/1) url(/photos/", "<style>a{b:url(/photos/1?!) url(/photos/"),
        ("<base href='/photos/'>", "<base href='/photos/'>"),
        ("<img srcset='/photos/1, /photos/2 2x'>", "<img srcset='/photos/1?!, /photos/2?! 2x'>"),
        ("<img data-srcset='/photos/1 640w,\n /photos/2 (a,b) 2x,'>", "<img data-srcset='/photos/1?! 640w,\n /photos/2?! (a,b) 2x,'>"),
        ("<iframe srcdoc='&lt;img src=\"/photos/1\">'></iframe>", "<iframe srcdoc='&lt;img src=\"/photos/1?!\">'></iframe>"),
        ("<noscript><img src='/photos/1'></noscript>", "<noscript><img src='/photos/1?!'></noscript>"),
    ],
)  # fmt: skip
def test_tags_are_read_as_the_html_standard_reads_them(body: str, expected: str) -> None:
    assert shown(run(html(), body.encode())) == expected
    assert shown(run(html(), body.encode(), range(len(body)))) == expected


@pytest.mark.security("J2")
def test_a_url_that_carries_a_grant_is_signed_anew_and_not_twice() -> None:
    fresh, old = grant("/photos/1?w=1"), GRANTS.sign("/photos/1?w=1", now=NOW - 900)
    escaped = fresh.replace("&", "&amp;")
    assert run(html(), f"<img src='{escaped}'>".encode()) == f"<img src='{escaped}'>".encode()
    assert run(html(), f"<img src='{old}#x'>".encode()) == f"<img src='{escaped}#x'>".encode()
    assert json.loads(run(json_(), json.dumps([old, fresh]).encode())) == [fresh, fresh]


@pytest.mark.security("J2")
def test_what_is_written_anew_is_escaped_where_it_stands() -> None:
    """An old grant is taken out, so the URL is spelt again; it must not break out of its quotes or its script."""
    attribute = run(html(), b"""<img src='/photos/1?as=1&amp;x=&#39;&lt;"'>""")
    assert shown(attribute) == "<img src='/photos/1?x=&#39;&lt;&quot;&amp;!'>"
    script = run(html(), rb'<script type="application/json">["\/photos\/1?as=1&x=\u003c/script>"]</script>')
    assert (
        shown(script) == r'<script type="application/json">["\/photos\/1?x=\u003c\/script\u003e&!"]</script>'
    )
    quoted = run(html(), b"""<p data-x='["\\/photos\\/1?as=1&amp;x=\\"&#39;"]'>""")
    assert quoted.count(b"'") == 2


@pytest.mark.parametrize("host", ["photos.example:8443", "[::1]:8000", "photos.example"])
def test_absolute_urls_are_signed_for_the_own_host_only(host: str) -> None:
    body = f'<a href="http://{host}/photos/1"></a><a href="//x{host}/photos/1"></a><a href="http://{host}.evil/photos/1"></a>'.encode()
    assert shown(run(html(host=host), body)).count("!") == 1
    assert shown(run(html(host=""), body)).count("!") == 0


def test_prefixes_are_found_in_every_way_that_they_are_spelt() -> None:
    signer = HtmlSigner(lambda url: url + "!", ("/fötos/",), HOST)
    assert (
        run(signer, "<a href='/fötos/1'><a href='/f%C3%B6tos/1'><a href='/f%c3%b6tos/1'>".encode()).count(
            b"!"
        )
        == 3
    )
    everything = HtmlSigner(lambda url: url + "!", ("/",), HOST)
    assert (
        run(
            everything,
            b"<a href='/x'><a href='#/x'><a href='x/y'><a href='//other.example/x'><a href='//other.example'>",
        ).count(b"!")
        == 1
    )
    assert run(html(ignore_case=True), b"<a href='/PHOTOS/1'>").count(b"as=2") == 1
    assert run(html(), b"<a href='/PHOTOS/1'>").count(b"as=2") == 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (r'{"u":"/photos/1","\/photos\/k" : "\/photos\/2?a=1&b"}', r'{"u":"/photos/1?!","\/photos\/k" : "\/photos\/2?a=1&b&!"}'),
        (r'["https:\/\/PHOTOS.example\/photos\/1","//photos.example/photos/2"]', r'["https:\/\/PHOTOS.example\/photos\/1?!","//photos.example/photos/2?!"]'),
        (r'["/photos/1\u0026", "/photos/1?x\u0026y"]', r'["/photos/1\u0026?!", "/photos/1?x\u0026y\u0026!"]'),
        (r'["see /photos/1", "x\"/photos/1", "<img src=\"/photos/1\">", "/photos/"]', r'["see /photos/1", "x\"/photos/1", "<img src=\"/photos/1\">", "/photos/?!"]'),
        (r'["https://elsewhere.example/photos/1", "/photos/\q", "/photos/1\n", "/photos/a\\b", "/photos/é"]',
         r'["https://elsewhere.example/photos/1", "/photos/\q", "/photos/1\n", "/photos/a\\b", "/photos/é?!"]'),
        ('{"/photos/k"\n\t :1,"a":"/photos/1"\n\t }', '{"/photos/k"\n\t :1,"a":"/photos/1?!"\n\t }'),
        ('"/photos/1"', '"/photos/1?!"'),
        ('["/photos/1', '["/photos/1'),
        ('["\\/photos\\/1"]', '["\\/photos\\/1?!"]'),
    ],
)  # fmt: skip
def test_string_values_of_json_are_signed_in_their_own_style(body: str, expected: str) -> None:
    raw = body.encode()
    assert shown(run(json_(), raw)) == expected
    for cut in range(len(raw)):
        assert shown(run(json_(), raw, [cut])) == expected, cut
    assert shown(run(json_(), raw, range(len(raw)))) == expected


FRAGMENTS = st.sampled_from(
    [b"<", b">", b"</", b"<!--", b"-->", b"--!>", b"-", b"!", b"/", b"=", b" ", b"\n", b'"', b"'", b"&quot;", b"&", b",", b"\\", b":", b"(", b")", b"\0", b"\xff",
     b"<a ", b"<img src=", b"href=", b'srcset="', b"style='", b"data-x='", b"url(", b"/photos/", b"/photos/1.jpg?x#y", b"\\/photos\\/", b"&#x2F;photos/", b"/media/large",
     b"https://photos.example", b"https:\\/\\/photos.example", b"<script>", b"<script type=text/json>", b"</script>", b"<style>", b"</style", b"<title>", b"</title>",
     b"</body>", b"<body>", b"<textarea/>", b"x" * 9, b"<svg/onload=", b"<?", b"<!", b"as=2" + b"x" * 35, b"{", b"1x", b"x" * (LONGEST - 20), b" " * (LONGEST - 3)]
)  # fmt: skip


def agree(make: Callable[[], HtmlSigner | JsonSigner], body: bytes, cuts: list[int], step: int) -> None:
    whole = run(make(), body)
    assert run(make(), body, sorted(cut % (len(body) + 1) for cut in cuts)) == whole
    if len(body) < LONGEST:
        assert run(make(), body, range(0, len(body), step)) == whole
    plain = ADDED.sub(b"", whole.replace(b"<!trap>", b""))
    assert ADDED.sub(b"", body) == plain or b"as=2" in body


@pytest.mark.security("J2")
@settings(max_examples=times(120), deadline=None)
@given(
    st.lists(FRAGMENTS, max_size=25).map(b"".join),
    st.lists(st.integers(0, 10**6), max_size=5),
    st.integers(1, 7),
)
def test_whatever_the_html_is_chunks_change_nothing_and_nothing_else_changes(
    body: bytes, cuts: list[int], step: int
) -> None:
    agree(lambda: html(insert=b"<!trap>"), body, cuts, step)


@pytest.mark.security("J2")
@settings(max_examples=times(80), deadline=None)
@given(
    st.lists(FRAGMENTS, max_size=25).map(b"".join),
    st.lists(st.integers(0, 10**6), max_size=5),
    st.integers(1, 7),
)
def test_whatever_the_json_is_chunks_change_nothing_and_nothing_else_changes(
    body: bytes, cuts: list[int], step: int
) -> None:
    agree(json_, body, cuts, step)


class Reader(HTMLParser):
    """Tells what another reader of HTML sees, with grants taken off."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[object] = []
        self.grants = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            bare = re.sub(r"[?&]as=2[\w-]{35}", "", value or "")
            self.grants += bare != (value or "")
            self.seen.append((tag, name, bare))

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        self.seen.append(("comment", data))


def gallery(number: int) -> bytes:
    cards = (
        f"""<li class="card" id=c{i}><a class='link' href="/p/{i}?from=feed&amp;n={i}" title="it's &quot;{i}&quot;">
        <picture><source type=image/webp srcset="/photos/{i}.webp?w=320 320w, /photos/{i}.webp?w=640 640w" sizes="(max-width: 40em) 100vw">
        <img loading=lazy alt="Ann & Bob > Carl" src="/photos/{i}.jpg?w=320&amp;q=80" width=320 data-full="/photos/{i}.jpg"></picture></a>
        <p>See /photos/{i}.jpg, 1 < 2 &amp; so on</p><!-- <img src="/photos/{i}.jpg"> --></li>"""
        for i in range(number)
    )
    return ("<!doctype html><html><body><ul>" + "\n".join(cards) + "</ul></body></html>").encode()


def test_another_reader_sees_the_same_page_with_a_grant_on_every_picture() -> None:
    before, after = Reader(), Reader()
    before.feed(gallery(50).decode())
    after.feed(run(html(), gallery(50), range(0, 40_000, 1000)).decode())
    assert after.seen == before.seen
    assert after.grants == 50 * 3


@pytest.mark.security("J2")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_passes_untouched(encoding: str) -> None:
    body = PAGE.decode().encode(encoding)
    assert run(html(insert=b"<i>"), body, range(0, len(body), 97)) == body
    assert run(html(insert=b"<i>"), body, [1]) == body


def test_the_trap_is_put_once_and_only_where_a_body_ends() -> None:
    assert run(html(insert=b"T"), b"<body></BODY></body>") == b"<body>T</BODY></body>"
    for without in (
        b"<p>x",
        b"<!-- </body> --> x",
        b"<title></body></title>",
        b"</bodyx>",
        b"<a b='</body>'>",
    ):
        assert run(html(insert=b"T"), without) == without


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (b"text/html", "html"), (b"Text/HTML; Charset=UTF-8", "html"), (b'text/html;charset="utf-8"', "html"), (b"text/html; charset=iso-8859-1", "html"),
        (b"application/xhtml+xml", "html"), (b"text/html;charset=windows-1252", "html"), (b"text/html; charset=us-ascii", "html"),
        (b"application/json", "json"), (b"application/ld+json; charset=utf-8", "json"), (b"application/activity+json", "json"), (b"text/json", "json"),
        (b"text/html; charset=utf-16", None), (b"text/html; charset=utf-16le; charset=utf-8", None), (b"application/json;charset=UTF-32", None),
        (b"text/html; charset=iso-2022-jp", None), (b"text/html; charset=shift_jis", None), (b"text/html; charset=utf-7", None), (b"text/html; charset=", None),
        (b"text/plain", None), (b"image/jpeg", None), (b"", None), (b"text/css", "css"), (b"application/rss+xml", "xml"), (b"text/xml", "xml"), (b"text/css; charset=utf-16", None), (b"application/jsonp", None), (b"text/htmlx", None), (b"\xff", None),
    ],
)  # fmt: skip
def test_only_text_in_ascii_compatible_charsets_is_signed(content_type: bytes, kind: str | None) -> None:
    assert media_kind(content_type) == kind


def test_a_srcset_handed_to_a_script_is_signed_candidate_by_candidate() -> None:
    body = b'{"srcset":"/media/1-320.jpg 320w, /media/1-640.jpg 640w","one":"/media/2.jpg"}'
    signed = JsonSigner(lambda url: url + "?as=X", ("/media/",), "photos.example").feed(body, last=True)
    candidates = "/media/1-320.jpg?as=X 320w, /media/1-640.jpg?as=X 640w"
    assert json.loads(signed) == {"srcset": candidates, "one": "/media/2.jpg?as=X"}
