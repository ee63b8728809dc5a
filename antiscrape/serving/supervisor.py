"""The process that starts workers, replaces those that die, and gives up where they keep dying."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from antiscrape import clock

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from antiscrape.serving.config import Config

#: More workers replaced than this within a minute is a storm, not an accident (fault 19).
MOST_RESTARTS = 5


class Server(uvicorn.Server):
    """Uvicorn's server, which says when it is ready."""

    def __init__(self, config: Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        if self.started:
            self._ready()


class Supervisor(Multiprocess):
    """Uvicorn's supervisor of workers, which says when all are ready and gives up in a storm of restarts.

    ``status`` is the exit status: 0, or 3 where the workers could not start or kept dying.
    """

    def __init__(self, config: Config, sock: socket.socket, *, ready: Callable[[], None]) -> None:
        super().__init__(config, sockets=[sock])
        self.status = 0
        self._ready = ready
        self._announced = False
        self._restarts: deque[float] = deque()

    def terminate_all(self) -> None:
        """Ask the workers to drain; and let go of the socket, in whose backlog new connections would wait for nobody."""
        for sock in self.sockets:
            sock.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, up to ``MOST_RESTARTS`` in a minute."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        now = clock.monotonic()
        self._restarts.extend(now for process in self.processes if process.pid not in before)
        while self._restarts and self._restarts[0] < now - 60:
            self._restarts.popleft()
        if any(process.exitcode == STARTUP_FAILURE for process in self.processes):
            self.status = STARTUP_FAILURE  # uvicorn has set should_exit: it would fail the same way again
        elif len(self._restarts) > MOST_RESTARTS:
            logging.getLogger("antiscrape.runner").error("workers keep dying; giving up")
            self.status = STARTUP_FAILURE
            self.should_exit.set()
        elif not self._announced and all(process.is_ready() for process in self.processes):
            self._announced = True
            self._ready()
