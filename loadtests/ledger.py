"""What was really sent: an ASGI wrapper around the protected site that compares every picture with its file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from antiscrape.core.verdict import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from antiscrape.asgi.types import ASGIApp, Message, Receive, Scope, Send

_PICTURE: Final = re.compile(r"/media/(\d+(-\d+)?\.jpg)")
_LADDER: Final = (Standing.BANNED, Standing.BOT, Standing.UNKNOWN, Standing.BROWSER)


@dataclass(slots=True)
class Ledger:
    """The account of one visitor; ``asked`` and ``originals`` are distinct originals by their files' names.

    ``previews`` are answers to requests for pictures, of any size, that are not the file's bytes;
    ``refused`` are 403 and 429.
    """

    app: ASGIApp
    photos: Path
    requests: int = 0
    asked: set[str] = field(default_factory=set)
    originals: set[str] = field(default_factory=set)
    previews: int = 0
    refused: int = 0
    standing: Standing | None = None
    proven: bool = False  # whether it was ever taken for a browser that passed the check
    agent: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope, and keep the account of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, body = 0, bytearray()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, receive, watched)
        self._enter(scope, status, bytes(body))

    def _enter(self, scope: Scope, status: int, body: bytes) -> None:
        self.requests += 1
        self.refused += status in {403, 429}
        self.agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
        passage = scope.get("state", {}).get("antiscrape")
        self.proven = self.proven or (passage is not None and passage.verdict.standing is Standing.PROVEN)
        if passage is not None and passage.verdict.standing in _LADDER:
            standing = passage.verdict.standing
            if self.standing is None or _LADDER.index(standing) < _LADDER.index(self.standing):
                self.standing = standing
        picture = _PICTURE.fullmatch(scope["path"])
        if picture is None or scope["method"] != "GET":
            return
        name, sized = picture[1], picture[2] is not None
        if not sized:
            self.asked.add(name)
        if status != 200:
            return
        if body != (self.photos / name).read_bytes():
            self.previews += 1
        elif not sized:
            self.originals.add(name)
