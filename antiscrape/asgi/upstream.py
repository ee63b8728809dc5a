"""The one HTTP client of the reverse proxy: it carries a judged request to the site, byte for byte, once.

What was judged must be what the site receives (SECURITY P0), so nothing here is helpful: no
redirect is followed, no cookie kept, no encoding undone, no path tidied, no header added that the
caller did not give. What comes back is checked before anyone may pass it on, because the parser
beneath is lenient with servers and a lenient reader in front of a strict one is how responses are
split (SECURITY C9).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from antiscrape.errors import ConfigurationError, RequestError, UpstreamError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from antiscrape.asgi.types import Headers

#: Below the 5 s after which uvicorn and Node close an idle connection, so that we are the side that closes.
KEEP_ALIVE = 4.0
#: The longest field of an answer; nginx's proxy buffers hold 8 kB, but Set-Cookie and CSP lines grow beyond.
LONGEST_FIELD = 32_768
#: The most fields of an answer; aiohttp's own limit, as Apache's LimitRequestFields is about 100.
MOST_FIELDS = 128
#: The largest websocket message, uvicorn's own limit for the other side.
LARGEST_MESSAGE = 16 * 2**20

# RFC 9110 §9.2.1: asking twice for these asks for nothing twice.
_SAFE = frozenset({"GET", "HEAD"})
# RFC 9110 §5.6.2: a field name is a token; §5.5: CR, LF and NUL end a field early in somebody's parser.
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")  # origin-form, RFC 9112 §3.2.1: no space, no "#", only ASCII
# RFC 6455 §7.4: the codes that may stand in a close frame.
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


class Answer:
    """A response of the site: its status, its fields as sent, and its body as it arrives.

    Iterate for the body. ``close`` drops the connection, unless the whole body was read and the
    connection already serves another.
    """

    __slots__ = ("_content", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, headers: Headers) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.headers = headers

    @property
    def ended(self) -> bool:
        """Whether nothing of the body is left to read."""
        return self._content.at_eof()

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        """Return the bytes that are there, or wait for the next; raise ``UpstreamError`` where the site breaks off."""
        try:
            piece = await self._content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()


class Closed(NamedTuple):
    """The end of a websocket, with a code that may be sent on."""

    code: int
    reason: str


class Socket:
    """A websocket to the site."""

    __slots__ = ("_socket", "subprotocol")

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket
        self.subprotocol = socket.protocol

    async def receive(self) -> str | bytes | Closed:
        """Return the next message, or how it ended; 1014 ("bad gateway") stands for an end without goodbye."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT or message.type is aiohttp.WSMsgType.BINARY:
            data: str | bytes = message.data
            return data
        if message.type is aiohttp.WSMsgType.CLOSE:
            return Closed(sendable(message.data), message.extra or "")
        return Closed(1014, "")

    async def send(self, data: str | bytes) -> None:
        """Send one message; raise ``UpstreamError`` where the site is gone."""
        try:
            await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and wait a little for the answer; a second call does nothing."""
        await self._socket.close(code=sendable(code), message=reason.encode())


class Upstream:
    """The site behind the proxy, at ``http://host:port``, ``https://host`` or ``unix:/path``.

    ``connect_timeout`` bounds, in seconds, the wait for a connection (for a free one of ``limit``
    as well as for a new one), ``read_timeout`` each wait for the site to say or take something.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 60.0,
        limit: int = 512,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url
        self._scheme, self._authority, self._path = _read_url(url)
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_timeout, sock_connect=connect_timeout, sock_read=read_timeout
        )
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._limit = limit
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    @property
    def authority(self) -> str:
        """The host, and port where it is not the scheme's own, that the site is reached at."""
        return self._authority

    async def request(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterator[bytes] | None = None
    ) -> Answer:
        """Send one request and return the head of its answer, the body still to come.

        ``target`` is path and query as they go on the wire. With a ``body``, ``headers`` hold its
        Content-Length, or it goes chunked. Raise ``RequestError`` for what cannot be sent as it
        is, ``UpstreamError`` for a site that is gone (502), slow (504) or talks nonsense (502).
        """
        url = self._url_of(method, target)
        pairs = [(name.decode("latin-1"), _text(value)) for name, value in headers]
        try:
            response = await self._send(method, url, pairs, body)
        except _Lost as lost:
            # SECURITY C10: the one legitimate second try is a kept-alive connection that the site had
            # just closed: nothing was answered, and nothing but a head had been sent.
            if body is not None or method not in _SAFE or not lost.unanswered:
                raise _failure(lost.error) from lost.error
            try:
                response = await self._send(method, url, pairs, None)
            except _Lost as again:
                raise _failure(again.error) from again.error
        try:
            return Answer(response, _sound(response))
        except UpstreamError:
            response.close()
            raise

    async def websocket(self, target: bytes, headers: Headers, subprotocols: list[str]) -> Socket:
        """Open a websocket; raise ``UpstreamError`` with the site's own status where it declines."""
        url = self._url_of("GET", target)
        pairs = [(name.decode("latin-1"), _text(value)) for name, value in headers]
        try:
            async with asyncio.timeout(self._connect_timeout + self._read_timeout):
                socket = await self._client().ws_connect(
                    url,
                    headers=pairs,
                    protocols=subprotocols,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=None, ws_close=self._connect_timeout),
                    autoclose=False,
                    max_msg_size=LARGEST_MESSAGE,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise UpstreamError(
                f"the site declined a websocket: {error.status}", _declined(error.status)
            ) from error
        except _Lost as lost:
            raise _failure(lost.error) from lost.error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error) from error
        return Socket(socket)

    async def aclose(self) -> None:
        """Close every connection; a later request opens new ones."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _url_of(self, method: str, target: bytes) -> URL:
        if _TARGET.fullmatch(target) is None or method == "CONNECT" or method != method.upper():
            raise RequestError("the request target is not one that can be forwarded unchanged")
        path, _, query = target.decode("ascii").partition("?")
        return URL.build(
            scheme=self._scheme, authority=self._authority, path=path, query_string=query, encoded=True
        )

    async def _send(
        self, method: str, url: URL, headers: list[tuple[str, str]], body: AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        # The whole head must come in time: a flood of 1xx or a trickle of bytes keeps a socket's own timer happy.
        limit = None if body is not None else self._connect_timeout + self._read_timeout
        try:
            async with asyncio.timeout(limit) as deadline:
                return await self._client().request(
                    method,
                    url,
                    headers=headers,
                    data=None if body is None else self._paced(body, deadline),
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error) from error
        except ValueError as error:  # aiohttp refuses control characters in what it serialises
            raise RequestError(f"the request cannot be forwarded: {error}") from error

    async def _paced(self, body: AsyncIterator[bytes], deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        """Pass the body on; the site has ``read_timeout`` to take each piece, the client takes its own time."""
        now = asyncio.get_running_loop().time
        async for piece in body:
            _move(deadline, now() + self._read_timeout)
            yield piece
            _move(deadline, None)
        _move(deadline, now() + self._read_timeout)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._path is not None:
                connector = aiohttp.UnixConnector(self._path, limit=self._limit, keepalive_timeout=KEEP_ALIVE)
            else:
                connector = aiohttp.TCPConnector(
                    limit=self._limit, keepalive_timeout=KEEP_ALIVE, ssl=self._tls or True
                )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                max_line_size=LONGEST_FIELD,
                max_field_size=LONGEST_FIELD,
                max_headers=MOST_FIELDS,
                middlewares=(_once,),
            )
        return self._session


class _Lost(Exception):  # noqa: N818  it never leaves this module
    """A connection that ended before an answer began."""

    def __init__(self, error: aiohttp.ClientError) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def unanswered(self) -> bool:
        """Whether the site can be thought not to have begun to answer."""
        if isinstance(self.error, aiohttp.ServerDisconnectedError):
            return isinstance(self.error.message, str)  # else it is the half head that had come
        return not isinstance(self.error, aiohttp.ClientConnectorError)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from its own second try, which includes PUT and DELETE (SECURITY C10)."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Lost(error) from error


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


def _read_url(url: str) -> tuple[str, str, str | None]:
    """Split an upstream's URL into scheme, authority and the path of its socket, if it is one."""
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ConfigurationError(f"upstream: expected unix:/path/of/socket, got {url!r}")
        return "http", "localhost", path
    expected = "upstream: expected http://host:port, https://host:port or unix:/path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{expected}, got {url!r} ({error})") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"{expected}, got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("upstream: the URL holds credentials; they would go to every log")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{expected}, without a path, because paths are forwarded as they are, got {url!r}"
        )
    if port == 0 or not re.fullmatch(r"[0-9A-Za-z._:-]+", parts.hostname):
        raise ConfigurationError(f"{expected}, got {url!r}")
    return parts.scheme, parts.netloc, None


