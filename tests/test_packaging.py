"""What is shipped: the public names, the locks, and a reason beside every dependency."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import antiscrape

ROOT = Path(__file__).resolve().parents[1]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
PROJECT = (ROOT / "pyproject.toml").read_text()


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("name", antiscrape.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(antiscrape, name) is not None


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Gate'"):
        antiscrape.__getattr__("Gate")


@pytest.mark.parametrize("lock", LOCKS, ids=name_of)
def test_a_lock_pins_hashes_and_names_no_place(lock: Path) -> None:
    text = lock.read_text()
    for place in ("://", "index-url ", "find-links ", "trusted-host ", str(ROOT), " @ "):
        assert place not in text
    pins = re.findall(r"^[A-Za-z0-9][\w.-]*==\S+ \\$", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert pins == lines
    assert all(f"{pin}\n    --hash=sha256:" in text for pin in pins)


def test_what_runs_in_the_container_is_what_is_tested() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==\S+) \\$", (ROOT / "locks" / name).read_text(), re.MULTILINE))

    assert pins("serve.txt") < pins("demo.txt") < pins("dev.txt")


def test_every_dependency_has_its_reason_beside_it() -> None:
    project = tomllib.loads(PROJECT)["project"]
    wanted = [
        *project["dependencies"],
        *[row for rows in project["optional-dependencies"].values() for row in rows],
    ]
    for row in wanted:
        if not row.startswith("antiscrape["):
            assert re.search(rf'^  "{re.escape(row)}", +# \w', PROJECT, re.MULTILINE), row


def test_the_runtime_needs_little() -> None:
    assert len(tomllib.loads(PROJECT)["project"]["dependencies"]) <= 8


def test_the_changelog_has_a_place_for_what_comes() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
