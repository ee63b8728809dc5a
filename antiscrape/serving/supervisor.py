"""The process that starts workers, replaces those that die, and gives up where they keep dying."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from antiscrape import clock
from antiscrape.serving.doors import open_doors
from antiscrape.serving.systemd import Notifier

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from antiscrape.serving.config import Config

#: More workers replaced than this within a minute is a storm, not an accident (fault 19).
MOST_RESTARTS = 5


class Server(uvicorn.Server):
    """Uvicorn's server behind our doors, which says when it is ready, and to systemd how it is."""

    def __init__(
        self, config: Config, *, ready: Callable[[], None], notifier: Notifier | None = None
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._notifier = notifier

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup([])
        if self.started:
            self.servers = await open_doors(self, sockets or [])  # type: ignore[assignment]  # it closes them, and waits
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Tell systemd that this process is alive, and that it ends; return whether it does."""
        ends = await super().on_tick(counter)
        if self._notifier is not None:
            self._notifier.stopping() if ends else self._notifier.beat()
        return ends


class Worker(multiprocess.Process):
    """A process that serves, behind our doors as the single one does."""

    @property
    def server(self) -> uvicorn.Server:
        """Return its server, made in the process itself."""
        if self._server is None:
            self._server = Server(self.config, ready=lambda: None)  # type: ignore[arg-type]  # ours, by type of the supervisor
        return self._server


# uvicorn names the class of its workers in three places, and asks nobody.
multiprocess.Process = Worker  # type: ignore[misc]


class Supervisor(Multiprocess):
    """Uvicorn's supervisor of workers, which says when all are ready and gives up in a storm of restarts.

    ``status`` is the exit status: 0, or 3 where the workers could not start or kept dying.
    """

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket],
        *,
        ready: Callable[[], None],
        notifier: Notifier | None = None,
    ) -> None:
        super().__init__(config, sockets=sockets)
        self.status = 0
        self._ready = ready
        self._notifier = notifier or Notifier({})
        self._announced = False
        self._restarts: deque[float] = deque()

    def terminate_all(self) -> None:
        """Ask the workers to drain; and let go of the socket, in whose backlog new connections would wait for nobody."""
        self._notifier.stopping()
        for sock in self.sockets:
            sock.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, up to ``MOST_RESTARTS`` in a minute."""
        self._notifier.beat()
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
