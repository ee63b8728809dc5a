"""What skims a page, by patterns or in C, comes to what the state machine comes to that reads every byte of it."""

from __future__ import annotations

import random
import sysconfig
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from antiscrape.asgi.markup import MarkupSigner
from antiscrape.asgi.quoted import LONGEST
from antiscrape.asgi.skimming import PATTERNS, Skimmer, skimmer_of
from antiscrape.asgi.spelling import Urls
from tests.costs import calls_of, ends
from tests.fuzz import times

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def to_the_next(data: bytes, at: int, place: int) -> int:
    """Pass text, and nothing else."""
    found = data.find(b"<", at, place)
    return place if found < 0 else found


#: Gives up on everything: the state machine reads it all.
NOTHING = Skimmer(to_the_next, lambda _data, _at: None, lambda _data, _at, _place: None)
URLS = Urls(lambda url: url + "!", ("/photos/", "/media"), "photos.example", fold=False)
CARDS = Urls(lambda url: url + "?card", ("/photos/", "/media"), "photos.example", fold=False)
#: Of a site that protects everything, where each slash is a place.
ALL = Urls(lambda url: url + "!", ("/",), "photos.example", fold=False)


@pytest.fixture
def swift(accelerator: Any) -> Skimmer:
    return skimmer_of(accelerator)


def signed(skimmer: Skimmer, body: bytes, cuts: Iterable[int] = (), urls: Urls = URLS) -> bytes:
    """Sign ``body`` in the chunks that ``cuts`` make of it."""
    signer = MarkupSigner(urls, b"<!trap>", within=1 << 20, cards=CARDS, skimmer=skimmer)
    out, begun = b"", 0
    for cut in cuts:
        out += signer.feed(body[begun:cut], last=False)
        begun = cut
    return out + signer.feed(body[begun:], last=True)


PASSED = [
    b"words",
    b"a < b, <3 and << ",
    b"<p>",
    b"<P CLASS=x>",
    b"<a b='x>y' c=\"x>y\" d=x/y e f = g>",
    b"<a b= c=d>",
    b"<a =b='>'>",
    b"<a b=\"c\"d='>'/>",
    b"<a'b='>",
    b'<a="b>',
    b"<a/b/ c=d/>",
    b"<a b=>",
    b"<a b=c\"d='>",
    b"</p>",
    b"</p title='>'>",
    b"</bodyx>",
    b"</b>",
    b"</>",
    b"</ a>",
    b"</3>",
    b"<!doctype html>",
    b"<!>",
    b"<!->",
    b"<!-x->",
    b"<?xml version='1.0'?>",
    b"<!-->",
    b"<!--->",
    b"<!---->",
    b"<!-- <p> -- > --!>",
    b"<!--!>-->",
    b"<!--->-->",
    b"<![CDATA[x]]>",
    b"<script>'</body>' < <!-- </scripty></script>",
    b"<SCRIPT async>x</Script >",
    b"<style></style/>",
    b"<textarea a='>'><title></textarea title='>'>",
    b"<title><</title>",
    b"<xmp></b></xmp>",
    b"<iframe></iframe\n>",
    b"<plaintextual>",
    b"<scripts>",
    b"<titles/>",
]
NOT_PASSED = [
    b"<",
    b"</",
    b"</p",
    b"<p",
    b"<p ",
    b"<p a",
    b"<p a=",
    b"<p a='>",
    b'<p a=">',
    b"<p a=b",
    b"<!",
    b"<!-",
    b"<!--",
    b"<!-- -",
    b"<!-- --",
    b"<!-- --!",
    b"<?",
    b"</body>",
    b"</BODY >",
    b"</body/>",
    b"</body x='>'>",
    b'</body>">',
    b"<script>",
    b"<script>x</script",
    b"<script>x</script x='>",
    b"<title/>x</title>",
    b"<iframe /></iframe>",
    b"<plaintext></plain>",
]


@pytest.mark.parametrize("kind", ["patterns", "swift"])
def test_what_is_whole_is_passed_and_what_is_not_is_left(kind: str, request: pytest.FixtureRequest) -> None:
    skim = (PATTERNS if kind == "patterns" else request.getfixturevalue("swift")).skim
    for body in PASSED:
        assert skim(body, 0, len(body)) == len(body), body
        assert skim(b"<" + body + b"x", 1, len(body) + 1) == len(body) + 1, body
    for body in NOT_PASSED:
        for before in (b"", b"x", b"<p>", b"<!-- -->", b'<a="b>', b'<a b="c"="d>', b"<a'=\"'>"):
            data = before + body + b"<!-- /photos/ -->"
            assert skim(data, 0, len(before + body)) == len(before), (before, body)


