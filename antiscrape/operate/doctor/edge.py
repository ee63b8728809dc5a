"""Asking a site through its edge, as a browser, as a tool, or as the doctor; each question on a connection of its own."""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from antiscrape.errors import ConfigurationError, EdgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes of an answer that are read: the largest pictures that are served (images.max_bytes).
_MOST: Final = 32 * 2**20

#: What Firefox 142 sends on Linux for a page, and for a picture on it.
_FIREFOX: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Accept-Language": "en-US,en;q=0.5",
}
PAGE: Final = {
    **_FIREFOX,
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "identity",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "Upgrade-Insecure-Requests": "1",
    "Priority": "u=0, i",
}
BROWSER: Final = {
    **_FIREFOX,
    "Accept": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-Fetch-Dest": "image",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Site": "same-origin",
    "Priority": "u=5, i",
}
TOOL: Final = {"User-Agent": "python-requests/2.32.3", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the edge: names of fields in lower case, several lines of one joined by commas."""

    status: int
    fields: Mapping[str, str]
    body: bytes
    port: int  # of ours, from which it was asked

    @property
    def directives(self) -> frozenset[str]:
        """The directives of its Cache-Control, in lower case, without their values."""
        said = self.fields.get("cache-control", "").lower()
        return frozenset(part.partition("=")[0].strip() for part in said.split(",")) - {""}

    @property
    def is_lesser(self) -> bool:
        """Whether antiscrape marked it as another rendition than the original."""
        return "rendition" in self.fields.get("server-timing", "")

    @property
    def kept(self) -> str:
        """The field that says that it came out of a cache, ``""`` where none does."""
        for name in (
            "x-cache",
            "cf-cache-status",
            "x-cache-status",
            "cache-status",
            "x-proxy-cache",
            "x-varnish-cache",
        ):
            if "hit" in (value := self.fields.get(name, "")).lower() or value.upper() in {
                "STALE",
                "UPDATING",
            }:
                return f"{name}: {value}"
        age = self.fields.get("age", "")
        return f"age: {age}" if age.isdecimal() and int(age) else ""

    @property
    def date(self) -> float | None:
        """Its Date in seconds since 1970, None without one (RFC 9110 §6.6.1)."""
        try:
            return parsedate_to_datetime(self.fields["date"]).timestamp()
        except (KeyError, ValueError, OverflowError):
            return None


class Edge:
    """The site at ``url`` (http or https). ``timeout`` (seconds) bounds each wait; ``ca`` names a file of own authorities.

    Raise ``ConfigurationError`` for what is no such URL, and for a file that holds no certificates.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, ca: str | None = None) -> None:
        try:
            parts = urlsplit(url)
            self.host, port = parts.hostname or "", parts.port
        except ValueError:
            self.host, port = "", None
        if not self.host or parts.scheme not in {"http", "https"} or parts.username is not None:
            raise ConfigurationError(f"expected a URL such as https://photos.example/, got {url!r}")
        self.encrypted = parts.scheme == "https"
        self.port = port or (443 if self.encrypted else 80)
        self.path = parts.path or "/"
        self.authority = parts.netloc
        self._timeout = timeout
        self._context: ssl.SSLContext | None = None
        if self.encrypted:
            try:
                self._context = ssl.create_default_context(cafile=ca)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(f"{ca}: holds no certificates: {error}") from None

    def ask(self, target: str, fields: Mapping[str, str], *, port: int | None = None) -> Reply:
        """Send a GET for a path with its query, and return the answer; raise ``EdgeError``.

        ``port`` is another one of the same host, which is asked without encryption.
        """
        connection = self._connection(port)
        with closing(connection):
            try:
                connection.connect()
                ours = int(connection.sock.getsockname()[1])
                connection.putrequest("GET", target, skip_accept_encoding=True)
                for name, value in fields.items():
                    connection.putheader(name, value)
                connection.endheaders()
                answer = connection.getresponse()
                body = answer.read(_MOST)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise EdgeError(_reason(error)) from None
        told: dict[str, str] = {}
        for line, value in answer.getheaders():
            name = line.lower()
            told[name] = f"{told[name]}, {value}" if name in told else value
        return Reply(answer.status, told, body, ours)

    def shake_hands(self) -> tuple[str, dict[str, object]]:
        """Return the application protocol that the edge chooses of HTTP/2 and HTTP/1.1, and its certificate.

        Raise ``EdgeError``. The connection carries no request.
        """
        context = self._context
        if context is None:
            return "", {}
        context.set_alpn_protocols(["h2", "http/1.1"])
        try:
            with (
                socket.create_connection((self.host, self.port), self._timeout) as plain,
                context.wrap_socket(plain, server_hostname=self.host) as sock,
            ):
                return sock.selected_alpn_protocol() or "", dict(sock.getpeercert() or {})
        except OSError as error:
            raise EdgeError(_reason(error)) from None
        finally:
            context.set_alpn_protocols(["http/1.1"])

    def _connection(self, port: int | None) -> http.client.HTTPConnection:
        if self._context is not None and port is None:
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=self._timeout, context=self._context
            )
        return http.client.HTTPConnection(self.host, port or self.port, timeout=self._timeout)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
