"""The folder as an event loop sees it: a disk that hangs is waited for once, and not for long."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from antiscrape.images import drawer
from antiscrape.images.drawer import Drawer
from antiscrape.images.frames import Outcome
from antiscrape.images.shelf import Shelf
from antiscrape.ports import Rendered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MADE = Rendered(b"picture", "image/jpeg", "00" * 12)


class Stuck(Shelf):
    """A shelf on a disk that does not answer until it is told to."""

    go: threading.Event

    def get(self, key: bytes) -> Rendered | None:
        self.go.wait()
        return super().get(key)


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Stuck]:
    shelf = Stuck(tmp_path, room=2**20, key=b"k" * 32)
    shelf.go = threading.Event()
    yield shelf
    shelf.go.set()


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    async def main() -> None:
        kept = Drawer(Shelf(tmp_path, room=2**20, key=b"k" * 32))
        assert await kept.find(b"a") is None
        kept.keep(b"a", MADE, Outcome.JPEG)
        while await kept.find(b"a") != MADE:
            pass
        await kept.aclose()

    asyncio.run(main())


def test_a_disk_that_hangs_is_given_up(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits its patience at most; when a queue has formed, nobody waits at all."""
    monkeypatch.setattr(drawer, "PATIENCE", 0.01)

    async def main() -> None:
        kept = Drawer(stuck)
        waiting = [kept.find(b"%d" % number) for number in range(drawer._MOST)]
        assert await asyncio.gather(*waiting) == [None] * drawer._MOST
        monkeypatch.setattr(drawer, "PATIENCE", 60)
        assert await kept.find(b"a") is None
        kept.keep(b"a", MADE, Outcome.JPEG)
        assert kept.counts["passed"] == drawer._MOST + 2
        stuck.go.set()
        while kept._work:  # noqa: ASYNC110 - the threads have no event for a test to wait for
            await asyncio.sleep(0)
        assert await kept.find(b"a") is None
        await kept.aclose()

    asyncio.run(main())
