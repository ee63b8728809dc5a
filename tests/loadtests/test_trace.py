"""The trial of marks goes on where it was broken off, and reads no picture twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from loadtests import trace_unmarked
from loadtests.trace_photos import Photo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be three photographs, too small for a mark, so that reading them takes no time."""

    def photos() -> Iterator[Photo]:
        for name, height in (("one", 40), ("other", 44), ("third", 42)):
            yield Photo(name, Image.linear_gradient("L").resize((40, height)).convert("RGB"))

    monkeypatch.setattr(trace_unmarked, "all_photos", photos)


def read(count: int, log: Path, *, longest: int = 100) -> list[trace_unmarked.One]:
    return trace_unmarked.unmarked(bytes(32), count=count, seconds=600, longest=longest, log=log)


def test_a_run_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = read(2, log)
    assert [(one.at, one.source, one.false) for one in first] == [(0, "one", False), (1, "other", False)]
    before = log.read_text()
    again = read(3, log)
    assert again[:2] == first
    assert log.read_text().startswith(before)
    assert [json.loads(line)["at"] for line in log.read_text().splitlines()] == [0, 1, 2]
    told = trace_unmarked.told(again)
    assert (told["unmarked"], told["false"], told["sources"]) == (3, 0, 3)


def test_a_log_of_other_sizes_is_not_gone_on_with(tmp_path: Path) -> None:
    log = tmp_path / "log"
    read(1, log)
    with pytest.raises(ValueError, match="another size"):
        read(2, log, longest=50)
