"""The lock that the peers are installed from, and the environment made of it."""

from __future__ import annotations

import re
import sys

from loadtests.bench.peers import LOCK, Environment

_PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==[0-9][^ ]* \\$", re.MULTILINE)


def test_every_package_of_the_lock_is_pinned_and_hashed() -> None:
    text = LOCK.read_text()
    assert len(_PINNED.findall(text)) == len([line for line in text.splitlines() if line[:1].isalnum()])
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_lock_names_no_place_that_packages_come_from() -> None:
    options = [line for line in LOCK.read_text().splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in options if "://" in line or line.startswith("-")]
    assert "/wheels" not in LOCK.read_text()


def test_all_that_is_asked_for_is_in_the_lock() -> None:
    wanted = [line for line in LOCK.with_suffix(".in").read_text().splitlines() if line and line[0] != "#"]
    assert set(wanted) <= set(_PINNED.findall(LOCK.read_text()))


def test_a_module_that_does_not_import_is_a_reason_to_skip_its_peer() -> None:
    here = Environment(sys.executable)
    assert here.lacks("json") == ""
    assert "No module named 'no_such_peer'" in here.lacks("no_such_peer")
    broken = Environment(sys.executable, "no network")
    assert broken.lacks("throttled") == "no network"
    assert broken.lacks("") == ""
