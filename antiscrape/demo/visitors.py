"""A person who looks at the site: the requests that a desktop Chromium makes, in its order and its words.

The person opens the gallery, scrolls it, turns a page, opens a profile and a few photos. Each page
brings its stylesheet, script, icon and pictures as a browser brings them; cookies are returned, what
has been fetched is not fetched again, and the URLs are those that stand in the HTML, so a site that
signs its picture URLs is followed without knowing of it. Header fields and their order are those
that Chromium 156 sends over HTTP/1.1 to a loopback address.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
import zlib
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from antiscrape.demo.haul import Haul

_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)
_BRANDS = '"Not:A-Brand";v="8", "Chromium";v="156"'
_ACCEPT = {
    "document": "text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "style": "text/css,*/*;q=0.1",
    "script": "*/*",
    "image": "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
}
#: A person looks at this many photos of those that the gallery shows, not in the order of the list.
_LOOKED_AT = (1, 0, 9, 4)
_THUMBNAIL_WIDTH, _STAGE_WIDTH = 320, 1280
_TIMEOUT = 15.0


class Page(NamedTuple):
    """What a browser fetches for a page, and the links that a person may follow; all are absolute paths."""

    styles: tuple[str, ...]
    scripts: tuple[str, ...]
    icons: tuple[str, ...]
    thumbnails: tuple[str, ...]
    large: tuple[str, ...]
    links: tuple[str, ...]


class Browser:
    """One person's browser: a connection, a cookie jar, a cache of what was fetched."""

    def __init__(self, base: str, haul: Haul, *, source: str | None = None) -> None:
        address = urlsplit(base)
        self._host = address.netloc
        self._base = base
        self._connection = HTTPConnection(
            address.hostname or "",
            address.port,
            timeout=_TIMEOUT,
            source_address=(source, 0) if source else None,
        )
        self._haul = haul
        self._cookies: dict[str, str] = {}
        self._fetched: set[str] = set()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def open(self, path: str, *, referer: str = "") -> Page:
        """Go to a page, by a link on ``referer`` or by typing the address, and fetch all that it shows."""
        body = self._fetch(path, "document", referer=referer)
        page = read_page(body.decode("utf-8", "replace"), urljoin(self._base, path))
        for dest, urls in (
            ("style", page.styles),
            ("script", page.scripts),
            ("image", page.large),
            ("image", page.thumbnails),
            ("image", page.icons),
        ):
            for url in urls:
                if url not in self._fetched:
                    self._fetched.add(url)
                    self._fetch(url, dest, referer=path)
        return page

    def _fetch(self, path: str, dest: str, *, referer: str) -> bytes:
        self._connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in self._fields(dest, referer):
            self._connection.putheader(name, value)
        try:
            self._connection.endheaders()
            response = self._connection.getresponse()
            body = _decoded(response.read(), response.getheader("content-encoding", ""))
        except (OSError, HTTPException):
            self._connection.close()
            self._haul.keep(urljoin(self._base, path), 0, "")
            return b""
        for cookie in response.headers.get_all("set-cookie", []):
            name, _, value = cookie.split(";", 1)[0].partition("=")
            self._cookies[name.strip()] = value.strip()
        self._haul.keep(
            urljoin(self._base, path), response.status, response.getheader("content-type", ""), body
        )
        return body

    def _fields(self, dest: str, referer: str) -> Iterator[tuple[str, str]]:
        """Yield the header fields in the order in which Chromium writes them."""
        page = dest == "document"
        yield "Host", self._host
        yield "Connection", "keep-alive"
        if page:
            yield "sec-ch-ua", _BRANDS
            yield "sec-ch-ua-mobile", "?0"
            yield "sec-ch-ua-platform", '"Linux"'
            yield "Upgrade-Insecure-Requests", "1"
            yield "User-Agent", _AGENT
        else:
            yield "sec-ch-ua-platform", '"Linux"'
            yield "User-Agent", _AGENT
            yield "sec-ch-ua", _BRANDS
            yield "sec-ch-ua-mobile", "?0"
        yield "Accept", _ACCEPT[dest]
        yield "Sec-Fetch-Site", "same-origin" if referer else "none"
        yield "Sec-Fetch-Mode", "navigate" if page else "no-cors"
        if page:
            yield "Sec-Fetch-User", "?1"
        yield "Sec-Fetch-Dest", dest
        if referer:
            yield "Referer", urljoin(self._base, referer)
        yield "Accept-Encoding", "gzip, deflate, br, zstd"
        yield "Accept-Language", "en-US,en;q=0.9"
        if self._cookies:
            yield "Cookie", "; ".join(f"{name}={value}" for name, value in self._cookies.items())


