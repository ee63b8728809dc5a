"""The small page that antiscrape shows of its own: a heading and a few words, for every screen, light or dark.

It has no script, loads nothing and stands in no frame. Its one style is named by its hash, so that its policy
allows nothing else (CSP Level 3, section 2.3.1; SECURITY G10).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

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
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action {{}}; frame-ancestors 'none'"
#: The Content-Security-Policy of a page that sends nothing, and of one whose form leads to the site.
POLICY: Final = _POLICY.format("'none'").encode()
POLICY_OF_FORM: Final = _POLICY.format("'self'").encode()
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


def small_page(title: str, body: str, *, tag: str = "en", direction: str = "ltr") -> bytes:
    """Return the page in UTF-8; ``title`` and ``body`` are HTML, ``tag`` and ``direction`` those of their language."""
    return _PAGE.format(tag=tag, direction=direction, title=title, style=_STYLE, body=body).encode()