WORDS = (
    b"<", b">", b"/", b"</", b"/>", b"=", b" ", b"\n", b"\f", b"\t", b"\r", b'"', b"'", b'="', b"='", b"<!--", b"-->", b"--!>", b"--", b"-", b"!", b"<!", b"<?",
    b"<a", b"<p ", b"<b>", b"</b", b"</a>", b"<A ", b"<img src=", b"<img srcset='", b"<meta ", b"property=og:image ", b'content="', b"a=", b" b", b"data-x='",
    b"<script", b"<SCRIPT>", b"<script type=text/json>", b"</script", b"</Script>", b"<style>", b"</style>", b"<title", b"</title>", b"<textarea>", b"</textarea ",
    b"<xmp>", b"</xmp>", b"<iframe ", b"</iframe>", b"<plaintext>", b"<noembed>", b"</noframes>", b"<base href='", b"<body>", b"</body", b"</BODY>", b"url(", b")",
    b"/photos/", b"/photos/1.jpg", b"'/photos/2'", b'"/photos/3"', b'src="/media"', b"href=/photos/4?a#b ", b"&#x2F;photos/", b"//photos.example/photos/5", b"photos", b"\0", b"\xc3\xa9", b"x", b",",
)  # fmt: skip
BODIES = st.lists(st.sampled_from(WORDS), max_size=40).map(b"".join)


@pytest.mark.security("J2", "D7")
@settings(max_examples=times(400), deadline=None)
@given(body=BODIES, at=st.integers(0, 60), place=st.integers(0, 200))
def test_patterns_and_c_read_the_same(accelerator: Any, body: bytes, at: int, place: int) -> None:
    """C passes what the patterns pass, to the byte; of a tag it tells what they do, where they do, and never less."""
    swift = skimmer_of(accelerator)
    place = min(place, len(body))
    at = min(at, place)
    assert swift.skim(body, at, place) == PATTERNS.skim(body, at, place)
    for start in range(len(body)):
        tag = PATTERNS.whole_tag(body, start)
        told = swift.whole_tag(body, start)
        if tag is not None:
            assert told == tag
            for value in range(tag[1], tag[2]):
                if body[value : value + 1] == b"/" and swift.value_at(body, tag[1], value):
                    assert swift.value_at(body, tag[1], value) == PATTERNS.value_at(body, tag[1], value)


@pytest.mark.security("J2")
@settings(max_examples=times(300), deadline=None)
@given(
    body=BODIES,
    cuts=st.lists(st.integers(0, 200), max_size=4),
    step=st.integers(1, 9),
    urls=st.sampled_from((URLS, ALL)),
)
@example(b"<a&#x2F;photos/ b='/photos/1' href='/photos/1'>", [3], 5, URLS)
@example(b"<a b&#x2F;photos/='' href='/photos/1'>", [3], 5, URLS)
@example(b"<a /photos/ href='/photos/1' /photos>", [3], 5, URLS)
@example(b"<br />", [3], 5, ALL)
@example(b'<img src="/1" alt="" />"/2" <br /> b="', [3], 5, ALL)
def test_however_a_page_is_skimmed_and_comes_it_is_signed_the_same(
    accelerator: Any, body: bytes, cuts: list[int], step: int, urls: Urls
) -> None:
    wanted = signed(NOTHING, body, (), urls)
    for skimmer in (PATTERNS, skimmer_of(accelerator), NOTHING):
        assert signed(skimmer, body, (), urls) == wanted
        assert signed(skimmer, body, sorted(min(cut, len(body)) for cut in cuts), urls) == wanted
        assert signed(skimmer, body, range(0, len(body), step), urls) == wanted


def test_a_slash_that_ends_a_tag_is_in_no_value_where_everything_is_protected(swift: Skimmer) -> None:
    body = b'<link rel="icon" href="/1" /><br />a="/2" <hr class="x"/> "/3"<img alt="" src="/4"/>'
    for skimmer in (PATTERNS, swift, NOTHING):
        assert signed(skimmer, body, (), ALL) == body.replace(b"/1", b"/1!").replace(b"/4", b"/4!")


def pages() -> Iterator[bytes]:
    """Yield pages that people wrote for people, with links to photographs in them."""
    for folder in (Path("/usr/share"), Path(sysconfig.get_path("purelib"))):
        for path in sorted(folder.rglob("*.html")):
            if path.is_file() and 0 < path.stat().st_size <= 100_000:
                yield path.read_bytes().replace(b'="', b'="/photos/').replace(b"'/", b"'/photos/")


@pytest.mark.security("J2")
def test_pages_of_this_machine_are_signed_the_same(swift: Skimmer) -> None:
    dice, seen = random.Random(11), 0
    for page in islice(pages(), times(40)):
        seen += 1
        wanted = signed(PATTERNS, page)
        assert signed(swift, page) == wanted
        assert signed(swift, page, sorted(dice.randrange(len(page)) for _ in range(5))) == wanted
    if not seen:
        pytest.skip("this machine has no pages")


