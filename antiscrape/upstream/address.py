"""Where a site is: ``http://host:port``, ``https://host`` or ``unix:/path``."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from antiscrape.errors import ConfigurationError

_HOST = re.compile(r"[0-9A-Za-z._:-]+")
_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """One site's address; ``path`` is that of its unix socket, and ``authority`` what it calls itself."""

    url: str
    host: str
    port: int
    authority: str
    secure: bool = False
    path: str | None = None


def read_address(url: str) -> Address:
    """Return the address in ``url``; raise ``ConfigurationError`` for what names no site."""
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ConfigurationError(f"upstream: expected unix:/path/of/socket, got {url!r}")
        return Address(url, "localhost", 0, "localhost", path=path)
    expected = "upstream: expected http://host:port, https://host:port or unix:/path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{expected}, got {url!r} ({error})") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigurationError(f"{expected}, got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("upstream: the URL holds credentials; they would go to every log")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{expected}, without a path, because paths are forwarded as they are, got {url!r}"
        )
    if port == 0 or _HOST.fullmatch(parts.hostname) is None:
        raise ConfigurationError(f"{expected}, got {url!r}")
    return Address(
        url, parts.hostname, port or _PORTS[parts.scheme], parts.netloc, secure=parts.scheme == "https"
    )
