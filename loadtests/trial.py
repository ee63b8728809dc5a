"""``make trial``: real harvesters and real browsers against the demo's site behind antiscrape.

Each visitor meets a freshly started site, so none inherits another's standing. What it got is told
by what the server sent, byte for byte; below a visitor that went wrong stands each answer that it
should not have had, with the verdict that led to it. Exit status 1 where a harvester obtained an original or a
person lost one, and where a visitor that ``ANTISCRAPE_REQUIRE`` names (``browser``, ``scrapy``, ... )
is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape import AntiscrapeMiddleware
from antiscrape.demo.harvesters import HARVESTERS, Order
from antiscrape.demo.photos import Library, make_library
from antiscrape.demo.serving import demo_policy
from antiscrape.demo.site import create_site
from antiscrape.demo.visitors import find_chromium
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen, url_of
from antiscrape.serving.server import Server
from loadtests.bench.peers import ROOT
from loadtests.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST: Final = 30
_SECONDS: Final = 25.0
#: Seconds until a browser has begun to ask, and without a request after which it has drawn its page.
_BEGINS, _QUIET = 45.0, 3.0
#: Answers printed of a visit that went wrong.
_SHOWN: Final = 20
#: Photo pages that a person's browser opens, not in the order of the list.
_PLACES: Final = (3, 0, 7, 5)
#: No updates, no synchronising, no QUIC: the browser talks to the site and to nobody else.
_CHROMIUM: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-blink-features=AutomationControlled",
)  # fmt: skip
_FIREFOX_PREFERENCES: Final = (
    'user_pref("browser.shell.checkDefaultBrowser", false);\n'
    'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
    'user_pref("app.update.enabled", false);\n'
    'user_pref("network.captive-portal-service.enabled", false);\n'
    'user_pref("network.connectivity-service.enabled", false);\n'
    'user_pref("browser.safebrowsing.downloads.remote.enabled", false);\n'
    'user_pref("services.settings.server", "http://127.0.0.1:9/");\n'
    'user_pref("toolkit.telemetry.server", "");\n'
)


class Visitor(NamedTuple):
    """One visitor: what it is called, why it is missing here, how it visits, whether it is a person's browser.

    ``visit`` is given the site's URL (a slash at its end), the ids of its photos, a folder and the account of
    what was asked, and returns what went wrong.
    """

    name: str
    absent: Callable[[], str]
    visit: Callable[[str, list[int], Path, Ledger], str]
    person: bool = False


@contextlib.contextmanager
def served(library: Library, folder: Path) -> Iterator[tuple[str, Ledger]]:
    """Serve the protected site in a thread; yield its URL and the account of who comes."""
    app = AntiscrapeMiddleware(create_site(library), policy=demo_policy(folder / "events.jsonl"))
    ledger, ready = Ledger(app, library.folder), threading.Event()
    sock = listen(host="127.0.0.1", port=0)
    server = Server(configure(ledger, timeout_graceful_shutdown=2), ready=ready.set)
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    try:
        if not ready.wait(20):
            raise RuntimeError("the site did not start")
        yield url_of(sock) + "/", ledger
    finally:
        server.should_exit = True
        thread.join(20)
        sock.close()


def _run(command: list[str], *, seconds: float, folder: Path = ROOT, home: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if home is not None:
        environment["HOME"] = str(home)
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return "stopped by the clock"
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else f"exit {done.returncode}: {lines[-1][:90] if lines else ''}"


def _demo(key: str) -> Visitor:
    harvester = next(row for row in HARVESTERS if row.key == key)

    def visit(base: str, ids: list[int], folder: Path, _ledger: Ledger) -> str:
        return harvester.run(Order(base, folder, "", ids, MOST, _SECONDS))

    return Visitor(key, harvester.absent, visit)


def _wget(base: str, _ids: list[int], folder: Path, _ledger: Ledger) -> str:
    command = [
        "wget",
        "--no-config",
        "--no-proxy",
        "--quiet",
        "--tries=1",
        "--timeout=15",
        "--execute=robots=off",
    ]
    command += ["--recursive", "--level=3", "--no-host-directories", f"--directory-prefix={folder}", base]
    fault = _run(command, seconds=_SECONDS)
    # 8: the server answered some request with an error, which is what a harvester is to expect
    return "" if fault.startswith(("exit 8", "stopped")) else fault


def _library(name: str, *needs: str) -> Visitor:
    def visit(base: str, _ids: list[int], _folder: Path, _ledger: Ledger) -> str:
        command = [sys.executable, "-m", "loadtests.harvest", name, base, "--most", str(MOST)]
        return _run([*command, "--seconds", str(_SECONDS - 5)], seconds=_SECONDS + 10)

    def absent() -> str:
        return next((f"{need} is not installed" for need in needs or (name,) if not find_spec(need)), "")

    return Visitor(name, absent, visit)


def _chromium(base: str, ids: list[int], _folder: Path, _ledger: Ledger) -> str:
    """Look around by clicking. A driven Chromium without a window says both of itself; a person's has nothing to say."""
    from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415  it may be missing

    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(),
                args=list(_CHROMIUM),
                ignore_default_args=["--enable-automation"],
            )
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            page = context.new_page()
            major = browser.version.partition(".")[0]
            brands = [{"brand": "Not:A-Brand", "version": "8"}, {"brand": "Chromium", "version": major}]
            agent = str(page.evaluate("navigator.userAgent")).replace("Headless", "")
            told = {"brands": brands, "platform": "Linux", "platformVersion": "6.1.0", "architecture": "x86"}
            context.new_cdp_session(page).send(
                "Emulation.setUserAgentOverride",
                {"userAgent": agent, "userAgentMetadata": {**told, "model": "", "mobile": False}},
            )
            page.goto(base, wait_until="load")
            for place in _PLACES:
                page.locator(f'a[href="/p/{ids[place]}"]').first.click()
                page.wait_for_load_state("networkidle")
                page.go_back(wait_until="load")
            browser.close()
    except Error as error:
        return str(error).splitlines()[0][:90]
    return ""


