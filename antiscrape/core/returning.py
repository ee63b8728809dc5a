"""Where somebody is sent back to: a path of the same site, whatever was asked for.

A browser reads a Location as the WHATWG URL standard says, which is not how Python reads it: it strips controls
and spaces from both ends, removes tabs and newlines anywhere (§4.4), takes a backslash for a slash, and two of
either for the beginning of a host. So nothing is parsed here. What is not plainly a path stands for the start page
(SECURITY G3).
"""

from __future__ import annotations

import re
from typing import Final

#: RFC 9110 §4.1 asks recipients for 8,000 octets of URI; a page that one comes back to is shorter.
LONGEST: Final = 2048
#: A slash, then no second one and nothing that a browser would drop or turn into one. RFC 3986 §3.3 and §3.4; an
#: escaped slash or backslash stays what it is in a browser, but not in every proxy in between.
_PATH: Final = re.compile(
    r"/(?!/|\.{1,2}(?:[/?]|\Z))(?:(?!//|/\.{1,2}(?:[/?]|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%(?!2f|5c|2e|0)[0-9a-f]{2}))*"
    r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*)?",
    re.IGNORECASE,
)


def safe_path(text: str) -> str:
    """Return ``text`` where it is a path of this site, with its query, and ``"/"`` where it could be anything else."""
    return text if len(text) <= LONGEST and text.isascii() and _PATH.fullmatch(text) else "/"
