"""What verdicts cost an edge: nginx with the shipped ``config/edge/nginx.conf``, beside the same nginx without.

Two things are told. How many bytes of originals nginx serves in a second while it asks for verdicts and keeps each for
one, over how many it serves unasked: both by one process, which has a core to itself where there are two, in turns.
Visitors look at one picture each, on a connection of their own as browsers do, or on connections that all share, as behind
a CDN: a verdict is kept for visitor and connection, so of these eight times as many are asked for. And how many
verdicts a second of the verdict process's CPU time is worth, where nginx keeps none of them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtests.bench.costs import Cost
from loadtests.bench.figures import cpu_seconds
from loadtests.bench.forwarding import apart
from loadtests.bench.generator import Load
from loadtests.bench.peers import ROOT, SECRET
from loadtests.bench.visitors import IMAGE, request

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Visitors of the first figure: so few that nginx finds their verdicts kept, as it does for one that looks at a gallery.
_FEW: Final = 8
#: Connections that share the visitors, where they do; each is one visitor's, where they do not.
_CONNECTIONS: Final = 8
#: Visitors of the second: each is known before anything is measured.
_MANY: Final = 2000
#: Bytes of the pictures: a photograph as a camera of twelve megapixels makes it, and one of 1200 pixels.
_LARGE: Final = 3_000_000
_SMALL: Final = 300_000
_PATIENCE: Final = 60.0
_MEMORY: Final = "/dev/shm"
#: The load comes from one address, and says of whom each request is. Both servers read it: it is no part of a verdict.
_CLIENTS: Final = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"


class _Case(NamedTuple):
    """Pictures of one length; ``apart``: each connection is one visitor's."""

    name: str
    title: str
    length: int
    apart: bool = True


_CASES: Final = (
    _Case("", "", _LARGE),
    _Case("_small", "", _SMALL),
    _Case("_shared", " over shared connections", _SMALL, apart=False),
)


class Stand(NamedTuple):
    """Where nginx listens with verdicts and without, and the processes of both."""

    asking: int
    bare: int
    verdicts: int
    nginx: int


def forwarded(*, rounds: int, seconds: int) -> list[Cost]:
    """Measure; raise ``OSError`` where a part is missing or does not start."""
    for program in ("nginx", "wrk"):
        if shutil.which(program, path=_path()) is None:
            raise FileNotFoundError(f"{program} is not installed")
    with apart() as cores:
        return _forwarded(cores, rounds=rounds, seconds=seconds)


def _forwarded(cores: set[int], *, rounds: int, seconds: int) -> list[Cost]:
    # in memory, as the shipped file has it for verdicts
    place = _MEMORY if os.path.isdir(_MEMORY) else None  # noqa: PTH112  one word of the system's
    with tempfile.TemporaryDirectory(prefix="antiscrape-bench-", dir=place) as name:
        folder = Path(name)
        few, many = folder / "few", folder / "many"
        few.write_bytes(b"".join(request(number, IMAGE) for number in range(_FEW)))
        many.write_bytes(b"".join(request(number, IMAGE) for number in range(_MANY)))
        costs = []
        for case in _CASES:
            with _stand(folder / f"kept{case.name}", case.length, cores, kept=True) as stand:
                costs += _throughput(stand, few, case, rounds=rounds, seconds=seconds)
        with _stand(folder / "asked", _SMALL, cores, kept=False) as stand:
            return costs + _verdicts(stand, many, rounds=rounds, seconds=seconds)


def _throughput(stand: Stand, file: Path, case: _Case, *, rounds: int, seconds: int) -> list[Cost]:
    _load(stand.asking, file, seconds, apart=case.apart)  # the picture is learned, the clients are known
    rates, work = [], []
    for _ in range(rounds):
        asking, asking_cpu = _loaded(stand, stand.asking, file, seconds, apart=case.apart)
        bare, bare_cpu = _loaded(stand, stand.bare, file, seconds, apart=case.apart)
        rates.append((asking.bytes / asking.seconds) / (bare.bytes / bare.seconds))
        work.append((bare_cpu / bare.answers) / (asking_cpu / asking.answers))
    return [
        Cost(f"forwarded{case.name}_bytes_ratio", f"{case.length // 1000:,} kB{case.title}, verdicts kept 1 s, over nginx alone: bytes/s", statistics.median(rates), "x"),
        Cost(f"forwarded{case.name}_cpu_ratio", "the same as nginx's CPU time, nginx alone over it", statistics.median(work), "x"),
    ]  # fmt: skip


def _verdicts(stand: Stand, file: Path, *, rounds: int, seconds: int) -> list[Cost]:
    answers = 0
    while answers < 3 * _MANY:  # what is measured is a known client's
        answers += _load(stand.asking, file, seconds).answers
    found = []
    for _ in range(rounds):
        before = cpu_seconds(stand.verdicts)
        load = _load(stand.asking, file, seconds)
        found.append(load.answers / (cpu_seconds(stand.verdicts) - before))
    title = "verdicts per second of CPU time, nginx keeping none"
    return [Cost("verdicts_per_cpu_second", title, statistics.median(found), "/s")]


