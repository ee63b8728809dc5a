"""The environment that everything in the served bench runs in: the peers, pinned, with hashes.

It is made once under ``.cache`` from ``locks/bench.txt``, and made again when that file changes.
Where it cannot be made (no network, no wheel for this machine), antiscrape is still measured against
the bare site, and each peer is skipped with the reason.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "locks" / "bench.txt"
VENV = ROOT / ".cache" / "bench-venv"
#: Of the servers that the bench starts.
SECRET = "the-bench-signs-nothing-that-anybody-keeps-0123456789"
#: A first installation fetches forty packages.
_PATIENCE = 900.0


class Environment(NamedTuple):
    """The Python that serves, and why the peers cannot be had (``""``: they can)."""

    python: str
    fault: str = ""

    def lacks(self, module: str) -> str:
        """Return why a peer cannot be served: the fault of the whole, or its module that does not import."""
        if not module or self.fault:
            return self.fault if module else ""
        done = subprocess.run(
            [self.python, "-c", f"import {module}"], capture_output=True, text=True, check=False, timeout=120
        )
        lines = done.stderr.strip().splitlines()
        return "" if done.returncode == 0 else lines[-1][:160]


def prepare(*, venv: Path = VENV, lock: Path = LOCK, what: str = "the peers") -> Environment:
    """Return the environment of ``what``, made or renewed where needed; never raise for what cannot be installed."""
    python = venv / "bin" / "python"
    wanted = sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    stamp = venv / "lock.sha256"
    if python.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return Environment(str(python))
    print(f"making {venv.relative_to(ROOT) if venv.is_relative_to(ROOT) else venv} from {lock.name} ...")
    shutil.rmtree(venv, ignore_errors=True)
    fault = _run([sys.executable, "-m", "venv", str(venv)])
    if not fault:
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        fault = _run([str(python), *install, "-r", str(lock)])
    if fault:
        return Environment(sys.executable, f"{what} could not be installed: {fault}")
    stamp.write_text(wanted)
    return Environment(str(python))


def _run(command: list[str]) -> str:
    """Run one step; return the last line of what went wrong, or ``""``."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1][:200] if lines else f"exit status {done.returncode}")
