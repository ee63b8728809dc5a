"""``antiscrape doctor`` in front of real deployments: one that is right, and others wrong in a way of their own."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from antiscrape.cli import main
from antiscrape.operate.doctor.tokens import FIELD, PATH
from antiscrape.settings.secret_file import read_file, write_file
from tests import valkeys
from tests.cli.deployed import Deployment, deployed, served, site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

SECRET = "nMq2v8Rk5Tz1Xc7Bd4Fg9Hj3Lp6Ws0Ya"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("ANTISCRAPE_") and name not in {"ANTISCRAPE_SHARED", "ANTISCRAPE_REQUIRE"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployed")
    assert run("keys", "new", str(folder / "secret")).exit_code == 0
    with site() as upstream, deployed(folder, upstream) as deployment:
        yield deployment


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=environ)


def doctor(*arguments: str, **environ: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Return the exit status, and the findings by check."""
    done = run("doctor", "--json", "--timeout", "120", *arguments, **environ)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    told = json.loads(done.output)
    assert told["status"] == done.exit_code
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in told["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return done.exit_code, found


def levels(found: dict[str, list[dict[str, Any]]], *wanted: str) -> set[str]:
    return {name for name, rows in found.items() for row in rows if row["level"] in wanted}


def test_a_deployment_that_is_right(there: Deployment) -> None:
    status, found = doctor("--config", str(there.config), there.url("right"))
    assert status == 0, found
    assert levels(found, "wrong", "unseen") == set(), found
    assert found["client"][0]["says"] == "it believes that you are 127.0.0.1, by x-forwarded-for"
    assert set(found) >= {
        "pictures",
        "browser check",
        "no-store",
        "disguise",
        "host",
        "keys",
        "policy",
        "clock",
    }


def test_a_person_reads_it(there: Deployment) -> None:
    done = run("doctor", "--timeout", "120", "--config", str(there.config), there.url("untrusted"))
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 110
    assert '-> add "127.0.0.3" or its network to identity.trusted_proxies' in done.output
    assert any(
        line.startswith("WRONG  client          it believes that everybody is 127.0.0.3") for line in lines
    )
    assert lines[-1].startswith("1 to be mended, ")


def test_without_a_proxy_the_peer_is_the_client(there: Deployment) -> None:
    status, found = doctor("--config", str(there.config), there.direct)
    assert status == 0, found
    assert found["client"][0]["says"].endswith("127.0.0.1, for you are connected to it")


@pytest.mark.security("A2")
@pytest.mark.parametrize(
    ("server", "check", "words"),
    [
        ("untrusted", "client", "your proxy at 127.0.0.3 says that you are 127.0.0.1, and is not among"),
        ("silent", "client", "your proxy at 127.0.0.2 is trusted and tells no client"),
        ("real-ip", "client", "tells the client in x-real-ip, and the policy reads x-forwarded-for"),
        ("inner", "client", "127.0.0.9 is a proxy that is not trusted"),
        ("believing", "disguise", "a client may choose its address: the doctor said that it is 192.0.2.77"),
        ("renaming", "host", "you asked for 127.0.0.1, and antiscrape sees the Host inner.test"),
        ("caching", "no-store", "the edge keeps what is marked private, no-store"),
        ("caching", "pictures", "a cache mixes renditions of /media/1.jpg: a harvester gets the original"),
        ("keyless", "pictures", "a tool gets the original of /media/1.jpg"),
        (
            "caching",
            "browser check",
            "a cache keeps the page of the browser check (two clients got one page)",
        ),
        ("hiding", "no-store", "the edge changes Cache-Control: public, max-age=60"),
        ("hiding", "pictures", "arrives with another Cache-Control"),
        ("metrics", "outside", "everybody can read the metrics through the edge"),
        ("down", "reached", "the edge answers 502"),
    ],
)
def test_what_is_wrong_is_said(there: Deployment, server: str, check: str, words: str) -> None:
    status, found = doctor("--config", str(there.config), there.url(server))
    assert status == 1
    said = [row for row in found[check] if row["level"] == "wrong"]
    assert any(words in row["says"] for row in said), found
    assert all(row["do"] for row in said)


def test_tls_that_ends_soon_and_is_not_told_on(there: Deployment) -> None:
    status, found = doctor("--config", str(there.config), "--ca", str(there.certificate), there.url("tls"))
    assert status == 1
    assert found["encryption"][0]["says"].endswith("ends in 5 days")
    assert found["encryption"][1]["says"].startswith(f"127.0.0.1:{there.ports['tls']} speaks no HTTP/2")
    assert found["scheme"][0]["level"] == "wrong"


def test_a_certificate_that_does_not_hold_is_not_asked_further(there: Deployment) -> None:
    status, found = doctor("--config", str(there.config), there.url("tls"))
    assert status == 2
    assert "its certificate does not hold: self-signed certificate" in found["reached"][0]["says"]


def test_an_edge_that_drops_the_password(there: Deployment) -> None:
    status, found = doctor("--config", str(there.config), there.url("dropping"))
    assert status == 2
    assert found["reached"][0]["level"] == "unseen"
    assert "drops the field antiscrape-doctor" in found["reached"][0]["do"]
    assert "client" not in found


def test_nobody_there() -> None:
    status, found = doctor("http://127.0.0.1:9/", ANTISCRAPE_SECRET=SECRET)
    assert status == 2
    assert found["reached"][0]["says"] == "127.0.0.1:9 does not answer: Connection refused"


@pytest.mark.security("F5")
def test_another_secret_is_told_nothing(there: Deployment) -> None:
    own = {"ANTISCRAPE_SECRET": SECRET}
    status, found = doctor(there.url("right"), ANTISCRAPE__SITE__NAME="album", **own)
    assert (status, found["reached"][0]["level"]) == (2, "unseen")
    where = urlsplit(there.direct)
    with closing(http.client.HTTPConnection(where.netloc, timeout=30)) as connection:
        for password in ("", "x" * 65, f"{'A' * 32}.{'A' * 32}"):
            connection.request("GET", PATH, headers={FIELD: password})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (404, b"not found")


def test_a_secret_that_the_server_has_not_read(there: Deployment) -> None:
    before = read_file(there.secret)
    try:
        assert run("keys", "rotate", str(there.secret)).exit_code == 0
        status, found = doctor("--config", str(there.config), there.direct)
    finally:
        write_file(there.secret, before)
    assert status == 1
    assert found["keys"][0]["says"].endswith("which is newer")
    assert "SIGHUP" in found["keys"][0]["do"]


def test_settings_that_the_server_has_not_read(there: Deployment) -> None:
    status, found = doctor("--config", str(there.config), there.direct, ANTISCRAPE__SCORE__BOT_AT="41")
    assert status == 0
    assert found["policy"][0]["says"] == "the running policy is not the one of these settings"


def test_a_picture_may_be_named(there: Deployment) -> None:
    _, found = doctor("--config", str(there.config), "--image", "/media/7.jpg?size=l", there.direct)
    assert found["pictures"][0]["says"].startswith("a browser and a tool get each their own /media/7.jpg,")
    _, found = doctor("--config", str(there.config), "--image", "/nothing", there.direct)
    assert found["pictures"][0]["level"] == "unseen"


@pytest.mark.security("F10")
def test_signed_pictures_are_asked_for_with_grants_that_nobody_reads() -> None:
    settings = {
        "ANTISCRAPE__GRANTS__PREFIXES": '["/media"]',
        "ANTISCRAPE__GRANTS__BINDING": "network",
        "ANTISCRAPE__GRANTS__OPAQUE": "/p/",
        "ANTISCRAPE__RECORD__EVENTS": "off",
        "ANTISCRAPE__RECORD__ADMIN": "",
        "ANTISCRAPE_SECRET": SECRET,
    }
    with site() as upstream, served("--upstream", upstream, "--listen", "127.0.0.1:0", **settings) as url:
        done = run("doctor", "--timeout", "120", url + "/", **settings)
        status, found = doctor("--image", "/media/4.jpg", url + "/", **settings)
    assert done.exit_code == status == 0, done.output
    assert "a browser and a tool get each their own /media/1.jpg, whoever" in done.output
    assert "as=" not in done.output
    assert found["pictures"][0]["says"].startswith("a browser and a tool get each their own /media/4.jpg,")


def test_files_alone(tmp_path: Path) -> None:
    secret, config = tmp_path / "secret", tmp_path / "antiscrape.toml"
    assert run("keys", "new", str(secret)).exit_code == 0
    config.write_text('[site]\nsecret_file = "secret"\n')
    status, found = doctor("--config", str(config))
    assert (status, levels(found, "wrong", "doubt", "unseen")) == (0, set())
    secret.chmod(0o644)
    config.chmod(0o666)
    status, found = doctor("--config", str(config))
    assert (status, levels(found, "wrong")) == (1, {"secret", "settings"})


def test_no_secret_at_all() -> None:
    status, found = doctor()
    assert status == 1
    assert "no secret is set" in found["secret"][0]["says"]


def test_settings_that_are_wrong_are_said_as_everywhere(tmp_path: Path) -> None:
    config = tmp_path / "antiscrape.toml"
    config.write_text("[site]\nmode = 7\n")
    done = run("doctor", "--config", str(config))
    assert done.exit_code == 2
    assert f"{config}:2" in done.output
    assert run("doctor", "photos.example").exit_code == 2


def test_a_store_that_answers_and_one_that_does_not() -> None:
    with valkeys.single() as server:
        url = server.url
        _, found = doctor(ANTISCRAPE__STORE__URL=url)
        assert {row["level"] for row in found["store"]} == {"fine"}
    status, found = doctor(ANTISCRAPE__STORE__URL=url)
    assert status == 1
    assert found["store"][0]["says"].startswith("the shared store cannot be used: ")
