"""Whoever attacks the check and the grants over the wire: ``antiscrape serve`` with two workers before a folder of photographs.

The site behind is the standard library's server of files, which undoes escapes, dots and doubled slashes of a path as
many do. Everything is tried as somebody without a browser does it: by sockets, and with ALTCHA's own solver.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest

from antiscrape.stores.extras import has_private
from tests.asgi.checked import BASE, PROBES, form, solved
from tests.cli.test_serve import BROWSER, serving
from tests.core.test_returning import HOSTILE
from tests.house import PATIENCE, photo

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTOS = 12
POLICY = """
[identity]
trusted_proxies = ["127.0.0.1"]
[clearance]
enabled = true
wait = "1s"
[grants]
prefixes = ["/media/"]
binding = "clearance"
[record]
events = "off"
[[routes]]
pattern = "/media/**"
kind = "image"
size = "original"
"""
HOME, NEIGHBOUR, ELSEWHERE = "203.0.113.7", "203.0.113.8", "198.51.100.9"
PAGE = BROWSER | {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
FETCH = BROWSER | {
    "Accept": "*/*",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Content-Type": "application/json",
}
_addresses = itertools.count(1)


class Got(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def cookie(self) -> str:
        return (self.headers["set-cookie"] or "").partition(";")[0]


class Front(NamedTuple):
    """The site as an attacker has it; ``originals`` are its files."""

    host: str
    originals: dict[bytes, int]

    def ask(
        self,
        path: str,
        fields: dict[str, str],
        *,
        peer: str = HOME,
        cookie: str = "",
        body: bytes | None = None,
    ) -> Got:
        """Send one request on a connection of its own, which either worker may take."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.putrequest("GET" if body is None else "POST", path, skip_accept_encoding=True)
            told = {
                **fields,
                "X-Forwarded-For": peer,
                "Connection": "close",
                **({"Cookie": cookie} if cookie else {}),
            }
            if body is not None:
                told["Content-Length"] = str(len(body))
            for name, value in told.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Got(answer.status, answer.headers, answer.read())

    def post(self, path: str, told: object, *, peer: str = HOME, cookie: str = "", **fields: str) -> Got:
        return self.ask(
            f"{BASE}/{path}", FETCH | fields, peer=peer, cookie=cookie, body=json.dumps(told).encode()
        )

    def solve(self, probes: object = PROBES, *, peer: str = HOME, **fields: str) -> dict[str, Any]:
        return solved(json.loads(self.post("challenge", {}, peer=peer, **fields).body), probes)

    def clear(self, probes: object = PROBES, *, peer: str = HOME) -> str:
        return self.post("answer", self.solve(probes, peer=peer), peer=peer).cookie

    def shown(self, *, peer: str = HOME, cookie: str = "") -> list[str]:
        page = self.ask("/", PAGE, peer=peer, cookie=cookie)
        return [url.decode() for url in re.findall(rb'src="(/media/[^"]+)"', page.body)]

    def number(self, path: str, *, peer: str = HOME, cookie: str = "") -> int:
        """Return which original is had at a path, 0 for none."""
        return self.originals.get(self.ask(path, BROWSER, peer=peer, cookie=cookie).body, 0)


class Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    if not has_private():
        pytest.skip("no valkey-server; install the extra workers")
    folder = tmp_path_factory.mktemp("site")
    (folder / "site" / "media").mkdir(parents=True)
    originals = {}
    for number in range(1, PHOTOS + 1):
        body = photo(seed=number)
        (folder / "site" / "media" / f"{number}.jpg").write_bytes(body)
        originals[body] = number
    images = "".join(f'<img src="/media/{number}.jpg">' for number in range(1, PHOTOS + 1))
    (folder / "site" / "index.html").write_text(f"<html><body>{images}</body></html>")
    (folder / "policy.toml").write_text(POLICY)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder / "site")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            policy = str(folder / "policy.toml")
            up = f"http://127.0.0.1:{server.server_port}"
            with serving("--upstream", up, "--config", policy, "--workers", "2") as url:
                yield Front(url.removeprefix("http://"), originals)
        finally:
            server.shutdown()
            thread.join(PATIENCE)


def somebody() -> str:
    """Return an address whose network nobody used before."""
    return f"198.18.{next(_addresses)}.7"
