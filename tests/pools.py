"""Image workers that outlive a test: to start one costs two thirds of a second of a processor, a rendition a fiftieth.

A worker keeps nothing of the pictures that it has seen, and what a renderer remembers is its own; so tests share
the former and never the latter. Whoever stops, kills or counts workers takes a renderer with workers of its own.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from antiscrape.core.rules import ImageRules
from antiscrape.images.frames import Duty
from antiscrape.images.renderer import PillowRenderer
from antiscrape.images.workers import WorkerPool

if TYPE_CHECKING:
    from antiscrape.core.rules import TraceRules
    from antiscrape.core.trace import TraceKeys

#: Seconds that a rendition may take here, where every processor has a test of its own and some have two.
_TIMEOUT = 60.0


@functools.lru_cache(maxsize=4)  # a worker takes 100 MB
def _pool_of(rules: ImageRules, hello: bytes) -> WorkerPool:
    return WorkerPool(rules, hello)


def _lent(rules: ImageRules, hello: bytes = Duty.MAKE.hello()) -> WorkerPool:
    """Return the pool of all whose renditions look alike; what is kept of them afterwards is no business of its."""
    usual = ImageRules()
    kept = {"cache_bytes": usual.cache_bytes, "cache_folder": "", "original_from": usual.original_from}
    return _pool_of(replace(rules, timeout=_TIMEOUT, **kept), hello)  # type: ignore[arg-type]  # each of its own type


class LentRenderer(PillowRenderer):
    """The renderer, with workers that it gives back at its end."""

    def __init__(
        self,
        rules: ImageRules,
        *,
        key: bytes = b"",
        trace: TraceRules | None = None,
        trace_keys: TraceKeys | None = None,
    ) -> None:
        super().__init__(rules, key=key, trace=trace, trace_keys=trace_keys)
        self._own = self._pool, self._stamper
        self._pool = _lent(rules)
        if self._stamper is not None and trace_keys is not None:
            self._stamper = _lent(rules, Duty.STAMP.hello(trace_keys.pattern))

    async def aclose(self) -> None:
        self._pool, self._stamper = self._own
        await super().aclose()
