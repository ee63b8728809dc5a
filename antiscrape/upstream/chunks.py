r"""A body that comes in chunks, RFC 9112 §7.1, read strictly.

A size is hexadecimal digits and nothing else, every line ends in CRLF, and what is said behind a size is
passed over within a bound: endless extensions cost a lenient reader its time for no byte of body (CVE-2023-39326).
"""

from __future__ import annotations

import re
from typing import Final

from antiscrape.errors import UpstreamError
from antiscrape.upstream.head import MOST_FIELDS, read_field

#: Of a size with its extensions; those that servers write have none.
LONGEST_LINE: Final = 1024
#: Of all trailers together; there are no more of them than fields of a head.
LONGEST_TRAILERS: Final = 8192

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb"\"(?:[\t\x20!\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*\""
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED))
_AT_SIZE, _AT_DATA, _AT_BREAK, _AT_TRAILER, _AT_END = range(5)


class Chunks:
    """One body as it arrives. ``trailers``: the fields behind it; ``surplus``: something stood behind all that."""

    __slots__ = ("_held", "_left", "_stage", "_trailing", "surplus", "trailers")

    def __init__(self) -> None:
        self._stage = _AT_SIZE
        self._left = 0
        self._held = b""  # of a line whose end is still to come
        self._trailing = 0  # bytes
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()  # names in lower case
        self.surplus = False

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""
        return self._stage == _AT_END

    def feed(self, data: bytes) -> list[bytes]:
        """Return the pieces of the body in ``data``; raise ``UpstreamError`` for what is no chunk."""
        pieces: list[bytes] = []
        if self._held:
            data, self._held = self._held + data, b""
        at, end = 0, len(data)
        while at < end:
            stage = self._stage
            if stage == _AT_DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._stage = _AT_BREAK
            elif stage == _AT_END:
                self.surplus = True
                break
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._hold(data[at:])
                    break
                self._line(data[at:line_end])
                at = line_end + 2
        return pieces

    def _hold(self, part: bytes) -> None:
        if self._stage == _AT_BREAK and part != b"\r":
            raise UpstreamError("the site sent a chunk that is longer than its size")
        if len(part) > (LONGEST_TRAILERS if self._stage == _AT_TRAILER else LONGEST_LINE):
            raise UpstreamError("the site sent a line between chunks that does not end")
        self._held = part

    def _line(self, line: bytes) -> None:
        if self._stage == _AT_BREAK:
            if line:
                raise UpstreamError("the site sent a chunk that is longer than its size")
            self._stage = _AT_SIZE
        elif self._stage == _AT_SIZE:
            match = _SIZE.fullmatch(line) if len(line) <= LONGEST_LINE else None
            if match is None:
                raise UpstreamError(f"the site sent a malformed chunk: {line[:40]!r}")
            self._left = int(match[1], 16)
            self._stage = _AT_DATA if self._left else _AT_TRAILER
        elif line:
            self._trailing += len(line)
            if self._trailing > LONGEST_TRAILERS or len(self.trailers) >= MOST_FIELDS:
                raise UpstreamError("the site sent too many trailers")
            pair = read_field(line)
            if pair[0] in {b"content-length", b"transfer-encoding"}:
                raise UpstreamError("the site framed its answer once more, in a trailer")
            self.trailers += (pair,)
        else:
            self._stage = _AT_END
