"""The bench's visitors are people that the default policy has nothing against."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiscrape.core.verdict import Standing
from loadtests.bench import visitors
from loadtests.bench.inprocess import Sink
from loadtests.bench.site import make_site
from loadtests.bench.variants import client_of, protected


def test_no_two_clients_share_an_address_or_many_of_them_a_network() -> None:
    addresses = [visitors.address(number) for number in range(visitors.CLIENTS)]
    networks = [address.rpartition(".")[0] for address in addresses]
    assert len(set(addresses)) == visitors.CLIENTS
    assert max(networks.count(network) for network in set(networks[:500])) <= 8


@pytest.mark.parametrize("target", [visitors.API, visitors.IMAGE, visitors.PAGE])
def test_every_visitor_is_a_browser_without_a_single_signal(target: str) -> None:
    app, sink = protected(make_site()), Sink()

    async def ask() -> list[Any]:
        scopes = [visitors.scope(number, target) for number in range(0, visitors.CLIENTS, 97)]
        for scope in scopes:
            await app(scope, sink.receive, sink.send)
        return [scope["state"]["antiscrape"].verdict for scope in scopes]

    verdicts = asyncio.run(ask())
    assert {verdict.standing for verdict in verdicts} == {Standing.BROWSER}
    assert {verdict.findings for verdict in verdicts} == {()}
    assert not sink.failures


def test_a_scope_shares_no_bytes_with_the_next_one_of_the_same_client() -> None:
    one, other = visitors.scope(7, visitors.API), visitors.scope(7, visitors.API)
    assert one["headers"] == other["headers"]
    shared = {id(part) for pair in one["headers"] for part in pair} & {
        id(part) for pair in other["headers"] for part in pair
    }
    assert not shared


def test_the_wire_says_what_the_scope_says() -> None:
    head = visitors.request(7, visitors.IMAGE).split(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"GET /media/1001.jpg HTTP/1.1"
    pairs = [tuple(line.split(b": ", 1)) for line in head[1:]]
    assert pairs == visitors.scope(7, visitors.IMAGE)["headers"]


def test_a_peer_reads_the_address_that_the_proxy_wrote() -> None:
    assert client_of(visitors.scope(7, visitors.API)) == visitors.address(7)
    assert client_of({"headers": [], "client": ("192.0.2.9", 1)}) == "192.0.2.9"
