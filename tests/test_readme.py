"""Every command and snippet of the README is run."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from antiscrape.settings import load_policy
from antiscrape.stores.extras import has_private
from tests.asgi.frameworks import uvicorned
from tests.house import SPARE, answers, drive, person, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.asgi.types import Receive, Scope, Send
    from tests.conftest import Require

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SECRET = "kJ8s2Lx0Qm4vT7yBn3Rz6WcE1pUaHdFg9iOt"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line[2:] for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
PERSON = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "accept-language": "en-US,en;q=0.5",
    "accept-encoding": "gzip, deflate, br, zstd",
    "referer": "http://127.0.0.1/",
    "sec-fetch-dest": "image",
    "sec-fetch-mode": "no-cors",
    "sec-fetch-site": "same-origin",
}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Keep the test's output clean."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with photos/1.jpg, a picture of 800x600."""
    (tmp_path / "photos").mkdir()
    Image.effect_noise((800, 600), 80).convert("RGB").save(tmp_path / "photos" / "1.jpg")
    return tmp_path


@pytest.fixture
def site(photos: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(photos)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def environment() -> dict[str, str]:
    binaries = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE_")}
    return {**kept, "PATH": f"{binaries}:{os.environ['PATH']}", "ANTISCRAPE_SECRET": SECRET}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_there_are_blocks_of_every_kind() -> None:
    assert {kind for kind, _ in BLOCKS} >= {"console", "python", "toml"}
    assert len(COMMANDS) >= 8


def test_the_make_targets_exist() -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    targets = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
    assert len(targets) >= 3
    done = subprocess.run(
        ["make", "-n", *targets], cwd=ROOT, env=environment(), check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if not c.startswith(("make ", "curl ", "antiscrape serve", "antiscrape doctor"))],
)
def test_the_other_commands_run(command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "explain" in command:
        assert "agent-is-a-tool" in done.stdout
    if "sign" in command:
        assert "as=2" in done.stdout


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "toml"])
def test_the_policies_load(text: str, tmp_path: Path) -> None:
    path = tmp_path / "antiscrape.toml"
    path.write_text(text)
    load_policy(path, environ={"ANTISCRAPE_SECRET": SECRET})


def test_the_app_serves_people_originals_and_tools_previews(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    monkeypatch.setenv("ANTISCRAPE_SECRET", SECRET)
    snippet = next(text for kind, text in BLOCKS if kind == "python" and "add_middleware" in text)
    names: dict[str, object] = {}
    exec(snippet, names)  # the README's own words
    original = (photos / "photos" / "1.jpg").read_bytes()

    async def look() -> None:
        app = names["app"]
        async with (
            uvicorned(app) as port,  # type: ignore[arg-type]  # the snippet's app
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
        ):
            assert (await client.get("/photos/1.jpg", headers=PERSON, timeout=120)).content == original
            taken = await client.get("/photos/1.jpg", headers={"user-agent": "curl/8.5.0"})
            assert taken.headers["content-type"] == "image/jpeg"
            assert taken.content != original

    asyncio.run(look())


def test_the_account_snippet_names_who_is_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("ANTISCRAPE_SECRET", SECRET)
    monkeypatch.setenv("ANTISCRAPE__RECORD__EVENTS", "off")
    snippet = next(text for kind, text in BLOCKS if kind == "python" and "Account(" in text)
    seen: list[object] = []

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"]["antiscrape"].verdict.standing.value)
        await answers(b"hello", b"text/plain")(scope, receive, send)

    names: dict[str, Any] = {"app": site}
    exec(snippet, names)  # the README's own words
    for user in (SimpleNamespace(name="anna", joined=None), None):
        asyncio.run(drive(names["app"], scope_of("/page", person(), user=user)))
    assert seen == ["member", "browser"]


def test_the_signing_snippet_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("ANTISCRAPE_SECRET", SECRET)
    snippet = next(text for kind, text in BLOCKS if kind == "python" and "sign_url" in text)
    names: dict[str, object] = {}
    exec(snippet, names)  # the README's own words
    assert "as=2" in capsys.readouterr().out
    template = names["environment"].from_string("{{ '/media/1.jpg' | signed }}")  # type: ignore[attr-defined]  # Jinja2's
    assert "as=2" in template.render()


def test_the_proxy_line_protects_a_static_site(site: str, photos: Path) -> None:
    line = next(c for c in COMMANDS if c.startswith("antiscrape serve"))
    port = free_port()
    command = line.replace("http://127.0.0.1:8000", site).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    proxy = subprocess.Popen(
        command.split(),
        env={**environment(), "ANTISCRAPE__RECORD__ADMIN": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert proxy.stderr is not None
        assert "ready" in proxy.stderr.readline()
        original = (photos / "photos" / "1.jpg").read_bytes()
        url = f"http://127.0.0.1:{port}/photos/1.jpg"
        assert httpx.get(url, headers=PERSON, timeout=120).content == original
        curl = next(c for c in COMMANDS if c.startswith("curl ")).replace(
            "127.0.0.1:8080", f"127.0.0.1:{port}"
        )
        if shutil.which("curl"):
            said = subprocess.run(
                curl.split(), capture_output=True, text=True, check=True, timeout=120
            ).stdout.lower()
            assert "no-store" in said
        assert httpx.get(url, headers={"user-agent": "curl/8.5.0"}, timeout=120).content != original
        look = next(c for c in COMMANDS if c.startswith("antiscrape doctor"))
        look = look.replace("https://photos.example", f"--timeout 120 http://127.0.0.1:{port}")
        done = subprocess.run(
            look.split(), env=environment(), capture_output=True, text=True, check=False, timeout=300
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "ok     reached         antiscrape " in done.stdout
    finally:
        proxy.terminate()
        proxy.communicate(timeout=120)


def test_the_workers_of_one_command_count_together(site: str, photos: Path, require: Require) -> None:
    if not has_private():
        require("valkey", "no valkey-server; install the extra workers")
    line = next(c for c in COMMANDS if c.startswith("antiscrape serve") and "--workers" in c)
    port = free_port()
    command = line.replace("http://127.0.0.1:8000", site).replace("127.0.0.1:8081", f"127.0.0.1:{port}")
    proxy = subprocess.Popen(
        command.split(),
        env={**environment(), **SPARE, "ANTISCRAPE__RECORD__ADMIN": "", "ANTISCRAPE__RECORD__EVENTS": "off"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert proxy.stderr is not None
        assert "ready" in proxy.stderr.readline()
        assert "2 workers count together" in proxy.stderr.readline()
        original = (photos / "photos" / "1.jpg").read_bytes()
        assert (
            httpx.get(f"http://127.0.0.1:{port}/photos/1.jpg", headers=PERSON, timeout=120).content
            == original
        )
    finally:
        proxy.terminate()
        proxy.communicate(timeout=120)
