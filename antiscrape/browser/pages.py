"""The pages of the step without a script: one form, or one sentence and two links. No script, no picture, no loop.

Nothing that a client sent is repeated but the path that it came from, which is checked and escaped (SECURITY G3, G10).
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from antiscrape.browser.languages import Languages

_STYLE: Final = (
    ":root{color-scheme:light dark;background:#fff;color:#1b1b1b}"
    "body{font:1.1rem/1.6 system-ui,sans-serif;margin:0;padding:1rem}"
    "main{max-width:36rem;margin:10vh auto 0}"
    "h1{font-size:1.6rem;line-height:1.25}"
    "button{font:inherit;padding:.6rem 1.2rem;min-height:2.75rem;border-radius:.4rem;border:2px solid #0b4f9e;"
    "background:#0b4f9e;color:#fff;cursor:pointer}"
    "a{color:#0b4f9e}"
    "@media(prefers-color-scheme:dark){:root{background:#161616;color:#ececec}a{color:#9cc4ff}}"
    ":focus-visible{outline:3px solid currentColor;outline-offset:3px}"
    "[role=alert]{border-inline-start:.4rem solid #b3400b;padding-inline-start:.8rem}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: The page has no script, loads nothing and stands in no frame; its form leads here, its one style is named by its hash.
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_PAGE: Final = """\
<!doctype html>
<html lang="{tag}" dir="{direction}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


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
        return _PAGE.format(tag=tag, direction=direction, title=title, style=_STYLE, body=body).encode()
