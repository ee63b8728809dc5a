"""Links and pictures that no page shows: where they lead, and to whom each was given.

They stand in a ``template`` element: a browser does not draw what is in one (HTML §4.12.3), an assistive
technology never reads it, and a text browser, which shows what style sheets hide, has nothing to show for a
link without words. Who follows it has read the markup. The picture is marked ``loading="lazy"``: without that
Firefox fetches it, because it looks ahead for pictures before it knows where they stand (observed with 153,
with and without JavaScript). A browser that knows no templates may still fetch it, so it weighs little and
is never counted as a link.

A link may carry a *tag*, ten letters that say under the site's key to whom and in which hour it was given.
A crawler that collects addresses from one network and fetches from another brings the tag along: it is then
asked for by somebody to whom it was not given, and that ties both ends together. The tag names nobody to
those who have no key, it is another one every hour, and after a day it can no longer be read.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from antiscrape.core.tokens import KeyRing

#: What the path of the trap's picture ends with; it is a PNG.
PICTURE: Final = "/sunrise.png"
#: What the path of the trap's first page ends with.
ARCHIVE: Final = "/archive"

_HOUR: Final = 3600
#: Five bits tell the hour. A tag of the hour to come is read too: clocks of two servers differ by seconds.
_HOURS: Final = 32
_NAME, _CHECK = 25, 20  # bits; with the hour they fill ten letters of five bits
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 §6, in lower case: paths may be folded
_VALUES: Final = {letter: value for value, letter in enumerate(_LETTERS)}
_TAG: Final = re.compile(r"/([a-z2-7]{10})(?=/|\Z)")
#: Our own links have one such segment; whoever sends a thousand is not to cost a thousand hashes.
_MOST_SEGMENTS: Final = 4


class Reading(NamedTuple):
    """A genuine tag, the start of the hour in which it was given, and to which candidate (``""``: to none of them)."""

    tag: str
    made: float
    holder: str

    @property
    def borrowed(self) -> bool:
        """Whether it was given to none of the candidates."""
        return not self.holder


class TrapTags:
    """Makes tags and reads them. All workers of a site, which share its secret, make the same."""

    __slots__ = ("_key",)

    def __init__(self, keys: KeyRing) -> None:
        self._key = keys.derive("trap-tag")

    def make(self, key: str, now: float) -> str:
        """Return the tag of the principal ``key`` in the hour of ``now``, in seconds of wall-clock time."""
        hour = int(now) // _HOUR
        return self._seal(self._name(key, hour), hour)

    def read(self, path: str, now: float, *candidates: str) -> Reading | None:
        """Return the tag in ``path`` and which of ``candidates`` it was given to.

        Candidates are the keys of all principals that the request could stand for (its clearance and its
        network, say), or of suspects. None where there is no tag, where it is invented (one in 2^20 would
        pass), or older than a day: such a link is a trap's like any other and says nothing of anybody else.
        """
        for count, match in enumerate(_TAG.finditer(path.lower())):
            if count == _MOST_SEGMENTS:
                break
            tag = match[1]
            name, hour = _open(tag, int(now) // _HOUR)
            if self._seal(name, hour) == tag:
                holder = next((key for key in candidates if self._name(key, hour) == name), "")
                return Reading(tag, float(hour * _HOUR), holder)
        return None

    def _name(self, key: str, hour: int) -> int:
        return self._hash(b"trap name", f"{hour} {key}".encode("utf-8", "surrogateescape")) >> 64 - _NAME

    def _seal(self, name: int, hour: int) -> str:
        check = self._hash(b"trap check", b"%d %d" % (hour, name)) >> 64 - _CHECK
        # Masked: letters that all tags of an hour share would show what they are.
        bits = (name << 5 | (hour ^ name) % _HOURS) << _CHECK | check
        return "".join([_LETTERS[bits >> shift & 31] for shift in range(45, -1, -5)])

    def _hash(self, purpose: bytes, text: bytes) -> int:
        return int.from_bytes(blake2b(text, digest_size=8, key=self._key, person=purpose).digest(), "big")


def _open(tag: str, hour: int) -> tuple[int, int]:
    """Return the name in a tag and the latest hour, up to the next one, that its fifth letter can mean."""
    bits = 0
    for letter in tag:
        bits = bits << 5 | _VALUES[letter]
    name = bits >> _CHECK + 5
    told = (bits >> _CHECK ^ name) % _HOURS
    return name, hour + 1 - (hour + 1 - told) % _HOURS


class TrapLinks:
    """The links of one site's trap: what is put into pages and sitemaps.

    ``base`` is the path under which everything is a trap; ``pictures`` says whether pages get a picture too.
    Without ``tags`` everybody is given the same links and a page stays what it was for shared caches. With
    them a page belongs to whom it was made for: see ``antiscrape.asgi.traps.private_fields``.
    """

    __slots__ = ("_pictures", "_same", "base", "tags")

    def __init__(self, base: str, tags: TrapTags | None = None, *, pictures: bool = True) -> None:
        self.base = "/" + base.strip("/")
        self.tags = tags
        self._pictures = pictures
        self._same = self._snippet(self.base)

    def snippet(self, key: str, now: float) -> bytes:
        """Return what is put before the end of a page that the principal ``key`` asked for."""
        return self._same if self.tags is None else self._snippet(f"{self.base}/{self.tags.make(key, now)}")

    def entries(self, origin: str, key: str, now: float, *, count: int = 3) -> tuple[str, ...]:
        """Return the URLs that are put into a sitemap; ``origin`` is its scheme and host."""
        tag = "" if self.tags is None else "/" + self.tags.make(key, now)
        root = f"{origin}{self.base}{tag}{ARCHIVE}"
        return tuple(f"{root}/{number}" for number in range(2, 2 + count))

    def _snippet(self, root: str) -> bytes:
        # Nothing in a root is escaped in HTML: hexadecimal digits, letters, or the operator's path (checked at start).
        link = f'<a href="{root}{ARCHIVE}" rel="nofollow"></a>'
        picture = f'<img src="{root}{PICTURE}" loading="lazy" alt=""/>' if self._pictures else ""
        return f"<template>{link}{picture}</template>".encode()
