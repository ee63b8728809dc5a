"""Three harvesters as they come: a curl loop, a crawler on requests, Scrapy.

Each is a program of its own with its own source address, for antiscrape counts by address, and each
is bounded in the pictures it may ask for and in its time. Nothing about them is tuned to be caught:
their headers are the ones they send by themselves.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.demo.haul import Haul

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SPIDER = Path(__file__).with_name("crawlers") / "spider.py"
#: Scrapy as it comes, but for the robots.txt that it is told to pass over, and without its own console.
_SCRAPY = {
    "ROBOTSTXT_OBEY": "False",
    "TELNETCONSOLE_ENABLED": "False",
    "RETRY_ENABLED": "False",
    "LOG_LEVEL": "ERROR",
    "DOWNLOAD_TIMEOUT": "15",
}
#: Python's programs take seconds to start on a busy machine; what they may take is bounded besides.
_GRACE = 25.0


class Order(NamedTuple):
    """What a harvester is sent to do: at most ``most`` originals of ``ids`` within ``seconds``."""

    base: str
    folder: Path
    source: str
    ids: Sequence[int]
    most: int
    seconds: float


class Harvester(NamedTuple):
    """One harvester: ``absent()`` says why it cannot run here (``""``: it can), ``run`` does its work."""

    key: str
    title: str
    how: str
    absent: Callable[[], str]
    run: Callable[[Order], str]


def own_addresses(count: int) -> tuple[str, ...]:
    """Return ``count`` loopback addresses to connect from, each in a network of its own, or ``()``.

    All of 127.0.0.0/8 is the loopback on Linux (RFC 1122 §3.2.1.3 (g)); elsewhere 127.0.0.1 is often alone.
    """
    addresses = tuple(f"127.0.{place}.{20 + place}" for place in range(1, count + 1))
    try:
        for address in addresses:
            with socket.socket() as probe:
                probe.bind((address, 0))
    except OSError:
        return ()
    return addresses


def _run(command: Sequence[str], order: Order, *, grace: float = _GRACE) -> tuple[str, str]:
    """Run a harvester to its end, or stop it; return what it printed and why it failed, if it did."""
    # No proxy of the machine's, no site-wide curlrc, no settings module of somebody's Scrapy project.
    unwanted = {"http_proxy", "https_proxy", "all_proxy", "scrapy_settings_module", "scrapy_project"}
    environment = {name: value for name, value in os.environ.items() if name.lower() not in unwanted}
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=order.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=order.seconds + grace,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"stopped after {order.seconds + grace:.0f} seconds"
    except OSError as error:
        return "", f"could not be started: {error.strerror}"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return done.stdout, f"exit status {done.returncode}: {lines[-1] if lines else 'no word of why'}"
    return done.stdout, ""


def _urls(order: Order) -> list[tuple[int, str]]:
    return [(number, f"{order.base}media/{number}.jpg") for number in order.ids[: order.most]]


def _curl(order: Order) -> str:
    """Walk the ids in one go, as a loop in a shell does."""
    command = ["curl", "-q", "--silent", "--max-time", str(order.seconds), "--noproxy", "*"]
    command += ["--interface", order.source] if order.source else []
    command += ["--write-out", "%{http_code}\t%{content_type}\t%{filename_effective}\t%{url_effective}\n"]
    for number, url in _urls(order):
        command += ["--output", f"{number}.jpg", url]
    printed, fault = _run(command, order, grace=5)
    haul = Haul(order.folder)
    for line in printed.splitlines():
        status, kind, name, url = line.split("\t")
        path = order.folder / name
        haul.keep(url, int(status), kind, path.read_bytes() if path.is_file() else None)
    return fault


def _wget(order: Order) -> str:
    """Walk the ids with one wget each, where there is no curl."""
    haul = Haul(order.folder)
    bound = [f"--bind-address={order.source}"] if order.source else []
    for number, url in _urls(order):
        target = f"{number}.jpg"
        command = [
            "wget",
            "--no-config",
            "--no-proxy",
            "--tries=1",
            "--timeout=15",
            "--server-response",
            *bound,
        ]
        done = subprocess.run(
            [*command, "-O", target, url],
            cwd=order.folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        heads = [line.split() for line in done.stderr.splitlines() if line.startswith("  HTTP/")]
        kinds = [
            line.split(":", 1)[1].strip()
            for line in done.stderr.splitlines()
            if line.lower().startswith("  content-type:")
        ]
        body = (order.folder / target).read_bytes() if done.returncode == 0 else None
        haul.keep(url, int(heads[-1][1]) if heads else 0, kinds[-1] if kinds else "", body)
    return ""


def _loop(order: Order) -> str:
    return _curl(order) if shutil.which("curl") else _wget(order)


def _no_loop() -> str:
    return "" if shutil.which("curl") or shutil.which("wget") else "neither curl nor wget is installed"


def _tidy(order: Order) -> str:
    command = [sys.executable, "-m", "antiscrape.demo.crawlers.tidy", order.base, str(order.folder)]
    command += ["--source", order.source, "--most", str(order.most), "--seconds", str(order.seconds)]
    return _run(command, order)[1]


def _scrapy(order: Order) -> str:
    command = [sys.executable, "-m", "scrapy", "runspider", str(_SPIDER)]
    settings = {
        "CLOSESPIDER_TIMEOUT": f"{order.seconds:.0f}",
        "CLOSESPIDER_PAGECOUNT": str(3 * order.most + 20),
    }
    for name, value in settings.items():
        command += ["-s", f"{name}={value}"]
    given = {"base": order.base, "folder": str(order.folder), "source": order.source, "most": str(order.most)}
    for name, value in given.items():
        command += ["-a", f"{name}={value}"]
    return _run(command, order)[1]


def _needs(module: str) -> Callable[[], str]:
    return lambda: "" if find_spec(module) else f"{module} is not installed; antiscrape[demo] brings it"


HARVESTERS = (
    Harvester("curl", "A curl loop", "walks the ids down and asks for each original", _no_loop, _loop),
    Harvester(
        "requests",
        "A crawler on requests",
        "reads the gallery, opens every photo, takes its original",
        _needs("requests"),
        _tidy,
    ),
    Harvester(
        "scrapy",
        "Scrapy",
        "reads the gallery, takes every original, sixteen requests at once",
        _needs("scrapy"),
        _scrapy,
    ),
)
