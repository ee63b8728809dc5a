"""``make trial-check``: how long after the first paint a real browser is cleared, Chromium and Firefox, fresh each time.

Prints the median, the least and the most in milliseconds. On a busy machine all of them grow; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Final

from antiscrape import load_policy
from antiscrape.core.clearance import ClearanceRules
from antiscrape.demo.serving import Served
from antiscrape.demo.visitors import find_chromium
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from antiscrape.asgi.types import Receive, Scope, Send

_PATIENCE: Final = 40.0
_FLAGS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-blink-features=AutomationControlled",
)  # fmt: skip
_PREFERENCES: Final = (
    'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
    'user_pref("app.update.enabled", false);\n'
    'user_pref("network.captive-portal-service.enabled", false);\n'
    'user_pref("network.connectivity-service.enabled", false);\n'
)
_PAGE: Final = b"""<!doctype html><html lang="en"><head><title>Photos</title></head><body><h1>Photos</h1>
<p>A page with some words on it.</p><script>
const timer = setInterval(() => {
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  const answer = performance.getEntriesByType("resource").find(({ name }) => name.endsWith("/answer"));
  if (!paint || !answer || !answer.responseEnd) return;
  clearInterval(timer);
  fetch("/told", { method: "POST", body: JSON.stringify(answer.responseEnd - paint.startTime) });
}, 20);
</script></body></html>"""


@dataclass
class Site:
    """One page that tells when it was painted and when cleared; ``told`` in milliseconds."""

    told: list[float] = field(default_factory=list)
    news: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/told":
            self.told.append(float(json.loads((await receive())["body"])))
            self.news.set()
        headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(_PAGE))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _PAGE})


def _command(browser: str, path: str, profile: str, url: str) -> list[str]:
    if browser == "firefox":
        Path(profile, "user.js").write_text(_PREFERENCES, encoding="ascii")
        return [path, "--headless", "--no-remote", "--profile", profile, url]
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_PATIENCE, check=True)
    version = told.stdout.split()[1].partition(".")[0]
    agent = f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
    return [path, *_FLAGS, f"--user-agent={agent}", f"--user-data-dir={profile}", url]


def visit(browser: str, path: str, site: Site, url: str) -> bool:
    """Open the page in a fresh browser, and tell whether it was cleared in time."""
    site.news.clear()
    with tempfile.TemporaryDirectory(prefix="antiscrape-check-", ignore_cleanup_errors=True) as profile:
        command = _command(browser, path, profile, url)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return site.news.wait(_PATIENCE)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> int:
    """Print a line for each browser that is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=11, help="of each browser")
    visits = parser.parse_args().visits
    policy = load_policy(environ={"ANTISCRAPE__RECORD__EVENTS": "off"}, require_secret=False)
    rules = ClearanceRules(enabled=True, issues=replaced(policy.clearance.issues, amount=100_000.0))
    policy = replaced(policy, clearance=rules)
    for browser, path in (
        ("chromium", find_chromium()),
        ("firefox", shutil.which("firefox") or shutil.which("firefox-esr")),
    ):
        if path is None:
            print(f"{browser:10} is not installed")
            continue
        site = Site()
        with Served(site, policy) as served:
            cleared = sum(visit(browser, path, site, served.url) for _ in range(visits))
        times = sorted(site.told) or [float("nan")]
        print(
            f"{browser:10} {cleared} of {visits} cleared; from the first paint "
            f"median {statistics.median(times):.0f} ms, least {times[0]:.0f}, most {times[-1]:.0f}"
        )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigurationError as error:
        sys.exit(str(error))
