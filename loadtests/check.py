"""``make trial-check``: how long after the first paint a real browser is cleared, Chromium and Firefox, fresh each time.

Each visit is a browser with an empty profile that has nothing of the check in its cache. It first rests on another page,
for what a browser does in its first seconds is no part of a check: a person has had theirs open for a while. A Firefox
with a fresh profile keeps both cores of a small machine busy for five seconds, and takes a tenth of a second then for
each thing that it asks a server for (``--rest``: for how long; ``--cold``: it comes at once). Prints medians in
milliseconds, as the page's own clock has them; on a busy machine all of them grow, and nothing is asserted.
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
from contextlib import ExitStack
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from itertools import product
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
  const found = (name) => performance.getEntriesByType("resource").find((entry) => entry.name.endsWith(name));
  if (!paint || !found("/answer") || !found("/answer").responseEnd) return;
  clearInterval(timer);
  const told = {
    script: found("/check.js").responseEnd, challenged: found("/challenge").responseEnd,
    answered: found("/answer").startTime, cleared: found("/answer").responseEnd,
  };
  for (const name in told) told[name] -= paint.startTime;
  fetch("/told", { method: "POST", body: JSON.stringify(told) });
}, 20);
</script></body></html>"""
#: Where a browser rests before it comes, so many milliseconds. Its policy keeps the check's script out.
_RESTING: Final = b"""<!doctype html><html lang="en"><head><title>Elsewhere</title></head><body><p>Elsewhere</p><script>
addEventListener("load", () => setTimeout(() => requestIdleCallback(() => location.replace("/")), %d));
</script></body></html>"""
_NOTHING_ELSE: Final = (b"content-security-policy", b"script-src 'unsafe-inline'")


@dataclass
class Site:
    """One page that tells when its script came and when it was challenged, answered and cleared, in ms from its first paint."""

    rest: float = 0.0  # seconds on the other page
    told: list[dict[str, float]] = field(default_factory=list)
    news: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/told":
            self.told.append(json.loads((await receive())["body"]))
            self.news.set()
        resting = scope["path"] == "/elsewhere"
        body = _RESTING % (1000 * self.rest) if resting else _PAGE
        headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(body))]
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*headers, _NOTHING_ELSE] if resting else headers,
            }
        )
        await send({"type": "http.response.body", "body": body})

    def summary(self) -> str:
        """Return the medians, and the least and the most until the clearance."""
        if not self.told:
            return "never cleared"
        middle = {name: statistics.median(one[name] for one in self.told) for name in self.told[0]}
        cleared = sorted(one["cleared"] for one in self.told)
        return (
            f"from the first paint: script {middle['script']:.0f}, challenge {middle['challenged']:.0f}, work "
            f"{middle['answered']:.0f}, cleared {middle['cleared']:.0f} ms (least {cleared[0]:.0f}, most {cleared[-1]:.0f})"
        )


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
    parser.add_argument("--rest", type=float, default=6.0, help="seconds on another page beforehand")
    parser.add_argument("--cold", action="store_true", help="with a browser that has only just begun")
    options = parser.parse_args()
    visits, path_of_first = options.visits, "" if options.cold else "elsewhere"
    policy = load_policy(environ={"ANTISCRAPE__RECORD__EVENTS": "off"}, require_secret=False)
    rules = ClearanceRules(enabled=True, issues=replaced(policy.clearance.issues, amount=100_000.0))
    policy = replaced(policy, clearance=rules)
    found = {"chromium": find_chromium(), "firefox": shutil.which("firefox") or shutil.which("firefox-esr")}
    with ExitStack() as stack:
        sites = {browser: Site(options.rest) for browser, path in found.items() if path is not None}
        urls = {browser: stack.enter_context(Served(site, policy)).url for browser, site in sites.items()}
        cleared = dict.fromkeys(sites, 0)
        # By turns, so that what else the machine does falls upon all of them.
        for _, (browser, site) in product(range(visits), sites.items()):
            cleared[browser] += visit(browser, str(found[browser]), site, urls[browser] + path_of_first)
    for browser, path in found.items():
        told = "is not installed"
        if path is not None:
            told = f"{cleared[browser]} of {visits} cleared; {sites[browser].summary()}"
        print(f"{browser:10} {told}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigurationError as error:
        sys.exit(str(error))
