"""From what was simulated and measured to what a site of any size needs: the laws, and how far they were checked.

Simulated is what nodes and the store say to each other (``traffic``), for the principals who are there in a slice of a day;
measured is what a real server spends on it (``server``). Extrapolated are the tables: a request costs the store as many
records at 10^8 principals a day as at 10^4, which ``checked`` shows from one size to the next; more nodes mean more records
a request, which is simulated at each number of nodes.
"""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from loadtests.simulation.population import DAY, MIX
from loadtests.simulation.traffic import FLIGHT, Site

if TYPE_CHECKING:
    from antiscrape.core.rules import Allowance, Policy
    from loadtests.simulation.server import Costs, Memory
    from loadtests.simulation.traffic import Traffic

#: The busiest hour's requests, as a multiple of the day's mean.
PEAK: Final = 2.0
#: Requests a second that one node serves: a Python worker in front of a photo site.
NODE: Final = 1000.0
#: The share of one processor up to which a server answers at once; it runs scripts on one.
BUSY: Final = 0.6
#: Principals of one network a day.
_NEIGHBOURS: Final = 8


class Size(NamedTuple):
    """What so many nodes, each at ``NODE`` requests a second in the busiest hour, ask of the store.

    Rates are a second, ``processor`` is the share of one that the store's scripts take, ``memory`` its bytes.
    """

    nodes: int
    principals: float
    requests: float
    calls: float
    records: float
    bytes: float
    processor: float
    memory: float

    @property
    def servers(self) -> int:
        """Valkey servers that this takes; more than one is a cluster."""
        return max(1, math.ceil(self.processor / BUSY))


def size_of(nodes: int, told: Traffic, costs: Costs, memory: Memory, *, rate: float = NODE) -> Size:
    """Return what ``nodes`` need by what was ``told`` a request among as many (or nearly as many)."""
    requests = nodes * rate
    principals = requests * DAY / MIX.requests / PEAK
    records = told.records * rate  # of one node
    # At this rate a node always has something to tell, and mostly something to read at once.
    exchanges = 2.0 / (told.interval + 2 * (FLIGHT.out + FLIGHT.back))
    calls = nodes * max(exchanges, records / 128)
    lights, fulls = requests * (told.records - told.full), requests * told.full
    return Size(
        nodes,
        principals,
        requests,
        calls,
        nodes * records,
        requests * told.bytes,
        costs.seconds(calls, lights, fulls),
        principals * bytes_of(memory),
    )


def bytes_of(memory: Memory) -> float:
    """Return the bytes that the store keeps for one of a day's principals, on average.

    Who had no original is forgotten when its requests are earned back: within the window, a few minutes of the day.
    """
    kept = MIX.person * memory.person + (MIX.botnet + MIX.harvester) * memory.harvester
    kept += MIX.person * memory.network / _NEIGHBOURS + (MIX.botnet + MIX.harvester) * memory.harvester
    return kept + 2 * MIX.one_shot * memory.light * 300.0 / DAY


def checked(slices: list[Traffic]) -> float:
    """Return by how much, at most, the records a request of any slice differ from the largest slice's, as a share of it."""
    reference = max(slices, key=lambda one: one.principals).records
    return max(abs(one.records - reference) / reference for one in slices)


def nodes_of_one(sizes: list[Size]) -> float:
    """Return how many nodes one server serves: where its processor is as busy as it may be, between two sizes."""
    for below, above in pairwise(sizes):
        if below.processor <= BUSY < above.processor:
            share = (BUSY - below.processor) / (above.processor - below.processor)
            return below.nodes + share * (above.nodes - below.nodes)
    return sizes[-1].nodes if sizes[-1].processor <= BUSY else sizes[0].nodes * BUSY / sizes[0].processor


def node_memory(policy: Policy, allowance: Allowance, principals: int) -> float:
    """Measure the bytes that a node's store takes for one principal that had an original, its network with it."""
    site = Site(policy, allowance, 1, 0.1)
    tracemalloc.start()
    try:
        begin, _ = tracemalloc.get_traced_memory()
        for number in range(principals):
            site.ask(0, f"p{number}0", number)
            if not number % 500:
                site.fleet.settle()
        site.fleet.settle()
        # what the paper keeps is the server's
        site.fleet.paper.wipe()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (left - begin) / principals
