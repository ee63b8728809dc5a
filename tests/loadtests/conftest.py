"""The benches, which thaw what the collector was told to leave alone."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """Freeze again what is imported to stay: else each later test that collects looks at half a million things of no matter."""
    yield
    if gc.get_freeze_count() == 0:
        gc.collect()
        gc.freeze()
