"""What a worker process may and may not do, and when it ends."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import PIL
import pytest
from PIL import features

from antiscrape.core.rules import ImageRules
from antiscrape.images import worker
from antiscrape.images.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

#: A server in a few lines: it renders the picture it is given, then does as the test says.
_SERVER = """\
import asyncio, os, sys
from antiscrape.core.rules import ImageRules
from antiscrape.core.verdict import Rendition
from antiscrape.images.renderer import PillowRenderer
from antiscrape.ports import Wanted

renderer = PillowRenderer(ImageRules(faces="off"))
source = sys.stdin.buffer.read()

def render(extra=b""):
    made = asyncio.run(renderer.render(source + extra, Wanted(Rendition.PREVIEW)))
    assert made.content_type == "image/jpeg" and not made.placeholder
    return next(iter(renderer._pool._living)).process.pid

pid = render()
print(pid, flush=True)
"""


def serve(script: str, photo: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a server to its end, with every warning an error that is printed."""
    command = [sys.executable, "-W", "error", "-c", _SERVER + script]
    return subprocess.run(command, input=photo, capture_output=True, timeout=120, cwd=ROOT, check=False)


def gone(pid: int) -> bool:
    """Return whether a process has ended, or does within a minute."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 60)[0])
    finally:
        os.close(handle)


def test_a_server_that_forgets_to_close_leaves_neither_workers_nor_warnings(photo: bytes) -> None:
    done = serve("", photo)
    assert (done.returncode, done.stderr) == (0, b"")
    assert gone(int(done.stdout))


@pytest.mark.security("E2")
def test_no_worker_outlives_a_server_that_is_killed(photo: bytes) -> None:
    done = serve("os.kill(os.getpid(), 9)", photo)
    assert done.returncode == -9
    assert gone(int(done.stdout))


def test_a_server_that_forks_shares_no_worker(photo: bytes) -> None:
    """The child starts a worker of its own, and its end does not end the parent's."""
    script = (
        "child = os.fork()\n"
        "if child == 0:\n"
        "    assert render(b'child') != pid\n"
        "    sys.exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert render(b'parent') == pid\n"
    )
    done = serve(script, photo)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_servers_process_never_imports_pillow(photo: bytes) -> None:
    done = serve("print([name for name in sys.modules if name.split('.')[0] == 'PIL'])", photo)
    assert done.stdout.splitlines()[1] == b"[]", done.stderr


def _of_worker(read: Callable[[int], str]) -> str:
    async def main() -> str:
        pool = WorkerPool(ImageRules())
        try:
            await pool.prepare()
            return read(next(iter(pool._living)).process.pid)
        finally:
            await pool.aclose()

    return asyncio.run(main())


@pytest.mark.security("E2")
def test_a_worker_is_confined() -> None:
    """Memory bounded; no core dump, no file, no further descriptor, no process; five steps nicer."""
    limits = _of_worker(lambda pid: Path(f"/proc/{pid}/limits").read_text(encoding="ascii"))
    hard = {line[:26].strip(): line[47:68].strip() for line in limits.splitlines()}
    assert hard["Max address space"] == str(ImageRules().worker_memory)
    assert (hard["Max core file size"], hard["Max file size"], hard["Max processes"]) == ("0", "0", "0")
    assert hard["Max open files"] == "3"
    assert int(_of_worker(lambda pid: str(os.getpriority(os.PRIO_PROCESS, pid)))) >= 5


@pytest.mark.security("F10")
def test_a_worker_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server has in its environment, the process that reads hostile bytes has not."""
    monkeypatch.setenv("ANTISCRAPE_SECRET", "x" * 40)
    environment = _of_worker(lambda pid: Path(f"/proc/{pid}/environ").read_text(encoding="utf-8"))
    assert {entry.split("=")[0] for entry in environment.split("\0") if entry} == {
        "LC_ALL",
        "MALLOC_ARENA_MAX",
    }


@pytest.mark.security("E2")
def test_a_worker_has_no_descriptor_but_its_line() -> None:
    open_files = _of_worker(
        lambda pid: " ".join(
            str(entry.readlink()).split(":")[0] for entry in sorted(Path(f"/proc/{pid}/fd").iterdir())
        )
    )
    assert open_files == "socket /dev/null /dev/null"


@pytest.mark.security("E4")
@pytest.mark.parametrize(("pillow", "libwebp"), [("12.2.9", "1.6.0"), ("11.0", "1.6.0"), ("12.3.0", "1.3.1")])
def test_decoders_with_known_holes_are_refused(
    pillow: str, libwebp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.check_libraries()
    monkeypatch.setattr(PIL, "__version__", pillow)
    monkeypatch.setattr(features, "version", lambda _: libwebp)
    with pytest.raises(ImportError, match="is needed"):
        worker.check_libraries()
