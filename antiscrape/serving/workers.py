"""A worker: a process that serves, and the wire between it and the process that started it.

Over the wire go five words. The worker says ``READY`` when it accepts connections, and answers ``WELL`` from its event
loop when it is asked how it is: what never answers serves nobody either. The supervisor says ``ASK``, ``HANG_UP`` and,
to one whose replacement serves, ``STEP_ASIDE``. When the wire breaks, the supervisor is gone, and the worker drains: workers that nobody supervises would hold
the address against the next start.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from antiscrape import clock
from antiscrape.serving import inheritance
from antiscrape.serving.server import Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from antiscrape.serving.config import Config

READY, WELL, ASK, HANG_UP, STEP_ASIDE = "ready", "well", "ask", "hang up", "step aside"
#: Not forked: a worker must not inherit what the supervisor's threads held locked, and a rolling restart is to run
#: the code that is installed now.
_SPAWN = multiprocessing.get_context("spawn")


class Worker:
    """A worker as its supervisor sees it. ``silent_since`` is when it was last asked without an answer, or None."""

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        self.wire, theirs = _SPAWN.Pipe()
        given = (config, sockets, inheritance.estate(), theirs, _stdin())
        self.process = _SPAWN.Process(target=work, args=given)
        self.process.start()
        theirs.close()
        self.born = clock.monotonic()
        self.ready = False
        self.leaving_since: float | None = None
        self.silent_since: float | None = None

    def hear(self) -> None:
        """Take what the worker said."""
        with suppress(OSError, EOFError):  # whether it lives is for its process to say
            while self.wire.poll():
                word = self.wire.recv()
                self.ready = self.ready or word == READY
                if word == WELL:
                    self.silent_since = None

    def ask(self) -> None:
        """Ask how it is, unless it has yet to answer."""
        if self.ready and self.silent_since is None:
            self.silent_since = clock.monotonic()
            self._say(ASK)

    def hang_up(self) -> None:
        """Have it read anew what it was started with."""
        self._say(HANG_UP)

    def leave(self) -> None:
        """Have it drain and end."""
        if self.leaving_since is None and self.process.is_alive():
            self.leaving_since = clock.monotonic()
            self.process.terminate()

    def step_aside(self) -> None:
        """Have it drain and end, another worker being there in its place."""
        if self.leaving_since is None:
            self.leaving_since = clock.monotonic()
            self._say(STEP_ASIDE)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def bury(self) -> int:
        """Let go of a worker that has ended; return its status."""
        self.process.join()
        status = self.process.exitcode or 0
        self.wire.close()
        self.process.close()
        return status

    def _say(self, word: str) -> None:
        with suppress(OSError):
            self.wire.send(word)


class Supervised(Server):
    """The server of a worker."""

    def __init__(self, config: Config, wire: Connection) -> None:
        super().__init__(config, ready=lambda: _say(wire, READY))
        self._wire = wire

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, and to listen to the supervisor."""
        await super().startup(sockets)
        asyncio.get_running_loop().add_reader(self._wire.fileno(), self._hear)

    def _hear(self) -> None:
        try:
            while self._wire.poll():
                word = self._wire.recv()
                if word == ASK:
                    _say(self._wire, WELL)
                elif word == HANG_UP:
                    self.hang_up()
                elif word == STEP_ASIDE:
                    self.step_aside()
        except (OSError, EOFError):
            asyncio.get_running_loop().remove_reader(self._wire.fileno())
            self.should_exit = True


def work(
    config: Config,
    sockets: list[socket.socket],
    estate: Mapping[str, socket.socket],
    wire: Connection,
    stdin: int | None,
) -> None:
    """Serve until told otherwise: what a worker's process runs."""
    inheritance.enter(estate)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor has it, and tells us
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    if stdin is not None:  # multiprocessing gives children an empty one, at which a debugger cannot be used
        sys.stdin = os.fdopen(stdin, closefd=False)
    config.configure_logging()
    try:
        Supervised(config, wire).run(sockets=sockets)
    finally:
        for sock in (*sockets, *estate.values()):
            sock.close()


def _say(wire: Connection, word: str) -> None:
    with suppress(OSError):
        wire.send(word)


def _stdin() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # None, closed, or a stand-in
        return None
