"""The rewriter's work and memory are bounded, whatever a page is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.quoted import LONGEST
from antiscrape.asgi.rewriting import HtmlSigner, JsonSigner
from tests.costs import ends

if TYPE_CHECKING:
    from collections.abc import Iterable


def sign(url: str) -> str:
    return url + "?!"


def run(signer: HtmlSigner | JsonSigner, body: bytes, cuts: Iterable[int]) -> bytes:
    """Feed ``body`` in the chunks that ``cuts`` make of it."""
    out, begun = [], 0
    for cut in cuts:
        out.append(signer.feed(body[begun:cut], last=False))
        begun = cut
    return b"".join(out) + signer.feed(body[begun:], last=True)


def html() -> HtmlSigner:
    return HtmlSigner(sign, ("/photos/",), "photos.example")


def json_() -> JsonSigner:
    return JsonSigner(sign, ("/photos/",), "photos.example")


def test_a_value_beyond_the_bound_passes_and_what_follows_is_signed() -> None:
    for filler in (b"x" * LONGEST, b"/photos/1," * (LONGEST // 9), b" " * LONGEST):
        for tag in (
            b"<img src='%s' href='/photos/1'>",
            b'<a data-x="%s" href="/photos/1">',
            b"<img a%sb='x>y' href='/photos/1'>",
            b"<i a=%s href=/photos/1>",
        ):
            body = tag % (filler if b"=%s" not in tag else filler.strip() or b"x" * LONGEST)
            signed = run(html(), body, range(0, len(body), 4096))
            assert signed.count(b"?!") == 1
            assert signed.endswith((b"/photos/1?!'>", b'/photos/1?!">', b"/photos/1?!>"))


def test_little_is_held_back() -> None:
    for signer, start in (
        (html(), b"<img src='/photos/"),
        (html(), b"<style>a{b:url('/photos/"),
        (json_(), b'["/photos/'),
        (html(), b"<!-- "),
    ):
        fed = len(start)
        came = len(signer.feed(start, last=False))
        for _ in range(40):
            came += len(signer.feed(b"x" * 1000, last=False))
            fed += 1000
            assert fed - came <= LONGEST + 1000


PATTERNS = [b"<a ", b"<!--", b"<![", b"<a b='", b"</a ", b"<a b=c ", b"<div>", b"<a/", b"<?", b"&quot;", b"<a <", b"<script", b'<a b="', b"< ", b"--!", b"</"]  # fmt: skip


@pytest.mark.security("D6")
@pytest.mark.parametrize(
    "pattern",
    [
        *PATTERNS,
        b"/photos/",
        b"<a/photos/",
        b'"/photos/',
        b"<a b='/photos/",
        b"<style>url(",
        b'"\\"',
        b"<title>/photos/</titl",
    ],
)
def test_the_cost_grows_with_the_length_and_not_faster(pattern: bytes) -> None:
    length = 400_000
    body = pattern * (length // len(pattern))
    for writer in (html(), json_()):
        with ends():
            run(writer, body, range(16_384, length, 16_384))


def test_what_is_sent_ahead_of_the_scan_is_signed_as_if_it_had_been_read() -> None:
    """A page may hold megabytes before its first protected URL; of these, only some are kept to be read again."""
    bare = b'<p title="a > b">words</p><!-- <img src=x> --><script>"</p>"</script>' * 20_000
    end = b"<img src='/photos/1'><!-- <img src='/photos/2'> --><a href=/photos/3>"
    signer, came = html(), 0
    for at in range(0, len(bare), 10_000):
        came += len(signer.feed(bare[at : at + 10_000], last=False))
        assert min(at + 10_000, len(bare)) - came < LONGEST
        assert sum(map(len, signer._unread)) <= 2**18
    rest = signer.feed(end, last=True)
    assert came + len(rest) == len(bare) + len(end) + 2 * len(b"?!")
    assert rest.endswith(b"<img src='/photos/1?!'><!-- <img src='/photos/2'> --><a href=/photos/3?!>")


def test_a_comment_that_began_long_before_the_url_still_counts() -> None:
    for opened in (b"<!--", b"<script>", b"<textarea>"):
        body = opened + b" <p> " * 200_000 + b"<img src='/photos/1'>"
        assert run(html(), body, range(0, len(body), 65_536)) == body
