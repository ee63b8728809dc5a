"""The load compares the same visitors on two sites."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from loadtests import run
from loadtests.bench.figures import read_budgets
from loadtests.site import Site, policy

_ACCOUNT = {
    "requests": 10, "asked": 4, "originals": 4, "previews": 0, "limited": 0, "refused": 0, "failures": 0,
    "median_ms": 5.0, "p95_ms": 10.0, "most_per_address": 4, "addresses": 1,
}  # fmt: skip
_KINDS = ("Person", "PoliteCrawler", "GreedyHarvester", "DistributedHarvester")


def test_the_ratios_are_protected_over_bare() -> None:
    bare = {kind: dict(_ACCOUNT) for kind in _KINDS}
    protected = {kind: dict(_ACCOUNT) for kind in _KINDS}
    protected["Person"].update(originals=2, limited=1, p95_ms=20.0)
    protected["GreedyHarvester"].update(originals=0)
    figures = run.compare(bare, protected)
    assert figures["person_originals_ratio"] == 0.5
    assert figures["person_failures"] == 1
    assert figures["person_p95_ratio"] == 2.0
    assert (figures["greedy_originals"], figures["greedy_originals_unprotected"]) == (0, 4)


def test_every_target_of_the_load_is_one_that_it_measures() -> None:
    accounts = {kind: dict(_ACCOUNT) for kind in _KINDS}
    targets, others = read_budgets("load")
    assert {target.name for target in targets} == run.compare(accounts, accounts).keys() | {
        "person_cpu_ratio"
    }
    assert not others


def test_locust_finds_the_four_kinds_of_visitors() -> None:
    file = Path(run.__file__).with_name("locustfile.py")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert {line.strip() for line in done.stdout.splitlines() if line.startswith(" ")} == set(_KINDS)


def test_the_protected_site_believes_the_load_s_addresses_and_signs_its_pictures() -> None:
    site = policy()
    assert [str(network) for network in site.identity.trusted_proxies] == ["127.0.0.0/8"]
    assert site.grants.prefixes == ("/media/",)


@pytest.mark.slow
def test_the_bare_site_is_served_until_it_is_let_go() -> None:
    with Site("bare") as site:
        with urlopen(site.url + "/robots.txt", timeout=60) as answer:
            assert answer.status == 200
        assert site.cpu() > 0
    with pytest.raises(OSError, match="refused"), urlopen(site.url, timeout=60):
        pass
