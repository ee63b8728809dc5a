"""The allocator is told to keep what it frees, in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest


def test_glibc_is_told_and_others_are_left_as_they_are() -> None:
    code = "from antiscrape.upstream.memory import keep_memory; print(keep_memory())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() in {"True", "False"}
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library than glibc")
    assert done.stdout.strip() == "True"
