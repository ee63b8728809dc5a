"""The simulator: its population is what it says, its figures are those of the exchange, and a small run ends in a page."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.verdict import Standing
from antiscrape.stores.extras import has_private
from loadtests import simulate
from loadtests.simulate import Extent
from loadtests.simulation.model import BUSY, bytes_of, checked, nodes_of_one, size_of
from loadtests.simulation.population import DAY, MIX, slice_of
from loadtests.simulation.report import Results, page, text
from loadtests.simulation.server import Costs, Memory
from loadtests.simulation.traffic import Site, Traffic, overshoot, play
from tests.conftest import missing
from tests.house import policy_of

if TYPE_CHECKING:
    from pathlib import Path

POLICY = policy_of()
BROWSER = POLICY.standings[Standing.BROWSER]
SMALL = Extent(
    nodes=4,
    principals=(1e4, 3e4),
    seconds=12.0,
    fleets=(1, 8),
    fleet=(3e4, 12.0),
    spread=(2, 8),
    intervals=(0.1,),
    tries=1,
    records=(2000,),
    calls=40,
    clients=50,
)


def test_a_slice_is_as_full_as_the_day() -> None:
    """What a principal asks for in a day, times how many come, is what a slice of it holds."""
    requests = slice_of(1e6, 16, 40.0)
    assert len(requests) == pytest.approx(1e6 * MIX.requests * 40.0 / DAY, rel=0.05)
    assert all(before.at <= after.at for before, after in pairwise(requests))
    assert {request.node for request in requests} == set(range(16))
    harvested = sum(request.who.startswith("h") for request in requests)
    assert harvested == 100 * 80


def test_a_request_tells_as_many_records_whatever_the_size() -> None:
    """Which is what the extrapolation rests on."""
    slices = [play(Site(POLICY, BROWSER, 4, 0.1), principals, 40.0) for principals in (5e4, 2e5)]
    assert checked(slices) <= 0.1
    assert all(0.4 < one.records < 0.8 for one in slices)
    assert all(one.exchanges_a_second <= 2 / one.interval for one in slices)


@pytest.mark.parametrize("nodes", [2, 32])
def test_a_harvester_that_spreads_stays_within_the_bound(nodes: int) -> None:
    found = overshoot(POLICY, BROWSER, nodes, 0.1, 100.0, tries=2)
    assert found.worst <= found.bound
    assert (found.mean > 10) == (nodes > 2), "at many nodes each one admits it once"


def told(nodes: int, records: int, fulls: int) -> Traffic:
    return Traffic(1e6, nodes, 0.1, 10.0, 1000, 0, 100, 100, records - fulls, fulls, 100_000, 50_000)


COSTS = Costs(call=50.0, light=10.0, full=60.0, check=1.0)
MEMORY = Memory(1000, light=100.0, person=600.0, network=2000.0, harvester=3600.0)


def test_a_size_is_the_sum_of_its_parts() -> None:
    size = size_of(10, told(10, 1500, 500), COSTS, MEMORY)
    assert size.requests == 10_000.0
    assert size.records == 15_000.0
    assert size.bytes == 1_500_000.0
    assert size.calls == pytest.approx(10 * 2 / 0.102)
    assert size.processor == pytest.approx((size.calls * 50 + 10_000 * 10 + 5_000 * 60) / 1e6)
    assert size.servers == 1
    assert size.memory == size.principals * bytes_of(MEMORY)
    sizes = [size_of(nodes, told(nodes, 1500, 500), COSTS, MEMORY) for nodes in (1, 10, 100)]
    one = nodes_of_one(sizes)
    assert size_of(round(one), told(10, 1500, 500), COSTS, MEMORY).processor == pytest.approx(BUSY, rel=0.1)


def test_without_a_server_nothing_is_said_of_it() -> None:
    results = Results(sizes=[told(4, 1500, 500)], fleets=[told(1, 1500, 500)])
    assert "NOT MEASURED" in text(results)
    assert "EXTRAPOLATED" not in text(results)
    assert results.as_json()["extrapolated"]["sites"] == []


def test_a_small_run_ends_in_a_table_figures_and_a_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not has_private():
        missing("valkey", "no valkey-server")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(simulate, "QUICK", SMALL)
    assert simulate.main(["--quick", "--to", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for part in ("SIMULATED", "MEASURED", "EXTRAPOLATED", "one server serves"):
        assert part in shown
    figures = json.loads((tmp_path / "simulation.json").read_text())
    assert [one["nodes"] for one in figures["extrapolated"]["nodes"]] == [1, 8]
    assert figures["extrapolated"]["sites"][-1]["principals"] == pytest.approx(1e8, rel=0.01)
    assert all(one["worst"] <= one["bound"] for one in figures["simulated"]["overshoot"])
    stored = figures["measured"]["store_bytes"][0]
    assert 50 < stored["light"] < 400
    assert stored["light"] < stored["person"] < stored["network"] < stored["harvester"]
    assert 300 < figures["measured"]["node_bytes_a_principal"] < 10_000
    written = (tmp_path / "simulation.html").read_text()
    assert written.count("<svg") == 4
    assert not re.search(r"(src|href)=.https?:", written), "the page needs nothing from elsewhere"


def test_a_page_without_a_server_has_the_plots_that_need_none() -> None:
    results = Results(
        sizes=[told(4, 1500, 500)],
        fleets=[told(1, 1500, 500)],
        overshoots=[overshoot(POLICY, BROWSER, 2, 0.1, 50.0, tries=1)],
    )
    pytest.importorskip("matplotlib")
    assert page(results).count("<figure>") == 2
