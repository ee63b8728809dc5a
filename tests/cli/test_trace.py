"""``antiscrape trace``: marks are written and read by the command, with its words and its exit status."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from antiscrape.cli import main
from tests.house import SECRET

OLDER = "an-older-secret-of-the-same-site-0123456789"


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        pytest.skip("matplotlib, which carries the portrait, is not installed")
    target = tmp_path / "portrait.jpg"
    target.write_bytes((Path(found.origin).parent / "mpl-data/sample_data/grace_hopper.jpg").read_bytes())
    return target


@pytest.fixture
def small(portrait: Path) -> Path:
    """The same in 96 pixels: where only bytes are marked, its pixels are soon read."""
    target = portrait.with_name("small.jpg")
    with Image.open(portrait) as opened:
        opened.thumbnail((96, 96))
        opened.save(target)
    return target


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTISCRAPE_SECRET", SECRET)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["trace", *map(str, arguments)])


def told(result: Result) -> list[dict[str, object]]:
    told = json.loads(result.stdout)
    assert isinstance(told, dict)
    return list(told["traces"])


def test_what_was_written_is_read(portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a secret that has been followed by another since, and named among principals."""
    marked, among = tmp_path / "marked.jpg", tmp_path / "among.txt"
    among.write_text("203.0.113.8\n203.0.113.9\n")
    assert run("write", portrait, marked, "--principal", "203.0.113.9").exit_code == 0
    monkeypatch.setenv("ANTISCRAPE_SECRET", f"{SECRET} a-newer-secret-of-the-same-site-987654321")
    read = run("read", marked, "--among", among)
    assert read.exit_code == 0
    assert "(203.0.113.9)" in read.stdout
    assert "read from its pixels" in read.stdout
    assert "secret 2 from the newest" in read.stdout
    assert "203.0.113.8" not in read.stdout


def test_the_bytes_are_read_too(small: Path, tmp_path: Path) -> None:
    marked = tmp_path / "marked.jpg"
    run("write", "--bytes", small, marked, "--principal", "203.0.113.9")
    assert len(marked.read_bytes()) < len(small.read_bytes()) + 60
    (trace,) = told(run("read", "--json", marked))
    assert (trace["where"], trace["hours"], trace["sure"]) == ("bytes", 1, None)


def test_both_marks_tell_the_same(portrait: Path, tmp_path: Path) -> None:
    half, whole = tmp_path / "half.jpg", tmp_path / "whole.jpg"
    run("write", portrait, half, "--principal", "203.0.113.9")
    run("write", "--bytes", half, whole, "--principal", "203.0.113.9")
    by_bytes, by_pixels = told(run("read", "--json", whole))
    assert by_bytes["code"] == by_pixels["code"]
    assert (by_bytes["where"], by_pixels["where"]) == ("bytes", "pixels")


def test_a_preview_tells_a_quarter_day(portrait: Path, tmp_path: Path) -> None:
    small, marked, among = tmp_path / "small.png", tmp_path / "marked.png", tmp_path / "among.txt"
    among.write_text("203.0.113.9\n")
    with Image.open(portrait) as opened:
        opened.thumbnail((256, 256))
        opened.save(small)
    run("write", small, marked, "--principal", "203.0.113.9")
    (trace,) = told(run("read", "--json", marked, "--among", among))
    assert (trace["hours"], trace["takers"], len(str(trace["code"]))) == (6, ["203.0.113.9"], 5)


def test_nothing_found_is_status_1(small: Path) -> None:
    read = run("read", small)
    assert read.exit_code == 1
    assert "proves nothing" in read.stdout


def test_another_sites_mark_is_not_read(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = tmp_path / "marked.jpg"
    run("write", "--bytes", small, marked, "--principal", "203.0.113.9")
    monkeypatch.setenv("ANTISCRAPE_SECRET", OLDER)
    assert run("read", marked).exit_code == 1


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(60)])
def test_what_cannot_be_read_is_status_2(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "\x1b[31mfile.jpg"
    file.write_bytes(content)
    read = run("read", file)
    assert read.exit_code == 2
    assert "cannot be read" in read.stdout
    assert "\x1b" not in read.stdout


def test_a_missing_file_is_status_2_and_does_not_stop_the_others(small: Path, tmp_path: Path) -> None:
    marked = tmp_path / "marked.jpg"
    run("write", "--bytes", small, marked, "--principal", "203.0.113.9")
    read = run("read", tmp_path / "gone.jpg", marked)
    assert read.exit_code == 2
    assert "read from its bytes" in read.stdout


def test_what_no_mark_goes_into_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "text.jpg"
    file.write_bytes(b"no picture")
    for options in ([], ["--bytes"]):
        written = run("write", file, tmp_path / "out.jpg", "--principal", "203.0.113.9", *options)
        assert written.exit_code == 1
        assert not (tmp_path / "out.jpg").exists()
