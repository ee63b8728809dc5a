"""Who comes to a site, how often, and to which node: a day's principals, of which a slice of time is played.

Of everybody who comes on a day, those are played who are there in some seconds of it; so a slice is as full as the site is
large, and a day of 10^7 principals is a few hundred thousand requests. The mix is a photo site's: people look at some pages,
most of the others leave after the first, bots make a fifth of all requests.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY: Final = 86_400.0


class Mix(NamedTuple):
    """Shares of a day's principals, and what each does.

    A person opens ``pages`` pages ``pause`` seconds apart, each with ``parts`` pictures and scripts within a second, and
    on every other one looks at a photo in full. Its connections stay at one node, but for one page in twenty. A
    harvester asks ``rate`` times a second all day, a botnet's address once in ``rest`` seconds, both wherever they come.
    """

    person: float = 0.6
    one_shot: float = 0.3609
    botnet: float = 0.039
    harvester: float = 0.0001
    pages: int = 8
    parts: int = 12
    pause: float = 30.0
    shot: int = 7
    rate: float = 2.0
    rest: float = 600.0

    @property
    def requests(self) -> float:
        """Requests of one principal a day, on average."""
        return (
            self.person * self.pages * (1.5 + self.parts)
            + self.one_shot * self.shot
            + self.botnet * DAY / self.rest
            + self.harvester * DAY * self.rate
        )


MIX: Final = Mix()


class Request(NamedTuple):
    """One request: when, to which node, whose, and the original it asks for (-1: none)."""

    at: float
    node: int
    who: str
    original: int


def slice_of(
    principals: float, nodes: int, seconds: float, *, seed: int = 1, mix: Mix = MIX
) -> list[Request]:
    """Return, in order, what is asked in ``seconds`` of a day on which so many ``principals`` come."""
    chance = random.Random(seed)
    visit = mix.pages * mix.pause
    requests: list[Request] = []
    for number in range(_some(chance, principals * mix.person * (seconds + visit) / DAY)):
        start = chance.uniform(-visit, seconds)
        requests += _person(chance, f"p{number}", start, nodes, mix)
    for number in range(_some(chance, principals * mix.one_shot * seconds / DAY)):
        start, node = chance.uniform(0.0, seconds), chance.randrange(nodes)
        requests += [Request(start + 0.1 * part, node, f"o{number}", -1) for part in range(mix.shot)]
    for number in range(_some(chance, principals * mix.botnet * seconds / mix.rest)):
        requests.append(
            Request(chance.uniform(0.0, seconds), chance.randrange(nodes), f"b{number}", number * 7919)
        )
    for number in range(_some(chance, principals * mix.harvester)):
        at = chance.uniform(0.0, 1.0 / mix.rate)
        while at < seconds:
            requests.append(Request(at, chance.randrange(nodes), f"h{number}", chance.randrange(10**9)))
            at += 1.0 / mix.rate
    return sorted(request for request in requests if 0.0 <= request.at < seconds)


def _some(chance: random.Random, expected: float) -> int:
    """Return a whole number that is ``expected`` on average."""
    return int(expected) + (chance.random() < expected % 1.0)


def _person(chance: random.Random, who: str, start: float, nodes: int, mix: Mix) -> Iterator[Request]:
    at, node = start, chance.randrange(nodes)
    for page in range(mix.pages):
        if chance.random() < 0.05:
            node = chance.randrange(nodes)
        yield Request(at, node, who, -1)
        for _ in range(mix.parts):
            yield Request(at + chance.random(), node, who, -1)
        if page % 2:
            yield Request(at + 2.0, node, who, chance.randrange(10**9))
        at += mix.pause * chance.uniform(0.5, 1.5)