def _text(value: bytes) -> str:
    """Return a field's value as the text whose UTF-8 goes on the wire.

    Values in UTF-8, and so in ASCII, arrive byte for byte. Others are read as ISO-8859-1, which
    RFC 9110 §5.5 names as what such octets meant historically.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _move(deadline: asyncio.Timeout, when: float | None) -> None:
    """Move a deadline, unless the answer has come while the body was still going out."""
    with suppress(RuntimeError):
        deadline.reschedule(when)


def _sound(response: aiohttp.ClientResponse) -> Headers:
    """Return the fields of an answer with names in lower case; raise where it could be read in two ways.

    RFC 9112 §6.3: a Content-Length that is repeated, or stands beside Transfer-Encoding, is an attack
    or an error; a coding other than chunked would be lost with the hop-by-hop field that names it.
    """
    if not 200 <= response.status <= 599:  # the final classes of RFC 9110 §15
        raise UpstreamError(f"the site answered with status {response.status}")
    fields: Headers = []
    framing: list[tuple[bytes, bytes]] = []
    for raw, value in response.raw_headers:
        name = raw.lower()
        if _TOKEN.fullmatch(name) is None or _CONTROL.search(value) is not None:
            raise UpstreamError("the site sent a malformed field")
        if name in (b"content-length", b"transfer-encoding"):
            framing.append((name, value))
        fields.append((name, value))
    if framing:
        name, value = framing[0]
        right = value.isdigit() if name == b"content-length" else value.lower() == b"chunked"
        if len(framing) > 1 or not right:
            raise UpstreamError("the site framed its answer in more than one way")
    return fields


def _failure(error: BaseException) -> UpstreamError:
    """Return what a client is told of an error; its words, which the site may have chosen, are escaped."""
    late = isinstance(error, TimeoutError)
    words = f"{type(error).__name__}: {error}".encode("unicode_escape").decode("ascii")
    return UpstreamError(words[:400], HTTPStatus.GATEWAY_TIMEOUT if late else HTTPStatus.BAD_GATEWAY)
