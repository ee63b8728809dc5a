"""Lays the packages that a lock names into another environment, as they are installed in this one.

For tests that carry out what installs by hand or in a container: nothing is fetched, and what a lock leaves out is
missing. Each package must be installed here in the very version that the lock names; its hashes are pip's to
check, as they were when this environment was made of locks that are resolved together with that one.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator


def named(lock: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the version of each package of ``lock`` that this Python needs."""
    for line in re.findall(r"^(?![#\s-])([^\\\n]+)", lock.read_text("utf-8"), re.MULTILINE):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate():
            (version,) = wanted.specifier
            assert version.operator == "==", line
            yield wanted.name, version.version


def matches(lock: Path) -> bool:
    """Return whether all that ``lock`` names is installed here, in the very versions."""
    try:
        return all(version_of(name) == version for name, version in named(lock))
    except PackageNotFoundError:
        return False


def lay(lock: Path, folder: Path) -> list[str]:
    """Link the files of what ``lock`` names into ``folder``, a ``site-packages``; return the names."""
    laid = []
    for name, version in named(lock):
        assert version_of(name) == version, f"{name} {version} is locked"
        for file in distribution(name).files or ():
            if ".." not in file.parts:  # a script belongs to the Python that it names
                link = folder / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path(str(file.locate())).absolute())
        laid.append(name)
    return laid


if __name__ == "__main__":
    assert lay(Path(sys.argv[1]), Path(sys.argv[2]))
