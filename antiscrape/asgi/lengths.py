"""Lengths: what an original weighs that an edge serves past us, so that its bytes are charged all the same.

The proxy reads a picture's length off its answer. Where the edge serves it, the site is asked once for the head of
each picture, beside the traffic: whoever waits for a verdict does not wait for this, and is charged when it is known.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.asgi.caching import etag_matches, read_range
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.types import ASGIApp, Message, Scope
    from antiscrape.gate import Gate, Passage

#: Pictures whose lengths are remembered, and for how many seconds: as long as a site may have changed one unnoticed.
_PICTURES: Final = 65_536
_LASTS: Final = 3600.0
#: A site that does not answer is asked again after so many seconds.
_AGAIN: Final = 60.0
#: Heads that are asked for at once, and requests that wait for one of them; beyond, nothing is charged.
_ASKING: Final = 16
_WAITING: Final = 1024


class _Known(NamedTuple):
    length: int
    etag: bytes
    until: float


class Lengths:
    """Charges the bytes of originals that an edge serves. ``site`` is asked for heads; ``clock`` never steps.

    ``uncharged`` counts originals whose length could not be had.
    """

    def __init__(self, site: ASGIApp, *, clock: Callable[[], float]) -> None:
        self._site = site
        self._clock = clock
        self._known: Memo[bytes, _Known] = Memo(_PICTURES)
        self._waiting: dict[bytes, list[tuple[Gate, Passage]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self.uncharged = 0

    def charge(self, gate: Gate, passage: Passage, scope: Scope) -> None:
        """Charge what the edge will send in answer to a request for an original, now or once it is known."""
        if not passage.allowance.bytes or passage.method == "HEAD":
            return
        query = gate.site_query(passage)
        name = b"%b %b?%b" % (passage.host.encode("latin-1"), passage.raw_path, query)
        known = self._known.young.get(name) or self._known.get(name)
        if known is not None and known.until > self._clock():
            self._settle(gate, passage, known)
        elif name in self._waiting:
            if self._count < _WAITING:
                self._count += 1
                self._waiting[name].append((gate, passage))
            else:
                self.uncharged += 1
        elif len(self._tasks) < _ASKING:
            self._count += 1
            self._waiting[name] = [(gate, passage)]
            task = asyncio.create_task(self._ask(name, scope, query))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self.uncharged += 1

    async def aclose(self) -> None:
        """Ask for nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, name: bytes, scope: Scope, query: bytes) -> None:
        known = _Known(-1, b"", self._clock() + _AGAIN)
        try:
            length, etag = await _head_of(self._site, scope, query)
            if length >= 0:
                known = _Known(length, etag, self._clock() + _LASTS)
        finally:
            self._known.put(name, known)
            waiting = self._waiting.pop(name)
            self._count -= len(waiting)
            for gate, passage in waiting:
                self._settle(gate, passage, known)

    def _settle(self, gate: Gate, passage: Passage, known: _Known) -> None:
        """Charge one answer, as the proxy would have read it off: the whole, a part, or nothing where nothing is new."""
        if known.length < 0:
            self.uncharged += 1
            return
        condition, span = passage.value(b"if-none-match"), passage.value(b"range")
        if condition is not None and known.etag and etag_matches(condition, known.etag):
            return
        part = read_range(span, known.length) if span else None
        if part is False:
            return
        length = part[1] - part[0] + 1 if isinstance(part, tuple) else known.length
        gate.note_bytes(passage, length)


async def _head_of(site: ASGIApp, scope: Scope, query: bytes) -> tuple[int, bytes]:
    """Return the length and the ETag of what the site has, -1 where it does not tell."""
    told: tuple[int, bytes] = (-1, b"")
    asked = asyncio.Event()

    async def receive() -> Message:
        if not asked.is_set():
            asked.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal told
        if message["type"] == "http.response.start" and message["status"] == 200:
            named = {name.lower(): value for name, value in message.get("headers", ())}
            length = named.get(b"content-length", b"")
            told = int(length) if length.isdigit() and len(length) < 16 else -1, named.get(b"etag", b"")

    # The client's own credentials, so that the site answers as it would answer the edge; its conditions are its own.
    headers = [
        pair for pair in scope["headers"] if pair[0] in {b"host", b"cookie", b"authorization", b"accept"}
    ]
    head = {
        **scope,
        "method": "HEAD",
        "query_string": query,
        "headers": headers,
        "extensions": {},
        "state": {},
    }
    await site(head, receive, send)
    return told
