"""A small photo site behind the check, and real browsers that look at it: Chromium by Playwright, Firefox by itself."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from PIL import Image

from antiscrape.core.clearance import ClearanceRules
from antiscrape.core.resource import Kind, Size
from antiscrape.core.rules import GrantRules, ImageRules, Route
from antiscrape.demo.serving import Served
from antiscrape.demo.visitors import find_chromium
from tests.conftest import missing
from tests.house import PATIENCE, SPARE, photo, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext

    from antiscrape.asgi.check import Desk
    from antiscrape.asgi.types import Receive, Scope, Send

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
#: What a person's Chromium does not have: the switches by which it tells that a program drives it.
BY_HAND = "--disable-blink-features=AutomationControlled"
#: What keeps to itself that Playwright listens to the console, as the careful among its users have it.
UNWATCHED = "console.debug = () => {}"
#: What Chromium calls itself, but for the word that it has no window.
AGENT = "Mozilla/5.0 ({device}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0{mobile} Safari/537.36"
#: What gives a Firefox without a window a mouse.
POINTER: dict[str, Any] = {"ui__primaryPointerCapabilities": 6, "ui__allPointerCapabilities": 6}
ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "check"
#: Pixels of the site's photographs, which no rendition has.
WIDTH = 1100

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Photos</title>
<style>body{font:16px sans-serif}img{width:320px;height:240px;object-fit:cover;margin:4px}</style></head><body>
<h1>Photos</h1>
<img alt="one" src="/media/1.jpg"><img alt="two" src="/media/2.jpg" srcset="/media/2.jpg 1x, /media/2.jpg?2 2x">
<picture><source srcset="/media/3.jpg"><img alt="three" src="/media/3.jpg?small"></picture>
<p><a href="/next">Next</a></p><script src="/report.js"></script></body></html>"""
_REPORT = """
const told = () => [...document.images].map((image) => image.naturalWidth).join();
let last = "";
setInterval(() => {
  if (told() === last) return;
  last = told();
  fetch("/told", { method: "POST", body: JSON.stringify([last, navigator.webdriver]) });
}, 50);
"""


@dataclass
class Site:
    """The site, what was asked of it, and what its pages told of their pictures' widths."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    told: list[list[int]] = field(default_factory=list)
    desk: Desk | None = None
    standings: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)  # Content-Security-Policy, by path
    page: str = _PAGE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        query = scope["query_string"].decode()
        self.asked.append(f"{scope['method']} {path}{'?' if query else ''}{query}")
        kind, body = "text/html; charset=utf-8", self.page.encode()
        if path.startswith("/media/"):
            kind, body = "image/jpeg", photo(WIDTH, 700, seed=int(path[7]))
        elif path.startswith("/small/"):
            kind, body = "image/jpeg", photo(160, 120, seed=int(path[7]))
        elif path == "/report.js":
            kind, body = "text/javascript", _REPORT.encode()
        elif path == "/told":
            self.told.append(
                [int(width) for width in json.loads((await receive())["body"])[0].split(",") if width]
            )
            kind, body = "text/plain", b""
        elif path in self.files:
            kind, text = self.files[path]
            body = text.encode()
        fields = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        if path.startswith("/media/"):
            fields.append((b"cache-control", b"max-age=600"))
        if path in self.policies:
            fields.append((b"content-security-policy", self.policies[path].encode()))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    @property
    def counts(self) -> dict[str, int]:
        assert self.desk is not None
        return {name: count for name, count in self.desk.counts.items() if count}

    def hurry(self) -> None:
        """Have the step's wait be over, however long the browser has taken until now."""
        assert self.desk is not None
        self.desk._room.steps._wait = 0.0

    def later(self, seconds: float) -> None:
        """Have all clearances be older by ``seconds``."""
        assert self.desk is not None
        room = self.desk._room
        before, holders = room.wall, room.holders
        holders._wall = lambda: before() + seconds
        self.desk._room = room._replace(wall=holders._wall)

    def until(self, holds: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until something holds of what the site has seen."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{self.counts} {self.told} {self.asked[-20:]}"
            time.sleep(0.02)

    def until_seen(self, page: Any, holds: Callable[[], object]) -> None:
        """Wait until something holds, while Playwright goes on to serve the routes of ``page``."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"{self.counts} {self.told} {self.asked[-20:]}"
            page.wait_for_timeout(50)


@contextmanager
def site(*, browser: str = "0", grants: GrantRules | None = None, **rules: Any) -> Iterator[Site]:
    """Serve the site; ``browser`` is the budget of originals of whoever has proven nothing."""
    policy = policy_of(
        {**SPARE, "ANTISCRAPE__STANDING__BROWSER__ORIGINALS": browser, "ANTISCRAPE__RECORD__ADMIN": ""},
        clearance=ClearanceRules(**{"enabled": True, **rules}),
        images=ImageRules(faces="off", timeout=PATIENCE),  # beside a browser that starts
        grants=grants or GrantRules(),
    )
    small = Route("/small/**", Kind.IMAGE, Size.THUMBNAIL)
    served = Site()
    with Served(served, replace(policy, routes=(small, *policy.routes))) as running:
        served.url = running.url
        served.desk = running._app._parts.check
        served.standings = running.witness.standings
        yield served


#: Playwright's driver, while it runs.
_driver: list[Any] = []


@contextmanager
def driven_by_playwright() -> Iterator[None]:
    """Start Playwright's driver once for many browsers; without it, those of :func:`chromium` are skipped.

    While it runs, this thread can run no event loop of its own.
    """
    if importlib.util.find_spec("playwright") is None:
        yield
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        _driver.append(started)
        try:
            yield
        finally:
            _driver.clear()


@contextmanager
def chromium(
    *, driven: bool = False, watched: bool = False, scripts: bool = True, cookies: bool = True, **context: Any
) -> Iterator[BrowserContext]:
    """Start Chromium without a window, and with nothing that tells it from a person's.

    ``driven``: as WebDriver has it; ``watched``: as Playwright has it of itself.
    """
    if not _driver:
        pytest.skip("playwright is not installed")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed")
    with tempfile.TemporaryDirectory(prefix="antiscrape-chromium-") as folder:
        preferences = Path(folder, "Default", "Preferences")
        preferences.parent.mkdir()
        blocked = {} if cookies else {"cookies": 2}
        preferences.write_text(json.dumps({"profile": {"default_content_setting_values": blocked}}))
        with_context = {"locale": "en-US", **context}
        if not driven:
            with_context.setdefault(
                "user_agent", AGENT.format(device="X11; Linux x86_64", version=_version(path), mobile="")
            )
        opened = _driver[0].chromium.launch_persistent_context(
            folder,
            executable_path=path,
            args=[*FLAGS, *([] if driven else [BY_HAND])],
            ignore_default_args=None if driven else ["--enable-automation"],
            java_script_enabled=scripts,
            **with_context,
        )
        opened.set_default_timeout(PATIENCE * 1000)
        if not watched:
            opened.add_init_script(UNWATCHED)
        try:
            yield opened
        finally:
            opened.close()


@functools.cache
def _version(path: str) -> str:
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return told.stdout.split()[1].partition(".")[0]


def by_another_name() -> str:
    """Return the switch by which Chromium without a window calls itself what one with a window does."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed")
    return f"--user-agent={AGENT.format(device='X11; Linux x86_64', version=_version(path), mobile='')}"


