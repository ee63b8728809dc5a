"""Reading a small file that an operator names, whatever stands at its path."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_small(path: Path, *, most: int) -> bytes:
    """Return a regular file of at most ``most`` bytes; raise ``ValueError`` with what is wrong, without the path.

    A pipe does not block, and a device is not read.
    """
    if "\0" in str(path):
        msg = "cannot be read: its path holds a NUL"
        raise ValueError(msg)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _read(descriptor, most)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ValueError(f"cannot be read: {(error.strerror or 'unknown cause').lower()}") from None


def _read(descriptor: int, most: int) -> bytes:
    # what was opened is asked, not the path, which may name something else by now
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        msg = "cannot be read: it is no regular file"
        raise ValueError(msg)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise ValueError(f"is longer than {most} bytes")
    return body
