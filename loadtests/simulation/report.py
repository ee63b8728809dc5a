"""The simulation's results: a table for the terminal, figures as JSON, and a page with plots."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadtests.simulation.model import BUSY, NODE, PEAK, bytes_of, checked, nodes_of_one, size_of
from loadtests.simulation.population import DAY, MIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loadtests.simulation.model import Size
    from loadtests.simulation.server import Costs, Memory
    from loadtests.simulation.traffic import Overshoot, Traffic

#: Sizes of sites, in principals a day, for which the extrapolation is written out.
SITES = (1e4, 1e5, 1e6, 1e7, 1e8)


@dataclass(slots=True)
class Results:
    """All that was simulated and measured.

    ``sizes`` are slices of several populations at one number of nodes, ``fleets`` of one population at several; ``costs``
    and ``memory`` are missing where there is no valkey-server to measure.
    """

    sizes: list[Traffic] = field(default_factory=list)
    fleets: list[Traffic] = field(default_factory=list)
    overshoots: list[Overshoot] = field(default_factory=list)
    costs: Costs | None = None
    memory: list[Memory] = field(default_factory=list)
    node_bytes: float = 0.0
    node_principals: int = 0

    def extrapolated(self) -> list[Size]:
        """Return what each number of nodes that was simulated needs at full load."""
        if self.costs is None or not self.memory:
            return []
        return [size_of(told.nodes, told, self.costs, self.memory[-1]) for told in self.fleets]

    def site(self, principals: float) -> Size | None:
        """Return what a site of so many principals a day needs."""
        if self.costs is None or not self.memory:
            return None
        nodes = max(1, round(principals * MIX.requests / DAY * PEAK / NODE + 0.5))
        nearest = min(self.fleets, key=lambda told: abs(told.nodes - nodes))
        rate = principals * MIX.requests / DAY * PEAK / nodes
        return size_of(nodes, nearest, self.costs, self.memory[-1], rate=rate)

    def as_json(self) -> dict[str, Any]:
        """Return all figures with their names."""
        sizes = self.extrapolated()
        sites = [site for site in map(self.site, SITES) if site is not None]
        return {
            "simulated": {
                "principals": [{**one._asdict(), "records": one.records} for one in self.sizes],
                "nodes": [{**one._asdict(), "records": one.records} for one in self.fleets],
                "overshoot": [one._asdict() for one in self.overshoots],
                "records_differ_by": checked(self.sizes),
            },
            "measured": {
                "costs_us": self.costs._asdict() if self.costs else None,
                "store_bytes": [one._asdict() for one in self.memory],
                "node_bytes_a_principal": self.node_bytes,
            },
            "extrapolated": {
                "nodes": [{**one._asdict(), "servers": one.servers} for one in sizes],
                "sites": [{**one._asdict(), "servers": one.servers} for one in sites],
                "nodes_of_one_server": nodes_of_one(sizes) if sizes else None,
            },
        }


def text(results: Results) -> str:
    """Return the results as the terminal shows them."""
    return "\n".join(line for part in (_simulated, _overshoot, _measured, _needed) for line in part(results))


def _simulated(results: Results) -> Iterator[str]:
    yield "SIMULATED: a slice of a day, real stores and exchanges, the server on paper"
    yield f"{'principals/day':>15}{'nodes':>7}{'requests':>10}{'records':>9}{'full':>7}{'bytes':>8}{'exchanges/s':>13}"
    yield f"{'':>15}{'':>7}{'played':>10}{'/request':>9}{'':>7}{'/request':>8}{'a node':>13}"
    for one in results.sizes + results.fleets:
        yield (
            f"{one.principals:15,.0f}{one.nodes:7d}{one.requests:10,d}{one.records:9.2f}{one.full:7.2f}"
            f"{one.bytes:8.0f}{one.exchanges_a_second:13.1f}"
        )
    share = checked(results.sizes)
    yield f"records a request differ by {share:.0%} at most between the sizes of the population"
    yield ""


def _overshoot(results: Results) -> Iterator[str]:
    yield "SIMULATED: originals beyond the ration of one harvester that spreads over all nodes"
    yield f"{'nodes':>15}{'interval':>10}{'requests/s':>12}{'ration':>8}{'mean':>8}{'worst':>7}{'bound':>7}"
    for one in results.overshoots:
        yield (
            f"{one.nodes:15d}{one.interval:8.2f} s{one.rate:12.0f}{one.ration:8d}"
            f"{one.mean:8.1f}{one.worst:7d}{one.bound:7.0f}"
        )
    yield ""


def _measured(results: Results) -> Iterator[str]:
    if results.costs is None or not results.memory:
        yield "NOT MEASURED: there is no valkey-server, so nothing is said of the store's processor and memory"
        return
    costs = results.costs
    yield "MEASURED: a real valkey-server"
    yield f"  processor: {costs.call:.0f} µs a call, {costs.light:.0f} µs a light record, {costs.full:.0f} µs a full one"
    yield f"  a mixed load takes {costs.check:.2f} times what these foretell"
    for one in results.memory:
        yield (
            f"  memory with {one.records:,d} records: {one.light:.0f} bytes without originals, {one.person:.0f} a person's day, "
            f"{one.network:.0f} a network's, {one.harvester:.0f} with a day's ration"
        )
    yield f"  a node takes {results.node_bytes:.0f} bytes for a principal with its network"
    yield f"  ({results.node_principals:,d} principals at most: {results.node_bytes * results.node_principals / 1e6:.0f} MB)"
    yield ""


def _needed(results: Results) -> Iterator[str]:
    sizes = results.extrapolated()
    if not sizes:
        return
    yield f"EXTRAPOLATED: each node, one worker process, at {NODE:,.0f} requests a second in the busiest hour, which has {PEAK:g} times the day's mean"
    yield _head("nodes", "principals/day")
    for size in sizes:
        yield _row(f"{size.nodes:d}", f"{size.principals:,.0f}", size)
    yield f"one server serves {nodes_of_one(sizes):.0f} such nodes with its processor busy for {BUSY:.0%}; more take a cluster"
    yield ""
    yield "EXTRAPOLATED: by the size of the site"
    yield _head("principals/day", "nodes")
    for principals in SITES:
        site = results.site(principals)
        if site is not None:
            yield _row(f"{principals:,.0f}", f"{site.nodes:d}", site)
    yield f"the store keeps {bytes_of(results.memory[-1]):.0f} bytes for each of a day's principals"


def _head(first: str, second: str) -> str:
    return (
        f"{first:>15}{second:>16}{'requests/s':>12}{'calls/s':>10}{'records/s':>11}{'MB/s':>8}"
        f"{'processor':>11}{'memory':>11}{'servers':>9}"
    )


def _row(first: str, second: str, size: Size) -> str:
    return (
        f"{first:>15}{second:>16}{size.requests:12,.0f}{size.calls:10,.0f}{size.records:11,.0f}"
        f"{size.bytes / 1e6:8.1f}{size.processor:11.0%}{size.memory / 1e9:8.2f} GB{size.servers:9d}"
    )


def page(results: Results) -> str:
    """Return the results as a page: plots, each with what it shows, and the tables below."""
    plots = [
        _overshoot_plot,
        _records_plot,
        *([_processor_plot, _memory_plot] if results.extrapolated() else []),
    ]
    figures = "".join(
        f"<figure>{svg}<figcaption>{html.escape(words)}</figcaption></figure>"
        for svg, words in (plot(results) for plot in plots)
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>antiscrape past one machine</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "figure{display:inline-block;vertical-align:top;margin:0 1rem 1.5rem 0;width:32rem;max-width:100%}"
        "svg{width:100%;height:auto}figcaption{font-size:.9rem;color:#444}"
        "pre{overflow-x:auto;background:#f5f5f5;padding:1rem;font-size:.8rem;line-height:1.4}</style>"
        "<h1>antiscrape past one machine</h1><p>What nodes and the shared store say to each other was simulated with the "
        "code that serves requests; what a Valkey server spends on it was measured; larger sites are extrapolated. A node is one worker process.</p>"
        f"{figures}<h2>All figures</h2><pre>{html.escape(text(results))}</pre></html>"
    )


def _drawn(draw: Callable[[Any], None]) -> str:
    """Return a plot as inline SVG."""
    import matplotlib as mpl  # noqa: PLC0415  a second, which whoever wants JSON need not wait

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  see above

    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    draw(axes)
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    return drawn.getvalue().partition("?>")[2].partition(">\n")[2]


def _label_nodes(axes: Any, nodes: list[int]) -> None:
    axes.set_xticks(nodes, labels=[f"{one:,d}" for one in nodes])
    axes.set_xticks([], minor=True)


def _overshoot_plot(results: Results) -> tuple[str, str]:
    def draw(axes: Any) -> None:
        colours = ("#1f6f8b", "#c8553d", "#588157", "#8d6a9f", "#b5838d")
        for colour, interval in zip(
            colours, sorted({one.interval for one in results.overshoots}), strict=False
        ):
            rows = [one for one in results.overshoots if one.interval == interval]
            nodes = [one.nodes for one in rows]
            axes.plot(
                nodes, [one.mean for one in rows], "o-", color=colour, label=f"mean, interval {interval:g} s"
            )
            axes.plot(
                nodes, [one.bound for one in rows], ":", color=colour, label=f"bound, interval {interval:g} s"
            )
        axes.set(xscale="log", xlabel="nodes", ylabel="originals beyond the ration", title="Overshoot")
        axes.set_ylim(bottom=0)
        _label_nodes(axes, sorted({one.nodes for one in results.overshoots}))

    one = results.overshoots[0]
    words = (
        f"One harvester with a ration of {one.ration} originals asks {one.rate:g} times a second, each time of any node. A node "
        "that hears of it first admits one picture, or as many as come within an interval."
    )
    return _drawn(draw), words


def _records_plot(results: Results) -> tuple[str, str]:
    def draw(axes: Any) -> None:
        rows = results.fleets
        axes.plot(
            [one.nodes for one in rows],
            [one.records for one in rows],
            "o-",
            color="#1f6f8b",
            label="by nodes",
        )
        for one in results.sizes:
            axes.plot(one.nodes, one.records, "x", color="#c8553d")
        axes.plot([], [], "x", color="#c8553d", label=f"{results.sizes[0].nodes} nodes, by principals")
        axes.plot(
            [one.nodes for one in rows],
            [one.full for one in rows],
            "s--",
            color="#588157",
            label="of these full",
        )
        axes.set(
            xscale="log",
            xlabel="nodes",
            ylabel="records told a request",
            title="What a request tells the store",
        )
        axes.set_ylim(bottom=0)
        _label_nodes(axes, [one.nodes for one in rows])

    words = (
        "A record is a principal or its network, told once an interval. Full records carry originals, subjects and bytes. "
        f"Crosses: {results.sizes[0].principals:,.0f} to {results.sizes[-1].principals:,.0f} principals a day."
    )
    return _drawn(draw), words


def _processor_plot(results: Results) -> tuple[str, str]:
    sizes = results.extrapolated()

    def draw(axes: Any) -> None:
        axes.plot([one.nodes for one in sizes], [100 * one.processor for one in sizes], "o-", color="#1f6f8b")
        axes.axhline(
            100 * BUSY, color="#c8553d", linestyle="--", label=f"{BUSY:.0%}: one server is busy enough"
        )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="nodes",
            ylabel="one processor (%)",
            title="The store's processor",
        )
        _label_nodes(axes, [one.nodes for one in sizes])

    words = f"At {NODE:,.0f} requests a second and node, an exchange every {results.fleets[0].interval:g} s. Extrapolated."
    return _drawn(draw), words


def _memory_plot(results: Results) -> tuple[str, str]:
    each = bytes_of(results.memory[-1])

    def draw(axes: Any) -> None:
        axes.plot(SITES, [site * each / 1e9 for site in SITES], "o-", color="#1f6f8b")
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="principals a day",
            ylabel="memory (GB)",
            title="The store's memory",
        )

    words = f"{each:.0f} bytes for each of a day's principals, by what a record took with {results.memory[-1].records:,d} in the server."
    return _drawn(draw), words
