"""What every test may ask for: a policy, a clock, the shared corpora, and a way to say that a part is missing."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests import swift
from tests.fuzz import FACTOR, times
from tests.house import Clock, policy_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from antiscrape.core.rules import Policy

ROOT = Path(__file__).resolve().parents[1]
#: Parts whose absence fails the tests that need them, where it would skip them: "browser,nginx,shared".
REQUIRED = frozenset(filter(None, os.environ.get("ANTISCRAPE_REQUIRE", "").replace(" ", "").split(",")))

# The machine is shared, so an example's wall clock says nothing; and a run must be repeatable.
settings.register_profile(
    "house", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
# What is tried beyond that is new with every run; a failure prints how to repeat it.
settings.register_profile(
    "fuzz", settings.get_profile("house"), derandomize=False, print_blob=True, max_examples=times(100)
)
settings.load_profile("house" if FACTOR == 1 else "fuzz")


class Require(Protocol):
    """Skips the test where an optional part is missing, or fails it where that part is required."""

    def __call__(self, part: str, reason: str) -> None: ...


def missing(part: str, reason: str) -> None:
    """Skip for want of ``part``, unless ``ANTISCRAPE_REQUIRE`` names it: then fail."""
    if part in REQUIRED:
        pytest.fail(f"{part} is required by ANTISCRAPE_REQUIRE: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require() -> Require:
    return missing


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test that is marked with a required part (``@pytest.mark.browser``) into a failure."""
    report = yield
    wanted = REQUIRED & {mark.name for mark in item.iter_markers()}
    if report.skipped and wanted and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but {', '.join(sorted(wanted))} is required: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no cycles among what is imported to stay, neither now nor whenever a test collects its own."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_auto_num_workers() -> int | None:
    """Return how many processes ``-n auto`` means: one more than processors, for tests wait for a fifth of their time."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker is left with it when the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Where the corpora lie; they are no part of the project."""
    folder = Path(os.environ.get("ANTISCRAPE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        missing("shared", "no shared data; set ANTISCRAPE_SHARED to where it is")
    return folder


class MakePolicy(Protocol):
    """Makes a policy of settings by their names in the environment, and of replaced fields."""

    def __call__(self, settings: dict[str, str] | None = None, **changes: Any) -> Policy: ...


@pytest.fixture(scope="session")
def make_policy() -> MakePolicy:
    return policy_of


@pytest.fixture(scope="session")
def policy() -> Policy:
    """The default policy."""
    return policy_of()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def accelerator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the accelerator, built from this source, once for all processes that run tests."""
    folder = tmp_path_factory.getbasetemp()
    module, reason = swift.built(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)
    if module is None:
        missing("swift", reason)
    return module
