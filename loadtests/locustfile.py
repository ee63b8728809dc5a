"""Who comes to a photo site: a person, a polite crawler, a greedy harvester, and one in many disguises.

``python -m loadtests.run`` starts this against the demo's site, with and without antiscrape, and
compares. By itself: ``locust -f loadtests/locustfile.py --headless -u 8 -t 30s --host URL``, with
``LOAD_PHOTOS`` naming the folder of the site's pictures.

Every answer for a picture is compared with the file of its name, and what each kind of visitor got
is written as JSON to the file that ``LOAD_RESULT`` names. Locust replaces the standard library's
blocking calls by gevent's when it is imported, so nothing else may import this module.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from locust import HttpUser, between, constant, events, task

sys.path.insert(0, str(Path(__file__).parents[1]))

from antiscrape.demo.visitors import Page, read_page
from loadtests import chrome

_PHOTOS = Path(os.environ.get("LOAD_PHOTOS", "."))
_ORIGINAL = re.compile(r"\d+\.jpg")
_OG_IMAGE = re.compile(r'property="og:image" content="([^"]+)"')
_PHOTO_LINK = re.compile(r'href="(/p/\d+)"')
_NETWORKS = {"Person": 21, "PoliteCrawler": 51, "GreedyHarvester": 81, "DistributedHarvester": 111}
_FIRST, _LAST = 1001, 1048
_TOO_MANY, _FORBIDDEN, _FAULT = 429, 403, 500

#: By kind of visitor: requests, asked, originals, previews, limited, refused, missing, failures.
tally: dict[str, Counter[str]] = {}
#: Originals by kind of visitor and address.
hauls: dict[str, dict[str, set[str]]] = {}


class Visitor(HttpUser):
    """What all have in common: an address of their own, and an account of what they were given."""

    abstract = True
    _born = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # locust leaves it untyped
        self.kind = type(self).__name__
        self.moves()

    def moves(self) -> None:
        """Take a new address, in a network of its own, with an empty cookie jar."""
        Visitor._born += 1
        number = Visitor._born
        self.address = f"{_NETWORKS[self.kind]}.{number // 250 % 250}.{number % 250}.9"
        self.client.headers.clear()
        self.client.cookies.clear()

    def ask(self, path: str, name: str, fields: Any = ()) -> tuple[int, bytes]:
        """Ask for ``path`` with these header fields; return status and body, and keep the account."""
        headers = {**dict(fields), "x-forwarded-for": self.address}
        account = tally.setdefault(self.kind, Counter())
        with self.client.get(
            path, name=f"{self.kind} {name}", headers=headers, catch_response=True, timeout=30
        ) as answer:
            status, body = answer.status_code or 0, answer.content or b""
            answer.success() if status and status < _FAULT else answer.failure(f"status {status}")
        account["requests"] += 1
        account["limited"] += status == _TOO_MANY
        account["refused"] += status == _FORBIDDEN
        account["missing"] += status == 404
        account["failures"] += not status or status >= _FAULT
        self._compare(urlsplit(path).path, status, body, account)
        return status, body

    def _compare(self, path: str, status: int, body: bytes, account: Counter[str]) -> None:
        folder, _, name = path.rpartition("/")
        if folder != "/media":
            return
        original = _ORIGINAL.fullmatch(name) is not None
        account["asked"] += original
        same = status == 200 and body == (_PHOTOS / name).read_bytes()
        account["originals"] += original and same
        account["previews"] += status == 200 and not same
        if original and same:
            hauls.setdefault(self.kind, {}).setdefault(self.address, set()).add(name)


class Person(Visitor):
    """Look around: a page and all that it shows, a few photos, time to look at each."""

    fixed_count = 5
    wait_time = between(0.8, 2.4)

    def on_start(self) -> None:
        """Open the browser: an empty cache, a gallery to begin with."""
        self.fetched: set[str] = set()
        self.gallery = self.visit("/", "")

    @task(3)
    def looks_at_a_photo(self) -> None:
        """Choose one of the photos on the gallery and open it."""
        photos = [link for link in self.gallery.links if link.startswith("/p/")]
        if photos:
            self.visit(random.choice(photos), "/")

    @task(1)
    def turns_the_page(self) -> None:
        """Go to another page of the gallery."""
        pages = [link for link in self.gallery.links if link.startswith("/?page=")]
        self.gallery = self.visit(random.choice(pages) if pages else "/", "/")

    @task(1)
    def visits_a_profile(self) -> None:
        """See whose photos these are."""
        profiles = [link for link in self.gallery.links if link.startswith("/u/")]
        if profiles:
            self.visit(random.choice(profiles), "/")

    def visit(self, path: str, referer: str) -> Page:
        """Open a page as a browser does; what was fetched before comes from its cache."""
        base = str(self.host)
        came_from = urljoin(base, referer) if referer else ""
        _, body = self.ask(path, "page", chrome.fields("document", referer=came_from))
        page = read_page(body.decode("utf-8", "replace"), urljoin(base, path))
        parts = (
            ("style", page.styles),
            ("script", page.scripts),
            ("image", page.icons),
            ("image", page.thumbnails),
            ("image", page.large),
        )
        for dest, urls in parts:
            for url in urls:
                if url not in self.fetched:
                    self.fetched.add(url)
                    self.ask(url, dest, chrome.fields(dest, referer=urljoin(base, path)))
        return page


class PoliteCrawler(Visitor):
    """Read robots.txt first, give its name, take pages slowly and no pictures."""

    fixed_count = 1
    wait_time = constant(2.0)

    def on_start(self) -> None:
        """Ask what may be read."""
        self.queue = ["/"]
        self.ask("/robots.txt", "robots", self._fields())

    @task
    def reads_a_page(self) -> None:
        """Read the next page."""
        path = self.queue.pop(0) if self.queue else "/"
        _, body = self.ask(path, "page", self._fields())
        if len(self.queue) < 50:
            self.queue += dict.fromkeys(_PHOTO_LINK.findall(body.decode("utf-8", "replace")))

    @staticmethod
    def _fields() -> dict[str, str]:
        return {
            "user-agent": "ExampleSearchBot/1.0 (+https://search.example/bot)",
            "accept": "text/html",
            "accept-encoding": "gzip",
        }


class GreedyHarvester(Visitor):
    """Take everything in the order of the listing, as fast as it comes, by a library's own headers."""

    fixed_count = 1
    wait_time = constant(0.05)

    def on_start(self) -> None:
        """Begin at the newest."""
        self.number = _LAST

    @task
    def takes_the_next(self) -> None:
        """Read a photo's page and take the picture that it names; then walk on by number alone."""
        fields = {"user-agent": "python-requests/2.32.3", "accept": "*/*", "accept-encoding": "gzip, deflate"}
        _, body = self.ask(f"/p/{self.number}", "page", fields)
        named = _OG_IMAGE.search(body.decode("utf-8", "replace"))
        if named:
            url = urlsplit(named[1].replace("&amp;", "&"))
            self.ask(f"{url.path}?{url.query}" if url.query else url.path, "image", fields)
        self.ask(f"/media/{self.number}.jpg", "image by number", fields)
        self.number = self.number - 1 if self.number > _FIRST else _LAST


