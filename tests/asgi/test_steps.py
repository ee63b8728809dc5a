"""The step without a script, over the whole middleware: a wait, once, and back to where one was, on this site."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from antiscrape.core.budgets import Limit
from antiscrape.core.tokens import KeyRing
from tests.asgi.checked import BASE, checking, fields, form
from tests.core.test_returning import HOSTILE
from tests.house import SECRET, answers, changed, house, photo

if TYPE_CHECKING:
    from tests.house import Answer, House

PHOTOS = answers(photo())
POSTED = (
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"origin", b"https://photos.example"),
    (b"host", b"photos.example"),
)


def page_fields(*changes: tuple[bytes, bytes | None]) -> list[tuple[bytes, bytes]]:
    return changed(
        fields(kind="page"), (b"host", b"photos.example"), (b"sec-fetch-site", b"same-origin"), *changes
    )


async def shown(house: House, to: str = "/next", **more: Any) -> Answer:
    return await house.ask(f"{BASE}/step?to={quote(to, safe='')}", page_fields(), **more)


def token_of(answer: Answer) -> str:
    found = re.search(rb'name="token" value="([^"]+)"', answer.body)
    assert found is not None
    return found[1].decode()


async def sent(house: House, token: str, to: str = "/next", **more: Any) -> Answer:
    return await house.ask(
        f"{BASE}/step", page_fields(*POSTED), method="POST", body=form(token=token, to=to), **more
    )


@pytest.mark.security("G5")
def test_it_counts_after_its_wait_and_once() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking(wait=5.0)) as home:
            token = token_of(await shown(home))
            home.clock.tick(4.9)
            early = await sent(home, token)
            assert (early.status, early.get(b"set-cookie")) == (422, b"")
            assert b'role="alert"' in early.body
            home.clock.tick(0.2)
            taken = await sent(home, token)
            assert (taken.status, taken.get(b"location")) == (303, f"{BASE}/done?to=/next".encode())
            assert taken.get(b"set-cookie").startswith(b"clearance=")
            again = await sent(home, token)
            assert (again.status, again.get(b"set-cookie")) == (422, b"")

    asyncio.run(run())


@pytest.mark.security("F3")
def test_a_form_of_a_secret_that_was_taken_off_is_given_a_fresh_one() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            tokens = [token_of(await shown(home)) for _ in range(2)]
            home.clock.tick(6.0)
            assert home.app._check is not None
            other = b"Yq2-other-secret-of-32-bytes-and-more-0xZ"
            home.app._check.rekey(KeyRing([SECRET.encode(), other]))
            assert (await sent(home, tokens[0])).status == 303
            home.app._check.rekey(KeyRing([other]))
            assert (await sent(home, tokens[1])).status == 422

    asyncio.run(run())


@pytest.mark.security("G5", "G8")
def test_too_late_anothers_and_none_are_given_a_fresh_one() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            late, others = token_of(await shown(home)), token_of(await shown(home, peer="198.51.100.9"))
            home.clock.tick(10)
            for token in (others, "", "x", late[:-1], late + "A"):
                answer = await sent(home, token)
                assert (answer.status, answer.get(b"set-cookie")) == (422, b"")
            home.clock.tick(300)
            fresh = token_of(await sent(home, late))
            home.clock.tick(10)
            assert (await sent(home, fresh)).status == 303

    asyncio.run(run())


def test_with_its_cookie_one_is_back_and_without_it_one_is_told() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            token = token_of(await shown(home))
            home.clock.tick(6)
            cookie = (await sent(home, token)).get(b"set-cookie").partition(b";")[0]
            back = await home.ask(f"{BASE}/done?to=/next", page_fields((b"cookie", cookie)))
            assert (back.status, back.get(b"location")) == (303, b"/next")
            told = await home.ask(f"{BASE}/done?to=/next", page_fields((b"cookie", None)))
            assert told.status == 200
            assert b'href="/next"' in told.body
            assert b"<form" not in told.body, "no loop"

    asyncio.run(run())


def test_an_address_has_so_many_of_them() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking(steps=Limit(2, 3600, "2/hour"))) as home:
            tokens = [token_of(await shown(home)) for _ in range(3)]
            home.clock.tick(6)
            got = [(await sent(home, token)).status for token in tokens]
            assert got == [303, 303, 429]

    asyncio.run(run())


@pytest.mark.security("G3", "C7")
@pytest.mark.parametrize("target", [target for target in HOSTILE if target])
def test_it_never_leads_off_the_site(target: str) -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            page = await shown(home, target)
            assert b'name="to" value="/"' in page.body
            token = token_of(page)
            home.clock.tick(6)
            taken = await sent(home, token, target)
            assert taken.get(b"location") == f"{BASE}/done?to=/".encode()
            cookie = taken.get(b"set-cookie").partition(b";")[0]
            done = await home.ask(
                f"{BASE}/done?to={quote(target, safe='')}", page_fields((b"cookie", cookie))
            )
            assert done.get(b"location") == b"/"

    asyncio.run(run())


@pytest.mark.security("G10")
def test_its_pages_are_kept_nowhere_and_run_nothing() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            for answer in (
                await shown(home),
                await sent(home, "x"),
                await home.ask(f"{BASE}/done", page_fields()),
            ):
                assert answer.get(b"cache-control") == b"private, no-store"
                assert answer.get(b"x-robots-tag") == b"noindex, nofollow"
                policy = answer.get(b"content-security-policy")
                assert b"default-src 'none'" in policy
                assert b"frame-ancestors 'none'" in policy
                assert b"unsafe" not in policy
                assert b"<script" not in answer.body

    asyncio.run(run())


@pytest.mark.security("G10")
def test_nothing_that_was_sent_is_repeated() -> None:
    """But the path that one comes back to, escaped."""

    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            marks = "zqx'\"<b>zqx"
            changes = [
                (name, marks.encode()) for name in (b"user-agent", b"referer", b"accept-language", b"x-zqx")
            ]
            answer = await home.ask(f"{BASE}/step?to={quote(marks)}&x={quote(marks)}", page_fields(*changes))
            assert b"zqx" not in answer.body
            assert b"&#x27;" in (await shown(home, "/it's")).body
            posted = await home.ask(
                f"{BASE}/step", page_fields(*POSTED), method="POST", body=form(token=marks, to=marks, x=marks)
            )
            assert b"zqx" not in posted.body

    asyncio.run(run())


def test_words_are_in_the_visitors_language() -> None:
    async def run() -> None:
        async with house(PHOTOS, checking()) as home:
            answer = await home.ask(
                f"{BASE}/step", page_fields((b"accept-language", b"ar;q=0.9, xx, en;q=0.1"))
            )
            assert b'<html lang="ar" dir="rtl">' in answer.body

    asyncio.run(run())
