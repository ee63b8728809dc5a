"""The files that a browser is given: ours and BotD, compressed once at the start, named by their content.

Ours go without their lines of comment, which are for whoever reads them here. BotD is FingerprintJS's own released
file, byte for byte (``vendor.py``), and its licence is served beside it.
"""

from __future__ import annotations

import gzip
import re
from hashlib import blake2b
from importlib.resources import files
from typing import Final, NamedTuple

#: What the page loads, and what that loads in turn.
ENTRY: Final = "check.js"
AHEAD: Final = ("work.js", "botd.js")
_OURS: Final = (ENTRY, "work.js")
_NAMES: Final = (ENTRY, *AHEAD, "botd.LICENSE")
#: A line of nothing but comment, or what a line begins with: no string and no template of ours goes over lines.
_UNSAID: Final = re.compile(rb"^[ \t]*(?://[^\n]*\n|\n)|^[ \t]+", re.MULTILINE)


class Part(NamedTuple):
    """One file, as it is sent: plain, and compressed (RFC 1952)."""

    plain: bytes
    packed: bytes
    content_type: bytes
    etag: bytes


class Parts:
    """All files by name; ``version`` stands in the page and changes when any of them does."""

    def __init__(self) -> None:
        folder = files("antiscrape.browser").joinpath("script")
        self._files = {name: _part(name, _sent(name, folder.joinpath(name).read_bytes())) for name in _NAMES}
        digest = blake2b(digest_size=6)
        for part in self._files.values():
            digest.update(part.etag)
        self.version = digest.hexdigest()

    def get(self, name: str) -> Part | None:
        """Return the file of that name."""
        return self._files.get(name)


def _sent(name: str, body: bytes) -> bytes:
    return _UNSAID.sub(b"", body) if name in _OURS else body


def _part(name: str, body: bytes) -> Part:
    kind = b"text/javascript; charset=utf-8" if name.endswith(".js") else b"text/plain; charset=utf-8"
    etag = b'"%b"' % blake2b(body, digest_size=9).hexdigest().encode()
    return Part(body, gzip.compress(body, 9, mtime=0), kind, etag)
