"""A tidy crawler on requests, its headers left as they are: gallery, photo pages, originals.

Run as ``python -m antiscrape.demo.crawlers.tidy BASE FOLDER --source 127.0.2.1 --most 48 --seconds 30``.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter

from antiscrape.demo.haul import Haul

_PHOTO = re.compile(r'href="(/p/\d+)"')
_NEXT = re.compile(r'href="(/\?page=\d+)"[^>]*>More')
_ORIGINAL = re.compile(r'property="og:image" content="([^"]+)"')


class _From(HTTPAdapter):
    """Connects from one local address."""

    def __init__(self, source: str) -> None:
        self._source = source
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._source, 0), **kwargs)


class Crawler:
    """Walks the listing page by page and takes the picture that each photo page names as its own."""

    def __init__(self, base: str, haul: Haul, *, source: str = "", seconds: float = 30.0) -> None:
        self._base = base
        self._haul = haul
        self._session = requests.Session()
        self._session.trust_env = False
        if source:
            self._session.mount("http://", _From(source))
        self._end = time.monotonic() + seconds

    def crawl(self, most: int) -> int:
        """Take at most ``most`` originals; return how many were asked for."""
        asked = 0
        listing: str | None = "/"
        while listing and asked < most:
            page = self._text(listing)
            for photo in dict.fromkeys(_PHOTO.findall(page)):
                found = _ORIGINAL.search(self._text(photo))
                if found and asked < most and time.monotonic() < self._end:
                    self._get(found[1].replace("&amp;", "&"), keep=True)
                    asked += 1
            following = _NEXT.search(page)
            listing = following[1] if following and time.monotonic() < self._end else None
        return asked

    def _text(self, url: str) -> str:
        return self._get(url).decode("utf-8", "replace")

    def _get(self, url: str, *, keep: bool = False) -> bytes:
        url = urljoin(self._base, url)
        try:
            answer = self._session.get(url, timeout=15)
        except requests.RequestException:
            self._haul.keep(url, 0, "")
            return b""
        self._haul.keep(
            url, answer.status_code, answer.headers.get("content-type", ""), answer.content if keep else None
        )
        return answer.content if answer.ok else b""


def main(arguments: list[str] | None = None) -> None:
    """Crawl as the command line says."""
    parser = argparse.ArgumentParser(description="Take a photo site's originals with requests.")
    parser.add_argument("base")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", default="")
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args(arguments)
    Crawler(given.base, Haul(given.folder), source=given.source, seconds=given.seconds).crawl(given.most)


if __name__ == "__main__":
    main()
