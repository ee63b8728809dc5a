"""The wheel has the accelerator where a compiler is, and is a pure one where none is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.swift import module_of

ROOT = Path(__file__).resolve().parents[1]


def copy_of_the_source(folder: Path) -> Path:
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("antiscrape", "config/crawlers"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    # what an editable install of another Python may have left
    (folder / "antiscrape" / "asgi" / "_swift.old.so").write_bytes(b"")
    return folder


def build(folder: Path, **environment: str) -> zipfile.ZipFile:
    """Build a wheel as an installer does, with what is installed here."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(
        command, cwd=folder, env=os.environ | environment, check=True, timeout=180, capture_output=True
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.mark.slow
def test_a_wheel_brings_the_accelerator_and_says_for_which_python(tmp_path: Path, accelerator: Any) -> None:
    with build(copy_of_the_source(tmp_path)) as wheel:
        names = wheel.namelist()
        assert f"antiscrape/asgi/{Path(accelerator.__file__).name}" in names
        assert not [name for name in names if name.endswith("old.so")]
        (told,) = [name for name in names if name.endswith("/WHEEL")]
        text = wheel.read(told).decode()
        assert f"Tag: cp{sys.version_info.major}{sys.version_info.minor}-" in text
        wheel.extractall(tmp_path / "installed")
    say = "from antiscrape.asgi import accelerator; print(accelerator.STATE)"
    for pure, state in (("", "in use"), ("1", "not in use: ANTISCRAPE_PURE is set")):
        env = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "ANTISCRAPE_PURE": pure}
        done = subprocess.run(
            [sys.executable, "-c", say],
            cwd=tmp_path / "dist",
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout.strip() == state


@pytest.mark.slow
def test_without_a_compiler_the_wheel_is_pure(tmp_path: Path) -> None:
    with build(copy_of_the_source(tmp_path), ANTISCRAPE_PURE="1") as wheel:
        names = wheel.namelist()
        (told,) = [name for name in names if name.endswith("/WHEEL")]
        assert "Tag: py3-none-any" in wheel.read(told).decode()
    assert not [name for name in names if name.endswith(".so")]


def test_a_compiler_that_fails_is_a_reason_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = module_of("hatch_build", ROOT / "hatch_build.py")
    monkeypatch.delenv("ANTISCRAPE_PURE", raising=False)
    source = tmp_path / hook.SOURCE
    source.mkdir(parents=True)
    (source / "module.c").write_text("this is not C\n")
    path, reason = hook.compile_accelerator(tmp_path, tmp_path)
    assert path is None
    assert reason
    monkeypatch.setattr(
        hook.sysconfig, "get_config_var", lambda name: "no-such-compiler" if name == "LDSHARED" else ""
    )
    assert hook.compile_accelerator(tmp_path, tmp_path) == (None, "no C compiler is here")
    assert list(tmp_path.glob("*.so")) == []
