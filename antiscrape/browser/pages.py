"""The pages of the step without a script: one form, or one sentence and two links. No script, no picture, no loop.

Nothing that a client sent is repeated but the path that it came from, which is checked and escaped (SECURITY G3, G10).
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from antiscrape.browser.page import small_page

if TYPE_CHECKING:
    from antiscrape.browser.languages import Languages


class Pages:
    """Writes the pages. ``base`` is the path below which the check is served, ``wait`` the seconds of the step."""

    def __init__(self, languages: Languages, base: str, *, wait: float) -> None:
        self._languages = languages
        self._base = base
        self._seconds = str(max(1, -int(-wait // 1)))

    def form(self, tag: str, token: str, back: str, *, notice: str = "") -> bytes:
        """Return the page with the form; ``notice`` names the sentence to begin with: soon, late or many."""
        words = self._languages.words[tag]
        told = f'<p role="alert">{getattr(words, notice)}</p>\n' if notice else ""
        body = (
            f"{told}<p>{words.why}</p>\n<p>{words.kept}</p>\n<p>{words.wait}</p>\n"
            f'<form method="post" action="{self._base}/step">\n'
            f'<input type="hidden" name="token" value="{token}">\n'
            f'<input type="hidden" name="to" value="{escape(back)}">\n'
            f'<p><button>{words.button}</button></p>\n</form>\n<p><a href="{escape(back)}">{words.back}</a></p>'
        )
        return self._page(tag, words.title, body.replace("{seconds}", self._seconds))

    def no_cookies(self, tag: str, again: str, back: str) -> bytes:
        """Return the page for whose browser kept no cookie; ``again`` is the address of the form."""
        words = self._languages.words[tag]
        body = (
            f"<p>{words.no_cookies_why}</p>\n"
            f'<p><a href="{escape(again)}">{words.again}</a></p>\n<p><a href="{escape(back)}">{words.back}</a></p>'
        )
        return self._page(tag, words.no_cookies, body)

    def link(self, tag: str, address: str) -> str:
        """Return what is put into a page for those who run no script."""
        words = self._languages.words[tag]
        return (
            f'<noscript><a href="{escape(address)}" rel="nofollow" lang="{tag}" dir="{words.direction}">'
            f"{words.link}</a></noscript>"
        )

    def _page(self, tag: str, title: str, body: str) -> bytes:
        direction = self._languages.words[tag].direction
        return small_page(title, body, tag=tag, direction=direction)
