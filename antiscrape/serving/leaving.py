"""How a connection ends: so that the client hears what it was answered, and no longer than it is listening.

A socket that is closed while bytes of the client wait unread is not closed but reset, and a reset destroys what the client
has yet to read: the answer to an upload that was refused early, or the close that tells a client to ask again
elsewhere. RFC 9112 §9.6 has a server close its own side first, and read on until the client closes, or surely knows. And a
socket that is closed while the client takes nothing is the kernel's, with all that waits in it, for as long as the
client sips (SECURITY C6). So whoever may still send, and whoever has much to take, is left in stages.
"""

from __future__ import annotations

import fcntl
import os
import socket
import termios
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

#: A refused client hears the answer before a reset only if somebody still reads what it sends (RFC 9112 §9.6).
LINGER_SECONDS, LINGER_BYTES = 2.0, 2**20
#: socket(7): a close that lingers, for no time, is a reset.
_RESET: Final = Struct("ii").pack(1, 0)
_NUMBER: Final = Struct("i")


class Ends(Protocol):
    """A connection that knows how to end."""

    transport: asyncio.Transport

    def end(self) -> None:
        """End it, behind what was written."""


class Exit:
    """A connection's transport as those see it who answer its requests: they write as ever, and leave in good order."""

    __slots__ = ("_connection", "get_protocol", "is_closing", "write")

    def __init__(self, connection: Ends) -> None:
        transport = connection.transport
        self._connection = connection
        self.write, self.is_closing = transport.write, transport.is_closing
        self.get_protocol = transport.get_protocol

    def close(self) -> None:
        """Have the connection end, behind what was written."""
        self._connection.end()


def cut_off(transport: asyncio.Transport) -> None:
    """End a connection at once, with what the kernel would go on sending.

    Closed without a reset, it would hold that buffer for as long as the client sips (SECURITY C6), which nginx knows as
    ``reset_timedout_connection``.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def unsent_by_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes the client's kernel has not acknowledged (tcp(7), SIOCOUTQ, which is TIOCOUTQ)."""
    return _asked(transport, termios.TIOCOUTQ)


def unread_in_kernel(transport: asyncio.Transport) -> int:
    """Return how many bytes of the client wait to be read (tcp(7), SIOCINQ, which is FIONREAD)."""
    return _asked(transport, termios.FIONREAD)


def _asked(transport: asyncio.Transport, what: int) -> int:
    sock = transport.get_extra_info("socket")
    try:
        told = fcntl.ioctl(sock.fileno(), what, bytes(_NUMBER.size))
    except (AttributeError, OSError):  # no socket any more, or a system that does not tell
        return 0
    number: int = _NUMBER.unpack(told)[0]
    return number
