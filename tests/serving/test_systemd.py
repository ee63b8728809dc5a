"""What systemd passes and is told, by a socket and variables as it would."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from antiscrape.errors import ConfigurationError
from antiscrape.serving.systemd import Notifier, inherited_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0

#: Puts the descriptor where systemd does, and the process's id where it does, then becomes the server.
START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
sys.path[:0] = sys.argv[2:]
from antiscrape.serving.runner import run
from antiscrape.serving.systemd import inherited_sockets
from tests.serving.wire import Echo
if __name__ == "__main__":
    sockets = inherited_sockets()
    sys.exit(run(Echo(), inherited=sockets, ready=lambda url: print(url, flush=True)))
"""


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket at which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE)
        yield sock


def test_a_service_that_is_started_by_its_socket(told: socket.socket) -> None:
    """It answers what waited for it, says READY, beats, and says STOPPING before its drain."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        waiting = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        env = {**os.environ, "NOTIFY_SOCKET": told.getsockname(), "WATCHDOG_USEC": "200000"}
        env.pop("WATCHDOG_PID", None)
        process = subprocess.Popen(
            [sys.executable, "-c", START, str(listening.fileno()), str(ROOT)],
            env=env,
            pass_fds=[listening.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
    try:
        assert told.recv(100) == b"READY=1"
        with waiting:
            assert b" 200 OK" in b"".join(iter(lambda: waiting.recv(65536), b""))
        assert told.recv(100) == b"WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        while (words := told.recv(100)) == b"WATCHDOG=1":
            pass
        assert words == b"STOPPING=1"
        out, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (0, f"http://127.0.0.1:{port}\n")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1000"},
    ],
)
def test_sockets_that_were_not_passed_are_missed(variables: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="no socket was passed"):
        inherited_sockets(variables)


def test_several_sockets_are_taken_and_the_variables_with_them() -> None:
    variables = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first = 200  # far from what the tests have open
        for number, sock in enumerate((one, two)):
            os.dup2(sock.fileno(), first + number)
        taken = inherited_sockets(variables, first=first)
        assert [sock.getsockname() for sock in taken] == [one.getsockname(), two.getsockname()]
        assert variables == {}
        for sock in taken:
            sock.close()


def test_what_does_not_listen_is_refused(tmp_path: Path) -> None:
    variables = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        pytest.raises(ConfigurationError, match="does not listen"),
    ):
        inherited_sockets(dict(variables), first=os.dup(datagrams.fileno()))
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigurationError, match="is no socket"):
        inherited_sockets(dict(variables), first=file.fileno())


def test_a_reload_is_told_with_its_time(told: socket.socket) -> None:
    """systemd.service(5), Type=notify-reload: with CLOCK_MONOTONIC in microseconds."""
    notifier = Notifier({"NOTIFY_SOCKET": told.getsockname()})
    notifier.reloading()
    first, _, second = told.recv(100).partition(b"\n")
    assert first == b"RELOADING=1"
    assert second.startswith(b"MONOTONIC_USEC=")
    assert second.removeprefix(b"MONOTONIC_USEC=").isdigit()
    notifier.ready()
    assert told.recv(100) == b"READY=1"


def test_outside_of_systemd_nothing_is_told() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.beat()
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).stopping()


def test_the_watchdog_of_another_process_is_not_ours(told: socket.socket) -> None:
    variables = {"NOTIFY_SOCKET": told.getsockname(), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
    for whose in ("1", str(os.getpid())):
        notifier = Notifier(variables | {"WATCHDOG_PID": whose})
        notifier._told -= 60.0  # a beat is not told twice within half a microsecond
        notifier.beat()
    assert told.recv(100) == b"WATCHDOG=1"
    told.settimeout(0)
    with pytest.raises(BlockingIOError):
        told.recv(100)


def test_a_name_in_the_abstract_space() -> None:
    name = f"antiscrape-test-{os.getpid()}-{id(asyncio)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(PATIENCE)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert sock.recv(100) == b"READY=1"
