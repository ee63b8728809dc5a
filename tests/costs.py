"""What an answer may cost, told so that no busy machine changes it: an end, and a number of calls."""

from __future__ import annotations

import gc
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def ends(seconds: float = 5.0) -> Iterator[None]:
    """Stop, and fail, what takes ``seconds`` of the processor: for input on which worse than linear work takes minutes.

    It tells a hang from an answer and nothing finer: how fast something is, is measured by ``make bench``.
    """

    def late(*_: object) -> None:
        message = f"{seconds} s of the processor, and no end"
        raise AssertionError(message)

    former = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


def calls_of(job: Callable[[], object]) -> int:
    """Return how many functions, Python's and C's, ``job`` calls: a cost that no busy machine changes."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    gc.disable()  # a finalizer's calls are not the job's
    sys.setprofile(count)
    try:
        job()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls
