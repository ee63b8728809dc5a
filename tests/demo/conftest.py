"""The demo's photos, made once, and its site served as it is, without antiscrape."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest

from antiscrape.demo.photos import Library, make_library
from antiscrape.demo.site import create_site
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen, url_of
from antiscrape.serving.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Make the photos, once for all processes that run tests."""
    folder = tmp_path_factory.getbasetemp()
    root = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (root / "photos.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return make_library(cache=root / "photos")


@pytest.fixture(scope="session")
def plain_url(library: Library) -> Iterator[str]:
    """Serve the site with nothing before it, so that what visitors take can be told from what they are given."""
    sock = listen(host="127.0.0.1", port=0)
    ready = threading.Event()
    server = Server(configure(create_site(library), timeout_graceful_shutdown=2), ready=ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    assert ready.wait(120)
    yield url_of(sock) + "/"
    server.should_exit = True
    thread.join(120)
    sock.close()
    assert not thread.is_alive()
