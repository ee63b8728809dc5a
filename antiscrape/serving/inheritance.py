"""What workers inherit from the process that starts them: sockets that it bound, by name.

A socket that all workers accept from has one queue. It needs no turns to be taken, leaves no gap when
one worker goes, and a file in the file system has one owner, who takes it away in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_left: dict[str, socket.socket] = {}


def leave(name: str, sock: socket.socket) -> None:
    """Have every worker that is started from now on inherit ``sock``."""
    _left[name] = sock


def forget(name: str) -> None:
    """Have no more workers inherit it."""
    _left.pop(name, None)


def estate() -> dict[str, socket.socket]:
    """Return all that a worker inherits."""
    return dict(_left)


def enter(estate: Mapping[str, socket.socket]) -> None:
    """Come into an estate; called by a worker, once."""
    _left.update(estate)


def inherited(name: str) -> socket.socket | None:
    """Return a copy of a socket that was left to this process, None where there is none."""
    sock = _left.get(name)
    return None if sock is None else sock.dup()
