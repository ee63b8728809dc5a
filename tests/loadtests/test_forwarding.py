"""Proxies are measured side by side before one site, and the ratio is to the best of the rivals."""

from __future__ import annotations

import pytest

from loadtests.bench.figures import Spread
from loadtests.bench.forwarders import FORWARDERS, command_of
from loadtests.bench.forwarding import TARGETS, Row, faster, forward
from loadtests.bench.generator import Generator


def row(name: str, cpu: float, target: str = "/x") -> Row:
    return Row(name, target, Spread(cpu, cpu, cpu), rate=1.0, failures=0)


def test_the_ratio_is_to_the_best_rival_on_the_same_target() -> None:
    rows = [
        row("ours", 50.0),
        row("aiohttp", 200.0),
        row("httpx", 1000.0),
        row("nginx", 20.0),
        row("aiohttp", 5.0, "/y"),
    ]
    assert faster(rows, "/x") == 4.0
    assert faster(rows[:1], "/x") is None
    assert faster(rows, "/y") is None


def test_a_program_that_is_not_installed_is_said_to_be(tmp_path: object) -> None:
    missing = FORWARDERS["nginx"]._replace(program="no-such-proxy")
    with pytest.raises(FileNotFoundError, match="no-such-proxy is not installed"):
        command_of(missing, 1, 2, str(tmp_path))


@pytest.mark.slow
def test_ours_and_a_rival_are_measured_before_the_same_site() -> None:
    skipped: dict[str, str] = {}
    said: list[str] = []
    with Generator(wrk="") as generator:
        rows = forward(
            generator, rounds=1, seconds=0.2, skipped=skipped, say=said.append, names=("ours", "aiohttp")
        )
    assert not skipped
    assert len(said) == len(TARGETS)
    assert {(one.name, one.target) for one in rows} == {
        (name, to) for name in ("ours", "aiohttp") for to in TARGETS
    }
    assert all(one.failures == 0 and one.rate > 0 for one in rows)
