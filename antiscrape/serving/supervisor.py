"""The process that starts workers, replaces those that die, and gives up where they keep dying.

The listening socket is one for all: a worker that comes and one that goes both accept from it, and its queue outlives
either. So a rolling restart starts the replacement, waits until it serves, and only then lets the old worker drain; one
at a time, for a machine need not have room for twice as many. A replacement that does not come to serve ends the
restart, and the old workers go on.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections import deque
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from uvicorn.config import STARTUP_FAILURE

from antiscrape import clock
from antiscrape.serving.systemd import Notifier
from antiscrape.serving.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from antiscrape.serving.config import Config

_log = logging.getLogger("antiscrape.runner")

#: More workers dead than this within a minute is a storm, not an accident (fault 19).
MOST_DEATHS = 5
#: Seconds that a worker may take to start. Not a few: on a loaded machine an import takes its time, and whoever
#: kills what is merely slow starts it again, and loads the machine.
PATIENCE = 120.0
#: Seconds after which a worker whose event loop answers nothing is ended.
SILENCE = 60.0
#: Seconds between two questions to each worker, and to the next attempt where a worker failed to start.
_ASK_EVERY, _RETRY = 5.0, 10.0
#: Seconds that a worker may take beyond the drain's limit to end its application.
_AFTER_DRAIN = 10.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Supervisor:
    """Keeps ``config.workers`` processes serving from ``sockets``. ``ready`` is called once all are.

    SIGTERM and SIGINT drain them, SIGHUP has each call its application's ``hang_up``, SIGUSR1 replaces them
    one by one. ``status`` is the exit status: 0, or 3 where workers could not start or kept dying.
    """

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket],
        *,
        ready: Callable[[], None],
        notifier: Notifier | None = None,
    ) -> None:
        self.status = 0
        self._config = config
        self._sockets = sockets
        self._ready = ready
        self._notifier = notifier or Notifier({})
        self._announced = False
        self._workers: list[Worker] = []
        self._deaths: deque[float] = deque()
        self._signals: deque[int] = deque()
        self._stopping = False
        #: Workers that a rolling restart has yet to replace, and the one that is being started with the one it replaces.
        self._old: deque[Worker] = deque()
        self._change: tuple[Worker, Worker] | None = None
        self._asked = self._not_before = clock.monotonic()

    def run(self) -> None:
        """Start the workers and mind them, until a signal or a storm ends it."""
        with self._signals_taken() as woken:
            while not self._stopping or self._workers:
                self._replenish()
                wires = [worker.wire for worker in self._workers]
                ends = [worker.process.sentinel for worker in self._workers]
                for event in wait([woken, *wires, *ends], timeout=1.0):
                    if event is woken:
                        with suppress(BlockingIOError):
                            woken.recv(4096)
                self._mind()

    def _mind(self) -> None:
        for worker in self._workers:
            worker.hear()
        for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
            self._bury(worker)
        while self._signals:
            self._obey(self._signals.popleft())
        self._ask()
        self._roll()
        self._kill_the_late()
        if not self._announced and not self._stopping and all(worker.ready for worker in self._workers):
            self._announced = True
            self._ready()

    def _replenish(self) -> None:
        """Start as many workers as are missing."""
        if self._stopping or clock.monotonic() < self._not_before:
            return
        staying = sum(worker.leaving_since is None for worker in self._workers)
        changing = self._change is not None and self._change[1] in self._workers
        for _ in range(staying, self._config.workers + changing):
            self._workers.append(Worker(self._config, self._sockets))

    def _obey(self, number: int) -> None:
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif self._stopping:
            return
        elif number == signal.SIGHUP:
            for worker in self._workers:  # one that is starting hears it when it is ready
                worker.hang_up()
        else:
            self._old = deque(worker for worker in self._workers if worker.leaving_since is None)

    def _stop(self) -> None:
        """Have the workers drain; and let go of the socket, in whose queue new connections would wait for nobody."""
        self._stopping = True
        self._notifier.stopping()
        for sock in self._sockets:
            sock.close()
        for worker in self._workers:
            worker.leave()

    def _bury(self, worker: Worker) -> None:
        """See to what follows from the end of a worker."""
        self._workers.remove(worker)
        pid, asked_to = worker.process.pid, worker.leaving_since is not None
        status = worker.bury()
        if self._change is not None and worker is self._change[0]:
            self._give_up_roll(status)
        elif asked_to or self._stopping:
            return
        elif status == STARTUP_FAILURE and not worker.ready:
            self._not_before = clock.monotonic() + _RETRY
            if not any(other.ready for other in self._workers):
                self.status = STARTUP_FAILURE  # it would fail the same way again
                self._stop()
        else:
            _log.warning("worker %s ended with status %d; another takes its place", pid, status)
            self._count_death()

    def _count_death(self) -> None:
        now = clock.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - 60:
            self._deaths.popleft()
        if len(self._deaths) > MOST_DEATHS:
            _log.error("workers keep dying; giving up")
            self.status = STARTUP_FAILURE
            self._stop()

    def _ask(self) -> None:
        now = clock.monotonic()
        self._notifier.beat()
        if now - self._asked >= _ASK_EVERY:
            self._asked = now
            for worker in self._workers:
                worker.ask()

    def _roll(self) -> None:
        """Take the next step of a rolling restart."""
        if self._change is not None and self._change[0].ready:
            old, self._change = self._change[1], None
            if old in self._workers:
                old.step_aside()
        self._old = deque(worker for worker in self._old if worker in self._workers)
        if self._stopping or self._change is not None or not self._old:
            return
        if all(worker.ready and worker.leaving_since is None for worker in self._workers):
            fresh = Worker(self._config, self._sockets)
            self._workers.append(fresh)
            self._change = fresh, self._old.popleft()

    def _give_up_roll(self, status: int) -> None:
        left = len(self._old) + 1
        self._change = None
        self._old.clear()
        if not self._stopping:
            _log.error(
                "the rolling restart is given up: a new worker ended with status %d; "
                "%d that were to be replaced go on",
                status,
                left,
            )

    def _kill_the_late(self) -> None:
        """End workers that do not start, do not answer or do not end in their time."""
        now, drain = clock.monotonic(), self._config.timeout_graceful_shutdown or 0
        for worker in self._workers:
            if worker.leaving_since is not None:
                late = now - worker.leaving_since > drain + _AFTER_DRAIN
            elif worker.ready:
                late = worker.silent_since is not None and now - worker.silent_since > SILENCE
            else:
                late = now - worker.born > PATIENCE
            if late:
                _log.error("worker %s does not answer; it is ended", worker.process.pid)
                worker.kill()

    @contextmanager
    def _signals_taken(self) -> Iterator[socket.socket]:
        """Take signals; yield a socket that can be read from when there are any."""
        woken, waker = socket.socketpair()
        woken.settimeout(0)
        waker.settimeout(0)
        theirs = {number: signal.signal(number, self._take) for number in _SIGNALS}
        before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in theirs.items():
                signal.signal(number, handler)
            woken.close()
            waker.close()

    def _take(self, number: int, _: object) -> None:
        self._signals.append(number)
