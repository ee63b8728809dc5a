"""What is put into a page: the script's element, allowed by the page's own policy, and a link for those without scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.browser.languages import Languages
    from antiscrape.browser.pages import Pages

#: CSP Level 3 §2.3.1: what names a nonce.
_NONCE: Final = re.compile(r"'nonce-([A-Za-z0-9+/_-]+={0,2})'")
#: CSP Level 3 §6.8: of these the first that is there says whether a script may be loaded.
_OF_SCRIPTS: Final = ("script-src-elem", "script-src", "default-src")
_LONGEST: Final = 16_384


class Tag:
    """Writes what is put into pages. ``links``: also the one to the step without a script."""

    def __init__(self, pages: Pages, languages: Languages, base: str, version: str, *, links: bool) -> None:
        self._pages = pages
        self._languages = languages
        self._base = base
        self._source = f"{base}/{version}/check.js"
        self._links = links

    def owns(self, raw_path: bytes) -> bool:
        """Tell whether a page is one of the check's own, which carries nothing of it."""
        return raw_path.startswith(self._base.encode() + b"/")

    def snippet(
        self, policies: Iterable[bytes], accept_language: bytes | None, raw_path: bytes, query: bytes
    ) -> bytes:
        """Return what a page is given; ``policies`` are the values of its Content-Security-Policy fields.

        Where a policy forbids scripts of the site's own the script is left out, and nothing is reported.
        """
        nonce = ""
        parts = []
        allowed = True
        for value in policies:
            for policy in value[:_LONGEST].decode("latin-1").split(","):
                answer = allows(policy)
                allowed = allowed and answer is not None
                nonce = nonce or answer or ""
        if allowed:
            named = f' nonce="{nonce}"' if nonce else ""
            parts.append(f'<script type="module" async src="{self._source}"{named}></script>')
        if self._links:
            target = quote_from_bytes(raw_path + (b"?" + query if query else b""), safe="/")
            tag = self._languages.choose(accept_language)
            parts.append(self._pages.link(tag, f"{self._base}/step?to={target}"))
        return "".join(parts).encode()


def allows(policy: str) -> str | None:
    """Return the nonce with which a policy lets a script of its own origin run, ``""`` for none needed, None for not at all."""
    directives: dict[str, str] = {}
    for directive in policy.split(";"):
        name, _, value = directive.strip().partition(" ")
        directives.setdefault(name.lower(), value)  # CSP Level 3 §2.2.1: of one name the first counts
    sources = next((directives[name] for name in _OF_SCRIPTS if name in directives), None)
    if sources is None:
        return ""
    nonce = _NONCE.search(sources)
    if nonce is not None:
        return nonce[1]
    words = sources.lower().split()
    if "'strict-dynamic'" in words:  # then only a nonce or a hash would do
        return None
    return "" if any(word in {"'self'", "*", "https:", "http:"} for word in words) else None
