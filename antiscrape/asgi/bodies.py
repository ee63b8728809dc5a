"""Which text bodies are rewritten on their way out, and what that means for their header fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from antiscrape.asgi.caching import keep_private, tag_window, untag_window
from antiscrape.asgi.rewriting import HtmlSigner, JsonSigner, media_kind
from antiscrape.asgi.traps import SitemapWriter, private_fields
from antiscrape.core.verdict import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.types import Headers
    from antiscrape.core.grants import Grants
    from antiscrape.core.rules import Policy
    from antiscrape.core.traps import TrapLinks
    from antiscrape.gate import Passage


class BodyWriter(Protocol):
    """Rewrites one body as it streams by."""

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Take a chunk, return what can be sent."""
        ...


_TRUSTED: Final = frozenset({Standing.CRAWLER, Standing.PARTNER})


class Rewriters:
    """Signs the image URLs in HTML and JSON bodies and puts the trap's link into pages."""

    def __init__(
        self, policy: Policy, grants: Grants | None, wall: Callable[[], float], trap: TrapLinks | None
    ) -> None:
        rules = policy.grants
        self._grants = grants if rules.rewrite else None
        self._prefixes = rules.prefixes if self._grants is not None else ()
        self._window_seconds = rules.window
        self._ignore_case = policy.ignore_case
        self._wall = wall
        self._trap = trap

    @property
    def signs(self) -> bool:
        """Whether bodies change from window to window."""
        return self._grants is not None

    def fields(self, headers: Headers) -> Headers:
        """Return the header fields of a rewritten body: its own ETag, and no cache beyond the grants in it."""
        if self.tagged:
            headers = private_fields(headers)
        if self._grants is None:
            return headers
        return keep_private(tag_window(headers, self._window()), most=self._window_seconds)

    def condition(self, field: bytes) -> bytes:
        """Return the If-None-Match that the site is to be asked."""
        return untag_window(field, self._window())

    @property
    def tagged(self) -> bool:
        """Whether bodies differ from one client to the next."""
        return self._trap is not None and self._trap.tags is not None

    def sitemap(self, headers: Headers, passage: Passage) -> SitemapWriter | None:
        """Return what puts the trap's entries into a sitemap, or None for who is given none."""
        trap, coded = self._trap, _coded(headers)
        if trap is None or coded or passage.verdict.standing in _TRUSTED:
            return None
        origin = (
            ("https" if passage.secure else "http")
            + "://"
            + (passage.value(b"host") or b"").decode("latin-1")
        )
        entries = trap.entries(origin, self._holder(passage, trap), self._wall())
        return SitemapWriter(entries, found=passage.habits.note_sitemap)

    def writer(self, content_type: bytes, headers: Headers, head: Passage) -> BodyWriter | None:
        """Return what rewrites such a body, or None where it is passed as it is."""
        kind = media_kind(content_type)
        if kind is None or _coded(headers) or (kind == "json" and self._grants is None):
            return None
        host = head.fields.get(b"host", b"").decode("latin-1")
        if kind == "json":
            return JsonSigner(self._sign, self._prefixes, host, ignore_case=self._ignore_case)
        insert = (
            b"" if self._trap is None else self._trap.snippet(self._holder(head, self._trap), self._wall())
        )
        return HtmlSigner(self._sign, self._prefixes, host, insert=insert, ignore_case=self._ignore_case)

    @staticmethod
    def _holder(passage: Passage, trap: TrapLinks) -> str:
        """Return whom a trap's link names: the address, which is all that is known of whoever follows it."""
        return passage.principal.key if trap.tags is not None else ""

    def _sign(self, url: str) -> str:
        return url if self._grants is None else self._grants.sign(url, now=self._wall())

    def _window(self) -> int:
        return int(self._wall()) // self._window_seconds


def _coded(headers: Headers) -> bool:
    return any(name == b"content-encoding" and value != b"identity" for name, value in headers)
