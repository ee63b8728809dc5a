"""What was really sent: an ASGI wrapper around the protected site that compares every picture with its file.

A browser that leaves a page closes the connections of the pictures that are still on their way, and
the site stops in their midst; later it asks for the rest (RFC 9110 §14). Such an answer is a part: no
original yet, and no preview either, unless the verdict was to send one.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.verdict import Rendition, Standing, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

_PICTURE: Final = re.compile(r"/media/(\d+(-\d+)?\.jpg)")
_LADDER: Final = (Standing.BANNED, Standing.BOT, Standing.UNKNOWN, Standing.BROWSER)
_REFUSALS: Final = frozenset({403, 429})
_PARTIAL: Final = 206


class Got(Enum):
    """What one answer gave: the file's bytes, other bytes, a part of the file, a refusal, or nothing to compare."""

    FILE = "the file"
    LESS = "a preview"
    CUT = "cut off by its client"
    RANGE = "the range asked for"
    REFUSED = "refused"
    OTHER = "other"


_PARTS: Final = frozenset({Got.CUT, Got.RANGE})


class Answer(NamedTuple):
    """One answer: ``after`` is in seconds since the visitor's first request, ``sent`` and ``size`` in bytes.

    ``name`` is the picture's file, ``""`` for what is no picture; ``size`` is that file's.
    """

    after: float
    url: str
    name: str
    status: int
    sent: int
    size: int
    got: Got
    verdict: Verdict | None

    @property
    def won(self) -> bool:
        """Whether a harvester has gained by it: bytes of an original, or the standing of a proven browser."""
        if self.verdict is not None and self.verdict.standing is Standing.PROVEN:
            return True
        return _is_original(self.name) and self.sent > 0 and self.got in _PARTS | {Got.FILE}

    def __str__(self) -> str:
        """Return all that is known of it, in one line."""
        said = (
            f"{self.after:.2f}s {self.url}: {self.status}, {self.sent} bytes of {self.size}, {self.got.value}"
        )
        if self.verdict is None:
            return f"{said}; never judged"
        verdict = self.verdict
        findings = ", ".join(f"{finding.name} {finding.weight}" for finding in verdict.findings)
        spent = (
            f"; beyond {verdict.exceeded.budget.value} {verdict.exceeded.limit}" if verdict.exceeded else ""
        )
        return (
            f"{said}; {verdict.action.value} {verdict.rendition.value}, {verdict.standing.value} "
            f"at {verdict.score} ({findings or 'nothing against it'}){spent}"
        )


@dataclass(slots=True)
class _Sent:
    """What went by in one exchange."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    gone: bool = False  # the server said that the client had left


@dataclass(slots=True)
class Ledger:
    """The account of one visitor; ``asked``, ``originals`` and ``begun`` are distinct originals by their files' names.

    ``asked`` are those that were answered in whole, with whatever; the file's bytes are ``originals``.
    ``previews`` are answers to requests for pictures, of any size, that are not the file's bytes;
    ``parts`` are those of which a part was sent because the client left or asked for no more, and the
    originals of which at least a byte was are ``begun``; ``refused`` are 403 and 429.
    """

    app: ASGIApp
    photos: Path
    requests: int = 0
    asked: set[str] = field(default_factory=set)
    originals: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    previews: int = 0
    parts: int = 0
    refused: int = 0
    standing: Standing | None = None
    proven: bool = False  # whether it was ever taken for a browser that passed the check
    agent: str = ""
    answers: list[Answer] = field(default_factory=list)  # pictures and refusals
    _began: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope, and keep the account of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = _Sent()
        self._began = self._began or time.monotonic()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.status = message["status"]
            elif message["type"] == "http.response.body":
                sent.body.extend(message.get("body", b""))
                sent.ended = not message.get("more_body", False)
            await send(message)

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                sent.gone = True
            return message

        try:
            await self.app(scope, heard, watched)
        finally:
            self._enter(scope, sent)

    def wrong(self, *, person: bool) -> list[Answer]:
        """Return the answers that should not have been given, to a person or to a harvester."""
        if not person:
            return [row for row in self.answers if row.won]
        lost = self.asked - self.originals
        return [
            row
            for row in self.answers
            if row.got in {Got.LESS, Got.REFUSED} or (row.got is Got.OTHER and row.name in lost)
        ]

    def _enter(self, scope: Scope, sent: _Sent) -> None:
        self.requests += 1
        self.refused += sent.status in _REFUSALS
        self.agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
        passage = scope.get("state", {}).get("antiscrape")
        verdict = None if passage is None else passage.verdict
        if verdict is not None:
            self._note_standing(verdict.standing)
        match = _PICTURE.fullmatch(scope["path"]) if scope["method"] == "GET" else None
        name = "" if match is None else match[1]
        file = self._file(name)
        got = _got(sent, file, verdict, picture=bool(name))
        if name:
            self._count(name, got, sent)
        if name or got is Got.REFUSED:
            query = scope.get("query_string", b"").decode("latin-1")
            url = f"{scope['path']}?{query}" if query else scope["path"]
            after = time.monotonic() - self._began
            self.answers.append(
                Answer(after, url, name, sent.status, len(sent.body), len(file), got, verdict)
            )

    def _note_standing(self, standing: Standing) -> None:
        self.proven = self.proven or standing is Standing.PROVEN
        if standing in _LADDER and (
            self.standing is None or _LADDER.index(standing) < _LADDER.index(self.standing)
        ):
            self.standing = standing

    def _count(self, name: str, got: Got, sent: _Sent) -> None:
        self.previews += got is Got.LESS
        self.parts += got in _PARTS
        if not _is_original(name):
            return
        if got not in _PARTS:
            self.asked.add(name)
        elif sent.body:
            self.begun.add(name)
        if got is Got.FILE:
            self.originals.add(name)

    def _file(self, name: str) -> bytes:
        path = self.photos / name
        return path.read_bytes() if name and path.is_file() else b""


def _is_original(name: str) -> bool:
    return bool(name) and "-" not in name


def _got(sent: _Sent, file: bytes, verdict: Verdict | None, *, picture: bool) -> Got:
    """Tell what an answer gave. A client that left is believed to have missed the file only where it was to get it."""
    if sent.status in _REFUSALS:
        return Got.REFUSED
    if not picture or sent.status not in {0, 200, _PARTIAL}:
        return Got.OTHER
    whole = verdict is not None and (verdict.rendition is Rendition.ORIGINAL or verdict.shadowed)
    if sent.status == _PARTIAL and (sent.body or whole) and sent.body in file:
        return Got.RANGE
    if sent.gone and not sent.ended and verdict is not None:
        return Got.CUT if whole and file.startswith(sent.body) else Got.LESS
    if sent.status == 0:
        return Got.OTHER
    return Got.FILE if sent.body == file else Got.LESS
