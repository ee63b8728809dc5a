"""A Scrapy spider that takes a photo site's originals: follow the listing, open each photo, fetch its picture.

Run by ``python -m scrapy runspider`` with ``-a base=URL -a folder=PATH -a source=ADDRESS -a most=N``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scrapy

from antiscrape.demo.haul import Haul

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scrapy.http import Response
    from twisted.python.failure import Failure


class PhotoSpider(scrapy.Spider):
    """Walks the listing and takes the picture that each photo page names as its own."""

    name = "photos"

    def __init__(self, base: str, folder: str, source: str = "", most: str = "100", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._base = base
        self._haul = Haul(Path(folder))
        # 403 and 429 are brought home as well: they are part of what a harvester got.
        self._meta: dict[str, Any] = {"handle_httpstatus_all": True}
        if source:
            self._meta["bindaddress"] = (source, 0)
        self._left = int(most)

    async def start(self) -> AsyncIterator[scrapy.Request]:
        """Begin at the gallery."""
        yield self._ask(self._base, self.parse)

    def parse(self, response: Response, **_kwargs: Any) -> Iterator[scrapy.Request]:
        """Follow the photos of a listing, as many as are wanted, then the next page."""
        self._keep(response)
        if not isinstance(response, scrapy.http.TextResponse):
            return
        for link in response.css(".wall a::attr(href)").getall():
            if self._left > 0:
                self._left -= 1
                yield self._ask(response.urljoin(link), self.parse_photo)
        for link in response.css("a[data-next]::attr(href)").getall() if self._left > 0 else ():
            yield self._ask(response.urljoin(link), self.parse)

    def parse_photo(self, response: Response) -> Iterator[scrapy.Request]:
        """Fetch the picture that a photo page names as its own."""
        self._keep(response)
        if not isinstance(response, scrapy.http.TextResponse):
            return
        for link in response.css('meta[property="og:image"]::attr(content)').getall():
            yield self._ask(response.urljoin(link), self.save)

    def save(self, response: Response) -> None:
        """Write a picture to disk."""
        self._keep(response, body=response.body)

    def failed(self, url: str, _failure: Failure) -> None:
        """Note a request that got no answer."""
        self._haul.keep(url, 0, "")

    def _ask(self, url: str, callback: Any) -> scrapy.Request:
        return scrapy.Request(
            url, callback=callback, errback=partial(self.failed, url), meta=dict(self._meta)
        )

    def _keep(self, response: Response, body: bytes | None = None) -> None:
        kind = (response.headers.get("content-type") or b"").decode("latin-1")
        self._haul.keep(response.url, response.status, kind, body)
