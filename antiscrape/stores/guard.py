"""The program that keeps a private Valkey: it starts it, starts it again where it dies, and ends it with its parent.

It is run by path, by :mod:`antiscrape.stores.private`, and imports nothing but the standard library.
The parent holds the other end of its standard input: however the parent ends, that end is closed,
and the server is killed and its folder removed. Where the guard itself is killed, the kernel kills
the server (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

READY = "ready"
SOCKET = "valkey.sock"
#: What a site's counts may take; beyond, what would expire first is forgotten first.
MAXMEMORY = "256mb"
#: As for workers: more than this without a quiet minute between them is a storm, not an accident (SECURITY fault 19).
MOST_RESTARTS = 5
QUIET = 60.0  # seconds

_PR_SET_PDEATHSIG = 1
_ACCEPTS = b"Ready to accept connections unix"


def command(binary: str, folder: Path) -> list[str]:
    """Return how the server is started."""
    return [
        binary,
        *("--port", "0", "--unixsocket", str(folder / SOCKET), "--unixsocketperm", "600"),
        *("--save", "", "--appendonly", "no", "--dir", str(folder)),
        # every key has a time to live, and a ban the longest
        *("--maxmemory", MAXMEMORY, "--maxmemory-policy", "volatile-ttl"),
        *("--databases", "1", "--maxclients", "4096"),
    ]


class Guard:
    """Keeps one server in ``folder``."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._command, self._folder = command(binary, folder), folder
        # tmpfiles.d(5): what lies in a directory that somebody holds a lock of is not cleaned up for its age
        fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fcntl.LOCK_SH)
        self._deaths = 0
        self._ready = False  # told once, when the server accepts connections for the first time

    def keep(self) -> int:
        """Keep the server until standard input ends; return 0, or 3 where it cannot start or keeps dying."""
        try:
            while self._deaths <= MOST_RESTARTS:
                if self._run():
                    return 0
                if not self._ready:
                    return 3
                self._deaths += 1
                _say("the private store died; what it had counted is lost")
            _say("the private store keeps dying; each worker counts for itself from now on")
            return 3
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> bool:
        """Run the server; return True when the parent ended, False when the server did."""
        ours = os.getpid()
        with subprocess.Popen(  # noqa: S603  the parent's own words
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={},
            preexec_fn=lambda: _die_with(ours),  # noqa: PLW1509  there are no threads here
        ) as server:
            assert server.stdout is not None  # noqa: S101  it was asked for
            try:
                return self._watch(server.stdout.fileno())
            finally:
                server.kill()

    def _watch(self, log: int) -> bool:
        """Read the server's log until it ends (False) or standard input does (True)."""
        said = b""
        while True:
            readable, _, _ = select.select([0, log], [], [], QUIET)
            if not readable:
                self._deaths = 0
            if 0 in readable and not os.read(0, 64):
                return True
            if log not in readable:
                continue
            piece = os.read(log, 4096)
            said = (said + piece)[-4096:]
            if not self._ready and (_ACCEPTS in said or not piece):
                self._ready = bool(piece)
                _tell(READY if piece else " ".join(said.decode(errors="replace").split())[-300:])
            if not piece:
                return False


def _die_with(parent: int) -> None:
    """Ask the kernel, in the new process, to kill it when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def _tell(words: str) -> None:
    """Tell the parent, who reads one line."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def _say(words: str) -> None:
    sys.stderr.write(f"antiscrape: warning: {words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when it ends
    sys.exit(Guard(sys.argv[1], Path(sys.argv[2])).keep())
