"""The words that visitors read, one file a language, and which of them a visitor asks for."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from html import escape
from importlib.resources import files
from typing import Final

DEFAULT: Final = "en"
#: Browsers send up to some 200 bytes of Accept-Language.
_LONGEST: Final = 1024
# RFC 9110 §12.5.4 and §12.4.2: a language range and its weight.
_RANGE: Final = re.compile(
    r"\s*([a-z]{2,3})(?:-[a-z0-9-]{1,35})?\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Words:
    """What the pages say in one language. ``{seconds}`` stands for a number."""

    direction: str
    language: str
    link: str
    title: str
    why: str
    kept: str
    wait: str
    button: str
    soon: str
    late: str
    many: str
    no_cookies: str
    no_cookies_why: str
    back: str
    again: str


class Languages:
    """All languages by their tags (BCP 47), each as text that HTML can hold."""

    def __init__(self) -> None:
        folder = files("antiscrape.browser").joinpath("strings")
        self.words = {
            entry.name.removesuffix(".toml"): _read(entry.read_text("utf-8"))
            for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
            if entry.name.endswith(".toml")
        }

    def choose(self, field: bytes | None) -> str:
        """Return the tag of the language that an Accept-Language field likes best among ours."""
        best, weight = DEFAULT, 0.0
        if field is None or len(field) > _LONGEST:
            return best
        for part in field.decode("latin-1").split(","):
            match = _RANGE.fullmatch(part)
            if match is None:
                continue
            tag, liked = match[1].lower(), float(match[2] or 1)
            if tag in self.words and liked > weight:
                best, weight = tag, liked
        return best


def _read(text: str) -> Words:
    told = tomllib.loads(text)
    return Words(**{one.name: escape(told[one.name]) for one in fields(Words)})
