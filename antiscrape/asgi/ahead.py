"""Sends a body ahead of the scan that signs it: nothing of it is read before a protected URL may be in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import re

    from antiscrape.asgi.spelling import Urls

_WIDE: Final = (b"\xfe\xff", b"\xff\xfe")  # the byte order marks of UTF-16
#: Bytes that are kept to be read again, of each body on its way; after so many without a protected URL they are read.
_MOST_UNREAD: Final = 2**18


class Scan(Protocol):
    """Signs a body, and holds back what it cannot settle yet."""

    @property
    def awaits(self) -> re.Pattern[bytes] | None:
        """What finds bytes that mean something to it beside protected URLs; None for none."""
        ...

    @property
    def pending(self) -> bytes:
        """What was read and is not settled."""
        ...

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Take a chunk, return what is settled."""
        ...


class Ahead:
    """Feeds a body to ``scan`` from the first byte on, once that may matter, and sends it at once until then.

    What the scan returns begins with what was sent: it changes nothing before the end of a protected URL, and
    the few bytes that the next chunk may make one of are held back. ``ends``: what the scan awaits until the last chunk
    may be put there; all that comes before has to be read for it, and is, as it comes.
    """

    def __init__(self, urls: Urls, scan: Scan, *, ends: bool = False) -> None:
        self._urls = urls
        self._scan = scan
        self._ends = ends
        self._idle = not urls.segments and not scan.awaits
        self._fresh = True
        #: What came and was not read, its length, and the part at its end that was not sent.
        self._unread: list[bytes] = []
        self._size = 0
        self._tail = b""
        #: Bytes that were sent of what is not settled.
        self._ahead = 0

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Return what of the body is settled; all of it with the ``last`` chunk."""
        tail = self._tail + chunk
        if self._fresh:
            if len(tail) < 2 and not last:
                self._tail = tail
                return b""
            chunk, self._fresh = tail, False
            self._idle = self._idle or tail.startswith(_WIDE)
        if self._idle:
            self._tail = b""
            return tail
        awaits = self._scan.awaits
        if (self._ends and awaits) or self._urls.occur_in(tail) or (awaits and awaits.search(tail)):
            return self._read(chunk, last=last)
        cut = len(tail) if last else self._clear(tail)
        self._unread.append(chunk)
        self._size += len(chunk)
        self._tail = tail[cut:]
        self._ahead += cut
        if self._size > _MOST_UNREAD and not last:
            return tail[:cut] + self._read(b"", last=False)
        return tail[:cut]

    def _clear(self, data: bytes) -> int:
        """Return how much of ``data`` can be no part of a protected URL that the next chunk completes."""
        most = max(0, len(data) - self._urls.reach)
        return max(most, data.rfind(b">", most) + 1)

    def _read(self, chunk: bytes, *, last: bool) -> bytes:
        """Read everything that came, and return what is settled of it and was not sent."""
        came = b"".join([*self._unread, chunk])
        sent = (self._scan.pending + came)[: self._ahead] if self._ahead else b""
        settled = self._scan.feed(came, last=last)
        if not settled.startswith(sent) and not sent.startswith(settled):
            # A URL whose beginning, spelt at length in entities, was sent before it could be told what it is.
            self._idle, tail, self._tail = True, self._tail + chunk, b""
            return tail
        self._unread, self._size = [], 0
        ahead = max(0, self._ahead - len(settled))
        settled = settled[self._ahead :]
        self._ahead, self._tail = ahead, self._scan.pending[ahead:]
        return settled
