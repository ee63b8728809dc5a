"""What is put into a page: the script's element, allowed by the page's own policy, and a link for those without scripts.

Who has a check before him is given word of what the script will ask for as well, so that all of it is on its way at
once (``rel=preload``, HTML section 4.6.7), and a round trip of the network is saved.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes

from antiscrape.browser.parts import AHEAD, ENTRY
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from antiscrape.browser.languages import Languages
    from antiscrape.browser.pages import Pages

#: CSP Level 3 §2.3.1: what names a nonce.
_NONCE: Final = re.compile(r"'nonce-([A-Za-z0-9+/_-]+={0,2})'")
#: CSP Level 3 §6.8: of these the first that is there says whether a script may be loaded.
_OF_SCRIPTS: Final = ("script-src-elem", "script-src", "default-src")
_LONGEST: Final = 16_384
#: Visitors of whom it is known that they were told what to ask for ahead, and for how many seconds: check.js asks for
#: a challenge no more often, and who runs no scripts is not to be sent for one with every page.
_REMEMBERED: Final = 16_384
_AGAIN: Final = 300.0


class Tag:
    """Writes what is put into pages. ``links``: also the one to the step without a script; ``clock`` gives seconds."""

    def __init__(
        self,
        pages: Pages,
        languages: Languages,
        base: str,
        version: str,
        *,
        links: bool,
        clock: Callable[[], float],
    ) -> None:
        self._pages = pages
        self._languages = languages
        self._base = base
        self._folder = f"{base}/{version}"
        self._links = links
        self._clock = clock
        self._hurried: Memo[int, float] = Memo(_REMEMBERED)

    def owns(self, raw_path: bytes) -> bool:
        """Tell whether a page is one of the check's own, which carries nothing of it."""
        return raw_path.startswith(self._base.encode() + b"/")

    def cleared(self, visitor: int) -> None:
        """Take note that a visitor has done the check: whoever comes next by the same name is another."""
        self._hurried.put(visitor, -_AGAIN)

    def snippet(
        self,
        policies: Iterable[bytes],
        accept_language: bytes | None,
        raw_path: bytes,
        query: bytes,
        visitor: int | None = None,
    ) -> bytes:
        """Return what a page is given; ``policies`` are the values of its Content-Security-Policy fields.

        Where a policy forbids scripts of the site's own the script is left out, and nothing is reported. ``visitor`` is who
        has a check to do (``visitor_of``), and is told what the script will ask for; None for who has not.
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
            if visitor is not None and self._hurries(visitor):
                parts.append(f'<link rel="preload" as="fetch" crossorigin="" href="{self._base}/challenge"/>')
                parts += [
                    f'<link rel="modulepreload" href="{self._folder}/{name}"{named}/>' for name in AHEAD
                ]
            parts.append(f'<script type="module" async="" src="{self._folder}/{ENTRY}"{named}></script>')
        if self._links:
            target = quote_from_bytes(raw_path + (b"?" + query if query else b""), safe="/")
            tag = self._languages.choose(accept_language)
            parts.append(self._pages.link(tag, f"{self._base}/step?to={target}"))
        return "".join(parts).encode()

    def _hurries(self, visitor: int) -> bool:
        now = self._clock()
        if now - (self._hurried.get(visitor) or -_AGAIN) < _AGAIN:
            return False
        self._hurried.put(visitor, now)
        return True


def visitor_of(address: str, agent: bytes | None) -> int:
    """Return a digest of who asks, near enough for this; Python's hash has a key of its own in every process."""
    return hash((address, agent))


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