def test_of_a_tag_the_value_is_told_in_which_a_place_is(swift: Skimmer) -> None:
    data = b"x<IMG Alt='a /p b' data-y SRC=/p/1/ srcset = \"/p/2 2x\" title=/p/3>/p"
    element, at, end = swift.whole_tag(data, 1) or (b"", 0, 0)
    assert (element, data[:at], data[end:]) == (b"img", b"x<IMG", b"/p")
    told = []
    place = data.index(b"/p")
    while place < end:
        name, start, stop, after = swift.value_at(data, at, place) or (b"", 0, 0, 0)
        told.append((name, data[start:stop], data[stop:after]))
        at, place = after, data.index(b"/p", after)
    assert told == [
        (b"alt", b"a /p b", b"'"),
        (b"src", b"/p/1/", b""),
        (b"srcset", b"/p/2 2x", b'"'),
        (b"title", b"/p/3", b""),
    ]


@pytest.mark.parametrize(
    ("data", "place"),
    [(b"<a /p b>", 3), (b"<a b/p>", 4), (b"<a b=>/p", 6), (b"<a b= /p", 6), (b"<a b='/p", 6), (b"<a b=c /p>", 7), (b"<a b/p=c>", 4)],
)  # fmt: skip
def test_what_is_in_no_value_is_told_so(swift: Skimmer, data: bytes, place: int) -> None:
    assert swift.value_at(data, 2, place) is None


@pytest.mark.parametrize("data", [b"", b"<", b"a>", b"<3>", b"</a>", b"<!a>", b"<a", b"<a b='>", b"<script>", b"<TITLE x>", b"<plaintext>"])  # fmt: skip
def test_of_what_is_no_whole_tag_nothing_is_told(swift: Skimmer, data: bytes) -> None:
    assert swift.whole_tag(data, 0) is None
    assert PATTERNS.whole_tag(data, 0) is None


@pytest.mark.security("D7")
@pytest.mark.parametrize(
    "given",
    [(), (b"x",), ("x", 0, 1), (bytearray(b"x"), 0, 1), (b"x", "0", 1), (b"x", None, 1), (b"x", 0, 1, 2), (b"x", 2**70, 1)],
)  # fmt: skip
def test_what_is_no_body_with_places_in_it_is_an_error(accelerator: Any, given: tuple[Any, ...]) -> None:
    for function in (accelerator.skim, accelerator.value_at):
        with pytest.raises((TypeError, OverflowError)):
            function(*given)
    with pytest.raises((TypeError, OverflowError)):
        accelerator.whole_tag(*given[:2] if len(given) == 3 else given)


@pytest.mark.security("D7")
@pytest.mark.parametrize(("at", "place"), [(-1, 1), (2, 1), (0, 3), (3, 3), (0, -1)])
def test_a_place_outside_is_an_error(accelerator: Any, at: int, place: int) -> None:
    for function in (accelerator.skim, accelerator.value_at):
        with pytest.raises(ValueError, match="no such place"):
            function(b"xx", at, place)
    with pytest.raises(ValueError, match="no such place"):
        accelerator.whole_tag(b"xx", -1)


def cost(skimmer: Skimmer, body: bytes) -> int:
    """Return how many calls it takes to sign a body that comes in chunks."""
    return calls_of(lambda: signed(skimmer, body, range(0, len(body), 2048)))


@pytest.mark.security("D6")
@pytest.mark.parametrize(
    "pattern",
    [b"<", b"<a ", b"<a b='", b"<!--", b"<!-- -", b">", b"<!-->", b"<script>", b"</script", b"<title/>", b"<a/", b"</", b"<?", b"= ", b"<a b=/photos/ ", b"<b c='/photos/' ", b"</body", b"<b \xff"],
)  # fmt: skip
@pytest.mark.parametrize("begun", [b"", b'<a b="', b"<script>", b"<!--", b"<a "])
def test_no_page_is_read_again_and_again(swift: Skimmer, begun: bytes, pattern: bytes) -> None:
    """What the state machine does grows as the page does: with twice as much of the same, twice as many calls."""
    few, many = (cost(swift, begun + pattern * (size // len(pattern))) for size in (10_000, 20_000))
    assert many <= 2 * few + 200
    body = begun + pattern * (1_000_000 // len(pattern))
    with ends():
        at = 0
        while at < len(body):
            at = max(at + len(body) // 8, swift.skim(body, at, len(body)))


def test_an_attribute_beyond_the_bound_passes_however_the_page_is_skimmed(swift: Skimmer) -> None:
    for size in range(LONGEST - 12, LONGEST + 4):
        body = b"<p title='/photos/x' data-x='/photos/" + b"x" * (size - 17) + b"'><img src=/photos/1>"
        wanted = signed(NOTHING, body)
        assert wanted.count(b"!") == 1 + (size <= LONGEST)
        for skimmer in (PATTERNS, swift):
            assert signed(skimmer, body) == wanted


def test_a_card_is_told_by_its_whole_tag_however_it_is_skimmed(swift: Skimmer) -> None:
    """A ``>`` between quotes ends no tag."""
    body = b"<meta content='/photos/1?a>b' property=og:image><meta content=/photos/2>"
    wanted = body.replace(b"a>b", b"a>b?card").replace(b"2>", b"2!>")
    for skimmer in (PATTERNS, NOTHING, swift):
        assert [signed(skimmer, body, [cut]) for cut in range(len(body))] == [wanted] * len(body)
