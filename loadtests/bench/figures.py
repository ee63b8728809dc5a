"""Medians and ratios, the machine they were taken on, and what ``budgets.toml`` asks of them."""

from __future__ import annotations

import os
import platform
import statistics
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.asgi.accelerator import STATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUDGETS: Final = Path(__file__).parents[1] / "budgets.toml"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_VERSIONS: Final = ("starlette", "uvicorn", "uvloop", "httptools", "pillow")


class Target(NamedTuple):
    """What one figure may be at most (``bound`` is "max") or has to be at least ("min")."""

    name: str
    bound: str
    value: float

    def met(self, figure: float, *, tolerance: float = 0.0) -> bool:
        """Tell whether ``figure`` meets it, give or take a share of ``tolerance``."""
        if self.bound == "max":
            return figure <= self.value * (1 + tolerance)
        return figure >= self.value * (1 - tolerance)


def read_budgets(table: str, path: Path = BUDGETS) -> tuple[tuple[Target, ...], dict[str, Any]]:
    """Return the targets of one table of ``budgets.toml`` (``NAME_max``, ``NAME_min``), and its other keys."""
    targets, others = [], {}
    for key, value in tomllib.loads(path.read_text(encoding="utf-8"))[table].items():
        name, _, bound = key.rpartition("_")
        if bound in {"max", "min"}:
            targets.append(Target(name, bound, float(value)))
        else:
            others[key] = value
    return tuple(targets), others


class Spread(NamedTuple):
    """A median, and the quartiles that tell how far one run lies from the next."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Return median and quartiles; of one value, that value thrice. Raise ``ValueError`` for none."""
    known = sorted(values)
    if not known:
        raise ValueError("nothing was measured")
    if len(known) == 1:
        return Spread(known[0], known[0], known[0])
    low, middle, high = statistics.quantiles(known, n=4, method="inclusive")
    return Spread(middle, low, high)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process took so far, all its threads, in steps of a clock tick (proc(5))."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def resident() -> int:
    """Return the bytes of memory that this process has (proc(5))."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def peak_mb(pid: int) -> float:
    """Return the most megabytes that a process ever had resident (proc(5), VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def machine() -> dict[str, object]:
    """Name the machine, its load and what runs on it."""
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "accelerator": STATE,
        "load": round(os.getloadavg()[0], 2),
        "versions": found,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def judge(
    figures: Mapping[str, float], targets: Iterable[Target], *, tolerance: float
) -> tuple[list[str], list[str]]:
    """Return a line for each target that was measured, and the names of those missed beyond ``tolerance``."""
    lines, missed = [], []
    for target in targets:
        figure = figures.get(target.name)
        if figure is None:
            continue
        sign = "<=" if target.bound == "max" else ">="
        word = "met" if target.met(figure) else "MISSED"
        if word == "MISSED" and target.met(figure, tolerance=tolerance):
            word = "missed, within the noise"
        elif word == "MISSED":
            missed.append(target.name)
        lines.append(f"{target.name:34s} {figure:12,.3f}   {sign} {target.value:<10,g} {word}")
    return lines, missed
