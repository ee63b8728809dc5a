"""How much memory is taken, of what is allowed: by the settings, or by the control groups that this process is in.

The kernel ends a process whose group has taken all that it may (cgroup-v2.rst, "memory.max"; version 1: memory.rst §2.4). The
limit may be the group's own (``MemoryMax=`` of a systemd unit) or that of any group around it, and in a container the
group's own folder is mounted as the root. So all of them are looked at, and the one that is the most full counts.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE: Final = 4096
#: Which groups this process is in, one line for each hierarchy (cgroups(7), "/proc/pid/cgroup").
MEMBERSHIP: Final = Path("/proc/self/cgroup")


class Hierarchy(NamedTuple):
    """Where the kernel tells of groups' memory: the root, its line in ``MEMBERSHIP``, and the files of a group."""

    root: Path
    controllers: str
    most: str
    taken: str
    spare: str  # of memory.stat: pages of files, which the kernel may drop


HIERARCHIES: Final = (
    Hierarchy(Path("/sys/fs/cgroup"), "", "memory.max", "memory.current", "inactive_file"),
    Hierarchy(
        Path("/sys/fs/cgroup/memory"), "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    ),
)  # fmt: skip


def memory_share(limit: int) -> float:
    """Return the share of memory that is taken: of ``limit`` bytes by this process, or of what its groups allow by all in them.

    As Kubernetes counts: pages of files that could be dropped are not taken. 0.0 where nothing is known.
    """
    if limit:
        with suppress(OSError, ValueError, IndexError):
            return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / limit
        return 0.0
    return max((_share_of(one, folder) for one in HIERARCHIES for folder in _folders(one)), default=0.0)


def _folders(hierarchy: Hierarchy) -> Iterator[Path]:
    """Yield the folders of this process's group and of those around it that can be seen, the root last."""
    named = "/"
    with suppress(OSError, ValueError):
        for line in MEMBERSHIP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if hierarchy.controllers in controllers.split(","):
                named = path
    inner = hierarchy.root / named.lstrip("/")
    yield inner
    if inner != hierarchy.root:
        yield from (folder for folder in inner.parents if folder.is_relative_to(hierarchy.root))


def _share_of(hierarchy: Hierarchy, folder: Path) -> float:
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed = (folder / hierarchy.most).read_text().strip()
        if allowed != "max":
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            used = int((folder / hierarchy.taken).read_text()) - int(stat.get(hierarchy.spare, 0))
            return max(0, used) / int(allowed)
    return 0.0
