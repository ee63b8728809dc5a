"""One answer after another as they come off the wire: bytes in, heads and pieces of bodies out, no I/O.

A reader that has met an error is not fed again.
"""

from __future__ import annotations

from typing import Final

from antiscrape.errors import UpstreamError
from antiscrape.upstream.chunks import Chunks
from antiscrape.upstream.head import CHUNKED, LONGEST_HEAD, TO_THE_END, Head, all_fields, read_head

_END: Final = b"\r\n\r\n"
#: What every answer starts with; whoever does not speak HTTP is not waited for.
_START: Final = b"HTTP/1."

#: Where a reader is: in a head, in a body, behind an answer, or behind a switch of protocols.
AT_HEAD, AT_BODY, DONE, OPAQUE = range(4)


class Reader:
    """The answers of one connection.

    ``stage`` is one of the four above. ``head`` is the final head once it was read, ``pieces`` what
    came of its body since somebody took them, ``surplus`` whether anything came that nobody had asked
    for, and ``invited`` whether the site asked for the request's body (100, Continue). ``chunks`` reads
    a body whose head says ``CHUNKED``, and no other reads it after the answer is over.
    """

    __slots__ = (
        "_head_only", "_held", "_interim", "_left", "_switching", "chunks", "head", "invited", "pieces", "stage",
        "surplus",
    )  # fmt: skip

    def __init__(self) -> None:
        self.stage = DONE
        self.head: Head | None = None
        self.pieces: list[bytes] = []
        self.surplus = False
        self._held = bytearray()
        self.invited = False

    @property
    def untouched(self) -> bool:
        """Whether nothing of an answer has come."""
        return self.stage == AT_HEAD and not self._held and not self._interim

    def begin(self, *, head_only: bool, switching: bool) -> None:
        """Expect an answer: to a HEAD request where ``head_only``, to one that asks for another protocol where ``switching``."""
        self.stage = AT_HEAD
        self.head = None
        self.invited = False
        self._head_only = head_only
        self._switching = switching
        self._interim = 0
        self._left = 0

    def feed(self, data: bytes) -> None:
        """Read on; raise ``UpstreamError`` for what can be read in two ways, or in none."""
        stage = self.stage
        if stage == AT_BODY:
            self._body(data)
        elif stage == AT_HEAD:
            self._heads(data)
        elif stage == OPAQUE:
            self._held += data
        else:
            self.surplus = True

    def end(self) -> bool:
        """Note that nothing more comes; return whether the answer is complete."""
        if self.stage == AT_BODY and self._left == TO_THE_END:
            self.stage = DONE
        return self.stage == DONE

    def beyond(self) -> bytes:
        """Return what came behind the head of a switch of protocols."""
        return bytes(self._held)

    def _heads(self, data: bytes) -> None:
        """Read heads until the one that is final; interim ones are passed over, and one that is not whole is held."""
        held, at = self._held, 0
        if held:
            begin = max(0, len(held) - 3)
            held += data
            if held.find(_END, begin) < 0:
                self._check_held()
                return
            data = bytes(held)
            held.clear()
        while True:
            end = data.find(_END, at)
            if end < 0:
                held += data[at:]
                self._check_held()
                return
            if end - at > LONGEST_HEAD:
                raise UpstreamError("the head of the site's answer does not end")
            block, at = data[at:end], end + 4
            head = read_head(block, bodiless=self._head_only)
            if head.status >= 200:
                self._final(head, data[at:])
                return
            if head.status == 101:
                self._switch(block, data[at:])
                return
            self._interrupt(head.status, len(block))

    def _check_held(self) -> None:
        held = self._held
        if len(held) > LONGEST_HEAD:
            raise UpstreamError("the head of the site's answer does not end")
        if held and not held.startswith(_START[: len(held)]):
            raise UpstreamError(f"the site does not speak HTTP/1: {bytes(held[:80])!r}")

    def _final(self, head: Head, rest: bytes) -> None:
        """Take the final head, and what came with it of the body."""
        self.head = head
        length = head.length
        if not length:
            self.stage = DONE
            self.surplus = self.surplus or rest != b""
            return
        self.stage = AT_BODY
        self._left = length
        if length == CHUNKED:
            self.chunks = Chunks()
        if rest:
            self._body(rest)

    def _interrupt(self, status: int, size: int) -> None:
        """Take an interim answer; a flood of them is a head that does not end."""
        self._interim += size
        if self._interim > LONGEST_HEAD:
            raise UpstreamError("the site sent a flood of interim answers")
        if status == 100:
            self.invited = True

    def _switch(self, block: bytes, rest: bytes) -> None:
        if not self._switching:
            raise UpstreamError("the site switched protocols, which nobody had asked for")
        self.stage = OPAQUE
        self.head = Head(101, all_fields(block), 0, keeps=False)
        self._held += rest

    def _body(self, data: bytes) -> None:
        left = self._left
        if left >= 0:
            left -= len(data)
            if left < 0:
                self.surplus = True
                data = data[:left]
            self._left = left
            self.pieces.append(data)
            if left <= 0:
                self.stage = DONE
        elif left == CHUNKED:
            chunks = self.chunks
            self.pieces += chunks.feed(data)
            if chunks.ended:
                self.stage = DONE
                self.surplus = self.surplus or chunks.surplus
        else:
            self.pieces.append(data)
