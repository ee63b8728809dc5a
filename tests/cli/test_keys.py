"""Secrets are made, rotated and listed, and never shown."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from antiscrape.core.rules import GrantRules, Policy
from antiscrape.core.tokens import KeyRing
from antiscrape.errors import SecretError
from antiscrape.settings.load import load_secrets
from antiscrape.settings.secret_file import Dated, read_dated, read_file, split_secrets, write_file
from antiscrape.signing import sign_url
from tests.cli.test_serve import BROWSER, PATIENCE, PHOTO, site, start

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

__all__ = ("site",)

ONE = b"kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"
TWO = b"Zq4Tg7Hn1Vb8Xc5Rm2Ks9Jd6Lw3Py0Ef"
THREE = b"m3Xk9-Wq7Lp2Rt8Vb5Yc1Zn6Hd4Jf0Sg_a"
NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("ANTISCRAPE_") and name != "ANTISCRAPE_SHARED":
            monkeypatch.delenv(name)
    monkeypatch.setattr("antiscrape.cli.keys.clock.wall", lambda: NOW)


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments], env=environ)


def test_a_new_secret_is_in_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    done = run("new", str(file))
    assert done.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (made,) = read_file(file)
    assert made.made == NOW
    assert len(made.secret) == 43
    assert made.secret.decode() not in done.output
    again = run("new", str(file))
    assert again.exit_code == 2
    assert "there already" in again.output
    assert read_file(file) == [made]


def test_a_rotation_keeps_what_still_holds_and_takes_off_what_does_not(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_file(file, [Dated(ONE), Dated(TWO, NOW - 40 * DAY), Dated(THREE, NOW - 13 * DAY)], new=True)
    file.chmod(0o640)
    planned = run("rotate", "--dry-run", str(file))
    assert len(read_file(file)) == 3
    done = run("rotate", str(file))
    assert done.exit_code == planned.exit_code == 0
    kept = read_file(file)
    assert [dated.secret for dated in kept][:2] == [TWO, THREE], "one ran out with the successor's 40 days"
    assert kept[2].made == NOW
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [line.split()[0] for line in done.output.splitlines()] == ["off", "holds", "holds", "signs"]
    assert not any(dated.secret.decode() in done.output for dated in [Dated(ONE), *kept])
    assert list(tmp_path.iterdir()) == [file], "nothing is left beside it"


def test_how_long_a_secret_is_kept_is_the_policys(tmp_path: Path) -> None:
    file, policy = tmp_path / "secret", tmp_path / "site.toml"
    write_file(file, [Dated(ONE), Dated(TWO, NOW - 2 * DAY)], new=True)
    policy.write_text('[site]\nsecret_file = "secret"\n[grants]\ncards = "unsigned"\nfeeds = "unsigned"\n')
    assert run("rotate", "--config", str(policy)).exit_code == 0
    assert [dated.secret for dated in read_file(file)][:-1] == [TWO]
    assert load_secrets(policy, environ={}) == tuple(dated.secret for dated in read_file(file))


def test_a_secret_may_be_known_everywhere_before_it_signs(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_file(file, [Dated(ONE), Dated(TWO, NOW - 9 * DAY)], new=True)
    told = run("rotate", "--announce", str(file))
    assert [line.split()[0] for line in told.output.splitlines()] == ["holds", "next", "signs"]
    before = [dated.secret for dated in read_file(file)]
    assert before[-1] == TWO
    again = run("rotate", "--announce", str(file))
    assert again.exit_code == 2
    assert "announced already" in again.output
    done = run("rotate", str(file))
    assert [line.split()[0] for line in done.output.splitlines()] == ["holds", "holds", "signs"]
    assert [dated.secret for dated in read_file(file)] == [ONE, TWO, before[1]]
    assert read_file(file)[-1].made == NOW


def test_ids_and_ages_are_told_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_file(file, [Dated(ONE), Dated(TWO, NOW - 9.6 * DAY), Dated(THREE, NOW - 7200)], new=True)
    done = run("show", ANTISCRAPE_SECRET_FILE=str(file))
    ids = KeyRing([ONE, TWO, THREE]).ids
    assert done.output.splitlines() == [
        f"holds  {ids[0]}  of an age that nobody wrote down",
        f"holds  {ids[1]}  10 days old",
        f"signs  {ids[2]}  2 hours old",
    ]


@pytest.mark.security("F2")
@pytest.mark.parametrize("text", [b"", b"short\n", b"# made 2027-01-01T00:00:00Z\n", b"a" * 64])
def test_what_is_no_secret_is_neither_listed_nor_rotated(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(text)
    for verb in ("show", "rotate"):
        done = run(verb, str(file))
        assert done.exit_code == 2
        assert file.read_bytes() == text
    assert run("show", str(tmp_path / "none")).exit_code == 2
    assert run("show").exit_code == 2


def test_comments_are_no_secrets_and_secrets_no_comments() -> None:
    text = (
        b"# ours, do not touch\n#\n"
        + ONE
        + b"\n# made 2027-01-15T08:00:00Z\n"
        + TWO
        + b" , #"
        + THREE
        + b"\n# made 2027-99-15T08:00:00Z\n"
        + THREE
    )
    assert read_dated(text) == [
        Dated(ONE), Dated(TWO, NOW), Dated(b"#" + THREE, NOW), Dated(THREE),
    ]  # fmt: skip
    assert split_secrets(ONE + b",\r\n\t" + TWO) == [ONE, TWO]


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(SecretError, match="cannot be written"):
        write_file(file, [Dated(ONE)])
    assert not file.exists()


@pytest.mark.security("F3", "F10")
def test_a_running_server_changes_its_keys_at_sighup(site: tuple[str, object], tmp_path: Path) -> None:
    """The new key signs, the old one holds until it is taken off, and then ends at once; a broken file changes nothing."""
    file, policy = tmp_path / "secret", tmp_path / "site.toml"
    policy.write_text('[grants]\nprefixes = ["/media/"]\n')
    write_file(file, [Dated(ONE)], new=True)
    process = start(
        "--upstream", site[0], "--listen", "127.0.0.1:0", "--admin", "", "--config", str(policy),
        secret=None, ANTISCRAPE_SECRET_FILE=str(file),
    )  # fmt: skip
    assert process.stderr is not None
    lines: list[str] = []
    try:
        url = process.stderr.readline().split()[3].rstrip(",")

        def hang_up() -> None:
            process.send_signal(signal.SIGHUP)
            assert process.stderr is not None
            while "antiscrape: " not in (line := process.stderr.readline()):
                assert line, "the server is gone"
                lines.append(line)
            lines.append(line)

        assert original(url, ONE)
        assert not original(url, TWO)
        write_file(file, [Dated(ONE), Dated(TWO)])
        hang_up()
        assert original(url, ONE)
        assert original(url, TWO)
        file.write_bytes(b"half")
        hang_up()
        assert "the policy stays as it was" in lines[-1]
        assert original(url, TWO)
        write_file(file, [Dated(TWO)])
        hang_up()
        assert not original(url, ONE)
        assert original(url, TWO)
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0
        assert not any(secret.decode() in "".join(lines) + rest for secret in (ONE, TWO))
    finally:
        process.kill()
        process.communicate()


def original(url: str, secret: bytes) -> bool:
    """Tell whether a picture that ``secret`` signed is served as it is."""
    path = sign_url(
        "/media/1.jpg", Policy((secret,), {}, (), {}, grants=GrantRules(prefixes=("/media/",))), now=None
    )
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=BROWSER)
        return connection.getresponse().read() == PHOTO
