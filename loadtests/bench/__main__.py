"""``make bench``: what antiscrape costs, beside the bare site and its peers.

Exit status 0, or with ``--check`` 1 where a target of ``loadtests/budgets.toml`` is missed beyond the
noise, and 2 where something could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtests.bench import peers
from loadtests.bench.crowded import Crowd, crowded
from loadtests.bench.figures import judge, machine, read_budgets
from loadtests.bench.flat import flatness
from loadtests.bench.forwarded import forwarded
from loadtests.bench.forwarders import FORWARDERS
from loadtests.bench.forwarding import TARGETS, faster, forward
from loadtests.bench.generator import Generator
from loadtests.bench.inprocess import InProcess, added
from loadtests.bench.paths import costs
from loadtests.bench.served import Row, compare, counts_per_client
from loadtests.bench.stages import stages
from loadtests.bench.tracked import CONTENDERS, weigh
from loadtests.bench.variants import OWN, VARIANTS
from loadtests.bench.visitors import API, IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtests.bench.costs import Cost

PARTS = ("served", "proxied", "inprocess", "paths", "tracked", "flat", "forwarded", "crowded")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: a full run takes a quarter of an hour or more, a quick one some minutes.

    ``heavy`` takes in the contenders that spend milliseconds a request; ``tracked`` clients are weighed all at once,
    and ``flat`` is how many powers of ten of them, from a thousand on, a request is timed with.

    A run begins with what other processes have left in the caches, and in a second each client comes once: peers, which
    add more than that, run for ``seconds``, and what is measured to the hundredth for ``long`` ones.
    """

    rounds: int
    seconds: float
    long: float
    batches: int
    paths: int
    clients: int
    tracked: int
    flat: int
    heavy: bool
    crowd: Crowd


FULL = Size(
    rounds=5,
    seconds=1.0,
    long=4.0,
    batches=300,
    paths=30,
    clients=200_000,
    tracked=1_000_000,
    flat=4,
    heavy=True,
    crowd=Crowd(),
)
QUICK = Size(
    rounds=2,
    seconds=1.0,
    long=2.0,
    batches=60,
    paths=8,
    clients=50_000,
    tracked=100_000,
    flat=3,
    heavy=False,
    crowd=Crowd(500, 100),
)
_TRACED = 20_000