def visit(base: str, haul: Haul, *, source: str | None = None, look: float = 0.25) -> None:
    """Look around as a person does, ``look`` seconds at each page; what comes is kept in ``haul``."""
    browser = Browser(base, haul, source=source)
    try:
        gallery = browser.open("/")
        photos = [link for link in gallery.links if re.fullmatch(r"/p/\d+", link)]
        for place in _LOOKED_AT:
            time.sleep(look)
            if place < len(photos):
                browser.open(photos[place], referer="/")
        for page in [link for link in gallery.links if link.startswith("/?page=")][:1]:
            time.sleep(look)
            browser.open(page, referer="/")
        for profile in [link for link in gallery.links if link.startswith("/u/")][:1]:
            time.sleep(look)
            owned = [link for link in browser.open(profile, referer="/").links if link.startswith("/p/")]
            time.sleep(look)
            browser.open(owned[1], referer=profile)
    finally:
        browser.close()


def read_page(html: str, url: str) -> Page:
    """Read a page of the site as a browser does: which files it draws, and where its links lead."""
    parser = _PageParser(url)
    parser.feed(html)
    parser.close()
    found = {kind: tuple(dict.fromkeys(urls)) for kind, urls in parser.found.items()}
    return Page(*(found[kind] for kind in Page._fields))


class _PageParser(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.found: dict[str, list[str]] = {kind: [] for kind in Page._fields}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and values.get("rel") == "stylesheet":
            self._add("styles", values.get("href", ""))
        elif tag == "link" and values.get("rel") == "icon":
            self._add("icons", values.get("href", ""))
        elif tag == "script" and values.get("src"):
            self._add("scripts", values["src"])
        elif tag == "a" and values.get("href"):
            self._add("links", values["href"])
        elif tag == "img":
            large = values.get("id") == "photo"
            width = _STAGE_WIDTH if large else _THUMBNAIL_WIDTH
            self._add("large" if large else "thumbnails", _choose(values, width))

    def _add(self, kind: str, url: str) -> None:
        parts = urlsplit(urljoin(self._url, url))
        if parts.netloc == urlsplit(self._url).netloc:
            self.found[kind].append(parts.path + (f"?{parts.query}" if parts.query else ""))


def _choose(values: dict[str, str], width: int) -> str:
    """Choose from ``srcset`` as HTML's selection does on a screen of density 1: the first that is wide enough."""
    candidates = [part.split() for part in values.get("srcset", "").split(",") if part.strip()]
    sized = sorted((int(pair[1].removesuffix("w")), pair[0]) for pair in candidates if len(pair) > 1)
    return next(
        (url for size, url in sized if size >= width), sized[-1][1] if sized else values.get("src", "")
    )


def _decoded(body: bytes, coding: str) -> bytes:
    if not coding or coding == "identity":
        return body
    if coding == "gzip":
        return zlib.decompress(body, wbits=31)
    if coding == "deflate":
        return zlib.decompress(body)
    msg = f"the demo's visitor cannot read the content coding {coding!r}"
    raise HTTPException(msg)


def find_chromium() -> str | None:
    """Return the path of an installed Chromium, or ``None``."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


def screenshot(
    chromium: str, url: str, target: Path, *, run: Callable[..., object] = subprocess.run, timeout: float = 40
) -> str:
    """Have a real Chromium draw ``url`` into the PNG file ``target``; return ``""``, or why there is none."""
    # Everything that would talk to anybody but the demo is switched off; QUIC and a GPU are not there.
    quiet = ("disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "hide-scrollbars",
             "disable-component-update", "disable-sync", "no-sandbox", "headless")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="antiscrape-demo-", ignore_cleanup_errors=True) as profile:
        command = [chromium, *(f"--{flag}" for flag in quiet), f"--user-data-dir={profile}"]
        command += ["--window-size=1280,860", f"--user-agent={_AGENT}", f"--screenshot={target}", url]
        try:
            run(command, capture_output=True, timeout=timeout, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            return f"{type(error).__name__} from {chromium}"
    return "" if target.is_file() else f"{chromium} drew nothing"
