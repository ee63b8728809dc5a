"""The units are ones that systemd takes, and the service may do little."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from antiscrape.cli import COMMANDS
from antiscrape.cli.serve import command as serve
from antiscrape.cli.verdict import command as verdict
from tests.conftest import missing
from tests.deploy.shipped import DEPLOY, ROOT
from tests.deploy.units import environment_of, read_unit

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = DEPLOY / "systemd"
UNITS = sorted(path for path in FOLDER.iterdir() if path.suffix in {".service", ".socket", ".timer"})
SERVICES = [path for path in UNITS if path.suffix == ".service"]
#: What is put beside the service to have it do otherwise.
DROPINS = sorted(FOLDER.glob("*.conf"))
#: What systemd-analyze security says of the service, of 10, where less is better.
EXPOSURE = 1.4


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("systemd", "systemd-analyze is not installed")
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, with programs that are here in place of those that they start."""
    for path in UNITS:
        text = path.read_text().replace("/opt/antiscrape/bin/antiscrape", shutil.which("true") or "/bin/true")
        (tmp_path / path.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("path", [*UNITS, *DROPINS], ids=lambda path: path.name)
def test_every_directive_is_known_and_said_where_it_goes(path: Path) -> None:
    assert read_unit(path)
    where = path.read_text().splitlines()[0]
    assert where.startswith("# /etc/systemd/system/")
    assert path.name in where


def test_systemd_takes_them(installed: Path) -> None:
    done = analyze("verify", "--man=no", *[f"./{path.name}" for path in UNITS], folder=installed)
    mine = [line for line in done.stderr.splitlines() if "antiscrape" in line]
    assert (done.returncode, mine) == (0, [])
    (installed / "wrong.service").write_text("[Service]\nExecStart=/bin/true\nProtectSystem=very\n")
    assert (
        "Failed to parse protect system"
        in analyze("verify", "--man=no", "./wrong.service", folder=installed).stderr
    )


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_the_service_may_do_little(path: Path, installed: Path) -> None:
    done = analyze(
        "security", "--offline=yes", f"--threshold={int(10 * EXPOSURE + 1)}", path.name, folder=installed
    )
    found = re.search(r"Overall exposure level for [\w.-]+: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    assert (float(found[1]) <= EXPOSURE, done.returncode) == (True, 0), done.stdout


@pytest.mark.parametrize("path", [*SERVICES, *DROPINS], ids=lambda path: path.name)
def test_what_it_starts_is_there(path: Path) -> None:
    *_, line = read_unit(path)["Service", "ExecStart"]
    program, name, *arguments = shlex.split(line)
    assert program == "/opt/antiscrape/bin/antiscrape"
    assert name in COMMANDS
    if name == "serve":
        known = {option for row in serve.params for option in row.opts}
        assert {word for word in arguments if word.startswith("--")} <= known


def test_the_service_waits_longer_than_the_drain() -> None:
    unit = read_unit(FOLDER / "antiscrape.service")
    (drain,) = [int(str(option.default)) for option in serve.params if option.name == "drain"]
    assert int(unit["Service", "TimeoutStopSec"][0]) > drain
    assert unit["Service", "ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert environment_of(unit)["ANTISCRAPE_CONFIG"] == "/etc/antiscrape/antiscrape.toml"


def test_both_services_are_confined_alike() -> None:
    server, refresh = (read_unit(FOLDER / f"antiscrape{name}.service") for name in ("", "-refresh"))
    confining = [
        key
        for key in refresh
        if re.match(r"Protect|Private|Restrict|SystemCall|NoNew|Capability|Lock", key[1])
    ]
    assert len(confining) > 15
    for key in confining:
        assert server[key] == refresh[key], key[1]


def test_the_socket_is_where_the_service_listens_without_it() -> None:
    (listen,) = [option.default for option in serve.params if option.name == "listen"]
    assert read_unit(FOLDER / "antiscrape.socket")["Socket", "ListenStream"] == [listen]


def test_what_takes_the_socket_is_there() -> None:
    assert environment_of(read_unit(FOLDER / "socket.conf")) == {}
    assert read_unit(FOLDER / "socket.conf")["Service", "ExecStart"][0] == "", (
        "the unit's own line is to be emptied first"
    )
    if find_spec("antiscrape.serving.systemd") is None:
        pytest.skip("this version takes no sockets from systemd")
    word = import_module("antiscrape.cli.serve").SYSTEMD
    assert read_unit(FOLDER / "socket.conf")["Service", "ExecStart"][1].endswith(f"serve --listen {word}")


def test_what_gives_verdicts_in_place_of_the_proxy_is_the_same_service_otherwise() -> None:
    """What the proxy's service is told by its environment, and how it ends, the other command knows, too."""
    unit = read_unit(FOLDER / "verdict.conf")
    assert unit == {("Service", "ExecStart"): ["", "/opt/antiscrape/bin/antiscrape verdict"]}
    known = {option.name: getattr(option, "envvar", None) for option in verdict.params}
    for option in serve.params:
        if option.name in {"config", "listen", "workers", "admin", "drain"}:
            assert known[option.name] == getattr(option, "envvar", None), option.name
    page = (ROOT / "docs" / "forward-auth.md").read_text()
    assert f"`{known['upstream']}`" in page
