"""A websocket to the site: our own handshake, read as strictly as any head, then frames by ``websockets``."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from antiscrape.errors import UpstreamError
from antiscrape.upstream.asking import head_of
from antiscrape.upstream.connection import Question

if TYPE_CHECKING:
    from antiscrape.core.forwarding import UpstreamRules
    from antiscrape.upstream.connection import Connection

    Headers = list[tuple[bytes, bytes]]

#: The largest message; uvicorn's own limit for the other side.
LARGEST_MESSAGE: Final = 16 * 2**20
#: Unread bytes of messages beyond which the site is held back.
_HIGH_WATER: Final = 262_144
# RFC 6455 §7.4: the codes that may stand in a close frame.
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
#: RFC 6455 §1.3: hashed with the key, so that no other protocol's server answers it by accident.
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: What it costs to keep one message, whatever is in it: an endless stream of empty ones has no bytes.
_OF_EACH: Final = 64


class Closed(NamedTuple):
    """The end of a websocket, with a code that may be sent on."""

    code: int
    reason: str


class Socket:
    """An open websocket. ``subprotocol``: what the site chose of those that were offered."""

    def __init__(self, connection: Connection, subprotocol: str | None, rules: UpstreamRules) -> None:
        self.subprotocol = subprotocol
        self._connection = connection
        self._rules = rules
        self._protocol = Protocol(Side.CLIENT, state=OPEN, max_size=LARGEST_MESSAGE)
        self._messages: deque[str | bytes] = deque()
        self._size = 0
        self._parts: list[bytes] = []
        self._text = False
        self._ended = False
        self._arrived: asyncio.Future[None] | None = None
        self._take(connection.switch(self._take))

    async def receive(self) -> str | bytes | Closed:
        """Return the next message, or how it ended; 1014 ("bad gateway") stands for an end without goodbye."""
        while not self._messages:
            closed = self._protocol.close_rcvd
            if closed is not None:
                return Closed(sendable(closed.code), closed.reason)
            if self._ended:
                return Closed(1014, "")
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        message = self._messages.popleft()
        self._size -= len(message) + _OF_EACH
        if self._size <= _HIGH_WATER:
            self._connection.hold(back=False)
        return message

    async def send(self, data: str | bytes) -> None:
        """Send one message; raise ``UpstreamError`` where the site is gone."""
        try:
            if isinstance(data, str):
                self._protocol.send_text(data.encode())
            else:
                self._protocol.send_binary(data)
        except WebSocketException as error:
            raise UpstreamError("the site closed the websocket") from error
        self._flush()
        await self._connection.drain(self._rules.send_timeout)
        if self._connection.gone:
            raise UpstreamError("the site closed the websocket")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and wait a little for the answer; a second call does nothing."""
        with suppress(WebSocketException):
            self._protocol.send_close(sendable(code), reason)
        self._flush()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._rules.connect_timeout):
                while not self._ended:
                    self._arrived = asyncio.get_running_loop().create_future()
                    await self._arrived
        self._connection.abort()
        self._connection.pool.give_back(self._connection)

    def _take(self, data: bytes | None) -> None:
        """Take bytes of the site, or their end."""
        if self._ended:
            return
        if data is None:
            self._ended = True
            self._protocol.receive_eof()
        elif data:
            self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._add(event)
        self._flush()
        if self._protocol.parser_exc is not None:
            self._ended = True
        if self._size > _HIGH_WATER and not self._ended:
            self._connection.hold(back=True)
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _add(self, frame: Frame) -> None:
        if frame.opcode not in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            return  # pings are answered, and how it closed is remembered, by the protocol
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        whole, self._parts = b"".join(self._parts), []
        try:
            message: str | bytes = whole.decode() if self._text else whole
        except UnicodeDecodeError:
            self._protocol.fail(1007)
            self._ended = True
            return
        self._messages.append(message)
        self._size += len(message) + _OF_EACH

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._connection.write(data)
            else:
                self._connection.end_writing()


async def shake_hands(
    connection: Connection, target: bytes, headers: Headers, subprotocols: list[str], rules: UpstreamRules
) -> Socket:
    """Open a websocket on a new connection, RFC 6455 §4.1; raise ``UpstreamError`` where the site declines."""
    key = base64.b64encode(secrets.token_bytes(16))
    fields = [*headers, (b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
    fields += [(b"sec-websocket-key", key), (b"sec-websocket-version", b"13")]
    if subprotocols:
        fields.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("latin-1", "replace")))
    question = Question(
        head_of("GET", target, fields), head_only=False, patience=rules.read_timeout, switching=True
    )
    connection.ask(question)
    answer = await connection.answer()
    if answer.status != HTTPStatus.SWITCHING_PROTOCOLS:
        raise UpstreamError(f"the site declined a websocket: {answer.status}", _declined(answer.status))
    return Socket(connection, _agreed(answer.headers, key, subprotocols), rules)


def _agreed(headers: Headers, key: bytes, subprotocols: list[str]) -> str | None:
    """Return the subprotocol of a handshake; raise ``UpstreamError`` where the site did not shake this hand."""
    told: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        told.setdefault(name, []).append(value)
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
    options = {part.strip().lower() for value in told.get(b"connection", ()) for part in value.split(b",")}
    right = (
        [value.lower() for value in told.get(b"upgrade", ())] == [b"websocket"]
        and b"upgrade" in options
        and told.get(b"sec-websocket-accept") == [accept]
        and b"sec-websocket-extensions" not in told  # none was offered
    )
    chosen = [value.decode("latin-1") for value in told.get(b"sec-websocket-protocol", ())]
    if not right or len(chosen) > 1 or not set(chosen) <= set(subprotocols):
        raise UpstreamError("the site answered a websocket's handshake wrongly")
    return chosen[0] if chosen else None


def sendable(code: int | None) -> int:
    """Return a close code that may stand in a frame: none given means 1000, a forbidden one 1011."""
    if code is None or code in {0, 1005}:
        return 1000
    return code if code in _CLOSE_CODES else 1011


def _declined(status: int) -> HTTPStatus:
    """Return what a client is told of a handshake that the site did not take: the site's own error, or 502."""
    try:
        told = HTTPStatus(status)
    except ValueError:
        return HTTPStatus.BAD_GATEWAY
    return told if told >= HTTPStatus.BAD_REQUEST else HTTPStatus.BAD_GATEWAY
