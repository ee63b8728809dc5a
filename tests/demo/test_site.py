"""The demo's photo site, asked without antiscrape."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import httpx
import pytest

from antiscrape.demo.site import PER_PAGE, SESSION_COOKIE, create_site

if TYPE_CHECKING:
    from antiscrape.demo.photos import Library

HOST = "http://photos.test"


def ask(library: Library, path: str, **headers: str) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(create_site(library))
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            return await client.get(
                path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html"),
        ("/?page=3", "text/html"),
        ("/u/grace-hopper", "text/html"),
        ("/p/1001", "text/html"),
        ("/credits", "text/html"),
        ("/api/feed?page=2", "application/json"),
        ("/robots.txt", "text/plain"),
        ("/sitemap.xml", "application/xml"),
        ("/feed.xml", "application/atom+xml"),
        ("/media/1001.jpg", "image/jpeg"),
        ("/media/1001-320.jpg", "image/jpeg"),
        ("/static/site.css", "text/css"),
        ("/static/site.js", "text/javascript"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_every_route_answers_in_its_type(library: Library, path: str, content_type: str) -> None:
    answer = ask(library, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == content_type
    assert answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/p/1",
        "/p/x",
        "/u/nobody",
        "/?page=0",
        "/?page=99",
        "/?page=²",
        "/?page=x",
        "/media/1.jpg",
        "/media/../photos.py",
    ],
)
def test_what_is_not_there_is_a_404_in_the_sites_own_words(library: Library, path: str) -> None:
    answer = ask(library, path)
    assert answer.status_code == 404
    assert "Nothing hangs here" in answer.text


def test_the_pages_of_the_gallery_show_each_photo_once(library: Library) -> None:
    pages = -(-len(library.photos) // PER_PAGE)
    shown = [
        number
        for page in range(1, pages + 1)
        for number in re.findall(r'href="/p/(\d+)"', ask(library, f"/?page={page}").text)
    ]
    assert shown == [str(photo.id) for photo in library.photos]


def test_the_feed_and_the_gallery_show_the_same_photos(library: Library) -> None:
    feed = ask(library, "/api/feed?page=2").json()
    assert [row["url"] for row in feed["photos"]] == re.findall(
        r'href="(/p/\d+)"', ask(library, "/?page=2").text
    )


def test_every_picture_named_in_the_pages_is_there(library: Library) -> None:
    found: set[str] = set()
    for path in ("/", "/u/chelsea", "/p/1048", "/credits"):
        found |= set(re.findall(r"/media/[\w.-]+", ask(library, path).text))
    assert len(found) > 40
    assert all((library.folder / name.removeprefix("/media/")).is_file() for name in found)


def test_every_image_has_dimensions_and_an_alternative_text(library: Library) -> None:
    for path in ("/", "/p/1048", "/u/chelsea", "/credits"):
        tags = re.findall(r"<img [^>]*>", ask(library, path).text)
        assert tags
        assert all(' alt="' in tag and ' width="' in tag and ' height="' in tag for tag in tags)


def test_pages_load_nothing_from_elsewhere(library: Library) -> None:
    for path in ("/", "/p/1048", "/credits"):
        text = ask(library, path).text
        loaded = re.findall(r'<(?:img|script|link)[^>]*?(?:src|href)="([^"]+)"', text)
        assert loaded
        assert all(url.startswith("/") and not url.startswith("//") for url in loaded)


def test_a_photo_page_tells_machines_where_its_picture_is(library: Library) -> None:
    text = ask(library, "/p/1040").text
    assert f'property="og:image" content="{HOST}/media/1040.jpg"' in text
    found = re.search(r'<script type="application/ld\+json">(.*?)</script>', text, re.DOTALL)
    assert found
    linked = json.loads(found[1])
    photo = library.by_id[1040]
    assert (linked["@type"], linked["contentUrl"]) == ("ImageObject", f"{HOST}/media/1040.jpg")
    assert (linked["width"], linked["height"]) == (photo.width, photo.height)


def test_pictures_carry_validators_and_answer_conditions(library: Library) -> None:
    first = ask(library, "/media/1001.jpg")
    assert first.headers["cache-control"] == "public, max-age=86400"
    again = ask(library, "/media/1001.jpg", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    later = ask(library, "/media/1001.jpg", if_modified_since=first.headers["last-modified"])
    assert later.status_code == 304


def test_pictures_are_served_in_ranges(library: Library) -> None:
    whole = ask(library, "/media/1001.jpg").content
    part = ask(library, "/media/1001.jpg", range="bytes=100-299")
    assert part.status_code == 206
    assert part.content == whole[100:300]
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole)}"
    assert ask(library, "/media/1001.jpg", range=f"bytes={len(whole)}-").status_code == 416


def test_a_session_begins_once(library: Library) -> None:
    cookie = ask(library, "/").headers["set-cookie"]
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    assert "HttpOnly" in cookie
    assert "set-cookie" not in ask(library, "/", cookie=cookie.partition(";")[0]).headers


def test_sitemap_and_atom_feed_are_well_formed_and_complete(library: Library) -> None:
    sitemap = ET.fromstring(ask(library, "/sitemap.xml").content)
    assert len(sitemap) == 1 + len(library.profiles) + len(library.photos)
    feed = ET.fromstring(ask(library, "/feed.xml").content)
    entries = feed.findall("{http://www.w3.org/2005/Atom}entry")
    assert len(entries) == PER_PAGE
    assert all(
        f"{HOST}/media/" in (entry.findtext("{http://www.w3.org/2005/Atom}content") or "")
        for entry in entries
    )


def test_the_credits_name_every_author_and_licence(library: Library) -> None:
    text = ask(library, "/credits").text
    for source in library.sources:
        assert source.author in text
        assert source.licence in text
