"""``antiscrape check`` and ``antiscrape schema``, as somebody at a terminal meets them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from antiscrape.settings import document
from tests import valkeys

ROOT = Path(__file__).parents[2]
SECRET = "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"


class Done(NamedTuple):
    """What a command said, and its status."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, environ: dict[str, str] | None = None) -> Done:
    """Run the command in this process, with no variable of ours but those that are told."""
    unset = {name: None for name in os.environ if name.startswith("ANTISCRAPE")}
    with contextlib.chdir(ROOT):
        result = CliRunner().invoke(main, arguments, env={**unset, **(environ or {})})
    return Done(result.exit_code, result.stdout, result.stderr)


def test_in_a_process_of_its_own_it_says_the_same() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")}
    command = [
        sys.executable,
        "-c",
        "from antiscrape.cli import main; main()",
        "check",
        "config/antiscrape.toml",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=120, check=False
    )
    assert Done(done.returncode, done.stdout, done.stderr) == run("check", "config/antiscrape.toml")


def test_a_right_file_is_ok_and_told_in_short() -> None:
    done = run("check", "config/policies/photo.toml", environ={"ANTISCRAPE_SECRET": SECRET})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "ok: config/policies/photo.toml"
    assert "mode      enforce: verdicts are carried out" in lines
    assert (
        "grants    /media/ signed in page bodies, good for 30min to twice that; bound to none; without: preview"
        in lines
    )
    assert any(line.split()[:4] == ["browser", "600/5min", "30/10min,", "60/day"] for line in lines)
    assert len(lines) < 30
    assert max(map(len, lines)) <= 110


def test_a_missing_secret_is_a_warning_here() -> None:
    done = run("check", "config/antiscrape.toml")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: no secret is set")
    assert done.stdout.startswith("ok: ")


def test_without_a_file_the_variable_names_it_and_else_the_defaults_are_checked() -> None:
    named = run("check", environ={"ANTISCRAPE_CONFIG": "config/policies/observe.toml"})
    assert "mode      shadow" in named.stdout
    assert run("check").stdout.startswith("ok: defaults\n")


@pytest.mark.parametrize("setting", ["mark_image", "mark_font", "decoys"])
def test_a_picture_or_font_that_cannot_be_read_is_told(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f'[renditions]\n{setting} = "missing"\n')
    done = run("check", str(path), environ={"ANTISCRAPE_SECRET": SECRET})
    assert done.returncode == 2
    assert f"renditions.{setting}: {tmp_path / 'missing'} cannot be read: No such file" in done.stderr


def test_every_error_is_told_and_the_status_is_2(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("[site]\nmode = 1\n\n[standing.browser]\noriginals = 'x'\n")
    done = run(
        "check", str(path), environ={"ANTISCRAPE__IMAGES__QUEUE": "long", "ANTISCRAPE_SECRET": "short"}
    )
    assert (done.returncode, done.stdout) == (2, "")
    places = [line.split(": ")[1] for line in done.stderr.splitlines()]
    assert places == [f"{path}:2", f"{path}:5", "ANTISCRAPE__IMAGES__QUEUE", "ANTISCRAPE_SECRET"]
    assert "Traceback" not in done.stderr


@pytest.mark.security("J9")
def test_neither_a_right_nor_a_wrong_secret_is_shown(tmp_path: Path) -> None:
    right = run("check", environ={"ANTISCRAPE_SECRET": SECRET})
    wrong = run("check", environ={"ANTISCRAPE_SECRET": SECRET[:20]})
    assert (right.returncode, wrong.returncode) == (0, 2)
    assert SECRET[:8] not in right.stdout + right.stderr + wrong.stdout + wrong.stderr


def test_a_doubt_is_a_warning_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("\n[images]\npreview_cells = 24\n")
    done = run("check", str(path), environ={"ANTISCRAPE_SECRET": SECRET})
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {path}:3: images.preview_cells: 24 cells")


def test_the_schema_and_the_defaults_are_printed() -> None:
    schema, defaults = run("schema"), run("schema", "--defaults")
    assert json.loads(schema.stdout) == json.loads(document.schema())
    assert defaults.stdout == document.toml()


def test_the_store_is_asked_and_what_is_wrong_with_it_is_a_warning() -> None:
    def told(url: str) -> Done:
        name = {"ANTISCRAPE__SITE__NAME": "photos", "ANTISCRAPE_SECRET": SECRET}
        return run("check", environ={**name, "ANTISCRAPE__STORE__URL": url})

    with valkeys.single(password="opensesame") as server:
        done = told(f"valkey://:opensesame@127.0.0.1:{server.port}")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"store     valkey://127.0.0.1:{server.port}, every 100ms" in done.stdout
        done = told(f"valkey://:mistaken@127.0.0.1:{server.port}")
        words = f"warning: the store valkey://127.0.0.1:{server.port} does not take the user and password"
        assert (done.returncode, done.stderr.startswith(words)) == (0, True)
        assert "mistaken" not in done.stdout + done.stderr
    done = told("valkey//store")
    assert done.returncode == 2
    assert "store.url: the value is not the address of a store; expected" in done.stderr
