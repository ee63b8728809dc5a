"""Feeds and sitemaps are signed where a reader fetches a picture, in the escaping of the place, and nowhere else."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.asgi.feeds import _LONGEST_TOKEN
from antiscrape.asgi.quoted import LONGEST
from antiscrape.asgi.rewriting import XmlSigner
from tests.costs import ends
from tests.fuzz import times

FEED = b"""<?xml version="1.0" encoding="utf-8"?>
<rss xmlns:media="http://search.yahoo.com/mrss/" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1" xmlns:content="http://purl.org/rss/1.0/modules/content/" version="2.0"><channel><image><url>https://h/photos/logo.png</url></image><!-- <url>/photos/no</url> -->
<item><guid isPermaLink="true">https://h/photos/1</guid><link>https://h/photos/1?a=1&amp;b=2</link><title>/photos/title</title>
<enclosure url="https://h/photos/2.jpg" type="image/jpeg"/><media:content url='https://h/photos/3.jpg?w=1&amp;h=2'></media:content>
<description>&lt;img src="/photos/4.jpg?a=1&amp;amp;b=2"&gt; &lt;img src=&quot;/photos/5.jpg?a&quot; srcset='/photos/1 1x, /photos/2?x 2x'&gt; see /photos/6</description>
<content:encoded><![CDATA[<p><img src="/photos/7.jpg?a&amp;b" alt='/photos/no'><a href="https://else/photos/1">]]></content:encoded>
<image:loc> https://h/photos/8 </image:loc><image:loc><![CDATA[https://h/photos/9]]></image:loc><loc>https://h/page</loc></item></channel></rss>
"""  # fmt: skip
EXPECTED = (
    (b"/photos/logo.png<", b"/photos/logo.png?!<"),
    (b"a=1&amp;b=2<", b"a=1&amp;b=2&amp;!<"),
    (b"/photos/2.jpg", b"/photos/2.jpg?!"),
    (b"w=1&amp;h=2'", b"w=1&amp;h=2&amp;!'"),
    (b'a=1&amp;amp;b=2"', b'a=1&amp;amp;b=2&amp;amp;!"'),
    (b"5.jpg?a&quot;", b"5.jpg?a&amp;amp;!&quot;"),
    (b"'/photos/1 1x, /photos/2?x 2x'", b"'/photos/1?! 1x, /photos/2?x&amp;amp;! 2x'"),
    (b'7.jpg?a&amp;b"', b'7.jpg?a&amp;b&amp;!"'),
    (b"photos/8 ", b"photos/8?! "),
    (b"photos/9]", b"photos/9?!]"),
)


def sign(url: str) -> str:
    return url + ("&" if "?" in url else "?") + "!"


def run(body: bytes, cuts: list[int] | range = range(0)) -> bytes:
    signer, out, begun = XmlSigner(sign, ("/photos/",), "h"), [], 0
    for cut in cuts:
        out.append(signer.feed(body[begun:cut], last=False))
        begun = cut
    return b"".join(out) + signer.feed(body[begun:], last=True)


def test_a_feed_is_signed_where_a_reader_fetches_and_stays_what_it_was_elsewhere() -> None:
    expected = FEED
    for before, after in EXPECTED:
        assert expected.count(before) == 1
        expected = expected.replace(before, after)
    assert run(FEED) == expected
    assert len(list(ET.fromstring(expected).iter())) == len(list(ET.fromstring(FEED).iter()))


@pytest.mark.security("J2")
def test_where_the_chunks_end_changes_nothing() -> None:
    whole = run(FEED)
    for cut in range(len(FEED)):
        assert run(FEED, [cut, min(cut + 3, len(FEED))]) == whole, cut
    for step in (1, 7, 333):
        assert run(FEED, range(0, len(FEED), step)) == whole


@pytest.mark.security("J2")
@pytest.mark.parametrize(
    "body",
    [
        FEED.replace(b"utf-8", b"utf-16"),
        FEED.decode().encode("utf-16"),
        b"<id>/photos/1</id><rdf:li rdf:about='/photos/1'/><a xsrc='/photos/1'/>" + b" " * _LONGEST_TOKEN,
        b"<!-- <loc>/photos/1</loc>",
        b"<loc>/photos/1",
        b"<loc>/photos/1<b/></loc>",
        b'<img src="/photos/1<b>"/>',
        b"<loc>" + b" " * LONGEST + b"/photos/1</loc>",
    ],
)
def test_what_cannot_be_read_or_is_no_picture_stays(body: bytes) -> None:
    assert run(body) == body
    assert run(body, range(0, len(body), 100)) == body


PIECES = st.sampled_from(
    [b"<", b">", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<loc>", b"</loc>", b"<media:thumbnail ", b"url=", b"src=", b'"', b"'", b"&quot;", b"&lt;", b"&gt;",
     b"/photos/1", b"https://h/photos/2?x", b" ", b"x", b"srcset=", b" 2x, ", b"&amp;", b"?", b"x" * 400, b"<?xml version='1.0' encoding='utf-8'?>"]
)  # fmt: skip


@pytest.mark.security("J2")
@settings(max_examples=times(100))
@given(
    st.lists(PIECES, max_size=30).map(b"".join),
    st.lists(st.integers(0, 10**5), max_size=5),
    st.integers(1, 7),
)
def test_whatever_the_feed_is_only_grants_are_added(body: bytes, cuts: list[int], step: int) -> None:
    whole = run(body)
    assert run(body, sorted(cut % (len(body) + 1) for cut in cuts)) == whole
    assert run(body, range(0, len(body), step)) == whole
    for mark in (b"?!", b"&amp;amp;!", b"&amp;!"):
        whole = whole.replace(mark, b"")
    assert whole == body


@pytest.mark.security("J2")
@pytest.mark.parametrize(
    "body",
    [
        b"<a src='" + b"x" * (_LONGEST_TOKEN + 9) + b"<loc>/photos/1</loc>",
        b"<media:thumbnail a='b' src=\"/photos/1\">x",
        b"&lt;img src='/photos/1'/&gt;<a src='/photos/2?x'/>",
        b"<!-- &lt; --><a href='/photos/1?x'/>&lt;a href='/photos/2?x'&gt;<url><![CDATA[/photos/3?x]]></url> src='/photos/4?x'",
    ],
)
def test_what_is_cut_anywhere_in_a_long_feed_is_read_the_same(body: bytes) -> None:
    """Behind more than a token's length, which the first chunk waits for, and a URL, from which on a feed is read."""
    begun = b"<loc>/photos/0</loc>" + b" " * (2 * _LONGEST_TOKEN)
    body = begun + body + b" " * (2 * _LONGEST_TOKEN)
    whole = run(body)
    for cut in range(len(begun), len(body) - _LONGEST_TOKEN):
        assert run(body, [cut]) == whole, cut


@pytest.mark.security("D6")
@pytest.mark.parametrize(
    "pattern", [b"<", b"<loc>", b"src='", b"<!--", b"/photos/", b"<loc /photos/", b"a:b:src=", b"&lt;", b"<loc>/photos/ ", b"='", b"src='x'&lt;"]
)  # fmt: skip
def test_the_cost_grows_with_the_length(pattern: bytes) -> None:
    body = b"<loc>/photos/1</loc>" + pattern * (400_000 // len(pattern))
    with ends():
        run(body, range(0, len(body), 16_384))
