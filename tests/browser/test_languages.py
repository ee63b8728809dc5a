"""The words of every language, complete, and which of them a visitor asks for."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from importlib.resources import files

import pytest

from antiscrape.browser.languages import Languages, Words
from antiscrape.browser.pages import Pages

LANGUAGES = Languages()
NAMES = {one.name for one in fields(Words)}
FILES = {
    entry.name: tomllib.loads(entry.read_text("utf-8"))
    for entry in files("antiscrape.browser").joinpath("strings").iterdir()
}


def test_there_are_a_dozen_at_least() -> None:
    assert len(LANGUAGES.words) >= 12
    assert "en" in LANGUAGES.words


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_language_says_all_of_it_and_nothing_else(name: str) -> None:
    told = FILES[name]
    assert set(told) == NAMES
    assert all(isinstance(text, str) and text.strip() == text and text for text in told.values())
    assert told["direction"] == ("rtl" if name in {"ar.toml", "fa.toml", "he.toml", "ur.toml"} else "ltr")
    counted = {key for key, text in told.items() if "{seconds}" in text}
    assert counted == {"wait", "soon", "late"}
    assert not any(sign in text for text in told.values() for sign in "<>&{}" if "{seconds}" not in text)


def test_no_two_languages_say_the_same() -> None:
    for key in NAMES - {"direction"}:
        texts = [told[key] for told in FILES.values()]
        assert len(set(texts)) == len(texts), key


@pytest.mark.parametrize(
    ("field", "tag"),
    [
        (None, "en"), (b"", "en"), (b"de", "de"), (b"de-CH", "de"), (b"DE-ch, en;q=0.9", "de"), (b"xx, fr;q=0.5, de;q=0.4", "fr"),
        (b"zh-Hans-CN", "zh"), (b"en;q=0.1, ja;q=0.2", "ja"), (b"de;q=0", "en"), (b"*", "en"), (b"de;q=2", "en"), (b"\xff\xfe", "en"),
        (b"de," * 500, "en"), (b"de;q=0.5;q=1", "en"), (b"fr;Q=0.9", "fr"),
    ],
)  # fmt: skip
def test_a_visitor_is_given_what_it_likes_best(field: bytes | None, tag: str) -> None:
    assert LANGUAGES.choose(field) == tag


@pytest.mark.parametrize("tag", sorted(LANGUAGES.words))
def test_every_page_can_be_written_in_every_language(tag: str) -> None:
    pages = Pages(LANGUAGES, "/check", wait=5.0)
    for notice in ("", "soon", "late", "many"):
        page = pages.form(tag, "token", "/x?a=1&b=2", notice=notice).decode()
        assert ">5<" not in page
        assert "{seconds}" not in page
        assert 'value="/x?a=1&amp;b=2"' in page
    assert "<form" not in pages.no_cookies(tag, "/check/step", "/").decode()
    assert pages.link(tag, "/check/step?to=/&x").startswith("<noscript><a href=")
