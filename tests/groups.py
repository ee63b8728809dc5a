"""Control groups with a limit of memory, where the machine lets a test make them: as root, mostly."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from antiscrape.operate.memory import HIERARCHIES
from tests.conftest import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def group(name: str, most: int) -> Iterator[list[str]]:
    """Make a group that may take ``most`` bytes, and give the beginning of a command that runs in it; skip where none can be made."""
    folder = _make(f"{name}-{os.getpid()}", most)
    if folder is None:
        missing("cgroup", "no control group with a limit of memory can be made here")
        return
    try:
        yield ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh"]
    finally:
        for _ in range(1000):  # the kernel lets go of a process some moments after it has ended
            with suppress(OSError):
                folder.rmdir()
                break


def _make(name: str, most: int) -> Path | None:
    for hierarchy in HIERARCHIES:
        folder = hierarchy.root / name
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            # The kernel has put its files there already, or this is no hierarchy of groups.
            with (folder / hierarchy.most).open("r+") as file:
                file.write(str(most))
        except OSError:
            folder.rmdir()
        else:
            return folder
    return None
