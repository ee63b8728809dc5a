"""One client's connection, from the side of the requests: uvicorn's httptools protocol, within limits that are counted in raw bytes.

The parser is fed one whole head at a time, and a body's bytes never together with what follows them. So
a head is bounded before it is parsed (C5: an endless header grew uvicorn's memory by 90 MB), a request is
refused before any part of the next is read, and a client that pipelines waits as long as its requests do.
A head that came in one piece, which is nearly every one, costs one search more than in uvicorn, and one
timer less.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools

from antiscrape.asgi.types import TRAILERS
from antiscrape.serving.answering import Answering
from antiscrape.serving.framing import (
    END,
    PLAIN,
    Refused,
    check_host,
    check_line,
    check_unfinished,
    origin_form,
    without_upgrade,
)
from antiscrape.serving.leaving import LINGER_BYTES
from antiscrape.serving.trailing import Trailing, asks_for_trailers

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

#: Fields that say how a request is to be read; all others are only kept.
_TOLD = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"te", b"expect", b"upgrade", b"http2-settings"}
)
_VERSION = b" HTTP/1.1\r\n"
_SHORTEST = len(b"GET / HTTP/1.1" + END)
_SLASH = ord("/")
#: What is left of a body in chunks: some, nobody knows how much.
_CHUNKED = -1
#: A chunk of one byte takes five more to say so; whoever takes more than this only wants to be read
#: (golang.org/issue/64433, CVE-2023-39326: chunk extensions cost the server what the body does not show).
_OVERHEAD = 8


class Protocol(Answering):
    """Parses the requests of one connection, within the limits of ``config.rules``."""

    __slots__ = (
        "_body_raw", "_fields", "_good_host", "_head_bytes", "_host", "_hosts", "_length", "_odd", "_piece",
        "_pipelined", "_quiet", "_stripped", "_target_bytes", "_trails", "_upgraded", "_websocket",
    )  # fmt: skip

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        rules = self._rules
        self._head_bytes, self._target_bytes = rules.head_bytes, rules.target_bytes
        self._fields, self._pipelined = rules.fields, rules.pipelined
        self._piece = b""  # what the parser was given last
        # of the message that is read
        self._hosts, self._host = 0, b""
        self._good_host: bytes | None = None
        self._odd = False  # something stands in it that has to be looked at
        self._length = 0  # what its body's length is said to be, or _CHUNKED
        self._body_raw = self._quiet = 0  # its body as it came, and as much of that as brought nothing
        self._websocket = self._stripped = self._upgraded = self._trails = False

    def data_received(self, data: bytes) -> None:
        """Read what came: at once where it is one whole head, which it nearly always is."""
        if (
            self._left
            or self._held
            or self._last
            or not _SHORTEST <= len(data) <= self._head_bytes
            or data.find(END) != len(data) - 4
        ):
            self._take(data)
        else:
            self._piece = data
            try:
                self.parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                self._stumble(error)

    def _take(self, data: bytes) -> None:
        """Read what came, unless it is too late for it or too early."""
        if self._lingering:
            self._lingering += len(data)
            if self._lingering > LINGER_BYTES:
                self.transport.abort()
        elif self.flow.stopped:
            self._held += data  # one read may be on its way when reading is stopped
        else:
            self._fresh = False
            known, data, self._held = len(self._held), self._held + data, b""
            while data and (self._left or not self._last):
                data = self._read(data, known)
                known = 0

    def _read(self, data: bytes, known: int) -> bytes:
        """Read one head, or a part of one body; return what is left. Of a head the first ``known`` bytes have none's end."""
        if self._left:
            end = self._body_end(data)
        elif len(self.pipeline) >= self._pipelined:
            self._held = data
            self.flow.stopped = True
            self.flow.pause_reading()
            return b""
        else:
            end = data.find(END, max(0, known - 3)) + len(END)
            if end < len(END) or end > self._head_bytes:
                self._wait_for_head(data, known)
                return b""
            if end == len(END):  # RFC 9112 §2.2 has one empty line before a request ignored, not any number
                self._refuse(HTTPStatus.BAD_REQUEST)
                return b""
        self._feed(data[:end])
        if (
            self._upgraded and len(data) > end
        ):  # RFC 6455 §4.1: a client waits for the answer before it sends frames
            self.transport.abort()
        return b"" if self._upgraded else data[end:]

    def _body_end(self, data: bytes) -> int:
        """Return how much of ``data`` is surely no part of the next message."""
        if self._left > 0:
            return self._left
        tail = self._piece[-3:]  # the end of chunks may lie across two reads
        across = (tail + data[:3]).find(END) if self._body_raw else -1
        if across >= 0:
            return across + 4 - len(tail)
        end = data.find(END)
        return min(end + 4 if end >= 0 else len(data), self._head_bytes)

    def _wait_for_head(self, data: bytes, known: int) -> None:
        """Keep a head that is not whole, unless it is too long or can never be one."""
        try:
            check_unfinished(data, known, longest=self._head_bytes, target=self._target_bytes)
        except Refused as refused:
            self._refuse(refused.status)
            return
        self._held = data
        if not known:
            self._mark = self._warden.now

    def _feed(self, piece: bytes) -> None:
        """Give the parser a whole head, or a part of a body."""
        self._piece = piece
        body = self._body if self._left else -1
        try:
            self.parser.feed_data(piece)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stumble(error)
        else:
            if body >= 0:
                self._count(len(piece), body)

    def _stumble(self, error: Exception) -> None:
        """Do what the parser stopped for: another protocol, a head to be read again, or a refusal."""
        cause = error.__context__
        if isinstance(error, httptools.HttpParserUpgrade):
            self._upgraded = True
            self.handle_websocket_upgrade()
        elif isinstance(cause, _Again):
            self.parser = httptools.HttpRequestParser(self)
            self._hosts, self._odd, self._length, self._stripped = 0, False, 0, True
            self._feed(without_upgrade(self._piece))
        else:
            self._refuse(cause.status if isinstance(cause, Refused) else HTTPStatus.BAD_REQUEST)

    def _count(self, raw: int, body_before: int) -> None:
        """Refuse chunks that are mostly their own extensions, and trailers without end."""
        self._body_raw += raw
        self._quiet = self._quiet + raw if self._body == body_before else 0
        overhead = self._body_raw - self._body
        if self._left and (
            self._quiet > self._head_bytes or overhead > self._head_bytes + _OVERHEAD * self._body
        ):
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    # What the parser says

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field."""
        known = PLAIN.get(name)
        if known is None:
            known = name.lower()
            if known == b"host":
                self._hosts += 1
                self._host = value
            elif known in _TOLD:
                self._note(known, value)
        self.headers.append((known, value))

    def _note(self, name: bytes, value: bytes) -> None:
        """Remember what a field says of how the request is to be read."""
        self._odd = True
        if name == b"content-length":
            self._length = int(value)  # digits, or the parser would have refused it
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise Refused
            self._length = _CHUNKED
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise Refused(HTTPStatus.EXPECTATION_FAILED)  # RFC 9110 §10.1.1
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        """Refuse what could be read in two ways, and begin to answer the rest."""
        url, before = self.url, self.cycle
        if (
            self._odd
            or self._hosts != 1
            or self._host != self._good_host
            or url[0] != _SLASH
            or len(url) > self._target_bytes
            or b"#"
            in url  # RFC 9112 §3.2: a fragment is no part of a target; some cut it off, some do not (B3)
            or len(self.headers) > self._fields
            or not self._piece.startswith(_VERSION, len(self.parser.get_method()) + len(url) + 1)
        ):
            self._examine()
        self._hosts = 0
        super().on_headers_complete()
        if self.pipeline:
            self._running = self._running or before
            if len(self.pipeline) >= self._pipelined:
                self.flow.stopped = True
        cycle = self.cycle
        if cycle is not before:
            cycle.transport = self._exit or self._open_exit()  # type: ignore[assignment]  # all that it does with one
            if self._stripped:
                cycle.keep_alive = False
            if self._trails:
                self._trails = False
                cycle.send = Trailing(cycle).send  # type: ignore[method-assign]  # its task has not begun
            self._last = not cycle.keep_alive

    def _examine(self) -> None:
        """Look at a head that is not plainly in order; raise ``Refused`` where it has no single reading."""
        url, method = self.url, self.parser.get_method()
        if len(url) > self._target_bytes:
            raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG)
        if len(self.headers) > self._fields:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        check_line(self._piece)
        if self._hosts != 1 or b"#" in url or method == b"CONNECT":
            raise Refused
        check_host(self._host)
        self._good_host = self._host
        if url[0] != _SLASH:
            self.url = origin_form(url, method, self._host)
        if self._odd:
            self._examine_body(method)

    def _examine_body(self, method: bytes) -> None:
        length, new = self._length, self.parser.get_http_version() == "1.1"
        if not new and length == _CHUNKED:
            raise Refused  # RFC 9112 §6.1: an intermediary of 1.0 has read it otherwise
        if not new:
            self.expect_100_continue = False  # RFC 9110 §10.1.1
        upgrade = [value.lower() for name, value in self.headers if name == b"upgrade"]
        if self.parser.should_upgrade():
            alone = self.cycle is None or self.cycle.response_complete
            self._websocket = (
                upgrade == [b"websocket"] and method == b"GET" and new and not length and alone
                and self._should_upgrade_to_ws()
            )  # fmt: skip
            if not self._websocket:
                raise _Again
        if new and not self._websocket and asks_for_trailers(self.headers):
            self.scope["extensions"] = {TRAILERS: {}}
            self._trails = True
        unwanted = {b"http2-settings"} if self._websocket else {b"http2-settings", b"upgrade"}
        self.headers[:] = [pair for pair in self.headers if pair[0] not in unwanted]
        self._odd, self._length = False, 0
        if length:
            self._left = length
            self._body = self._body_raw = self._quiet = self._body_then = 0
            self._mark = self._warden.now
        if length == _CHUNKED:
            self.headers = []  # trailers come as fields do, and the scope's are judged already

    def on_body(self, body: bytes) -> None:
        """Count and keep a piece of a body."""
        self._body += len(body)
        if self._left > 0:
            self._left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the next head; what trailers say of bodies says nothing of its."""
        if self._left:
            self._left = self._length = self._hosts = 0
            self._odd = False
        if not self._websocket and not (cycle := self.cycle).response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _should_upgrade(self) -> bool:
        return self._websocket

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the websocket's protocol, with the addresses that are known here."""
        self._warden.forget(self)
        self.connections.discard(self)
        lines = [self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.scope["headers"]:
            lines += [name, b": ", value, b"\r\n"]
        made: Any = self.ws_protocol_class(  # type: ignore[call-arg, misc]  # uvicorn's own signature
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        made.connection_made(self.transport)
        if self.named is not None:
            made.client, made.server = self.named
        made.data_received(b"".join(lines) + b"\r\n")
        self.transport.set_protocol(made)


class _Again(Exception):  # noqa: N818  it leads the parser back, nobody reports it
    """The head is to be read once more, without what asks for another protocol."""
