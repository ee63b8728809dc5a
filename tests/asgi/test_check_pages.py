"""What the check puts into pages, serves beside them, and gives to browsers, over the whole middleware."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.asgi.checked import BASE, challenged, checking, cleared, fields, posted, solved
from tests.house import answers, house, person, photo, tool

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.house import Answer

PHOTOS = answers(photo())
PAGE = answers(b"<html><body><p>hello</p></body></html>", b"text/html; charset=utf-8")


def test_the_script_is_put_into_pages_and_loads_what_it_needs() -> None:
    async def run() -> None:
        async with house(PAGE, checking()) as home:
            page = (await home.ask("/", fields(kind="page"))).body.decode()
            source = page.partition('<script type="module" async="" src="')[2].partition('"')[0]
            assert source.startswith(BASE + "/")
            assert "<noscript>" in page
            got: list[Answer] = []
            for name in ("check.js", "work.js", "botd.js", "botd.LICENSE"):
                path = source.replace("check.js", name)
                got.append(await home.ask(path, person((b"accept-encoding", b"gzip"))))
                plain = await home.ask(path, person((b"accept-encoding", None)))
                assert gzip.decompress(got[-1].body) == plain.body
                assert got[-1].get(b"cache-control") == b"public, max-age=31536000, immutable"
                again = await home.ask(path, person((b"if-none-match", got[-1].get(b"etag"))))
                assert (again.status, again.body) == (304, b"")
            assert sum(len(one.body) for one in got[:3]) <= 12 * 1024, "of gzip, in all"
            assert b"max-age=3600" in (await home.ask(f"{BASE}/script/check.js", person())).get(
                b"cache-control"
            )

    asyncio.run(run())


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (b"default-src 'self'", '/check.js"></script>'),
        (b"script-src 'nonce-r4nd0m'; default-src 'none'", ' nonce="r4nd0m"></script>'),
        (b"script-src 'strict-dynamic' 'nonce-r4nd0m'", ' nonce="r4nd0m"></script>'),
        (b"img-src *", '/check.js"></script>'),
        (b"default-src 'none'", ""),
        (b"script-src 'sha256-abc'", ""),
        (b"script-src 'self' 'strict-dynamic' 'sha256-abc'", ""),
        (b"default-src 'self', script-src 'none'", ""),
        (b"script-src 'nonce-\"><b>'", ""),
    ],
)
def test_the_pages_own_policy_is_kept_to(policy: bytes, found: str) -> None:
    async def run() -> None:
        app = answers(b"<html><body></body></html>", b"text/html", (b"content-security-policy", policy))
        async with house(app, checking(link=False)) as home:
            body = (await home.ask("/", fields(kind="page"))).body.decode()
            assert ("<script" in body) is bool(found)
            assert found in body
            assert "<b>" not in body

    asyncio.run(run())


AHEAD = ('<link rel="preload" as="fetch" crossorigin="" href="', '<link rel="modulepreload" href="')


def told_ahead(page: str) -> bool:
    """Tell whether a page names what the script will ask for."""
    told = {page.count(AHEAD[0]), page.count(AHEAD[1]) // 2}
    assert len(told) == 1
    return told == {1}


def test_who_has_a_check_to_do_is_told_ahead_what_the_script_will_ask_for() -> None:
    """Once: who runs no scripts, or keeps no cookies, is not sent for a challenge with every page."""

    async def run() -> None:
        async with house(PAGE, checking(link=False)) as home:

            async def page(*changes: tuple[bytes, bytes | None], peer: str = "203.0.113.7") -> str:
                head = fields(*changes, kind="page")
                return (await home.ask("/", head, peer=peer)).body.decode()

            first = await page()
            assert told_ahead(first)
            assert f'href="{BASE}/challenge"' in first
            for name in ("work.js", "botd.js"):
                path = first.partition('src="')[2].partition('"')[0].replace("check.js", name)
                assert f'href="{path}"' in first
                assert (await home.ask(path, person())).status == 200
            assert not told_ahead(await page())
            assert told_ahead(await page(peer="203.0.113.8"))
            home.clock.tick(301.0)
            assert told_ahead(await page())
            cookie = await cleared(home)
            assert not told_ahead(await page((b"cookie", cookie))), "it has done what it can"
            assert told_ahead(await page()), "this is another browser of the address"
            assert told_ahead(await page((b"cookie", cookie), peer="198.51.100.9")), "not at home"

    asyncio.run(run())


def test_what_is_asked_for_ahead_is_what_the_pages_policy_lets_load() -> None:
    policies = {b"/bare": b"default-src 'none'", b"/kept": b"script-src 'nonce-r4nd0m'"}

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        told = (b"content-security-policy", policies[scope["raw_path"]])
        await answers(b"<html><body></body>", b"text/html", told)(scope, receive, send)

    async def run() -> None:
        async with house(site, checking(link=False)) as home:
            bare = (await home.ask("/bare", fields(kind="page"))).body.decode()
            assert not told_ahead(bare)
            kept = (await home.ask("/kept", fields(kind="page"))).body.decode()
            assert told_ahead(kept), "nothing was told before"
            assert kept.count(' nonce="r4nd0m"') == 3

    asyncio.run(run())


def test_a_challenge_is_for_pages_of_the_same_origin() -> None:
    async def run() -> None:
        async with house(PAGE, checking()) as home:

            async def asked(site: bytes | None, method: str = "GET") -> Answer:
                head = fields((b"sec-fetch-site", site), (b"origin", None), (b"content-type", None))
                return await home.ask(f"{BASE}/challenge", head, method=method)

            given = await asked(b"same-origin")
            assert (given.status, given.get(b"cache-control")) == (200, b"private, no-store")
            assert (await posted(home, "answer", solved(json.loads(given.body)))).get(b"set-cookie")
            for site in (b"cross-site", b"same-site", b"none"):
                assert (await asked(site)).status == 403
            head = await asked(b"same-origin", "HEAD")
            assert (head.status, head.body) == (200, b"")
            assert (await asked(None)).status == 200, "a browser that tells nothing of it"

    asyncio.run(run())


def test_what_is_not_there_is_not_there() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            for path in ("", "x", "v/x.js", "v/../check.js", "v/w/check.js", "../check.js", "check.js"):
                assert (await home.ask(f"{BASE}/{path}", person())).status in {400, 404}
            assert (await home.ask(f"{BASE}/step", fields(), method="PUT")).status == 405

    asyncio.run(run())


def test_the_cookie_is_for_no_script_and_no_other_site() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            for scheme, secure in (("https", True), ("http", False)):
                told = solved(await challenged(home, (b"origin", None)))
                answer = await posted(home, "answer", told, (b"origin", None), scheme=scheme)
                traits = answer.get(b"set-cookie").decode().split("; ")[1:]
                assert traits[:4] == ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Lax"]
                assert ("Secure" in traits) is secure

    asyncio.run(run())


def test_a_lesser_rendition_says_so_to_scripts_of_its_own_site() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            assert (await home.ask("/media/1.jpg", tool())).get(b"server-timing") == b"rendition"
            assert not (await home.ask("/media/1.jpg", person())).get(b"server-timing")

    asyncio.run(run())


def test_a_compressed_page_carries_the_script_too() -> None:
    async def run() -> None:
        body = gzip.compress(b"<html><body><p>hello</p></body></html>")
        app = answers(body, b"text/html; charset=utf-8", (b"content-encoding", b"gzip"))
        async with house(app, checking()) as home:
            answer = await home.ask("/", fields(kind="page"))
            coded = answer.get(b"content-encoding") == b"gzip"
            page = gzip.decompress(answer.body) if coded else answer.body
            assert b"/check.js" in page
            assert page.endswith(b"</noscript></body></html>")

    asyncio.run(run())
