"""The words for workers that each count for themselves, under the real uvicorn and for what other servers call us from."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.asgi import neighbours as module
from antiscrape.asgi.neighbours import KNOWN, Neighbours, neighbours, warn_of_neighbours

if TYPE_CHECKING:
    from types import FrameType
from tests.house import SPARE

ROOT = Path(__file__).parents[2]
SECRET = "kept-in-this-test-only-and-long-enough-to-sign-with"

SITE = """
from antiscrape import AntiscrapeMiddleware

async def site(scope, receive, send):
    message = await receive()
    while scope["type"] == "lifespan":
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
        message = await receive()

app = AntiscrapeMiddleware(site)
"""


@pytest.mark.parametrize(("workers", "warnings"), [("2", 2), ("1", 0)])
def test_uvicorns_workers_say_that_they_count_alone(tmp_path: Path, workers: str, warnings: int) -> None:
    """Each of two says so once; a single one says nothing."""
    (tmp_path / "site_of_test.py").write_text(SITE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")}
    told = {
        "ANTISCRAPE_SECRET": SECRET,
        "ANTISCRAPE__RECORD__EVENTS": "off",
        "PYTHONPATH": f"{ROOT}:{tmp_path}",
        **SPARE,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "site_of_test:app", "--port", "0", "--workers", workers],
        env=clean | told,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if sum("startup complete" in one for one in lines) == int(workers):
                process.send_signal(signal.SIGTERM)
                break
        lines += process.communicate(timeout=120)[1].splitlines()
    finally:
        process.kill()
        process.communicate()
    said = [line for line in lines if "counts for itself" in line]
    assert len(said) == warnings, lines
    assert all(line.startswith("uvicorn runs 2 workers") and "store.url" in line for line in said)


def called_from(module_name: str, **names: Any) -> FrameType:
    """Return the frame of what a function of ``module_name`` that has ``names`` has called."""
    space: dict[str, Any] = {"__name__": module_name, "frame": inspect.currentframe}
    exec(
        f"def starts({', '.join(names)}):\n    return frame()", space
    )  # a server's function, as far as it is looked at
    made: FrameType = space["starts"](**names)
    return made


@pytest.mark.parametrize(
    ("caller", "names", "found"),
    [
        ("uvicorn._subprocess", {"config": SimpleNamespace(workers=4)}, Neighbours("uvicorn", 4)),
        ("uvicorn._subprocess", {"config": SimpleNamespace(workers=1)}, None),
        ("gunicorn.arbiter", {"self": SimpleNamespace(num_workers=3)}, Neighbours("gunicorn", 3)),
        ("hypercorn.asyncio.run", {"config": SimpleNamespace(workers=2)}, Neighbours("hypercorn", 2)),
        ("site.pages", {"config": SimpleNamespace(workers=2)}, None),
        ("uvicorn._subprocess", {"config": None}, None),
    ],
)
def test_who_calls_tells_how_many_there_are(
    caller: str, names: dict[str, Any], found: Neighbours | None
) -> None:
    assert neighbours(called_from(caller, **names), {}) == found


@pytest.mark.parametrize(
    ("value", "count"),
    [("4", 4), ("1", 0), ("0", 0), ("", 0), ("many", 0), ("-3", 0), ("9" * 99, 0), ("٣", 0)],
)
def test_where_nobody_tells_the_environment_is_asked(value: str, count: int) -> None:
    found = neighbours(None, {"WEB_CONCURRENCY": value})
    assert (found.workers if found else 0) == count


def test_it_is_said_once_in_a_process_and_never_under_our_own_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv(KNOWN, "1")
    warn_of_neighbours.cache_clear()
    with caplog.at_level(logging.WARNING, logger=module._log.name):
        warn_of_neighbours()
        assert caplog.messages == []
        monkeypatch.delenv(KNOWN)
        warn_of_neighbours.cache_clear()
        warn_of_neighbours()
        warn_of_neighbours()
    (said,) = caplog.messages
    assert said.startswith("WEB_CONCURRENCY says that the server runs 3 workers, and each counts for itself")
    warn_of_neighbours.cache_clear()
