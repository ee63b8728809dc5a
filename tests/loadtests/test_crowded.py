"""The crowd of load L5, small, before the server as it is shipped."""

from __future__ import annotations

import resource

import pytest

from loadtests.bench.crowded import Crowd, crowded


@pytest.mark.slow
@pytest.mark.security("C5")
@pytest.mark.security("C6")
def test_people_among_slow_connections_are_served_and_all_of_those_go() -> None:
    soon = {f"ANTISCRAPE__SERVE__{limit}": "1s" for limit in ("SEND", "FIRST_BYTE", "HEAD")}
    found = {cost.name: cost.value for cost in crowded(Crowd(30, 6), **soon)}
    assert found["crowded_served"] == 1.0
    assert found["crowded_left"] == 0
    assert found["crowded_mb"] > 0


def test_a_machine_that_allows_no_crowd_says_so() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("descriptors have no limit here")
    with pytest.raises(FileNotFoundError, match="descriptors"):
        crowded(Crowd(hard, 1))
