"""Several workers' figures: summed, kept past a worker's death, and never told twice."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from antiscrape.operate.ledger import Ledger
from antiscrape.operate.meter import merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from antiscrape.operate.families import Figures

ROOT = Path(__file__).parents[2]
KEY = ("bot", "admit", "preview")
WORKER = """
import sys
from pathlib import Path
from antiscrape.operate.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.publish({"antiscrape_verdicts": {("bot", "admit", "preview"): float(sys.argv[2])}, "antiscrape_principals": {(): 5.0}})
print("ready", flush=True)
sys.stdin.read()
"""


def counted(verdicts: float) -> Figures:
    return {"antiscrape_verdicts": {KEY: verdicts}, "antiscrape_principals": {(): 1.0}}


def total(ledger: Ledger, own: float = 0) -> float:
    living, dead = ledger.others()
    return merge([counted(own), *living], dead)["antiscrape_verdicts"][KEY]


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate(timeout=120)


def start(folder: Path, verdicts: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(verdicts)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_killed_workers_counters_stay_and_its_gauges_go(
    tmp_path: Path, workers: list[subprocess.Popen[str]]
) -> None:
    mine = Ledger(tmp_path)
    workers += [start(tmp_path, 10), start(tmp_path, 200)]
    living, dead = mine.others()
    assert total(mine, 3) == 213
    assert merge(living, dead)["antiscrape_principals"] == {(): 10}
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].wait(120)
    assert total(mine, 3) == 213
    assert merge(*mine.others())["antiscrape_principals"] == {(): 5}
    mine.close()


def test_replaced_workers_leave_no_files_and_no_count_is_lost(tmp_path: Path) -> None:
    """A hundred workers, one after the other, each with one that lives beside it."""
    constant = Ledger(tmp_path)
    told = 0.0
    for number in range(100):
        worker = Ledger(tmp_path)
        worker.publish(counted(number))
        assert total(constant) == total(worker, number) == told + number
        told += number
        worker.close()
        assert total(constant) == told
    assert len(list(tmp_path.iterdir())) <= 8
    constant.close()


def test_a_fold_that_was_cut_short_counts_nothing_twice(tmp_path: Path) -> None:
    """Killed after the sum was written and before the files went: they are there, and known to be counted."""
    first = Ledger(tmp_path)
    first.publish(counted(7))
    first.close()
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = Ledger(tmp_path)  # folds
    assert total(second) == 7
    for name, content in left.items():
        (tmp_path / name).write_bytes(content)
    assert total(second) == 7
    third = Ledger(tmp_path)  # folds again
    assert total(third) == 7
    assert not set(left) - {"door.lock"} & {path.name for path in tmp_path.iterdir()}
    second.close()
    third.close()


@pytest.mark.security("J7")
def test_what_was_tampered_with_counts_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    mine, other = Ledger(tmp_path), Ledger(tmp_path)
    other.publish(counted(5))
    (written,) = tmp_path.glob("*.json")
    good = written.read_bytes()
    source = random.Random(11)
    for _ in range(300):
        data = bytearray(good)
        data[source.randrange(len(data))] = source.randrange(256)
        written.write_bytes(bytes(data[: source.randrange(len(data) + 1)]))
        merge(*mine.others())
    for text in (
        "[]",
        "{}",
        "null",
        "1",
        json.dumps({"antiscrape_verdicts": [[1]]}),
        '{"invented": [[1]]}',
        "\udc80",
    ):
        written.write_bytes(text.encode("utf-8", "surrogateescape"))
        living, dead = mine.others()
        assert merge(living, dead) == {}
        (tmp_path / "past.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert merge(*mine.others()) == {}
    mine.close()
    other.close()


def test_a_folder_that_is_gone_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    ledger = Ledger(folder)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    logger = logging.getLogger("antiscrape")
    former, logger.propagate = logger.propagate, True
    try:
        assert [ledger.publish(counted(number)) for number in range(3)] == [False] * 3
    finally:
        logger.propagate = former
    assert len({id(record) for record in caplog.records}) == 1
    assert "cannot be written" in caplog.text
    with pytest.raises(OSError, match="No such file"):
        ledger.others()
    ledger.close()
