"""A Firefox in a window that nobody drives: its pages ask the test what to do, and tell what came of it.

Whoever drives Firefox from outside (WebDriver, Marionette) sets ``navigator.webdriver``, and is told apart by it. So a
script of the test's own is in the pages, as any script of a site is: it asks a server beside the site for orders, which
are other scripts. The site that is looked at sees a person's Firefox, and nothing of that.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from tests.browser.browsing import firefox, screen
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.browsing import Screen

#: A page goes on to ask when it comes back out of the back/forward cache, and has nothing under way when it leaves,
#: which would keep it out.
_SCRIPT = """
const hand = new URL(document.currentScript.src).origin, me = location.origin + location.pathname;
const pause = () => new Promise((go) => setTimeout(go, 50));
addEventListener("pageshow", async ({ persisted }) => {
  globalThis.persisted = persisted;
  for (;;) {
    const { number, script, leaves } = await (await fetch(`${hand}/order?${encodeURIComponent(me)}`)).json();
    if (!number) { await pause(); continue; }
    const told = {};
    if (!leaves) {
      try { told.value = await (0, eval)(script); } catch (error) { told.error = `${error}`; }
    }
    await (await fetch(`${hand}/told?${number}`, { method: "POST", body: JSON.stringify(told) })).text();
    if (leaves) return (0, eval)(script);
  }
});
"""


_SHOWN = "[...document.images].map((image) => `${image.currentSrc} ${image.naturalWidth}`)"


@dataclass
class _Orders:
    """What each page is to do, by its URL without a query, and what they told, by the order's number."""

    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[int, dict[str, Any]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    news: threading.Condition = field(default_factory=threading.Condition)

    def give(self, url: str, script: str, *, leaves: bool) -> dict[str, Any]:
        """Have the page at ``url`` run a script, and return what it told."""
        with self.news:
            number = next(self.numbers)
            self.waiting[url] = {"number": number, "script": script, "leaves": leaves}
            assert self.news.wait_for(lambda: number in self.told, PATIENCE), f"{url} never did {script}"
            return self.told.pop(number)

    def answer(self, path: str, query: str, body: bytes) -> tuple[str, str]:
        """Answer a page: its type and its text."""
        with self.news:
            if path == "/order":  # it waits until it is told of: who asked may be gone before it was done
                return "application/json", json.dumps(self.waiting.get(query, {}))
            if path == "/told":
                number = int(query)
                self.told[number] = json.loads(body)
                self.waiting = {url: one for url, one in self.waiting.items() if one["number"] != number}
                self.news.notify_all()
                return "text/plain", ""
        if path == "/hand.js":
            return "text/javascript", _SCRIPT
        frame = f'<iframe src="{query}" title="inner" width="1000" height="500"></iframe>' if query else ""
        return "text/html", f'<!doctype html><title>Elsewhere</title><script src="/hand.js"></script>{frame}'


class Page(NamedTuple):
    """A page that is open, or will be: whatever has this URL."""

    url: str
    orders: _Orders

    def do(self, script: str) -> Any:
        """Have the page run a script, and return its value, or what its promise comes to."""
        told = self.orders.give(self.url, script, leaves=False)
        assert "error" not in told, f"{script}: {told}"
        return told.get("value")

    def leave(self, script: str) -> None:
        """Have the page run a script that leads away from it."""
        self.orders.give(self.url, script, leaves=True)

    def until(self, script: str) -> None:
        """Wait until a script is true in the page."""
        end = time.monotonic() + PATIENCE
        while not self.do(script):
            assert time.monotonic() < end, f"{script}: {self.do(_SHOWN)}"


@dataclass(frozen=True, slots=True)
class Window:
    """The Firefox: where its ``home`` page is, which opens all others, and what it is shown on."""

    home: Page
    shown: Screen
    group: int

    @property
    def script(self) -> str:
        """The URL of the script that a page needs to be had by :meth:`page`."""
        return f"{self.home.url}hand.js"

    def page(self, url: str) -> Page:
        return Page(url.partition("?")[0], self.home.orders)

    def open(self, *urls: str, features: str = "") -> tuple[Page, ...]:
        """Open tabs at once, or windows of their own (``popup``), as links do that give nobody their opener."""
        told = json.dumps(f"noopener,{features}")
        self.home.do(f"for (const url of {json.dumps(urls)}) open(url, '_blank', {told})")
        return tuple(map(self.page, urls))

    @contextmanager
    def slowed(self, times: int) -> Iterator[None]:
        """Stop all processes of the browser for most of the time, so that it has one part in ``times`` of its processors."""
        over = threading.Event()

        def brake() -> None:
            with suppress(ProcessLookupError):
                while not over.is_set():
                    os.killpg(self.group, signal.SIGSTOP)
                    over.wait((times - 1) * _SLICE)
                    os.killpg(self.group, signal.SIGCONT)
                    over.wait(_SLICE)

        thread = threading.Thread(target=brake)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(PATIENCE)


#: Seconds for which a browser that is slowed runs at a time.
_SLICE = 0.02
_PREFERENCES: dict[str, bool | int] = {
    "dom__disable_open_during_load": False,  # the home page opens tabs without anybody's click
    "network__dns__disableIPv6": True,  # *.localhost is 127.0.0.1 alone, as an address is one visitor
    "browser__sessionhistory__max_total_viewers": 4,  # the back/forward cache, which is none on a small machine
}


@contextmanager
def undriven() -> Iterator[Window]:
    """Start Firefox in a window on a display of its own."""
    orders = _Orders()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = PATIENCE

        def handle(self) -> None:
            with suppress(ConnectionError):  # of a page that is gone
                super().handle()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            kind, text = orders.answer(path, unquote(query), body)
            self.send_response(200)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(text.encode()))),
                ("Access-Control-Allow-Origin", "*"),
                ("Cache-Control", "no-store"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        home = Page(f"http://127.0.0.1:{server.server_port}/", orders)
        try:
            with screen() as shown, firefox(home.url, display=shown.name, **_PREFERENCES) as started:
                yield Window(home, shown, started.group)
        finally:
            server.shutdown()
            thread.join(PATIENCE)


@contextmanager
def slow_line(port: int, *, delay: float, rate: float) -> Iterator[int]:
    """Relay a port of loopback as a slow line does: each way ``delay`` seconds late, ``rate`` bytes a second for all."""
    began: Queue[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Queue()
    free = {"up": 0.0, "down": 0.0}  # when each way has sent what it was given

    async def flow(way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while data := await reader.read(8192):
                free[way] = max(free[way], loop.time()) + len(data) / rate
                loop.call_at(free[way] + delay, writer.write, data)
                await asyncio.sleep(free[way] - loop.time())
            await asyncio.sleep(delay)
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(flow("up", reader, back), flow("down", there, writer))
        back.transport.abort()
        writer.transport.abort()

    async def serve() -> None:
        over = asyncio.Event()
        async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
            began.put((asyncio.get_running_loop(), over, server.sockets[0].getsockname()[1]))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    loop, over, own = began.get(timeout=PATIENCE)
    try:
        yield own
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(PATIENCE)
