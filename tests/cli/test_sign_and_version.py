"""``antiscrape sign`` and ``antiscrape version``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from antiscrape import load_policy
from antiscrape.cli import main
from antiscrape.clock import wall
from antiscrape.core.grant_tokens import Holder
from antiscrape.core.grants import GrantState
from antiscrape.signing import grants_of

ROOT = Path(__file__).parents[2]
SECRET = "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"
POLICY = '[site]\nhosts = ["photos.example"]\n[grants]\nprefixes = ["/media/"]\n'


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "signed.toml"
    path.write_text(POLICY)
    return str(path)


def sign(*arguments: str, text: str | bytes = "", secret: str = SECRET) -> Result:
    return CliRunner().invoke(main, ["sign", *arguments], input=text, env={"ANTISCRAPE_SECRET": secret})


def test_signed_urls_are_what_the_gate_takes(config: str) -> None:
    urls = ["/media/1.jpg", "https://photos.example/media/2.jpg?w=3#top"]
    done = sign("--config", config, *urls)
    assert (done.exit_code, done.stderr) == (0, "")
    grants = grants_of(load_policy(config, environ={"ANTISCRAPE_SECRET": SECRET}))
    for url, signed in zip(urls, done.stdout.splitlines(), strict=True):
        path, _, query = signed.partition("#")[0].removeprefix("https://photos.example").partition("?")
        assert grants.check(path.encode(), query.encode(), now=wall()) is GrantState.VALID
        assert signed.startswith(url.partition("#")[0])


def test_a_grant_that_the_policy_binds_is_for_somebody(config: str, tmp_path: Path) -> None:
    bound = tmp_path / "bound.toml"
    bound.write_text('[grants]\nprefixes = ["/media/"]\nbinding = "account"\n')
    nobody = sign("--config", str(bound), "/media/1.jpg")
    assert nobody.exit_code == 1
    assert "--account or --address" in nobody.stderr
    grants = grants_of(load_policy(str(bound), environ={"ANTISCRAPE_SECRET": SECRET}))
    ann, home = Holder(account="ann"), Holder("192.0.2.0/24")
    for options, holder in ((("--account", "ann"), ann), (("--address", "192.0.2.77"), home)):
        path, _, query = sign("--config", str(bound), *options, "/media/1.jpg").stdout.strip().partition("?")
        states = {
            who: grants.check(path.encode(), query.encode(), now=wall(), visitor=who) for who in (ann, home)
        }
        assert states.pop(holder) is GrantState.VALID
        assert [*states.values()] == [GrantState.FOREIGN]
    lasting = sign("--config", str(bound), "--lasting", "/media/1.jpg").stdout.strip()
    path, _, query = lasting.partition("?")
    assert grants.check(path.encode(), query.encode(), now=wall() + 7 * 86_400) is GrantState.VALID


def test_what_is_not_signed_is_printed_as_it_is_and_told_on_stderr(config: str) -> None:
    urls = ["/page", "https://other.example/media/1.jpg", "/media/a%2fb.jpg", "/media/1.jpg"]
    done = sign("--config", config, *urls)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[:3] == urls[:3]
    assert lines[3].startswith("/media/1.jpg?as=2")
    told = done.stderr.splitlines()
    asked_for_none = "not signed: the policy asks for no grant there (grants.prefixes, site.hosts)"
    assert told == [
        f"antiscrape: /page: {asked_for_none}",
        f"antiscrape: https://other.example/media/1.jpg: {asked_for_none}",
        "antiscrape: /media/a%2fb.jpg: not signed: it can be read in more than one way, or is no URL",
    ]


def test_a_dash_reads_lines_from_stdin(config: str) -> None:
    done = sign("--config", config, "/media/0.jpg", "-", text="/media/1.jpg\r\n\n  /media/2.jpg  \n")
    assert done.exit_code == 0
    assert [line.partition("?")[0] for line in done.stdout.splitlines()] == [
        f"/media/{number}.jpg" for number in range(3)
    ]


@pytest.mark.security("J5")
def test_bytes_that_are_no_text_are_escaped_and_not_signed(config: str) -> None:
    done = sign("--config", config, "-", text=b"/media/\xff\x1b[2J.jpg\n/media/\xe2\x80\xa8.jpg")
    assert done.exit_code == 1
    assert "\x1b" not in done.output
    assert done.stderr.startswith("antiscrape: /media/\\xff\\x1b[2J.jpg: not signed")


@pytest.mark.security("J9")
def test_without_the_sites_secret_nothing_is_signed(config: str) -> None:
    """A random secret, good enough for looking, would print URLs that no server takes."""
    done = sign("--config", config, "/media/1.jpg", secret="")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "secret" in done.stderr
    assert SECRET[:8] not in sign("--config", config, "/media/1.jpg", "/x").output


def test_the_command_signs_in_a_process_of_its_own(config: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from antiscrape.cli import main; main()", "sign", "-"],
        cwd=ROOT,
        env=os.environ | {"ANTISCRAPE_SECRET": SECRET, "ANTISCRAPE_CONFIG": config},
        input=b"/media/\xff.jpg\n/media/1.jpg\n",
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first == b"/media/\\xff.jpg"
    assert second.startswith(b"/media/1.jpg?as=2")
    assert b"Traceback" not in done.stderr


def test_version_names_every_part_and_json_says_the_same() -> None:
    lines = dict(line.split(maxsplit=1) for line in CliRunner().invoke(main, ["version"]).stdout.splitlines())
    told = json.loads(CliRunner().invoke(main, ["version", "--json"]).stdout)
    assert {name: version or "not there" for name, version in told.items()} == lines
    for name in ("starlette", "uvicorn", "httptools", "uvloop", "pillow", "itsdangerous", "aiohttp"):
        assert told[name] == importlib.metadata.version(name)
    assert told["antiscrape"] == importlib.metadata.version("antiscrape")
    assert told["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert told["libjpeg"]
    assert told["libwebp"]


def test_a_part_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "uvloop":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "uvloop             not there" in CliRunner().invoke(main, ["version"]).stdout.splitlines()
    assert json.loads(CliRunner().invoke(main, ["version", "--json"]).stdout)["uvloop"] is None


@pytest.mark.parametrize("name", ["explain", "sign", "version"])
def test_the_help_has_an_example_and_fits_a_terminal(name: str) -> None:
    text = CliRunner().invoke(main, [name, "--help"]).stdout
    assert f"antiscrape {name}" in text
    assert max(map(len, text.splitlines())) <= 100
