"""What a trap answers, how trap links get into sitemaps, and what tagged links mean for caches.

A trap that answers 404 is left at once, and a crawler that is taken by it goes on to the site's photographs.
So its pages exist: each leads to a few more, some levels deep, all made from their own path and remembered
nowhere. They are small, marked against being indexed, and rationed: beyond so many a minute an answer leads
nowhere, so that the trap never becomes a way to keep the server busy.

A person who gets there reads that there is nothing to see. Verified crawlers are never answered here: they
obey robots.txt, in which the path belongs, and whoever sent one past it did so to have it convicted.
"""

from __future__ import annotations

import re
import struct
import zlib
from hashlib import blake2b
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from antiscrape.asgi.caching import keep_private
from antiscrape.core.gcra import spend
from antiscrape.core.resource import Kind
from antiscrape.core.traps import ARCHIVE, PICTURE
from antiscrape.core.verdict import Action, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from antiscrape.asgi.types import Headers, Send
    from antiscrape.core.tokens import KeyRing
    from antiscrape.gate import Passage

#: Pages below the first: with five links each that is some 4,000 pages, if a crawler sees them all.
DEEPEST: Final = 5
_MOST_LINKS: Final = 5
#: Pages a minute that lead on. One costs some 20 µs, so that all of them take a few ms of a minute.
PER_MINUTE: Final = 240
#: A page with a tag is another one every hour, and no longer current after it.
_TAGGED_AGE: Final = 3600
_TRUSTED: Final = frozenset({Standing.CRAWLER, Standing.PARTNER})
_METHODS: Final = frozenset({"GET", "HEAD"})
_FIELDS: Final = [
    (b"cache-control", b"private, no-store"),
    (b"x-robots-tag", b"noindex, nofollow"),
    (b"x-content-type-options", b"nosniff"),
]
_WORDS: Final = '<p>There is nothing here for people. <a href="/">Go to the start</a></p>'


class Maze:
    """The pages of a site's trap. ``per_minute`` of them lead on; ``base`` is the path of them all."""

    __slots__ = ("_base", "_interval", "_key", "_tat", "_tolerance")

    def __init__(self, keys: KeyRing, base: str, *, per_minute: int = PER_MINUTE) -> None:
        self._key = keys.derive("trap-maze")
        self._base = "/" + base.strip("/")
        # Half of them at once, the other half as time passes: no minute has more.
        self._interval = 120.0 / per_minute
        self._tolerance = 60.0
        self._tat = 0.0

    def page(self, path: str, now: float) -> bytes:
        """Return the page at ``path``; ``now`` is seconds on a clock that never steps."""
        links = self._links(path, now) if path.startswith(self._base + "/") else []
        number = self._hash(path)[0]
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Archive {number}</title>'
            f'<meta name="robots" content="noindex, nofollow"></head><body><h1>Archive {number}</h1>{_WORDS}'
            f"<template>{''.join(links)}</template></body></html>"
        ).encode("utf-8", "surrogateescape")

    def _links(self, path: str, now: float) -> list[str]:
        root, found, below = path.rstrip("/").partition(ARCHIVE)
        depth = below.count("/")
        if not found or len(path) > 512 or depth >= DEEPEST:
            return []
        self._tat, wait = spend(now, self._tat, 1.0, self._interval, self._tolerance)
        if wait:
            return []
        digest = self._hash(path)
        start = quote(f"{root}{ARCHIVE}{below}", errors="surrogateescape")
        return [
            f'<a href="{start}/{digest[place : place + 2].hex()}">Part {place // 2 + 1}</a>'
            for place in range(2, 2 + 2 * (3 + digest[1] % (_MOST_LINKS - 2)), 2)
        ]

    def _hash(self, path: str) -> bytes:
        return blake2b(path.encode("utf-8", "surrogateescape"), digest_size=16, key=self._key).digest()


def answers_itself(passage: Passage) -> bool:
    """Tell whether a request is to be answered by the trap; else it is the site's, which will not know the path."""
    verdict = passage.verdict
    return (
        passage.resource.kind is Kind.TRAP
        and verdict.action is Action.ADMIT
        and not verdict.shadowed
        and verdict.standing not in _TRUSTED
        and passage.method in _METHODS
    )


async def send_trap(send: Send, passage: Passage, maze: Maze, now: float) -> int:
    """Answer a request for a trap's page or picture, and return the status; ``now`` as for ``Maze.page``."""
    path = passage.resource.path
    picture = path.endswith(PICTURE)
    body = _PICTURE_BYTES if picture else maze.page(path, now)
    content_type = b"image/png" if picture else b"text/html; charset=utf-8"
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *_FIELDS]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if passage.method == "HEAD" else body})
    return 200


def private_fields(headers: Headers) -> Headers:
    """Return the header fields of a page or sitemap whose links are tagged.

    It belongs to whom it was made for, so no shared cache may hold it: not by Cache-Control, nor by the fields
    that only CDNs read. Its own browser may, for an hour at most. A strong ETag becomes a weak one, for what
    differs is nothing that anybody sees; it still spares who comes back the body.
    """
    weak = [
        (name, b"W/" + value if name == b"etag" and not value.startswith(b"W/") else value)
        for name, value in headers
        if name != b"accept-ranges"
    ]
    return keep_private(weak, most=_TAGGED_AGE)


