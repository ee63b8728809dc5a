"""A hand on Firefox's mouse: its own Marionette protocol, as far as it takes to follow a link and press a button.

It works where a page's scripts are off, as in a Tor Browser at its safest, for it clicks from outside of the page.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.browser.browsing import firefox
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Hand:
    """One session: what is told of elements is their text."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._read = self._socket.makefile("rb")
        self._number = 0
        self._message()
        self("WebDriver:NewSession", strictFileInteractability=True)

    def __call__(self, command: str, **told: Any) -> Any:
        """Have a command done, and return what came of it."""
        self._number += 1
        body = json.dumps([0, self._number, command, told]).encode()
        self._socket.sendall(b"%d:%b" % (len(body), body))
        _, _, error, result = self._message()
        assert error is None, error
        return result

    def _message(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            byte = self._read.read(1)
            assert byte, "Firefox has hung up"
            length += byte
        return json.loads(self._read.read(int(length[:-1])))

    def go(self, url: str) -> None:
        self("WebDriver:Navigate", url=url)

    @property
    def url(self) -> str:
        told: str = self("WebDriver:GetCurrentURL")["value"]
        return told

    def text(self, css: str) -> str:
        told: str = self("WebDriver:GetElementText", id=self._find("css selector", css))["value"]
        return told

    def follow(self, link: str) -> None:
        self("WebDriver:ElementClick", id=self._find("link text", link))

    def press(self) -> None:
        self("WebDriver:ElementClick", id=self._find("css selector", "button"))

    def _find(self, using: str, value: str) -> str:
        (found,) = self("WebDriver:FindElement", using=using, value=value)["value"].values()
        return str(found)

    def picture(self, path: Path) -> None:
        """Keep what is shown."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self("WebDriver:TakeScreenshot", full=False)["value"]))

    def close(self) -> None:
        self._read.close()
        self._socket.close()


@contextmanager
def hand(**preferences: bool | int) -> Iterator[Hand]:
    """Start Firefox without a window, and yield a hand on it."""
    with firefox("about:blank", "--marionette", display="", marionette__port=0, **preferences) as started:
        told, end = started.profile / "MarionetteActivePort", time.monotonic() + PATIENCE
        while not (told.exists() and told.read_text().strip()):
            assert time.monotonic() < end, "Firefox does not say where it listens"
            time.sleep(0.02)
        one = Hand(int(told.read_text()))
        try:
            yield one
        finally:
            one.close()
