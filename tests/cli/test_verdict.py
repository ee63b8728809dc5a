"""``antiscrape verdict`` as an operator meets it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.cli.verdict import remarks
from tests.cli.test_serve import BROWSER, PHOTO, SECRET, TOOL, site  # noqa: F401  a fixture is found by its name
from tests.house import policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
TRUSTED = {"ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]'}


def start(*arguments: str, **env: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")}
    main = "from antiscrape.cli import main; main(prog_name='antiscrape')"
    return subprocess.Popen(
        [sys.executable, "-c", main, "verdict", *arguments],
        cwd=ROOT,
        env={
            **clean,
            "PYTHONPATH": str(ROOT),
            "ANTISCRAPE_SECRET": SECRET,
            "ANTISCRAPE__IMAGES__FACES": "off",
            "ANTISCRAPE__RECORD__EVENTS": "off",
            "ANTISCRAPE__RECORD__ADMIN": "",
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def answering(*arguments: str, **env: str) -> Iterator[tuple[int, list[str]]]:
    """Serve on a port of the system's choice; give it, and what was said at the start; see that SIGTERM ends it well."""
    process = start("--listen", "127.0.0.1:0", *arguments, **TRUSTED, **env)
    assert process.stderr is not None
    try:
        said: list[str] = []
        while not (
            found := re.search(r"ready on http://127\.0\.0\.1:(\d+)", line := process.stderr.readline())
        ):
            assert line, said
            said.append(line)
        said.append(line)
        yield int(found[1]), said
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0, rest
        said += rest.splitlines()
    finally:
        process.kill()
        process.communicate()


class Told(NamedTuple):
    """What was answered."""

    status: int
    headers: Message
    body: bytes


def ask(port: int, path: str, fields: dict[str, str]) -> Told:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    for name, value in fields.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    told = Told(response.status, response.headers, response.read())
    connection.close()
    return told


def about(path: str, fields: dict[str, str]) -> dict[str, str]:
    return {"X-Original-URI": path, "X-Original-Method": "GET", "X-Forwarded-For": "203.0.113.7", **fields}


def test_an_edge_is_told_what_its_clients_may_have(site: tuple[str, list[object]]) -> None:  # noqa: F811  the fixture
    url, _ = site
    short = {"ANTISCRAPE__SERVE__HEAD_BYTES": "2KiB", "ANTISCRAPE__SERVE__TARGET_BYTES": "1KiB"}
    with answering("--upstream", url, "--workers", "2", **short) as (port, said):
        assert url in said[-1]
        question = about("/static/site.css", BROWSER)
        told = ask(port, "/.antiscrape/verdict", question)
        assert told.status == 200
        assert ask(port, "/.antiscrape/verdict", {**question, "X-Long": "a" * 2048}).status == 431
        told = ask(port, "/.antiscrape/verdict", about("/media/1.jpg", TOOL))
        assert (told.status, told.headers["X-Antiscrape-Take"]) == (401, "anew")
        told = ask(port, "/.antiscrape/verdict", about("/.well-known/antiscrape-doctor", TOOL))
        assert (told.status, told.headers["X-Antiscrape-Take"]) == (401, "anew")
        brought = {"X-Forwarded-For": "203.0.113.7", **TOOL, "X-Antiscrape-Take": "anew"}
        got = ask(port, "/media/1.jpg", brought)
        assert (got.status, got.headers["Cache-Control"]) == (200, "private, no-store")
        assert got.body != PHOTO


def test_what_this_mode_does_not_do_is_said() -> None:
    grants = policy_of({"ANTISCRAPE__GRANTS__PREFIXES": '["/media"]'})
    marked = policy_of({"ANTISCRAPE__TRACE__ORIGINALS": "true"})
    plain, url = policy_of(), "http://127.0.0.1:9"
    assert list(remarks(plain, url)) == []
    assert "without --upstream" in "".join(remarks(plain, ""))
    assert "pages are not rewritten" in "".join(remarks(grants, url))
    assert "every original passes through" in "".join(remarks(marked, url))


def test_where_nobody_may_ask_nothing_starts() -> None:
    process = start("--listen", "127.0.0.1:0")
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout) == (2, "")
    assert "identity.trusted_proxies is empty" in stderr
    assert "Traceback" not in stderr
