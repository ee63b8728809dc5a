"""What systemd passes to a service, and is told by it: sockets, readiness, and that it is alive.

Both are small protocols in environment variables, sd_listen_fds(3) and sd_notify(3). Outside of systemd there are
no such variables, and all of this does nothing.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from antiscrape import clock
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

#: SD_LISTEN_FDS_START.
FIRST = 3
#: More than anybody listens on.
_MOST = 64


def inherited_sockets(
    environ: MutableMapping[str, str] = os.environ, *, first: int = FIRST
) -> list[socket.socket]:
    """Return the listening sockets that systemd passed to this process; raise ``ConfigurationError`` for none.

    The variables that told of them are taken away: they are no other process's.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    known = count.isascii() and count.isdecimal() and 0 < int(count) <= _MOST
    if pid != str(os.getpid()) or not known:
        raise ConfigurationError("--listen systemd: no socket was passed; is there a .socket unit for it?")
    sockets = []
    for number in range(first, first + int(count)):
        try:
            sock = socket.socket(fileno=number)
            listening = sock.type == socket.SOCK_STREAM and sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            )
        except OSError as error:
            raise ConfigurationError(
                f"--listen systemd: descriptor {number} is no socket: {os.strerror(error.errno or 0)}"
            ) from error
        if not listening:
            sock.close()
            raise ConfigurationError(f"--listen systemd: descriptor {number} does not listen for streams")
        sock.setblocking(False)  # noqa: FBT003  the standard library's signature
        sockets.append(sock)
    return sockets


class Notifier:
    """Tells systemd what became of the service; silent where nobody asked."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # sd_notify(3): a path, or a name in the abstract space, which is written with "@" for its NUL
        self._address = "\0" + address[1:] if address.startswith("@") else address
        every = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every = int(every) / 2e6 if ours and every.isascii() and every.isdecimal() else 0.0
        self._told = clock.monotonic()

    def ready(self) -> None:
        """Say that connections are accepted, at the start or after a reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that the policy is being read anew; ``ready`` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic() * 1e6)}")

    def stopping(self) -> None:
        """Say that the drain has begun."""
        self._tell("STOPPING=1")

    def beat(self) -> None:
        """Say that the service is alive, if it is time to: twice in the time that the watchdog waits."""
        if self._every and clock.monotonic() - self._told >= self._every:
            self._told = clock.monotonic()
            self._tell("WATCHDOG=1")

    def _tell(self, words: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)  # noqa: FBT003  the standard library's signature
            sock.sendto(words.encode("ascii"), self._address)
