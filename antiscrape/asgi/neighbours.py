"""Whether this process is one of several workers of somebody else's server, which would each count for themselves.

No server tells its application. But a worker is called by the function that its server starts
workers with, and that one's arguments or object know how many there are: what called us is looked
through, once, when the middleware is made.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

#: Set by ``antiscrape serve``, which has said itself how its workers count.
KNOWN = "ANTISCRAPE_WORKERS_KNOWN"
#: What uvicorn, gunicorn and hosting platforms call the number of workers.
CONCURRENCY = "WEB_CONCURRENCY"

_log = logging.getLogger("antiscrape.workers")


class Neighbours(NamedTuple):
    """A server, and how many workers it runs, this one among them."""

    server: str
    workers: int

    def __str__(self) -> str:
        return (
            f"{self.server} runs {self.workers} workers, and each counts for itself: a client may get up to "
            f"{self.workers} times its budgets; name a Valkey or Redis for all of them in store.url"
        )


def neighbours(frame: FrameType | None, environ: Mapping[str, str]) -> Neighbours | None:
    """Return the workers that stand beside this one, as far as ``frame`` and its callers tell; None for nobody."""
    for module, names in _callers(frame):
        for (server, inside), (holder, count) in _SIGNS.items():
            if module.startswith(inside):
                found = getattr(names.get(holder), count, None)
                if isinstance(found, int):
                    return Neighbours(server, found) if found > 1 else None
    told = environ.get(CONCURRENCY, "")
    several = told.isascii() and told.isdecimal() and len(told) < 5 and int(told) > 1
    return Neighbours(f"{CONCURRENCY} says that the server", int(told)) if several else None


#: By server and the module of its that calls a worker: the name that knows the number, and the number's.
_SIGNS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("uvicorn", "uvicorn._subprocess"): ("config", "workers"),
    ("gunicorn", "gunicorn.arbiter"): ("self", "num_workers"),
    ("hypercorn", "hypercorn.asyncio.run"): ("config", "workers"),
    ("hypercorn", "hypercorn.trio.run"): ("config", "workers"),
}


def _callers(frame: FrameType | None) -> Iterator[tuple[str, Mapping[str, object]]]:
    while frame is not None:
        yield str(frame.f_globals.get("__name__", "")), frame.f_locals
        frame = frame.f_back


@functools.cache
def warn_of_neighbours() -> None:
    """Say in the log that workers count each for themselves, and what to do: once in a process."""
    if KNOWN in os.environ:
        return
    found = neighbours(inspect.currentframe(), os.environ)
    if found is not None:
        _log.warning("%s", found)
