"""Resources have names that hold beyond one process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from antiscrape.core.resource import subject_identity

_PROGRAM = (
    "from antiscrape.core.resource import subject_identity as name; print([name('ada'), name('x' * 999)])"
)


def test_a_subject_has_one_name_in_every_process() -> None:
    """Python salts the hash of a str anew in each process, and workers share a store."""
    told = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            env=environment, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        told.add(done.stdout.strip())
    assert told == {str([subject_identity("ada"), subject_identity("x" * 999)])}


@pytest.mark.parametrize("length", [1, 3, 128, 129, 5000])
def test_names_are_64_bits_and_differ(length: int) -> None:
    names = {subject_identity(character * length) for character in "ab\u00e4\u4e16\U0001f600"}
    assert len(names) == 5
    assert all(0 <= name < 2**64 for name in names)


def test_half_a_surrogate_pair_has_a_name_too() -> None:
    """A site's callable may hand over any str as the owner of a picture."""
    assert subject_identity("\ud800") != subject_identity("\udfff")
