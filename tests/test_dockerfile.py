"""The container is built from hashes, runs as nobody, and its build steps work where no container engine runs."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.fuzz import FACTOR
from tests.house import SPARE
from tests.installed import lay, matches

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
SECRET = re.compile(r"(secret|password|token|key)[A-Z_]*\s*=\s*\S+", re.IGNORECASE)


class Step(NamedTuple):
    """One instruction, in its stage."""

    stage: int
    word: str
    rest: str


def steps() -> list[Step]:
    """Read the Dockerfile: comments dropped, continued lines joined, stages numbered."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found: list[Step] = []
    stage = -1
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        found.append(Step(stage, word, " ".join(rest.split())))
    return found


STEPS = steps()
LAST = STEPS[-1].stage


def of(word: str, stage: int = LAST) -> list[str]:
    return [step.rest for step in STEPS if (step.stage, step.word) == (stage, word)]


def sources() -> list[str]:
    """Return what is copied from the project's folder."""
    copied = [step.rest.split()[:-1] for step in STEPS if step.word in {"COPY", "ADD"}]
    return [name for names in copied for name in names if not names[0].startswith("--from")]


def test_it_runs_as_a_numeric_user_that_is_not_root() -> None:
    (user,) = of("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = STEPS[STEPS.index(Step(LAST, "USER", user)) :]
    assert not {step.word for step in after} & {"RUN", "COPY", "ADD"}


def test_it_is_started_without_a_shell() -> None:
    """A shell as process 1 does not pass SIGTERM on, and a drain never begins."""
    assert [json.loads(words) for words in of("ENTRYPOINT")] == [["antiscrape"]]
    assert [json.loads(words) for words in of("CMD")] == [["serve"]]
    assert of("STOPSIGNAL") == ["SIGTERM"]
    assert of("EXPOSE") == ["8080"]


def test_what_runs_is_slim_and_what_compiles_is_the_same_python_with_a_compiler() -> None:
    """An extension fits the Python and the libc that it was compiled for."""
    build, last = (step.rest.split()[0] for step in STEPS if step.word == "FROM")
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", last)
    assert build == last.replace("-slim", "")


def test_everything_that_is_installed_is_hashed_or_built_here() -> None:
    installs = [
        step.rest for step in STEPS if step.word == "RUN" and re.search(r"\bpip\b.* install ", step.rest)
    ]
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command
    assert not [
        step for step in STEPS if step.word == "RUN" and re.search(r"\b(curl|wget|apt-get)\b", step.rest)
    ]


@pytest.mark.security("F10")
def test_no_secret_is_in_the_image() -> None:
    assert not [step for step in STEPS if step.word in {"ENV", "ARG", "LABEL"} and SECRET.search(step.rest)]


def test_what_is_copied_exists_and_is_sent_to_the_engine() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    for name in sources():
        assert (ROOT / name).exists(), name
        sent = [rule[1:] for rule in rules if rule.startswith("!")]
        assert any(fnmatch.fnmatch(part, rule) for part in (name, name.split("/")[0]) for rule in sent), name
    for private in (".git", ".venv", "tests", "config"):
        assert f"!{private}" not in rules


class Health(BaseHTTPRequestHandler):
    """An admin socket that is well, or not."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_admin_socket(status: int, code: int) -> None:
    (check,) = of("HEALTHCHECK")
    python, option, program = json.loads(check.partition("CMD ")[2])
    assert (python, option) == ("python", "-c")
    assert "'127.0.0.1', 9465" in program
    handler = type("Now", (Health,), {"status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        program = program.replace("9465", str(server.server_port))
        done = subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
        thread.join(120)
    assert done.returncode == code
    gone = subprocess.run(
        [sys.executable, "-c", program], timeout=120, check=False, stderr=subprocess.DEVNULL
    )
    assert gone.returncode != 0


#: Installs what a lock names; what stands for it here takes a folder for ``/``.
INSTALLS = re.compile(
    r"(?P<tools>\S+)/bin/pip (?:--python (?P<other>\S+)/bin/python )?install\s+--require-hashes "
    r"--only-binary :all: -r (?P<lock>\S+)"
)


def laid(command: str) -> str:
    """Return ``command`` with what is installed here laid where pip would install it, from the network, by hash.

    ``make fuzz`` has pip do it, and so does an environment that was not made of the locks.
    """

    def instead(found: re.Match[str]) -> str:
        if FACTOR > 1 or not matches(ROOT / found["lock"]):
            return found[0]
        packages = f"{found['other'] or found['tools']}/lib/python3.{sys.version_info.minor}/site-packages"
        return shlex.join([sys.executable, str(ROOT / "tests" / "installed.py"), found["lock"], packages])

    return INSTALLS.sub(instead, command)


def carry_out(folder: Path, changed: Callable[[str], str]) -> dict[str, str]:
    """Do what the Dockerfile says, in ``folder`` for ``/``; return the environment of the last stage."""
    own = {"PATH", "HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
    env = {
        name: value
        for name, value in os.environ.items()
        if name in own or name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    shims = folder / "shims"  # the image's Python answers to "python"; Debian's own to "python3" only
    shims.mkdir()
    (shims / "python").symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    env["PATH"] = f"{shims}{os.pathsep}{env['PATH']}"
    env["PIP_NO_COMPILE"] = (
        "0"  # which to pip is "compile = 0": a third of the installation, for a few seconds' use
    )
    base = dict(env)
    here, stage = folder, 0
    for step in STEPS:
        if step.stage != stage:
            env, here, stage = dict(base), folder, step.stage
        rest = re.sub(r"(?<![\w.$:/])/(build|opt)/", rf"{folder}/\1/", step.rest)
        rest = re.sub(r"(?<![\w.$:/])/(build|opt)\b", rf"{folder}/\1", rest)
        if step.word == "WORKDIR":
            here = Path(rest)
            here.mkdir(parents=True)
        elif step.word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                env[name] = value.replace("$PATH", env["PATH"])
        elif step.word == "COPY" and not rest.startswith("--from"):
            *names, to = rest.split()
            for name in names:
                copy(ROOT / name, here / to, into=to.endswith("/"))
        elif step.word == "RUN":
            subprocess.run(["/bin/sh", "-c", changed(rest)], cwd=here, env=env, check=True, timeout=600)
    return env


def copy(source: Path, to: Path, *, into: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        if into:
            to.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, to / source.name if into else to)


def test_what_stands_for_an_installation_is_of_the_versions_that_the_lock_names(tmp_path: Path) -> None:
    lock, packages = tmp_path / "lock.txt", tmp_path / "packages"
    here = version("click")
    lock.write_text(
        f"click=={here} \\\n    --hash=sha256:00\nnone==1 ; python_version < '3'\n    # via antiscrape\n"
    )
    assert matches(lock)
    assert lay(lock, packages) == ["click"]
    script = f"import sys; sys.path.append({str(packages)!r}); import click; print(click.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(packages)
    for line in ("click==0.1", "no-such-package==1"):
        lock.write_text(f"click=={here}\n{line}\n")
        assert not matches(lock)


@pytest.mark.slow
@pytest.mark.usefixtures("accelerator")
def test_the_build_steps_make_something_that_serves(tmp_path: Path) -> None:
    """Where an engine runs it builds the image; where none does, its steps are carried out in a folder."""
    locks = [name for name in sources() if name.endswith(".txt")]
    if absent := [name for name in locks if not (ROOT / name).exists()]:
        pytest.skip(f"no {', '.join(absent)} yet: the locks are made when dependencies are settled")
    assert sum(len(INSTALLS.findall(step.rest)) for step in STEPS) == len(locks)
    env = carry_out(tmp_path, laid)
    command = shutil.which("antiscrape", path=env["PATH"])
    assert command is not None
    assert Path(command).is_relative_to(tmp_path)
    assert not (Path(command).parent / "pip").exists()
    secret = "given-when-the-container-runs-and-in-no-layer-of-it"
    told = {"ANTISCRAPE_UPSTREAM": "http://127.0.0.1:9", "ANTISCRAPE_SECRET": secret}
    told |= {**SPARE, "ANTISCRAPE_LISTEN": "127.0.0.1:0", "ANTISCRAPE__RECORD__ADMIN": ""}
    process = subprocess.Popen(
        [command, *json.loads(of("CMD")[0])], env=env | told, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("antiscrape: ready on http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