def _no_chromium() -> str:
    if find_chromium() is None:
        return "no Chromium is installed"
    return "" if find_spec("playwright") else "playwright is not installed"


def _firefox(base: str, ids: list[int], folder: Path, ledger: Ledger) -> str:
    """Have Firefox draw a few pages, one after the other, with one profile; for a picture it would have no window."""
    profile = folder / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(_FIREFOX_PREFERENCES, encoding="ascii")
    environment = {**os.environ, "HOME": str(folder)}
    for path in ("", f"p/{ids[3]}", f"p/{ids[0]}"):
        command = ["firefox", "--headless", "--no-remote", "--profile", str(profile), base + path]
        before = ledger.requests
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            drawn = _drawn(ledger, before)
            process.terminate()
            try:
                process.wait(_BEGINS)
            except subprocess.TimeoutExpired:
                process.kill()
        if not drawn:
            return "stopped by the clock"
    return ""


def _drawn(ledger: Ledger, before: int) -> bool:
    """Wait until a browser has asked for what it wants; tell whether it did in time."""
    began, seen, since = time.monotonic(), before, time.monotonic()
    while True:
        now, count = time.monotonic(), ledger.requests
        if count != seen:
            seen, since = count, now
        if seen > before and now - since > _QUIET:
            return True
        if now - began > _BEGINS:
            return seen > before
        time.sleep(0.1)


def _found(program: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(program) else f"{program} is not installed"


VISITORS: Final = (
    _demo("curl"),
    Visitor("wget -r", _found("wget"), _wget),
    _demo("requests"),
    _library("httpx"),
    _library("aiohttp"),
    _library("solver", "altcha", "httpx"),
    _demo("scrapy"),
    Visitor("chromium", _no_chromium, _chromium, person=True),
    Visitor("firefox", _found("firefox"), _firefox, person=True),
)


class Result(NamedTuple):
    """How one visit ended; ``fault`` says why it proves nothing, ``wrong`` what should not have been."""

    visitor: Visitor
    ledger: Ledger | None
    fault: str
    wrong: str


def judge(visitor: Visitor, ledger: Ledger, fault: str) -> Result:
    """Say what is wrong with a visit: an original lost by a person or gained by a harvester, or no visit at all."""
    wrong = ""
    if not ledger.asked:
        wrong = "asked for no original"
    elif visitor.person:
        lost = len(ledger.asked) - len(ledger.originals)
        if lost or ledger.previews or ledger.refused:
            wrong = f"a person lost {lost} originals, saw {ledger.previews} previews, was refused {ledger.refused} times"
    elif ledger.originals | ledger.begun:
        wrong = f"a harvester obtained {len(ledger.originals | ledger.begun)} originals"
    elif ledger.proven:
        wrong = "a harvester was taken for proven"
    return Result(visitor, ledger, fault, wrong)


def run(visitor: Visitor, library: Library, *, required: frozenset[str]) -> Result:
    """Let one visitor visit."""
    absent = visitor.absent()
    if absent:
        wanted = visitor.name in required or (visitor.person and "browser" in required)
        return Result(visitor, None, f"skipped: {absent}", "required, and missing" if wanted else "")
    ids = [photo.id for photo in library.photos]
    with tempfile.TemporaryDirectory(prefix="antiscrape-trial-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with served(library, folder) as (base, ledger):
            home = folder / "home"
            home.mkdir()
            fault = visitor.visit(base, ids, home, ledger)
    return judge(visitor, ledger, fault)


def main(arguments: list[str] | None = None) -> int:
    """Let all of them visit, print, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.trial")
    parser.add_argument("--only", nargs="+", choices=[visitor.name for visitor in VISITORS])
    options = parser.parse_args(arguments)
    required = frozenset(filter(None, os.environ.get("ANTISCRAPE_REQUIRE", "").split(",")))
    library = make_library()
    print(
        f"{'visitor':12s}{'requests':>9s}{'asked':>7s}{'originals':>11s}{'previews':>10s}{'parts':>7s}{'refused':>9s}  standing"
    )
    bad = False
    for visitor in VISITORS:
        if options.only and visitor.name not in options.only:
            continue
        result = run(visitor, library, required=required)
        bad |= bool(result.wrong)
        print("\n".join(lines_of(result)), flush=True)
    return 1 if bad else 0


def lines_of(result: Result) -> list[str]:
    """Return what is printed of a visit: its line, and where it went wrong the answers that made it so."""
    lines, ledger = [_line(result)], result.ledger
    if ledger is not None and result.wrong:
        wrong = ledger.wrong(person=result.visitor.person)
        lines += [f"    {answer}" for answer in wrong[:_SHOWN]]
        if len(wrong) > _SHOWN:
            lines.append(f"    and {len(wrong) - _SHOWN} more")
    return lines


def _line(result: Result) -> str:
    name, ledger = result.visitor.name, result.ledger
    notes = "; ".join(filter(None, (result.wrong and f"WRONG: {result.wrong}", result.fault)))
    if ledger is None:
        return f"{name:12s} {notes}"
    standing = ledger.standing.value if ledger.standing else "-"
    return (
        f"{name:12s}{ledger.requests:9d}{len(ledger.asked):7d}{len(ledger.originals):11d}"
        f"{ledger.previews:10d}{ledger.parts:7d}{ledger.refused:9d}  {standing:9s}{notes}"
    )


if __name__ == "__main__":
    sys.exit(main())