def phone() -> dict[str, Any]:
    """Return what makes Chromium a phone's."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed")
    agent = AGENT.format(device="Linux; Android 10; K", version=_version(path), mobile=" Mobile")
    return {
        "user_agent": agent,
        "is_mobile": True,
        "has_touch": True,
        "viewport": {"width": 390, "height": 844},
    }


class Firefox(NamedTuple):
    """A Firefox that runs: the folder of its profile, and the group that its processes are of."""

    profile: Path
    group: int


@contextmanager
def firefox(url: str, *arguments: str, display: str = "", **preferences: bool | int) -> Iterator[Firefox]:
    """Start Firefox on ``url``, in a window on ``display``, or without one."""
    path = shutil.which("firefox") or shutil.which("firefox-esr")
    if path is None:
        pytest.skip("no Firefox is installed")
    with tempfile.TemporaryDirectory(prefix="antiscrape-firefox-") as folder:
        quiet = {
            "datareporting.policy.dataSubmissionEnabled": False, "app.update.enabled": False, "browser.shell.checkDefaultBrowser": False,
            "toolkit.telemetry.enabled": False, "browser.aboutwelcome.enabled": False, "network.captive-portal-service.enabled": False,
            "network.connectivity-service.enabled": False, **{name.replace("__", "."): value for name, value in preferences.items()},
        }  # fmt: skip
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in quiet.items()]
        Path(folder, "user.js").write_text("".join(lines))
        command = [path, "--no-remote", "--profile", folder, *arguments, url]
        with running(command, display) as group:
            yield Firefox(Path(folder), group)


@contextmanager
def plain_chromium(url: str, *arguments: str, display: str = "") -> Iterator[None]:
    """Start Chromium on ``url`` by its command line, and let nothing drive it; in a window, where there is a ``display``."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed")
    with (
        tempfile.TemporaryDirectory(prefix="antiscrape-chromium-", ignore_cleanup_errors=True) as folder,
        running([path, *FLAGS, f"--user-data-dir={folder}", *arguments, url], display),
    ):
        yield


@contextmanager
def running(command: list[str], display: str = "") -> Iterator[int]:
    """Run a browser, without a window where there is no ``display``, and all that it starts; yield their group."""
    where = {"DISPLAY": display, "MOZ_ENABLE_WAYLAND": "0"} if display else {}
    if not display:
        command = [command[0], "--headless", *command[1:]]
    process = subprocess.Popen(
        command,
        env={**os.environ, **where},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


class Screen(NamedTuple):
    """A display that nobody looks at: its ``name``, and the file in which its server keeps what it shows."""

    name: str
    frame: Path

    def picture(self, path: Path) -> None:
        """Keep what is shown: XWD's header of 32-bit words, its colours of twelve bytes, then the pixels (X11/XWDFile.h)."""
        dump = self.frame.read_bytes()
        size, _, _, _, width, height = struct.unpack_from(">6I", dump)
        (line,), (colours,) = struct.unpack_from(">I", dump, 48), struct.unpack_from(">I", dump, 76)
        begin = size + 12 * colours
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = dump[begin : begin + line * height]
        Image.frombytes("RGB", (width, height), shown, "raw", "BGRX", line, 1).save(path)


@contextmanager
def screen() -> Iterator[Screen]:
    """Start a display that nobody looks at."""
    path = shutil.which("Xvfb") or ""
    if not path:
        missing("xvfb", "Xvfb is not installed: there is no display for a window")
    with tempfile.TemporaryDirectory(prefix="antiscrape-screen-") as folder:
        command = [
            path,
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1366x900x24",
            "-nolisten",
            "tcp",
            "-fbdir",
            folder,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None
                yield Screen(f":{process.stdout.readline().decode().strip()}", Path(folder, "Xvfb_screen0"))
            finally:
                process.terminate()
