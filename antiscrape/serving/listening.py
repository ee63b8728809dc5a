"""Sockets to listen on, over TCP and in the file system, and the URLs that they are reached at."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from antiscrape.errors import ConfigurationError


def listen(*, host: str, port: int, uds: str | None = None) -> socket.socket:
    """Return a bound socket; raise ``ConfigurationError`` that says what stands in the way."""
    if uds is not None:
        return _listen_unix(uds)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, for asyncio's own loop takes TCP_NODELAY from it: without, a body waits 40 ms behind its head (RFC 896).
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        shown = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        raise ConfigurationError(f"cannot listen on {shown}: {os.strerror(error.errno or 0)}") from error
    sock.set_inheritable(True)
    return sock


def _listen_unix(path: str) -> socket.socket:
    """Bind a unix socket, over a file that a killed server left behind but not over a living one's."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(Path(path).stat().st_mode) and _is_dead(path):
                Path(path).unlink()
        sock.bind(path)
        Path(path).chmod(0o666)  # as uvicorn does: who may connect is the folder's to say
    except OSError as error:
        sock.close()
        raise ConfigurationError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    sock.set_inheritable(True)
    return sock


def _is_dead(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False


def url_of(sock: socket.socket, *, tls: bool = False) -> str:
    """Return the URL that a bound socket is reached at, ``unix:/path`` for one in the file system."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    scheme = "https" if tls else "http"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{scheme}://{host}:{port}"