def _png(side: int, grey: int) -> bytes:
    """Return a PNG of one even grey (W3C PNG, third edition, §5): eight bits a pixel, ``side`` pixels square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([grey]) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


#: As large as a photograph on a page, for crawlers that drop what is small; two kilobytes all the same.
_PICTURE_BYTES: Final = _png(640, 128)


# sitemaps.org, protocol 0.9: at most 50,000 URLs and 50 MB (52,428,800 bytes) a file.
_MOST_URLS: Final = 50_000
_MOST_BYTES: Final = 52_428_800
#: So many bytes from a "<" on tell what it begins; as many are held back at the end of a chunk.
_TELLING: Final = 256
_BLANK: Final = re.compile(rb"[ \t\r\n]*+")
_MARK: Final = b"\xef\xbb\xbf"
_ROOT: Final = re.compile(rb"<((?:[A-Za-z_][A-Za-z0-9_.-]{0,63}:)?)urlset(?=[ \t\r\n/>])")
_ENCODING: Final = re.compile(
    rb"<\?xml[ \t\r\n][^>]{0,200}?encoding[ \t\r\n]*=[ \t\r\n]*[\"']([^\"'>]{1,40})"
)
#: Encodings in which every byte below 0x80 means ASCII, wherever it stands. The protocol knows only the first.
_ASCII: Final = re.compile(rb"utf-?8|us-ascii|iso-?8859-\d{1,2}|windows-125[0-8]", re.IGNORECASE)
#: What these begin has no markup in it (XML 1.0 §2.5 to 2.7).
_OPAQUE: Final = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}


class SitemapWriter:
    """Puts ``urls`` at the end of a sitemap as it streams by, and touches no other byte.

    Only a ``urlset`` is one. What is anything else (an index of sitemaps, a feed), what has a document type,
    and what is in an encoding beyond ASCII's relatives passes as it is, and so does a sitemap that would grow
    beyond the protocol's bounds. It is linear, holds at most ``_TELLING`` bytes back, and where the chunks
    begin and end changes nothing. ``found``, if given, is called once, when the root turns out to be a ``urlset``.
    """

    def __init__(self, urls: Sequence[str], *, found: Callable[[], None] | None = None) -> None:
        self._urls = tuple(urls)
        self._found = found
        self._held = self._added = b""
        self._sent = 0  # bytes
        self._listed = 0  # URLs
        self._prefix = b""
        self._until = b""  # what ends the comment, section or instruction that is being read
        self._markup: re.Pattern[bytes] | None = None  # set once the root is known
        self._last = False
        self._state: Callable[[bytes, int], int] = self._begin

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Take a chunk, return what can be sent; all of it with the ``last``."""
        data, self._last = self._held + chunk, last
        at, before = 0, -1
        while at != before and not self._added:
            before, at = at, self._state(data, at)
        if self._added:
            added, self._added, self._held = self._added, b"", b""
            self._state = self._pass
            return data[:at] + added + data[at:]
        at = len(data) if last else at
        self._held = data[at:]
        self._sent += at
        return data[:at]

    # A state reads on from `at` and returns how far it came: no further where more has to be there first.

    def _pass(self, data: bytes, _at: int) -> int:
        return len(data)

    def _begin(self, data: bytes, at: int) -> int:
        """Read what stands before the root, and the root's name (XML 1.0 §2.8)."""
        if not self._sent + at and data.startswith(_MARK):
            return len(_MARK)
        blank = _BLANK.match(data, at)
        start = blank.end() if blank else at
        if len(data) - start < _TELLING and not self._last:
            return start
        root = _ROOT.match(data, start)
        if root is not None:
            self._prefix = root[1]
            self._markup = re.compile(
                rb"<!--|<!\[CDATA\[|<\?|</" + re.escape(root[1]) + rb"url(?:set)?(?=[ \t\r\n>])"
            )
            self._state = self._listing
            if self._found is not None:
                self._found()
            return root.end()
        encoding = _ENCODING.match(data, start)
        opener = next((opener for opener in (b"<!--", b"<?") if data.startswith(opener, start)), b"")
        if not opener or (encoding and not _ASCII.fullmatch(encoding[1])):
            self._state = self._pass
            return len(data)
        return self._open(opener, start)

    def _open(self, opener: bytes, start: int) -> int:
        self._until = _OPAQUE[opener]
        self._state = self._skip
        return start + len(opener)

    def _skip(self, data: bytes, at: int) -> int:
        end = data.find(self._until, at)
        if end < 0:
            return max(at, len(data) - len(self._until) + 1)
        self._state = self._listing if self._markup else self._begin
        return end + len(self._until)

    def _listing(self, data: bytes, at: int) -> int:
        found = self._markup.search(data, at) if self._markup else None
        if found is None:
            # No "<" stands but where markup begins (XML 1.0 §2.4, §3.1), so the last one alone may be cut off.
            begun = data.rfind(b"<", max(at, len(data) - _TELLING))
            return len(data) if begun < 0 else begun
        token = found[0]
        if token in _OPAQUE:
            return self._open(token, found.start())
        if token.endswith(b"url"):
            self._listed += 1
            if self._listed + len(self._urls) <= _MOST_URLS:
                return found.end()
            self._state = self._pass
            return len(data)
        self._state = self._pass
        self._added = self._entries(self._sent + found.start())
        return found.start() if self._added else len(data)

    def _entries(self, size: int) -> bytes:
        """Return what is added to a sitemap of ``size`` bytes: nothing where there is no room for it."""
        name = self._prefix
        entries = [
            b"<%surl><%sloc>%s</%sloc></%surl>" % (name, name, escape(url, quote=False).encode(), name, name)
            for url in self._urls
        ]
        added = b"".join(entries)
        room = (
            self._listed + len(entries) <= _MOST_URLS
        )  # of a sitemap without entries that was given too many
        return added if room and size + len(added) + _TELLING <= _MOST_BYTES else b""