@dataclass(slots=True)
class Report:
    """All that was measured: ``figures`` by the names of ``budgets.toml``, ``tables`` for people and machines."""

    figures: dict[str, float] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write ``artifacts/bench.json``; return the exit status."""
    options = _options().parse_args(arguments)
    size, begun, report = QUICK if options.quick else FULL, time.monotonic(), Report()
    named = machine()
    print(f"{named['processor']}, {named['cores']} cores, {named['python']}, load {named['load']}")
    print(f"accelerator: {named['accelerator']}")
    try:
        _measure(options, size, report)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"could not be measured: {error}", file=sys.stderr)
        return 2
    targets, others = read_budgets("bench")
    lines, missed = judge(report.figures, targets, tolerance=others["tolerance"])
    missed += _dearer(report, others["peers_dearer"])
    print("\nTargets (loadtests/budgets.toml)")
    print("\n".join(f"  {line}" for line in lines))
    for name in missed:
        print(f"  MISSED: {name}")
    _write(Path(options.output), named, report, missed)
    print(f"\n{time.monotonic() - begun:.0f} s; {options.output}")
    return 1 if options.check and missed else 0


def _measure(options: argparse.Namespace, size: Size, report: Report) -> None:
    if "inprocess" in options.parts:
        _inprocess(size, report)
    if "paths" in options.parts:
        _paths(size, report)
    if "tracked" in options.parts:
        _tracked(size, report)
    if "flat" in options.parts:
        _flat(size, report)
    if "proxied" in options.parts:
        _proxied(size, report, wrk="" if options.own_generator else None)
    if "served" in options.parts:
        _served(size, report, wrk="" if options.own_generator else None)
    if "forwarded" in options.parts:
        _forwarded(size, report)
    if "crowded" in options.parts:
        _crowded(size, report)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description="CPU time per request.")
    parser.add_argument("--quick", action="store_true", help="about three minutes, with more noise")
    parser.add_argument("--check", action="store_true", help="exit 1 where a target is missed")
    parser.add_argument("--own-generator", action="store_true", help="make the load without wrk")
    parser.add_argument("--output", default=str(peers.ROOT / "artifacts" / "bench.json"), metavar="FILE")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    return parser


def _inprocess(size: Size, report: Report) -> None:
    print("\nIn the process: CPU µs added to a known client's request (medians; quartiles in brackets)")
    rows = [asyncio.run(added(target, rounds=size.batches)) for target in (API, IMAGE)]
    for row in rows:
        _say_inprocess(row)
    parts = asyncio.run(stages(API, rounds=max(10, size.batches // 5)))
    print("  in loops of their own, the Python code alone:")
    for part in parts:
        print(f"    {part.name:10s} {part.cost:6.2f}  {part.covers}")
    report.figures["in_process_hmac"] = rows[0].hmacs
    report.figures["in_process_cycles"] = rows[0].cycles
    report.tables["in_process"] = [row._asdict() for row in rows]
    report.tables["stages"] = [part._asdict() for part in parts]


def _say_inprocess(row: InProcess) -> None:
    low, high = row.added.low, row.added.high
    print(
        f"  {row.target:16s} bare {row.bare:6.1f}   added {row.added.median:6.2f} [{low:.2f}-{high:.2f}]"
        f"   one HMAC {row.one_hmac:.2f}   = {row.hmacs:.2f} HMACs   {row.cycles:g} cyclic objects left"
    )
    steps = "   ".join(f"{name} {cost:.2f}" for name, cost in row.stages.items())
    print(f"  {'':16s} in place: {steps}")


def _paths(size: Size, report: Report) -> None:
    print("\nRarer requests")
    found = costs(rounds=size.paths, clients=size.clients)
    for cost in found:
        print(f"  {cost.title:64s} {cost.value:12,.2f} {cost.unit}")
        report.figures[cost.name] = cost.value
    report.tables["paths"] = [cost._asdict() for cost in found]


def _tracked(size: Size, report: Report) -> None:
    environment = peers.prepare()
    print("\nMemory: bytes per idle tracked client, and the whole process with so many of them")
    rows = []
    for name, (title, module, _) in CONTENDERS.items():
        fault = environment.lacks(module)
        if fault:
            report.skipped[name] = fault
            print(f"  skipped: {title}: {fault}")
            continue
        clients = size.tracked // 10 if name == "looked" else size.tracked  # which asks four times as often
        row = weigh(name, environment, traced=_TRACED, clients=clients)
        rows.append(row._asdict())
        print(f"  {title:44s}{row.bytes:8,.0f} B{row.resident_mb:10,.0f} MB of {clients:,}")
        if name == "asked":
            report.figures["bytes_per_idle_client"] = row.bytes
            if size.tracked >= 10**6:
                report.figures["resident_million_mb"] = row.resident_mb
    report.tables["tracked"] = rows


def _flat(size: Size, report: Report) -> None:
    print(
        "\nA request of a known client by how many are remembered: CPU µs with the site's own, a look-up's ns"
    )
    rows = asyncio.run(flatness([10**power for power in range(3, 3 + size.flat)], rounds=size.batches // 2))
    for row in rows:
        print(f"  {row.clients:10,d} clients{row.cost:9.1f} µs{row.ratio:7.2f} x{row.lookup:9,.0f} ns")
        report.figures[f"flat_{row.clients}_ratio"] = row.ratio
    report.tables["flat"] = [row._asdict() for row in rows]


def _forwarded(size: Size, report: Report) -> None:
    print("\nBeside nginx, by config/edge/nginx.conf (one process each; load by wrk)")
    _say_costs("forwarded", lambda: forwarded(rounds=2 * size.rounds, seconds=1), report)


def _crowded(size: Size, report: Report) -> None:
    print(
        "\nAmong connections that say half a head, and that read nothing, with the limits of [serve] by default"
    )
    _say_costs("crowded", lambda: crowded(size.crowd), report)


def _say_costs(part: str, measure: Callable[[], list[Cost]], report: Report) -> None:
    try:
        found = measure()
    except FileNotFoundError as error:
        report.skipped[part] = str(error)
        print(f"  skipped: {error}")
        return
    for cost in found:
        print(f"  {cost.title:64s} {cost.value:12,.2f} {cost.unit}")
        report.figures[cost.name] = cost.value
    report.tables[part] = [cost._asdict() for cost in found]


def _compared(
    names: list[str], environment: peers.Environment, generator: Generator, size: Size
) -> list[Row]:
    """Return the rows of peers, of antiscrape, and of a picture that antiscrape lets pass."""
    own, rows = [name for name in names if name in OWN], []
    for contenders, target, seconds in (
        ([name for name in names if name not in OWN], API, size.seconds),
        (own, API, size.long),
        (own[:1], IMAGE, size.long),
    ):
        if contenders:
            rows += compare(
                contenders, environment, generator, target, rounds=size.rounds, seconds=seconds, say=_progress
            )
    return rows


def _served(size: Size, report: Report, *, wrk: str | None) -> None:
    environment = peers.prepare()
    names = []
    for name, variant in VARIANTS.items():
        if name == "bare" or (variant.heavy and not size.heavy):
            continue
        fault = environment.lacks(variant.module)
        try:
            fault = fault or counts_per_client(variant, environment, API)
        except OSError as error:
            fault = str(error)
        if fault:
            report.skipped[name] = fault
            print(f"  skipped: {variant.title}: {fault}")
        else:
            names.append(name)
    with Generator(wrk=wrk) as generator:
        print(
            f"\nServed: uvicorn, uvloop, httptools, one worker; load by {'wrk' if generator.wrk else 'our own loop'}"
        )
        rows = _compared(names, environment, generator, size)
    print(f"{'':56s}{'CPU µs':>11s}{'added':>11s}{'ratio':>9s}  quartiles    req/s  runs  not 200")
    for row in sorted(rows, key=lambda row: (row.target, row.ratio.median)):
        _say_served(row)
    report.tables["served"] = [row._asdict() for row in rows]
    for row in rows:
        if row.name == "antiscrape":
            report.figures["served_ratio" if row.target == API else "served_image_ratio"] = row.ratio.median
        elif row.name in {"shared", "strict"}:
            report.figures[f"served_{row.name}_ratio"] = row.ratio.median


def _proxied(size: Size, report: Report, *, wrk: str | None) -> None:
    with Generator(wrk=wrk) as generator:
        rows = forward(
            generator, rounds=size.rounds, seconds=size.seconds, skipped=report.skipped, say=_progress
        )
    print("\nIn front of one site: CPU µs of the proxy per request")
    for target, said in TARGETS.items():
        there = {row.name: row for row in rows if row.target == target}
        nginx = there["nginx"].cpu.median if "nginx" in there else None
        for row in sorted(there.values(), key=lambda row: row.cpu.median):
            of_nginx = f"{row.cpu.median / nginx:8.2f} x nginx" if nginx else ""
            print(
                f"  {said:8s}{FORWARDERS[row.name].title:44s}{row.cpu.median:9,.1f}  {row.cpu.low:,.1f}-{row.cpu.high:<9,.1f}"
                f"{row.rate:8,.0f}/s{of_nginx}{f'  {row.failures} not 200' if row.failures else ''}"
            )
        ratio = faster(rows, target)
        if ratio is not None:
            report.figures[f"proxied_{'small' if said == '1 KB' else 'large'}_ratio"] = ratio
    report.tables["proxied"] = [row._asdict() for row in rows]


def _progress(text: str) -> None:
    print(f"  {text}", file=sys.stderr)


def _say_served(row: Row) -> None:
    title = f"{row.target} {VARIANTS[row.name].title}"
    print(
        f"  {title:54s}{row.cpu:11,.1f}{row.added:11,.1f}{row.ratio.median:9.2f}"
        f"  {row.ratio.low:.2f}-{row.ratio.high:<8.2f}{row.rate:8,.0f}{row.runs:6d}{row.failures:9d}"
    )


def _dearer(report: Report, names: list[str]) -> list[str]:
    """Return the peers that were measured and cost less than antiscrape beside them."""
    rows = {row["name"]: row for row in report.tables.get("served", []) if row["target"] == API}
    if "antiscrape" not in rows:
        return []
    most = rows["antiscrape"]["ratio"].median
    return [f"{name} is cheaper" for name in names if name in rows and rows[name]["ratio"].median < most]


def _write(path: Path, named: dict[str, object], report: Report, missed: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": named,
        "figures": report.figures,
        "missed": missed,
        "skipped": report.skipped,
        **report.tables,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
