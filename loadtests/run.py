"""``make load``: the same visitors against the demo's site, bare and behind antiscrape, side by side.

First people alone, which tells what antiscrape costs; then people among a polite crawler, a greedy
harvester and one in many disguises, which tells what it does. Exit status 1 where a target of
``loadtests/budgets.toml`` is missed, 2 where the load could not be made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from antiscrape.demo.photos import make_library
from loadtests.bench.figures import judge, read_budgets
from loadtests.bench.peers import ROOT
from loadtests.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE: Final = Path(__file__).with_name("locustfile.py")
_MIX: Final = ("Person", "PoliteCrawler", "GreedyHarvester", "DistributedHarvester")
_COLUMNS: Final = (
    "requests",
    "asked",
    "originals",
    "previews",
    "limited",
    "refused",
    "failures",
    "median_ms",
    "p95_ms",
)
#: Seconds that locust may take to start and to end, beyond the load itself.
_GRACE: Final = 60.0

Result = dict[str, dict[str, float]]


def load(site: Site, kinds: tuple[str, ...], seconds: int, photos: Path) -> Result:
    """Let ``kinds`` of visitors at a site for ``seconds``; return what each was given.

    Raise ``RuntimeError`` where locust fails.
    """
    with tempfile.TemporaryDirectory(prefix="antiscrape-load-") as folder:
        target = Path(folder, "result.json")
        command = [sys.executable, "-m", "locust", "-f", str(_FILE), *kinds, "--headless", "--only-summary"]
        command += ["--host", site.url, "-u", "8", "-r", "8", "-t", f"{seconds}s", "--stop-timeout", "5"]
        command += ["--exit-code-on-error", "0", "--loglevel", "WARNING"]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"LOAD_RESULT": str(target), "LOAD_PHOTOS": str(photos)},
            capture_output=True,
            text=True,
            timeout=seconds + _GRACE,
            check=False,
        )
        if done.returncode or not target.is_file():
            raise RuntimeError(f"locust: {done.stderr.strip()[-400:]}")
        result: Result = json.loads(target.read_text(encoding="utf-8"))
        return result


def compare(bare: Mapping[str, Any], protected: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of ``budgets.toml`` that two runs of the mix give."""
    person, plain = protected["Person"], bare["Person"]
    return {
        "person_originals_ratio": _share(person) / max(_share(plain), 1e-9),
        "person_failures": person["failures"] + person["limited"] + person["refused"],
        "person_p95_ratio": person["p95_ms"] / max(plain["p95_ms"], 1.0),
        "greedy_originals": protected["GreedyHarvester"]["originals"],
        "distributed_originals_per_address": protected["DistributedHarvester"]["most_per_address"],
        "crawler_failures": protected["PoliteCrawler"]["failures"] + protected["PoliteCrawler"]["refused"],
        "greedy_originals_unprotected": bare["GreedyHarvester"]["originals"],
    }


def _share(account: Mapping[str, float]) -> float:
    """Return how many of the originals asked for were given; 1.0 where none was asked for."""
    return account["originals"] / account["asked"] if account["asked"] else 1.0


def main(arguments: list[str] | None = None) -> int:
    """Load both sites, print, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.run")
    parser.add_argument("--seconds", type=int, default=60, help="per site")
    options = parser.parse_args(arguments)
    alone, mixed = options.seconds * 2 // 5, options.seconds * 3 // 5
    photos = make_library().folder
    results: dict[str, Result] = {}
    costs: dict[str, float] = {}
    try:
        for kind in ("bare", "protected"):
            with Site(kind) as site:
                before = site.cpu()
                people = load(site, ("Person",), alone, photos)["Person"]
                costs[kind] = (site.cpu() - before) / people["requests"]
            with Site(kind) as site:
                results[kind] = load(site, _MIX, mixed, photos)
            _print(kind, results[kind], costs[kind])
        figures = compare(results["bare"], results["protected"])
    except (OSError, RuntimeError, KeyError, subprocess.TimeoutExpired) as error:
        print(f"the load could not be made: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    figures["person_cpu_ratio"] = costs["protected"] / costs["bare"]
    targets, _ = read_budgets("load")
    lines, missed = judge(figures, targets, tolerance=0.0)
    print("\n" + "\n".join(lines))
    return 1 if missed else 0


def _print(kind: str, result: Result, cost: float) -> None:
    print(f"\n{kind}: {cost * 1e6:,.0f} CPU µs per request of people alone")
    print(f"{'':22s}" + "".join(f"{column:>11s}" for column in _COLUMNS) + "  most originals of one address")
    for name in _MIX:
        account = result.get(name, {})
        cells = "".join(f"{account.get(column, 0):11,.0f}" for column in _COLUMNS)
        print(
            f"{name:22s}{cells}  {account.get('most_per_address', 0):.0f} ({account.get('addresses', 0):.0f} addresses)"
        )


if __name__ == "__main__":
    sys.exit(main())
