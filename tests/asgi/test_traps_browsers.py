"""Real browsers on a page with a trap: they fetch what it shows, and nothing of the trap."""

from __future__ import annotations

import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.traps import TrapLinks
from antiscrape.demo.visitors import find_chromium, screenshot
from tests.house import photo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "/3f9a"


@dataclass
class Site:
    """One page with a trap and an ordinary picture, and what was asked of it."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def site() -> Iterator[Site]:
    served = Site()
    snippet = TrapLinks(BASE).snippet("", 0.0)
    page = (
        b'<!doctype html><html><body><img src="/plain.jpg">'
        + snippet
        + b'<img src="/last.jpg"></body></html>'
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            picture = self.path != "/"
            body = photo() if picture else page
            self.send_response(200)
            self.send_header("content-type", "image/jpeg" if picture else "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.browser
def test_chromium_fetches_what_a_page_shows_and_nothing_of_the_trap(tmp_path: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium is installed")
    with site() as served:
        assert screenshot(chromium, served.url, tmp_path / "page.png") == ""
    assert {"/", "/plain.jpg", "/last.jpg"} <= set(served.asked)
    assert not [path for path in served.asked if path.startswith(BASE)]


@pytest.mark.browser
@pytest.mark.parametrize("script", ["true", "false"])
def test_firefox_fetches_what_a_page_shows_and_nothing_of_the_trap(tmp_path: Path, script: str) -> None:
    """It looks ahead for pictures, in templates too, but not for lazy ones, JavaScript or not."""
    firefox = shutil.which("firefox") or shutil.which("firefox-esr")
    if firefox is None:
        pytest.skip("no Firefox is installed")
    (tmp_path / "user.js").write_text(f'user_pref("javascript.enabled", {script});\n')
    command = [
        firefox,
        "--headless",
        "--no-remote",
        "--profile",
        str(tmp_path),
        "--screenshot",
        str(tmp_path / "p.png"),
    ]
    with site() as served:
        subprocess.run([*command, served.url], capture_output=True, timeout=120, check=True)
    assert {"/", "/plain.jpg", "/last.jpg"} <= set(served.asked)
    assert not [path for path in served.asked if path.startswith(BASE)]
