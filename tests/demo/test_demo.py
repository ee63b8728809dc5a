"""``antiscrape demo --once``, as a person types it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from antiscrape.demo.photos import Library

ROOT = Path(__file__).resolve().parents[2]


def command(tmp_path: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    words = [sys.executable, "-c", "from antiscrape.cli import main; main()", "demo", *arguments]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "NO_COLOR": "", "PYTHONPATH": str(ROOT)}
    return words, environment


@pytest.fixture
def cached(library: Library, tmp_path: Path) -> Path:
    """Give the demo the photos that are made already, where it looks for them."""
    folder = tmp_path / "antiscrape" / "demo"
    folder.mkdir(parents=True)
    (folder / library.folder.name).symlink_to(library.folder)
    return tmp_path


@pytest.mark.slow
def test_people_get_originals_and_harvesters_none(cached: Path) -> None:
    report = cached / "out" / "report.html"
    words, environment = command(cached, "--once", "--report", str(report))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    rows = {
        found[1]: [int(number) for number in found[2].split()]
        for found in re.finditer(
            r"^  (A person|A curl|A crawler|Scrapy)[a-z ]*?\s{2,}((?:\d+\s+){4})\w+$",
            done.stdout,
            re.MULTILINE,
        )
    }
    asked, originals, *_ = rows.pop("A person")
    assert asked == originals > 0
    assert rows, "at least one harvester ran"
    for asked, originals, previews, refused in rows.values():
        assert asked > 0
        assert originals == 0
        assert previews + refused > 0
    html = report.read_text()
    assert "the original, byte for byte" in html
    assert "agent-is-a-tool" in html
    assert "none to the harvesters" in html
    assert done.stderr == ""


@pytest.mark.slow
def test_it_serves_on_until_it_is_told_to_stop(cached: Path) -> None:
    words, environment = command(cached, "--report", str(cached / "report.html"))
    environment["PATH"] = str(
        cached
    )  # no curl, no Chromium, no harvester in Python: they are skipped, and it says so
    environment["PYTHONPATH"] += f":{cached}"
    (cached / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in ('scrapy', 'requests') else find(name, *rest)\n"
    )
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = ""
        deadline = time.monotonic() + 240
        while "serving" not in printed and time.monotonic() < deadline:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        process.send_signal(signal.SIGTERM)
        rest, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, printed + rest + complaints
    assert "skipped: none is installed" in printed
    assert "neither curl nor wget is installed" in printed
    assert "0 harvesters asked for 0 and got none" in printed + rest


def test_the_report_cannot_be_written_into_a_folder(tmp_path: Path) -> None:
    words, environment = command(tmp_path, "--once", "--report", str(tmp_path))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "is a directory" in done.stderr
