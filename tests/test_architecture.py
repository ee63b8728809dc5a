"""The house's rules: who may import whom, what the core may not do, and how large a file may grow."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "antiscrape"
#: What each room may import of the package, besides itself.
MAY_IMPORT = {
    "errors": set(),
    "version": set(),
    "clock": set(),
    "core": {"errors"},
    "ports": {"core"},
    "signing": {"core", "clock"},
    "django_tags": {"core", "settings", "signing"},
    "gate": {"core", "ports", "errors"},
    "stores": {"core", "ports", "errors"},
    "lookups": {"core", "ports", "errors"},
    "images": {"core", "ports", "errors", "clock", "version"},
    "evidence": {"core", "ports", "errors", "gate"},
    "operate": {"core", "ports", "errors", "gate", "clock", "version"},
    "settings": {"core", "errors", "version", "clock"},
    "browser": {"core", "ports", "errors", "gate"},
    "upstream": {"core", "errors"},
    "asgi": {
        "browser",
        "core",
        "ports",
        "errors",
        "gate",
        "evidence",
        "operate",
        "clock",
        "version",
        "upstream",
    },
    "serving": {"asgi", "core", "errors", "evidence", "operate", "clock"},
}
#: These know every room; of them only the command line and the demo know the root.
EVERYTHING = {"app", "parts", "cli", "demo", "__init__", "__main__"}
MAY_IMPORT_APP = {"cli", "demo", "__init__"}
FORBIDDEN_IN_CORE = {
    "asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "selectors",
    "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request", "aiohttp",
    "PIL", "starlette", "uvicorn", "pydantic", "click",
}  # fmt: skip
LONGEST_FILE = 400
LONGEST_FUNCTION = 60

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def _trees() -> Iterator[None]:
    """Let go of the trees, among which every later look for garbage would look."""
    yield
    tree_of.cache_clear()


def of_every(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make one test of what holds of every file: it names all that break it."""

    def decorate(check: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            broken = []
            for path in paths:
                try:
                    check(path)
                except AssertionError as error:
                    broken.append(f"{name_of(path)}: {error}")
            assert not broken, "\n".join(broken)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Return the dotted names of every module that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@of_every(MODULES)
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    room = room_of(path)
    imported = {name.split(".")[1] for name in imports_of(path) if name.startswith("antiscrape.")}
    rooms = {entry.name.removesuffix(".py") for entry in PACKAGE.iterdir()}
    imported &= rooms
    if room in EVERYTHING:
        assert "app" not in imported or room in MAY_IMPORT_APP
    else:
        assert imported - {room} <= MAY_IMPORT[room], f"{name_of(path)} reaches into {imported}"


@of_every(sorted((PACKAGE / "core").rglob("*.py")))
def test_the_core_does_no_io_and_reads_no_clock(path: Path) -> None:
    imported = imports_of(path)
    assert not {
        name for name in imported if name in FORBIDDEN_IN_CORE or name.split(".")[0] in FORBIDDEN_IN_CORE
    }
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{name_of(path)} awaits"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "eval", "exec"}


@of_every(MODULES)
def test_only_the_clock_reads_time(path: Path) -> None:
    if room_of(path) in {"clock", "cli", "demo", "images"}:
        return  # keeps its own deadlines or prints durations
    assert "time" not in imports_of(path)


@of_every(sorted((ROOT / "tests").rglob("*.py")))
def test_no_test_measures_speed(path: Path) -> None:
    """A busy machine would fail it: speed belongs to ``make bench``; ``costs.ends`` tells a hang."""
    assert not re.search(r"\.(process_time|perf_counter|thread_time)(_ns)?\b", path.read_text())


@of_every(MODULES)
def test_only_asgi_rooms_say_scope_receive_and_send(path: Path) -> None:
    if room_of(path) in {"asgi", "serving", "app", "parts", "demo"}:
        return  # speaks ASGI by trade
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {argument.arg for argument in node.args.args}
            assert not {"scope", "receive"} <= names, f"{name_of(path)}: {node.name}"


@of_every(
    [
        *MODULES,
        *sorted(PACKAGE.rglob("*.[ch]")),
        *sorted((ROOT / "tests").rglob("*.py")),
        *sorted((ROOT / "loadtests").rglob("*.py")),
    ]
)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@of_every(MODULES)
def test_functions_stay_small(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{name_of(path)}: {node.name} has {length} lines"


@of_every(MODULES)
def test_nothing_is_promised_instead_of_done(path: Path) -> None:
    text = path.read_text()
    for promise in ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"):
        assert promise not in text


@of_every(MODULES)
def test_every_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))
