"""Reading anew what files say: however they are changed, whatever is wrong with them, and in every worker (SECURITY J8)."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from antiscrape.errors import ConfigurationError
from antiscrape.serving import reload
from antiscrape.serving.reload import Reloader
from tests.cli.test_serve import start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PATIENCE = 60.0


class Read:
    """What a reloader does with one file whose only right words are numbers."""

    def __init__(self, file: Path) -> None:
        self.taken: list[int] = []
        self.refused: list[str] = []
        self.news = asyncio.Event()
        self._file = file
        self.reloader = Reloader(self.load, files=lambda: [file], refuse=self.refuse)

    def load(self) -> Callable[[], Sequence[str]]:
        try:
            number = int(self._file.read_text())
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"not a number: {error}") from None

        def take_up() -> tuple[str, ...]:
            self.taken.append(number)
            self.news.set()
            return ()

        return take_up

    def refuse(self, problems: Sequence[str]) -> None:
        self.refused += problems
        self.news.set()

    async def next(self) -> None:
        await asyncio.wait_for(self.news.wait(), PATIENCE)
        self.news.clear()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LOOK", 0.01)


@pytest.mark.security("J8")
def test_a_file_is_read_anew_however_it_is_changed(tmp_path: Path) -> None:
    """Fault 22: written in place, renamed over, turned as a link, wrong, gone, and there again."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/file").write_text("1")
    (tmp_path / "now").symlink_to("a")
    file = tmp_path / "now/file"

    async def run() -> None:
        read = Read(file)
        keeping = asyncio.create_task(read.reloader.keep())
        file.write_text("22")
        await read.next()
        (tmp_path / "a/next").write_text("33")
        (tmp_path / "a/next").rename(tmp_path / "a/file")
        await read.next()
        (tmp_path / "b/file").write_text("44")
        (tmp_path / "next").symlink_to("b")
        (tmp_path / "next").rename(tmp_path / "now")
        await read.next()
        file.write_text("half a num")
        await read.next()
        file.unlink()
        await read.next()
        assert read.taken == [22, 33, 44]
        assert len(read.refused) == 2
        file.write_text("55")
        await read.next()
        assert read.taken[-1] == 55
        keeping.cancel()

    asyncio.run(run())


@pytest.mark.security("J8")
def test_a_file_that_never_rests_is_read_and_the_last_word_stands(tmp_path: Path) -> None:
    """Fault 22: swapped many times a second, one after the other, by somebody who waits for nothing."""
    file = tmp_path / "file"
    file.write_text("1")

    async def run() -> None:
        read = Read(file)
        keeping = asyncio.create_task(read.reloader.keep())
        number = 1
        while len(read.taken) < 3:
            number += 1
            (tmp_path / "next").write_text(str(10_000 + number))
            (tmp_path / "next").rename(file)
            await asyncio.sleep(0)
        while read.taken[-1] != 10_000 + number:
            await read.next()
        assert read.refused == []
        keeping.cancel()

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_who_asks_needs_no_change_and_the_same_mistake_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("wrong")

    async def run() -> None:
        read = Read(file)
        keeping = asyncio.create_task(read.reloader.keep())
        read.reloader.ask()
        await read.next()
        for _ in range(20):  # looks at a file that stays wrong
            await asyncio.sleep(0.01)
        assert len(read.refused) == 1
        read.reloader.ask()
        await read.next()
        assert len(read.refused) == 2
        keeping.cancel()

    asyncio.run(run())


@pytest.mark.security("J8")
def test_what_raises_anything_at_all_leaves_the_policy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    logged: list[BaseException | None] = []
    monkeypatch.setattr(reload._log, "exception", lambda _: logged.append(sys.exception()))

    def load() -> Callable[[], Sequence[str]]:
        raise RecursionError("deep")

    async def run() -> None:
        await Reloader(load, files=list, refuse=refused.extend).read()

    asyncio.run(run())
    assert refused == ["it cannot be read, for a reason that the log tells"]
    assert [type(error) for error in logged] == [RecursionError]


def metrics(admin: Path) -> str:
    with closing(HTTPConnection("localhost", timeout=PATIENCE)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(str(admin))
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def versions(admin: Path) -> set[str]:
    """Return the versions that the workers tell; what is shown is the sum of their figures."""
    return set(re.findall(r'antiscrape_policy_info\{[^}]*version="([0-9a-f]{16})"', metrics(admin)))


@pytest.mark.slow
@pytest.mark.security("J8")
def test_all_workers_go_by_one_policy_whatever_becomes_of_its_file(tmp_path: Path) -> None:
    """Two workers under requests; a change, a mistake and its end, each told by version and metric."""
    policy, admin = tmp_path / "site.toml", tmp_path / "admin"
    policy.write_text("[score]\nbot_at = 40\n")
    process = start(
        "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", f"unix:{admin}", "--workers", "2",
        "--config", str(policy),
    )  # fmt: skip
    assert process.stderr is not None
    try:
        while "ready on" not in (line := process.stderr.readline()):
            assert line, "it did not start"
        wait_for(lambda: "antiscrape_workers 2.0" in metrics(admin))
        first = versions(admin)
        assert len(first) == 1
        policy.write_text("[score]\nbot_at = 41\n")
        wait_for(lambda: len(now := versions(admin)) == 1 and now != first)
        second = versions(admin)
        policy.write_text("[score]\nbot_at = ")
        wait_for(lambda: "antiscrape_reload_refused 2.0" in metrics(admin))
        assert versions(admin) == second
        policy.write_text("[score]\nbot_at = 40\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: versions(admin) == first)
        assert "antiscrape_reload_refused 0.0" in metrics(admin)
        process.send_signal(signal.SIGTERM)
        assert "site.toml:2" in process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
