"""Medians, ratios, and what the targets in budgets.toml make of them."""

from __future__ import annotations

import os

import pytest

from loadtests.bench.figures import Target, cpu_seconds, judge, machine, read_budgets, spread
from loadtests.bench.variants import VARIANTS


def test_a_spread_is_the_median_between_its_quartiles() -> None:
    assert spread([5.0, 1.0, 3.0]) == (3.0, 2.0, 4.0)
    assert spread([7.0]) == (7.0, 7.0, 7.0)
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_a_maximum_is_met_up_to_its_value_and_a_minimum_from_it_on() -> None:
    most, least = Target("ratio", "max", 1.15), Target("rate", "min", 10.0)
    assert most.met(1.15)
    assert not most.met(1.16)
    assert most.met(1.26, tolerance=0.1)
    assert not most.met(1.27, tolerance=0.1)
    assert least.met(10.0)
    assert not least.met(9.5)
    assert least.met(9.5, tolerance=0.1)


def test_only_what_is_missed_beyond_the_noise_counts_as_missed() -> None:
    targets = [Target("near", "max", 1.0), Target("far", "max", 1.0), Target("met", "max", 1.0)]
    figures = {"near": 1.05, "far": 2.0, "met": 0.5}
    lines, missed = judge(figures, [*targets, Target("unmeasured", "max", 1.0)], tolerance=0.1)
    assert missed == ["far"]
    assert [line.split()[-1] for line in lines] == ["noise", "MISSED", "met"]


def test_the_cpu_time_of_a_process_is_its_own() -> None:
    before, mine = cpu_seconds(os.getpid()), os.times()
    assert before == pytest.approx(mine.user + mine.system, abs=0.2)


def test_the_machine_is_named() -> None:
    named = machine()
    assert named["processor"]
    assert "Python" in str(named["python"])


def test_every_target_of_the_bench_is_one_that_it_measures() -> None:
    targets, others = read_budgets("bench")
    measured = {
        "proxied_small_ratio", "proxied_large_ratio", "served_ratio", "served_shared_ratio", "served_strict_ratio", "served_image_ratio", "in_process_hmac", "in_process_cycles", "preview_cached_ratio",
        "preview_cold_ratio", "preview_cold_faces_ratio", "worker_resident_mb", "html_mb_per_s", "html_us_per_url", "html_bare_mb_per_s", "html_put_mb_per_s", "html_100_mb_per_s", "html_100_put_mb_per_s", "first_sight_ratio", "start_ratio",
        "bytes_per_client", "bytes_per_viewer", "bytes_per_idle_client", "resident_million_mb", "flat_10000_ratio",
        "flat_100000_ratio", "flat_1000000_ratio", "forwarded_bytes_ratio", "forwarded_small_bytes_ratio", "verdicts_per_cpu_second",
        "crowded_served", "crowded_left", "crowded_mb",
    }  # fmt: skip
    assert {target.name for target in targets} == measured
    assert 0 < others["tolerance"] < 0.5
    assert set(others["peers_dearer"]) == VARIANTS.keys() - {"bare", "antiscrape", "shared", "strict"}
