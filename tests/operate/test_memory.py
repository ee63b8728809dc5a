"""The memory of a process and of the groups that it is in, which the kernel holds to their limits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from antiscrape.operate import memory
from antiscrape.operate.memory import HIERARCHIES, memory_share
from tests.groups import group

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


def test_the_memory_of_a_process() -> None:
    assert 0.0 < memory_share(2**40) < 0.01
    assert memory_share(2**10) > 1.0


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, int], None]:
    """Return what makes a group of the kernel's version 2, by its path, of which this process is in /site/serve."""
    membership = tmp_path / "membership"
    membership.write_text("9:name=systemd:/else\n0::/site/serve\n")
    monkeypatch.setattr(memory, "MEMBERSHIP", membership)
    monkeypatch.setattr(memory, "HIERARCHIES", (HIERARCHIES[0]._replace(root=tmp_path / "root"),))

    def make(path: str, most: str, taken: int) -> None:
        folder = tmp_path / "root" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(most + "\n")
        (folder / "memory.current").write_text(f"{taken}\n")
        (folder / "memory.stat").write_text("anon 700\ninactive_file 60\n")

    return make


def test_the_group_that_is_the_most_full_counts(made: Callable[[str, str, int], None]) -> None:
    """Fault 29: pages of files that the kernel may drop are not held against anybody."""
    assert memory_share(0) == 0.0
    made("site/serve", "1000", 960)
    assert memory_share(0) == pytest.approx(0.9)
    made("site", "2000", 1960)
    assert memory_share(0) == pytest.approx(0.95)
    made("", "max", 10_000)
    made("site", "max", 1960)
    made("else", "1", 10_000)
    assert memory_share(0) == pytest.approx(0.9)
    made("site/serve", "garbage", 960)
    assert memory_share(0) == 0.0


def test_in_a_container_the_root_is_the_groups_own(made: Callable[[str, str, int], None]) -> None:
    """Its path is the host's, and is not there."""
    made("", "1000", 560)
    assert memory_share(0) == pytest.approx(0.5)


def test_the_kernel_tells_the_same_of_a_real_group() -> None:
    """Fault 29: a process that a group of its own holds to 256 MiB, as MemoryMax= of a systemd unit does."""
    script = (
        "from antiscrape.operate.memory import memory_share\n"
        "before = memory_share(0); taken = bytearray(128 * 2**20); print(before, memory_share(0))"
    )
    with group("antiscrape-test", 256 * 2**20) as enter:
        done = subprocess.run(
            [*enter, sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    before, after = map(float, done.stdout.split())
    assert 0.0 < before < 0.5
    assert 0.5 < after < 1.0
    assert after - before == pytest.approx(0.5, abs=0.1)
