"""The commands of docs/install.md are run, in a folder for ``/`` and without root; what only a whole system has is noted."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.deployed import PATIENCE, free_ports, served, site
from tests.conftest import missing
from tests.deploy.shipped import DEPLOY, ROOT
from tests.deploy.units import environment_of, read_unit

if TYPE_CHECKING:
    from pathlib import Path

PAGE = ROOT / "docs" / "install.md"
TEXT = PAGE.read_text()
COMMANDS = [
    line[2:]
    for block in re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
#: Of the whole system, or of a network of registries: that they are called is noted, and nothing more.
NOTED = ("apt-get", "systemctl", "systemd-sysusers", "chown", "docker", "kubectl", "pip")
DOCKERFILE = " ".join((ROOT / "Dockerfile").read_text().replace("\\\n", " ").split())


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a folder that stands for ``/`` with antiscrape in it, and the environment in which commands see it so."""
    folder = tmp_path_factory.mktemp("system")
    for name in ("etc/sysusers.d", "etc/systemd/system", "opt/antiscrape/bin", "shims"):
        (folder / name).mkdir(parents=True)
    write(folder / "shims" / "sudo", 'case $1 in [A-Z]*=*) exec env "$@";; esac; exec "$@"')
    for name in NOTED:
        write(folder / "shims" / name, f'echo "{name} $*" >> {folder}/noted')
    main = "from antiscrape.cli import main; main(prog_name='antiscrape')"
    write(folder / "opt/antiscrape/bin/antiscrape", f'exec {sys.executable} -c "{main}" "$@"')
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE_")}
    env = kept | {"PATH": f"{folder}/shims:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for command in COMMANDS:
        if not re.search(r"venv|pip |doctor", command):
            run(command, folder, env)
    return folder, env


def write(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run(command: str, folder: Path, env: dict[str, str]) -> str:
    """Run one command with the folder for ``/``; fail where it fails."""
    there = re.sub(r"(?<![\w.$:/])/(opt|etc|var)/", rf"{folder}/\1/", command)
    done = subprocess.run(
        ["bash", "-c", there],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_they_install_what_the_image_holds() -> None:
    """The image's own test carries these steps out; here they are the same steps."""
    steps = [command.removeprefix("sudo ") for command in COMMANDS if " install --require-hashes" in command]
    locks = [step.split(" -r ")[1] for step in steps]
    assert locks == ["locks/build.txt", "locks/serve.txt"]
    for step in steps:
        assert "--require-hashes --only-binary :all: -r" in step
        assert f"--require-hashes --only-binary :all: -r {step.split(' -r ')[1]}" in DOCKERFILE
    (wheel,) = [command for command in COMMANDS if " wheel " in command]
    assert wheel.split(" wheel ")[1] in DOCKERFILE


def test_nobody_else_reads_the_secret(system: tuple[Path, dict[str, str]]) -> None:
    folder, _ = system
    assert stat.S_IMODE((folder / "etc/antiscrape/secret").stat().st_mode) == 0o640
    noted = (folder / "noted").read_text()
    assert f"chown root:antiscrape {folder}/etc/antiscrape/secret" in noted
    for line in ("systemd-sysusers", "systemctl daemon-reload", "systemctl enable --now antiscrape"):
        assert line in noted


def test_the_service_that_was_installed_serves(system: tuple[Path, dict[str, str]]) -> None:
    """Started as the unit starts it, with the files of this page; and the doctor finds nothing to mend."""
    folder, env = system
    unit = read_unit(folder / "etc/systemd/system/antiscrape.service")
    (start,) = unit["Service", "ExecStart"]
    assert shlex.split(start) == ["/opt/antiscrape/bin/antiscrape", "serve"]
    (file,) = unit["Service", "EnvironmentFile"]
    lines = (folder / file.removeprefix("/")).read_text().splitlines()
    told = environment_of(unit) | dict(line.split("=", 1) for line in lines)
    told = {name: f"{folder}{value}" if value.startswith("/etc/") else value for name, value in told.items()}
    told |= {"ANTISCRAPE_LISTEN": "127.0.0.1:0", "ANTISCRAPE__RECORD__ADMIN": f"127.0.0.1:{free_ports(1)[0]}"}
    with site() as upstream:
        assert told["ANTISCRAPE_UPSTREAM"] == "http://127.0.0.1:8000"
        with served(**told | {"ANTISCRAPE_UPSTREAM": upstream}) as url:
            (look,) = [command for command in COMMANDS if " doctor " in command]
            said = run(look.replace("https://photos.example", f"--timeout 120 {url}"), folder, env)
    assert "ok     reached" in said
    assert "ok     keys" in said
    assert "WRONG" not in said


def test_what_the_page_names_is_there() -> None:
    for name in re.findall(r"\]\(\.\./([^)#]+)\)", TEXT) + re.findall(
        r"(?<![\w/])((?:config|locks)/[\w./-]+)", TEXT
    ):
        assert (ROOT / name.rstrip(".")).exists(), name
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert anchor in anchors, anchor
    for name in re.findall(r"antiscrape(?:-refresh)?\.(?:service|socket|timer)", TEXT):
        assert (DEPLOY / "systemd" / name).is_file()


def test_nginx_takes_its_server(tmp_path: Path) -> None:
    """All but the certificate is read by nginx itself."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        missing("nginx", "nginx is not installed")
    (block,) = re.findall(r"^```nginx\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    block = re.sub(r"^ *ssl_certificate.*\n", "", block, flags=re.MULTILINE).replace(
        "listen 443 ssl", "listen 127.0.0.1:8443"
    )
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off; {paths} {block} }}"
    )
    command = [
        str(program),
        "-t",
        "-p",
        str(tmp_path),
        "-c",
        str(tmp_path / "nginx.conf"),
        "-e",
        str(tmp_path / "log"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