def _loaded(stand: Stand, port: int, file: Path, seconds: int, *, apart: bool) -> tuple[Load, float]:
    before = cpu_seconds(stand.nginx)
    load = _load(port, file, seconds, apart=apart)
    return load, cpu_seconds(stand.nginx) - before


def _load(port: int, file: Path, seconds: int, *, apart: bool = False) -> Load:
    """Load a port by wrk, ``apart`` with a connection for each visitor; raise ``OSError`` where an answer was not 200."""
    command = [
        "wrk",
        f"-t{_CONNECTIONS if apart else 1}",
        f"-c{_CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout=30s",
    ]
    command += ["-s", str(Path(__file__).with_name("wrk.lua")), f"http://127.0.0.1:{port}/"]
    environment = os.environ | {"BENCH_REQUESTS": str(file)} | ({"BENCH_APART": "1"} if apart else {})
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=seconds + _PATIENCE
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    if done.returncode or not lines:
        raise ConnectionError(f"wrk: {(done.stderr or done.stdout).strip()[-200:]}")
    load = Load(*json.loads(lines[-1]))
    if load.failures or not load.answers:
        raise ConnectionError(f"{load.failures} of {load.answers} answers were no 200")
    return load


@contextmanager
def _stand(folder: Path, length: int, cores: set[int], *, kept: bool) -> Iterator[Stand]:
    """Run nginx, on ``cores`` of its own, and what it asks; ``kept``: nginx keeps verdicts, as shipped."""
    picture = folder / "www" / IMAGE.lstrip("/")
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"\xff\xd8\xff\xe0" + os.urandom(length - 4))
    asking, bare, verdicts, origin = (_free() for _ in range(4))
    edge = shipped(folder, asking=asking, verdicts=verdicts, origin=origin, kept=kept)
    (folder / "edge.conf").write_text(edge)
    (folder / "nginx.conf").write_text(_main(folder, bare))
    command = [sys.executable, "-m", "antiscrape", "verdict", "--listen", f"127.0.0.1:{verdicts}"]
    command += ["--upstream", f"http://127.0.0.1:{origin}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTISCRAPE")} | {
        "ANTISCRAPE_SECRET": SECRET,
        "ANTISCRAPE__IDENTITY__TRUSTED_PROXIES": '["127.0.0.1"]',
        "ANTISCRAPE__RECORD__EVENTS": "off",
        "ANTISCRAPE__RECORD__ADMIN": "",
        "ANTISCRAPE__IMAGES__FACES": "off",
    }
    with ExitStack() as running:
        asked = running.enter_context(_process(command, verdicts, environment))
        nginx = running.enter_context(
            _process([str(shutil.which("nginx", path=_path())), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")], bare, dict(os.environ))
        )  # fmt: skip
        if cores:
            os.sched_setaffinity(nginx, cores)
        yield Stand(asking, bare, asked, nginx)


def shipped(folder: Path, *, asking: int, verdicts: int, origin: int, kept: bool) -> str:
    """Return the shipped file for nginx, with the ports and folders of this run; raise ``OSError`` where it has become another."""
    text = (ROOT / "config" / "edge" / "nginx.conf").read_text(encoding="utf-8")
    changes = {
        "127.0.0.1:8079": f"127.0.0.1:{verdicts}", "127.0.0.1:8078": f"127.0.0.1:{origin}",
        "listen 80;": f"listen 127.0.0.1:{asking}; {_CLIENTS}", "/srv/site": f"{folder}/www",
        "/run/antiscrape-verdicts": f"{folder}/verdicts",
    }  # fmt: skip
    if not kept:
        changes["        proxy_cache antiscrape;\n"] = ""
    for old, new in changes.items():
        if old not in text:
            raise FileNotFoundError(f"config/edge/nginx.conf has no {old!r}")
        text = text.replace(old, new)
    return text


def _main(folder: Path, bare: int) -> str:
    """Return nginx's own file: one process, and a server beside the shipped one that asks nobody."""
    places = "".join(
        f"{name}_temp_path {folder}/{name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; master_process off; pid {folder}/pid; events {{ worker_connections 512; }}\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {places}\n"
        "types { image/jpeg jpg; }\n"
        f"include {folder}/edge.conf;\n"
        f"server {{ listen 127.0.0.1:{bare}; {_CLIENTS} location / {{ root {folder}/www; }} }}\n}}\n"
    )


@contextmanager
def _process(command: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """Run a process until it is left; give its id once its port answers, or raise ``OSError``."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        end = time.monotonic() + _PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                said = process.communicate()[1].decode("utf-8", "replace").strip().splitlines()
                raise ConnectionError(f"{command[0]} did not start: {said[-1] if said else 'no word of why'}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.communicate(timeout=_PATIENCE)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