class DistributedHarvester(Visitor):
    """Take four to nine pictures from each of many addresses, in a copied Chrome's headers."""

    fixed_count = 1
    wait_time = constant(0.1)

    def on_start(self) -> None:
        """Divide the work."""
        self.numbers = list(range(_FIRST, _LAST + 1))
        random.shuffle(self.numbers)
        self.left = random.randint(4, 9)

    @task
    def takes_one(self) -> None:
        """Open a photo's page, take its picture, and move house when this address has had enough."""
        base = str(self.host)
        number = self.numbers.pop()
        self.numbers.insert(0, number)
        path = f"/p/{number}"
        _, body = self.ask(path, "page", chrome.fields("document", hints=False))
        named = _OG_IMAGE.search(body.decode("utf-8", "replace"))
        if named:
            url = urlsplit(named[1].replace("&amp;", "&"))
            target = f"{url.path}?{url.query}" if url.query else url.path
            self.ask(target, "image", chrome.fields("image", referer=urljoin(base, path), hints=False))
        self.left -= 1
        if not self.left:
            self.left = random.randint(4, 9)
            self.moves()


@events.test_stop.add_listener  # type: ignore[untyped-decorator]  # locust ships no types
def write_result(environment: Any, **_given: Any) -> None:
    """Write what every kind of visitor was given, and how long it waited."""
    target = os.environ.get("LOAD_RESULT")
    if not target:
        return
    result: dict[str, Any] = {}
    for kind, account in tally.items():
        entries = [
            entry for (name, _), entry in environment.stats.entries.items() if name.startswith(kind + " ")
        ]
        times: Counter[int] = Counter()
        for entry in entries:
            times.update(entry.response_times)
        taken = hauls.get(kind, {})
        result[kind] = {
            **account,
            "addresses": len(taken),
            "most_per_address": max((len(names) for names in taken.values()), default=0),
            "median_ms": _share(times, 0.5),
            "p95_ms": _share(times, 0.95),
        }
    Path(target).write_text(json.dumps(result), encoding="utf-8")


def _share(times: Counter[int], share: float) -> float:
    """Return the response time that ``share`` of the requests stayed under, in ms."""
    left = share * sum(times.values())
    for milliseconds in sorted(times):
        left -= times[milliseconds]
        if left <= 0:
            return float(milliseconds)
    return 0.0
