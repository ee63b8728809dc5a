"""Contenders run in processes of their own and are known to count per client before they are measured."""

from __future__ import annotations

import sys

import pytest

from loadtests.bench.generator import Generator
from loadtests.bench.peers import Environment
from loadtests.bench.served import Server, compare, counts_per_client
from loadtests.bench.variants import VARIANTS
from loadtests.bench.visitors import API

_HERE = Environment(sys.executable)


def test_antiscrape_counts_per_client_and_the_bare_site_is_found_out() -> None:
    assert counts_per_client(VARIANTS["antiscrape"], _HERE, API) == ""
    assert "does not count per client" in counts_per_client(VARIANTS["bare"], _HERE, API)


def test_a_server_that_cannot_start_is_an_error() -> None:
    missing = VARIANTS["bare"]._replace(name="no-such-variant")
    with pytest.raises(ConnectionError, match="did not start"), Server(missing, _HERE):
        pass


@pytest.mark.slow
def test_contenders_are_compared_with_the_bare_site_beside_them() -> None:
    said: list[str] = []
    with Generator(wrk="") as generator:
        rows = compare(["antiscrape"], _HERE, generator, API, rounds=1, seconds=0.3, say=said.append)
    bare, ours = rows
    assert (bare.name, ours.name) == ("bare", "antiscrape")
    assert bare.failures == ours.failures == 0
    assert ours.cpu > 0
    assert said == ["/api/photos: round 1 of 1"]
