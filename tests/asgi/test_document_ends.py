"""Pages without ``</body>``, which HTML lets authors leave out, are given the check all the same; what is no page is not."""

from __future__ import annotations

import asyncio
import gzip
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from antiscrape.asgi.rewriting import HtmlSigner
from tests.asgi.checked import checking, fields
from tests.house import answers, changed, house, tool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.house import Pairs

INSERT = b"<i>here</i>"
BOUND = 200_000
#: Bodies that end as a document does, without the tag that says so.
DOCUMENTS = [
    b"<!doctype html><title>x</title><p>hello",
    b"<!DOCTYPE HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'>\n<p>hello\n",
    b"\xef\xbb\xbf\r\n<!-- a licence > -- --><!doctype html><p>hello",
    b"<html lang=en><body><p>hello</html>",
    b"<body class='a>b'>hello",
    b"<head><title>x</title></head>hello",
    b"<!doctype html><p>hello<!-- </body> -->",
    b"<!doctype html><script>let end = '</body>'</script>hello",
    b"<!doctype html><p title='</body>'>hello",
    b"<!doctype html><textarea></body></textarea>",
    b"<!doctype html><template><p>hello</template>",
    b"<!doctype html>" + b"<p>more</p>" * 9000,
    b"<!doctype html><img src=/photos/1.jpg><p>hello",
]
#: Bodies at whose end nothing can be said, or which are no document.
OTHERS = [
    b"",
    b"hello",
    b"<p>hello</p>",
    b"<title>part</title><p>hello</p>",
    b"<htmlx>hello",
    b"<header>hello</header>",
    b"<!-- <!doctype html> --><p>hello",
    b"<!doctype html><p>hello<!-- never ends",
    b"<!doctype html><p>hello<!-",
    b"<!doctype html><p>hello<",
    b"<!doctype html><p>hello<b",
    b"<!doctype html><p>hello<b title='",
    b"<!doctype html><p>hello<b title=",
    b"<!doctype html><script>never ends",
    b"<!doctype html><style>never ends</styl",
    b"<!doctype html><textarea>hello",
    b"<!doctype html><title>hello",
    b"<!doctype html><plaintext>hello<p>",
    b"<!doctype html><!bogus",
    b"<!doctype html><p>hello</",
    b"\xff\xfe<\0!\0d\0o\0c\0t\0y\0p\0e\0 \0h\0t\0m\0l\0>\0",
    b"<!doctype html>" + b"<p>more</p>" * 20_000,
]


def run(body: bytes, cuts: Iterable[int] = (), *, within: int = BOUND) -> bytes:
    signer = HtmlSigner(lambda url: url + "!", ("/photos/",), "h", insert=INSERT, within=within)
    out, begun = b"", 0
    for cut in [*cuts, len(body)]:
        out += signer.feed(body[begun:cut], last=cut == len(body) and begun <= cut)
        begun = cut
    return out


@pytest.mark.security("J2")
@pytest.mark.parametrize("body", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_a_document_is_given_it_at_its_end(body: bytes) -> None:
    """However it comes in pieces: and nothing else of it is touched."""
    wanted = body.replace(b"1.jpg", b"1.jpg!") + INSERT
    assert run(body) == wanted
    if len(body) > 1000:
        assert run(body, range(0, len(body), 997)) == wanted
        return
    for cut in range(len(body)):
        assert run(body, [cut]) == wanted, cut
    assert run(body, range(len(body))) == wanted
    assert run(body, within=0) == wanted.removesuffix(INSERT), "not where it is none"


@pytest.mark.security("J2")
@pytest.mark.parametrize("body", OTHERS, ids=range(len(OTHERS)))
def test_what_is_no_document_or_breaks_off_stays_as_it_is(body: bytes) -> None:
    assert run(body) == body
    for cut in range(0, len(body), max(1, len(body) // 50)):
        assert run(body, [cut]) == body, cut


def test_it_is_put_once_and_before_the_end_where_that_is_told() -> None:
    body = b"<!doctype html><body>hello</body></html>"
    assert run(body) == body.replace(b"</body>", INSERT + b"</body>")
    assert run(body, range(len(body))) == run(body)


def test_a_body_past_its_bound_is_cut_there_and_not_ended() -> None:
    """Past ``grants.body_bytes`` a body passes as it is, in the middle of whatever stands there."""
    body = b"<!doctype html>" + b"x" * 5000
    assert run(body, within=5015) == body + INSERT
    assert run(body, within=5014) == body


async def page(body: bytes, head: Pairs, kind: bytes = b"text/html", *more: tuple[bytes, bytes]) -> bytes:
    """Return what becomes of one answer of a site on its way to one visitor."""
    traps = {"ANTISCRAPE__TRAPS__INJECT": "true", "ANTISCRAPE__TRAPS__PICTURES": "true"}
    async with house(answers(body, kind, *more), checking(traps)) as home:
        return (await home.ask("/", head)).body


BARE = b"<!doctype html><title>Photos</title><p>hello"
SHOWN = fields(kind="page")


@pytest.mark.parametrize(
    "head",
    [
        SHOWN,
        changed(SHOWN, (b"sec-fetch-dest", b"iframe")),
        changed(SHOWN, (b"sec-fetch-dest", None)),
        tool(),
    ],
)
def test_who_asks_for_a_page_is_given_it(head: Pairs) -> None:
    body = asyncio.run(page(BARE, head))
    assert body.startswith(BARE)
    assert b"/check.js" in body


@pytest.mark.security("J2")
@pytest.mark.parametrize(
    "changes",
    [
        [(b"sec-fetch-dest", b"empty")],
        [(b"sec-fetch-dest", b"image")],
        [(b"sec-fetch-dest", None), (b"hx-request", b"true")],
        [(b"sec-fetch-dest", None), (b"x-requested-with", b"XMLHttpRequest")],
        [(b"sec-fetch-dest", None), (b"turbo-frame", b"messages")],
    ],
)
def test_a_script_that_asks_for_part_of_a_page_is_given_it_as_it_is(
    changes: list[tuple[bytes, bytes | None]],
) -> None:
    assert asyncio.run(page(BARE, changed(SHOWN, *changes))) == BARE


def test_a_compressed_page_is_given_it_too() -> None:
    coded = (b"content-encoding", b"gzip")
    body = asyncio.run(page(gzip.compress(BARE), SHOWN, b"text/html; charset=utf-8", coded))
    assert body.startswith(BARE)
    assert b"/check.js" in body


def test_the_script_stands_where_a_parser_finds_it() -> None:
    """The standard library's, which knows no more of the check than a browser's does."""
    found: list[dict[str, str | None]] = []

    class Look(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "script":
                found.append(dict(attrs))

    Look().feed(asyncio.run(page(BARE + b"<!-- </body> -->", SHOWN)).decode())
    assert [(one["type"], "async" in one) for one in found] == [("module", True)]


def test_a_page_of_xhtml_stays_well_formed() -> None:
    """A browser shows an error in the place of one that is not; behind its root nothing may stand at all."""
    begun = b'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body><p>hello</p>'
    body = asyncio.run(page(begun + b"</body></html>", SHOWN, b"application/xhtml+xml"))
    assert ET.fromstring(body).findall(".//{*}script")
    assert ET.fromstring(body).findall(".//{*}template/{*}img"), "and the trap's"
    whole = b'<html xmlns="http://www.w3.org/1999/xhtml"><p>no body</p></html>'
    assert asyncio.run(page(whole, SHOWN, b"application/xhtml+xml")) == whole
