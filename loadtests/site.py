"""The demo's site in a process of its own: ``python -m loadtests.site bare`` or ``protected``.

It listens on a port of the system's choice on loopback, writes the port to stdout, and ends when its
stdin does. Loopback peers are trusted proxies of the protected one: who asks is told by
X-Forwarded-For, so that one load generator can be many people.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import antiscrape.demo
from antiscrape import AntiscrapeMiddleware, load_policy
from antiscrape.demo.photos import make_library
from antiscrape.demo.site import create_site
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen
from antiscrape.serving.server import Server
from loadtests.bench.figures import cpu_seconds
from loadtests.bench.peers import ROOT

if TYPE_CHECKING:
    from antiscrape.asgi.types import ASGIApp
    from antiscrape.core.rules import Policy

#: Seconds that a site may take over its last answers when it is ended.
_PATIENCE = 15.0


def policy() -> Policy:
    """Return the demo's policy, told of the proxies on loopback, without events."""
    environment = {
        "ANTISCRAPE_SECRET": secrets.token_urlsafe(48),
        "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.0/8"]',
        "ANTISCRAPE__RECORD__EVENTS": "off",
        "ANTISCRAPE__RECORD__ADMIN": '""',
    }
    return load_policy(Path(antiscrape.demo.__path__[0], "policy.toml"), environ=environment)


def main(kind: str) -> None:
    """Serve until stdin ends."""
    app: ASGIApp = create_site(make_library())
    if kind == "protected":
        app = AntiscrapeMiddleware(app, policy=policy())
    sock = listen(host="127.0.0.1", port=0)
    port = sock.getsockname()[1]

    def ready() -> None:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()

    server = Server(configure(app, timeout_graceful_shutdown=2), ready=ready)

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=end_with_stdin, daemon=True).start()
    server.run(sockets=[sock])


class Site:
    """That process; use it as a context."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.url = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.site", kind],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )

    def __enter__(self) -> Self:
        """Wait until it serves; raise ``OSError`` where it ends instead."""
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line.strip().isdigit():
            self._stop()
            raise ConnectionError(f"the {self.kind} site did not start")
        self.url = f"http://127.0.0.1:{int(line)}"
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._stop()

    def cpu(self) -> float:
        """Return its CPU seconds so far, without its image workers'."""
        return cpu_seconds(self._process.pid)

    def _stop(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


if __name__ == "__main__":
    main(sys.argv[1])
