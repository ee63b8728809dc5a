"""Real pages, and pages nobody would write, are the same bytes but for what is signed (SECURITY J2)."""

from __future__ import annotations

import random
import re
import sysconfig
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from antiscrape.asgi.rewriting import HtmlSigner
from tests.costs import ends
from tests.fuzz import times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Require

#: Where distributions and packages keep pages that people wrote for people.
FOLDERS = [Path("/usr/share"), Path("/usr/lib"), Path(sysconfig.get_path("purelib"))]
WANTED = 200
MOST = 200_000
ADDED = re.compile(rb"(?:\?|&amp;|&)granted=1")
TARGET = re.compile(rb"(\s(?:src|href)=[\"'])(?=[a-z])")


def sign(url: str) -> str:
    located, hash_, fragment = url.partition("#")
    return located + ("&" if "?" in located else "?") + "granted=1" + hash_ + fragment


def signed(body: bytes, cuts: list[int] | None = None) -> bytes:
    signer, out, begun = HtmlSigner(sign, ("/photos/",), "photos.example"), [], 0
    for cut in sorted(cuts or []):
        out.append(signer.feed(body[begun:cut], last=False))
        begun = cut
    return b"".join(out) + signer.feed(body[begun:], last=True)


def pages() -> Iterator[bytes]:
    """Yield pages in which every relative link leads to a photograph."""
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.html")):
            if path.is_file() and 0 < path.stat().st_size <= MOST:
                page = path.read_bytes()
                if b"granted=1" not in page and TARGET.search(page):
                    yield TARGET.sub(rb"\1/photos/", page)


@pytest.mark.security("J2")
def test_of_200_real_pages_nothing_changes_but_what_is_signed(require: Require) -> None:
    dice, seen = random.Random(6), 0
    for page in islice(pages(), times(WANTED)):
        whole = signed(page)
        assert ADDED.sub(b"", whole) == page
        bare = re.sub(
            rb"(?s)<!--.*?--!?>|<script.*?</script|<style.*?</style|<textarea.*?</textarea", b"", page
        )
        expected = len(re.findall(rb"<[a-z][^<>]*?\s(?:src|href)=[\"']/photos/", bare))
        assert len(ADDED.findall(whole)) >= expected > 0 or not expected
        assert signed(page, [dice.randrange(len(page)) for _ in range(5)]) == whole
        seen += 1
    if seen < WANTED:
        require("shared", f"there are {seen} pages on this machine, and {WANTED} are wanted")


WORDS = (
    "<", ">", "</", "/>", "<!--", "-->", "--!>", "<!", "<?", "<![CDATA[", "]]>", "=", '"', "'", "&quot;", "&#x2F;", "&amp;", " ", "\n", "\t", "\0", "\ufffd", "é",
    "<img src=", "<a href=", "<meta property=og:image content=", "<script>", "</script>", "<script type=application/json>", "<style>", "</style>", "<title>",
    "</title>", "<textarea>", "</textarea", "<svg>", "<iframe srcdoc=", "srcset=", "style=", "data-x=", "url(", ")", "/photos/", "/photos/1.jpg", "'/photos/2?a=b#c'",
    '"/photos/3"', "https://photos.example/photos/4", "//photos.example/photos/5", "\\/photos\\/6", "x", "1x", ",", "granted=1", "</body>", "<body>", "<base href=",
)  # fmt: skip


@pytest.mark.security("J2", "D6")
def test_of_made_up_pages_nothing_changes_but_what_is_signed() -> None:
    seed = 20260906
    dice = random.Random(seed)
    for number in range(times(300)):
        text = "".join(dice.choices(WORDS, k=dice.randrange(1, 200)))
        page = text.replace("granted=1", "granted").encode("utf-8", "replace")
        with ends():
            whole = signed(page)
        assert ADDED.sub(b"", whole) == page, (seed, number)
        cuts = [dice.randrange(len(page) + 1) for _ in range(dice.randrange(6))]
        assert signed(page, cuts) == whole, (seed, number, cuts)
