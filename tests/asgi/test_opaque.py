"""Pictures behind opaque paths are served and judged as what they are; the site never hears of it."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.rules import GrantRules
from antiscrape.signing import sign_url
from tests.house import answers, house, person, photo, policy_of

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Scope, Send

RULES = GrantRules(prefixes=("/media/",), opaque="/p/")
PAGE = b"""<html><body><img src='/media/b%C3%B6b/1.jpg?w=2&amp;h=3#x' srcset="https://photos.example/media/2.jpg 2x, /static/3.jpg 1x"></body></html>"""


@pytest.mark.parametrize("rewrite", [True, False])
@pytest.mark.security("P0")
def test_a_picture_is_served_under_a_path_that_tells_nothing(*, rewrite: bool) -> None:
    seen: list[tuple[bytes, str, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["raw_path"], scope["path"], scope["query_string"]))
        if scope["path"].startswith("/media/"):
            await answers(photo(), b"image/jpeg")(scope, receive, send)
        else:
            await answers(PAGE, b"text/html")(scope, receive, send)

    async def go() -> None:
        policy = policy_of(grants=replace(RULES, rewrite=rewrite))
        async with house(app, policy) as put:
            if rewrite:
                page = (await put.ask("/page", person((b"host", b"photos.example"), kind="page"))).body
                assert b"media" not in page
                url = re.findall(rb"src='([^']+)'", page)[0].decode().replace("&amp;", "&")
                second = re.findall(rb'srcset="([^ ]+) 2x', page)[0].decode()
                assert second.startswith("https://photos.example/p/")
            else:
                url = sign_url("/media/b%C3%B6b/1.jpg?w=2&h=3#x", policy, now=put.clock.epoch)
            assert re.fullmatch(r"/p/[\w-]{64}\?w=2&h=3&as=2[\w-]{35}#x", url)
            picture = await put.ask(url.partition("#")[0], person())
            assert picture.body == photo()
            assert seen[-1] == (b"/media/b%C3%B6b/1.jpg", "/media/böb/1.jpg", b"w=2&h=3")
            bare = await put.ask(url.partition("?")[0], person())
            assert bare.body != photo(), "a path without its grant is worth what a missing grant is"
            await put.ask("/p/" + "A" * 64, person())
            assert seen[-1][0] == b"/p/" + b"A" * 64
            assert put.gate.grants is not None

    asyncio.run(go())


def test_json_and_absolute_urls_keep_their_spelling() -> None:
    body = rb'{"a":"https:\/\/photos.example\/media\/1.jpg","b":"/media/2.jpg","c":"/static/3.jpg"}'

    async def go() -> None:
        async with house(answers(body, b"application/json"), policy_of(grants=RULES)) as put:
            signed = (await put.ask("/api", person((b"host", b"photos.example"), kind="page"))).body
            values = json.loads(signed)
            assert values["a"].startswith("https://photos.example/p/")
            assert rb"https:\/\/photos.example\/p\/" in signed
            assert values["b"].startswith("/p/")
            assert values["c"] == "/static/3.jpg"

    asyncio.run(go())
