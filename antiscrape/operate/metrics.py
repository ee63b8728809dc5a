"""The exposition: the figures of this process and its siblings, as Prometheus reads them.

``prometheus_client`` writes the text and nothing else; it holds no counter of ours. All of this
happens when somebody scrapes, in a thread, so that a large file table delays no request.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from antiscrape.core.overload import SHED
from antiscrape.operate.families import BY_NAME, FAMILIES, Family, Figures, Merge
from antiscrape.operate.meter import merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from prometheus_client import Metric

    from antiscrape.operate.ledger import Ledger
    from antiscrape.operate.meter import Meter

_log = logging.getLogger("antiscrape.metrics")


class Metrics:
    """Tells the figures of one process or, with a ``ledger``, of all workers of a server.

    A counter must never go backwards, whichever worker answers. So a worker writes its own figures
    down before it tells them, and tells only what it could write: the next one to be asked reads at
    least as much.
    """

    def __init__(self, meter: Meter, ledger: Ledger | None = None) -> None:
        self._meter = meter
        self._ledger = ledger
        self._process = ProcessCollector(registry=None)
        self._published: Figures = {}
        self._lock = threading.Lock()

    async def publish(self) -> None:
        """Write this worker's figures for its siblings, if they changed since the last time."""
        await asyncio.to_thread(self._current)

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition and its media type, in the format that an ``Accept`` field asks for."""
        return await asyncio.to_thread(self.tell, accept)

    def tell(self, accept: str = "") -> tuple[bytes, str]:
        """Do as ``scrape`` does, at once."""
        registry = CollectorRegistry()
        registry.register(Told(self._all()))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    async def troubles(self) -> str:
        """Return what an operator should know although requests are served, a line each."""
        return await asyncio.to_thread(self._troubles)

    def _troubles(self) -> str:
        figures = self._all()
        away = int(figures.get("antiscrape_store_away", {}).get((), 0))
        rung = int(figures.get("antiscrape_overload_rung", {}).get((), 0))
        refused = int(figures.get("antiscrape_reload_refused", {}).get((), 0))
        troubles = (
            f"the shared store is away: {away} workers count for themselves\n" if away else "",
            f"overloaded: {', '.join(SHED[1 : rung + 1])} are shed\n" if rung else "",
            f"the policy on disk is wrong: {refused} workers go on with the one before\n" if refused else "",
        )
        return "".join(troubles)

    def _all(self) -> Figures:
        own = self._current()
        living, dead = self._ledger.others() if self._ledger is not None else ([], [])
        return merge([own, *living], dead)

    def _current(self) -> Figures:
        with self._lock:  # a scrape and a tick may come together, and the older must not be written last
            figures = self._meter.read() | read_process(self._process)
            if self._ledger is None:
                return figures
            if figures != self._published and self._ledger.publish(figures):
                self._published = figures
            return self._published


class Told(Collector):
    """Figures as metric families, in the order of ``FAMILIES``."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """Yield the families that have values."""
        for family in FAMILIES:
            values = self._figures.get(family.name)
            if values:
                yield _write(family, values)


def _write(family: Family, values: Mapping[tuple[str, ...], float]) -> Metric:
    if family.merge is Merge.INFO:
        info = InfoMetricFamily(family.name, family.help)
        for labels in sorted(values):
            info.add_metric([], dict(zip(family.labels, labels, strict=True)))
        return info
    kind: Any = CounterMetricFamily if family.merge is Merge.TOTAL else GaugeMetricFamily
    metric: Metric = kind(family.name, family.help, labels=family.labels)
    for labels in sorted(values):
        metric.add_metric(labels, values[labels])  # type: ignore[attr-defined]  # of both kinds, not of their base
    return metric


def read_process(collector: ProcessCollector) -> Figures:
    """Return this process's own figures: CPU seconds, memory, file descriptors; nothing where there is no /proc."""
    return {
        metric.name: {(): sample.value}
        for metric in collector.collect()
        for sample in metric.samples
        if metric.name in BY_NAME
    }
