"""``antiscrape key``: a key that is shown once, and lines that the settings take."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from antiscrape.cli import main
from antiscrape.core.partner import LONGEST_KEY, PartnerBook, is_key, new_key
from antiscrape.settings.partners import PartnerLine, write_hash

ROOT = Path(__file__).parents[2]
KEY = new_key(bytes(range(32)))


@pytest.fixture(autouse=True)
def _the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiscrape.cli.COMMANDS", ("key",))


def key(*arguments: str, text: str | bytes = "") -> Result:
    return CliRunner().invoke(main, ["key", *arguments], input=text)


def line_of(table: str) -> PartnerLine:
    (written,) = tomllib.loads(table)["partners"]
    return PartnerLine.model_validate(written)


def test_the_key_that_is_shown_is_the_one_that_the_lines_know() -> None:
    done = key("museum", "--purpose", 'a "catalogue" of C:\\portraits', "--until", "2027-12-31")
    assert done.exit_code == 0
    shown, _, table = done.stdout.partition("\n\n")
    assert is_key(shown.encode())
    line = line_of(table)
    assert (line.name, line.purpose) == ("museum", 'a "catalogue" of C:\\portraits')
    assert line.until is not None
    assert line.until.isoformat() == "2027-12-31"
    partner = line.partner()
    assert PartnerBook([partner]).by_key(shown.encode(), 0.0) is partner


def test_the_key_is_shown_once() -> None:
    done = key("museum", "--purpose", "p")
    shown = done.stdout.partition("\n")[0]
    assert done.output.count(shown[4:20]) == 1
    assert done.stderr == "antiscrape: the key is shown this once; only its hash goes into the settings\n"


def test_every_key_is_another() -> None:
    shown = {key("museum").stdout.partition("\n")[0] for _ in range(20)}
    assert len(shown) == 20
    assert {len(one) for one in shown} == {47}  # 256 bits in base64url


def test_a_purpose_that_was_not_said_is_left_to_be_written() -> None:
    """The table is refused until somebody writes what the partner takes pictures for."""
    _, _, table = key("museum").stdout.partition("\n\n")
    with pytest.raises(ValueError, match=r"purpose\n  Field required"):
        line_of(table)
    said = table.replace('# purpose = ""', 'purpose = "a catalogue" ')
    assert line_of(said).purpose == "a catalogue"


def test_the_hash_of_a_key_that_one_has_is_printed_without_the_key() -> None:
    done = key("museum", "--purpose", "p", "--stdin", text=f" {KEY}\n")
    assert (done.exit_code, done.stderr) == (0, "")
    assert line_of(done.stdout).keys == (write_hash(KEY.encode()),)
    assert KEY[4:12] not in done.output


@pytest.mark.security("J9")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2-and-more",
        KEY + "!",
        KEY + "\n" + KEY,
        KEY + "a" * LONGEST_KEY,
        KEY.upper(),
        b"ask_\xff\xfe" * 9,
    ],
)
def test_what_is_no_key_is_neither_hashed_nor_shown(text: str | bytes) -> None:
    done = key("museum", "--stdin", text=text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert (
        done.stderr
        == 'antiscrape: stdin: no key of antiscrape; expected "ask_" and at least 22 letters and digits\n'
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Museum"], 'name: "Museum" is not a partner\'s name'),
        (["a\nb"], 'name: "a\\nb" is not a partner\'s name'),
        (["museum", "--purpose", ""], 'purpose: "" is empty'),
        (["museum", "--purpose", "x\x1b[2J"], "cannot be shown"),
        (["museum", "--purpose", "x\udcff"], "is not text in UTF-8"),
        (["museum", "--until", "2027-02-30"], 'until: "2027-02-30" is not a day'),
        (["museum", "--until", ""], 'until: "" is not a day'),
    ],
)
def test_what_the_settings_would_refuse_is_refused_before_a_key_is_shown(
    arguments: list[str], words: str
) -> None:
    done = key(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("antiscrape: the command line: ")
    assert words in done.stderr
    assert "\x1b" not in done.stderr


def test_the_command_runs_in_a_process_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from antiscrape.cli.key import command; command()", "museum", "--stdin"],
        cwd=ROOT,
        input=KEY.encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert write_hash(KEY.encode()).encode() in done.stdout
    assert KEY.encode() not in done.stdout


def test_the_help_has_an_example_and_fits_a_terminal() -> None:
    text = key("--help").stdout
    assert "antiscrape key museum" in text
    assert max(map(len, text.splitlines())) <= 100
