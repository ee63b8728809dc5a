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
