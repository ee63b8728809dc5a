"""``antiscrape release``: what it refuses, and what it says where nobody can be told. That it releases, whole sites test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from tests.house import SECRET

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "names", "words"),
    [
        ("", ["192.0.2.1"], "no store is named"),
        ("unix:///nowhere/valkey.sock", ["mallory"], "--account"),
        ("unix:///nowhere/valkey.sock", ["192.0.2.1/24"], "is no address"),
        (
            "unix:///nowhere/valkey.sock",
            ["192.0.2.1"],
            "the store unix:///nowhere/valkey.sock refuses connections",
        ),
        ("unix:///nowhere/valkey.sock", ["--account", "mallory"], "refuses connections"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, names: list[str], words: str
) -> None:
    monkeypatch.setenv("ANTISCRAPE_SECRET", SECRET)
    config = tmp_path / "antiscrape.toml"
    config.write_text(f'[store]\nurl = "{url}"\nnamespace = "release"\n')
    done = CliRunner().invoke(main, ["release", *names, "--config", str(config)])
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
