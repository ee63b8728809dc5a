"""``make simulate``: what antiscrape needs past one machine, from 1 to 1,000 nodes and up to 10^8 principals a day.

Prints a table, and writes ``artifacts/simulation.json`` and ``artifacts/simulation.html``. ``--quick`` takes less than a
minute, a full run less than ten.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from antiscrape.core.verdict import Standing
from antiscrape.settings import load_policy
from antiscrape.stores.extras import has_private
from antiscrape.stores.private import private_store
from loadtests.simulation.model import node_memory
from loadtests.simulation.report import Results, page, text
from loadtests.simulation.server import Server
from loadtests.simulation.traffic import Site, overshoot, play

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is simulated and measured.

    ``principals`` come in a day to ``nodes`` nodes, of which so many ``seconds`` are played; ``fleet`` is principals and
    seconds for each number of nodes in ``fleets``. ``spread``, ``intervals`` and ``tries`` are the overshoot's; ``records``
    and ``calls`` the real server's, ``clients`` a node's.
    """

    nodes: int
    principals: tuple[float, ...]
    seconds: float
    fleets: tuple[int, ...]
    fleet: tuple[float, float]
    spread: tuple[int, ...]
    intervals: tuple[float, ...]
    tries: int
    records: tuple[int, ...]
    calls: int
    clients: int


FULL = Extent(
    nodes=16,
    principals=(1e5, 3e5, 1e6),
    seconds=60.0,
    fleets=(1, 4, 16, 64, 256, 1000),
    fleet=(2e6, 12.0),
    spread=(2, 4, 16, 64, 256, 1000),
    intervals=(0.1, 0.5),
    tries=3,
    records=(10_000, 30_000, 100_000),
    calls=2000,
    clients=20_000,
)
QUICK = Extent(
    nodes=16,
    principals=(3e4, 1e5),
    seconds=24.0,
    fleets=(1, 4, 16, 64),
    fleet=(3e5, 8.0),
    spread=(2, 4, 16, 64),
    intervals=(0.1, 0.5),
    tries=2,
    records=(1000, 3000),
    calls=400,
    clients=2000,
)


def simulate(extent: Extent) -> Results:
    """Simulate and measure; say on stderr what is under way."""
    policy = load_policy(environ={"ANTISCRAPE_SECRET": secrets.token_urlsafe(48)})
    allowance = policy.standings[Standing.BROWSER]
    results = Results(node_principals=policy.store.max_principals)
    for principals in extent.principals:
        _say(f"{principals:,.0f} principals a day at {extent.nodes} nodes")
        results.sizes.append(
            play(Site(policy, allowance, extent.nodes, INTERVAL), principals, extent.seconds)
        )
    for nodes in extent.fleets:
        _say(f"{nodes} nodes")
        results.fleets.append(play(Site(policy, allowance, nodes, INTERVAL), *extent.fleet))
    for interval in extent.intervals:
        for nodes in extent.spread:
            _say(f"a harvester at {nodes} nodes, an exchange every {interval:g} s")
            tries = extent.tries if nodes < 1000 else 1
            results.overshoots.append(overshoot(policy, allowance, nodes, interval, 100.0, tries=tries))
    _say("the memory of a node")
    results.node_bytes = node_memory(policy, allowance, extent.clients)
    _measure(results, extent)
    return results


def _measure(results: Results, extent: Extent) -> None:
    if not has_private():
        return
    import redis  # noqa: PLC0415  not everybody who plays on paper has it

    with private_store() as url, redis.Redis.from_url(url, socket_timeout=60.0) as client:
        server = Server(client)
        _say("the processor of a valkey-server")
        results.costs = server.costs(extent.calls)
        for records in extent.records:
            _say(f"its memory, with {records:,d} records")
            results.memory.append(server.memory_of(records))


def _say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Simulate, print, write the files, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.simulate")
    parser.add_argument("--quick", action="store_true", help="fewer nodes and principals: less than a minute")
    parser.add_argument("--to", type=Path, default=ARTIFACTS, metavar="FOLDER", help="where the files go")
    options = parser.parse_args(arguments)
    results = simulate(QUICK if options.quick else FULL)
    print(text(results))
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / "simulation.json").write_text(json.dumps(results.as_json(), indent=2) + "\n")
    (options.to / "simulation.html").write_text(page(results))
    print(f"\n{options.to / 'simulation.json'}\n{options.to / 'simulation.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
