"""What every store of usage promises, as functions over any of them: a budget is a budget, however it is asked for.

A store is given traces: who asks when for what. ``now`` starts at some hundred thousand seconds, as a clock does that
counts from the machine's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Principal
from antiscrape.core.observation import Charge
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.rules import Allowance
from antiscrape.core.verdict import Rendition, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiscrape.core.budgets import Limit
    from antiscrape.core.verdict import Exceeded
    from antiscrape.ports import UsageStore

START: Final = 345_678.9
#: How many times a client's budgets the networks have: what the factory of a store has to set.
LINE_FACTOR, ROLLUP_FACTOR = 3.0, 5.0
#: The longest windows of any standing, likewise: what was had is remembered that long, and costs nothing again.
STANDINGS = {
    Standing.BROWSER: Allowance(
        Standing.BROWSER,
        Rendition.ORIGINAL,
        Rendition.PREVIEW,
        originals=parse_limits("1000/hour"),
        subjects=parse_limits("1000/hour"),
    )
}
KEEP: Final = 3600.0


class Client(NamedTuple):
    """A principal by its place: in which /48, in which line of it, and which /64 of that. IPv4 has no lines."""

    network: int
    line: int
    place: int

    @property
    def principal(self) -> Principal:
        """Its keys."""
        if self.network == 0:
            return Principal(f"198.51.100.{8 * self.line + self.place}", "198.51.100.0/24", "")
        wide = f"2001:db8:{self.network:x}:"
        own = f"{wide}{self.line:x}{self.place:02x}::/64"
        return Principal(own, f"{wide}:/48", "", f"{wide}{self.line:x}00::/56")

    @property
    def levels(self) -> list[tuple[object, float]]:
        """The levels that its charges are made to, each with its factor."""
        around: list[tuple[object, float]] = [(self, 1.0)]
        if self.network:
            around.append(((self.network, self.line), LINE_FACTOR))
        return [*around, (self.network, ROLLUP_FACTOR)]


class Step(NamedTuple):
    """One request: seconds after the one before, whose, and for which thing."""

    gap: float
    client: Client
    thing: int


clients = st.builds(Client, st.integers(0, 1), st.integers(0, 2), st.integers(0, 2))
#: Gaps on the edges of windows are where counters go wrong.
gaps = st.one_of(
    st.just(0.0), st.floats(0.0, 3.0), st.sampled_from([1.0, 9.999, 10.0, 10.001, 59.9, 60.0, 60.1, 600.0])
)
traces = st.lists(st.builds(Step, gaps, clients, st.integers(0, 60)), min_size=1, max_size=120)


def allow(**limits: str) -> Allowance:
    """Return an allowance with these budgets."""
    read: Any = {name: parse_limits(text, sizes=name == "bytes") for name, text in limits.items()}
    return Allowance(Standing.BROWSER, Rendition.ORIGINAL, Rendition.PREVIEW, **read)


def picture(thing: int) -> Resource:
    """Return a photograph of full size."""
    return Resource(Kind.IMAGE, f"/media/{thing}", thing * 0x9E3779B97F4A7C15 % 2**64, Size.ORIGINAL)


def profile(thing: int) -> Resource:
    """Return the page of a person."""
    return Resource(Kind.SUBJECT, f"/u/{thing}", thing, subject=f"person {thing}")


def ask(
    store: UsageStore, client: Client, allowance: Allowance, now: float, resource: Resource | None = None
) -> Exceeded | None:
    """Charge one request of a client, for a page of no interest or for ``resource``."""
    resource = resource or Resource(Kind.PAGE, "/", 1)
    charge = Charge.ORIGINAL if resource.kind is Kind.IMAGE else Charge.REQUEST
    return store.charge(store.find(client.principal, now), charge, allowance, resource, now).exceeded


def granted(
    store: UsageStore, allowance: Allowance, trace: Iterable[Step], make: object = None
) -> list[tuple[float, Client, int]]:
    """Run a trace; return the requests that were within the budgets. ``make`` makes the resource of a thing."""
    now, admitted = START, []
    for step in trace:
        now += step.gap
        resource = make(step.thing) if callable(make) else None
        if ask(store, step.client, allowance, now, resource) is None:
            admitted.append((now, step.client, step.thing))
    return admitted


def by_level(events: Iterable[tuple[float, Client, int]]) -> Iterable[tuple[float, list[tuple[float, int]]]]:
    """Yield each level's factor with what happened at it."""
    found: dict[object, tuple[float, list[tuple[float, int]]]] = {}
    for at, client, thing in events:
        for name, factor in client.levels:
            found.setdefault(name, (factor, []))[1].append((at, thing))
    return found.values()


def assert_rate(times: list[float], limit: Limit, factor: float) -> None:
    """Assert that in any window there was at most the amount, and what is earned back within it."""
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            earned = (times[last] - start) / limit.interval
            most = (limit.amount + earned) * factor
            assert last - first + 1 <= most + 1e-3, (
                f"{last - first + 1} in {times[last] - start} s: {limit.text}"
            )


def newly_had(events: list[tuple[float, int]]) -> list[float]:
    """Return when something was had that had not been had within ``KEEP``."""
    charged: dict[int, float] = {}
    times = []
    for at, thing in events:
        if at - charged.get(thing, float("-inf")) >= KEEP:
            charged[thing] = at
            times.append(at)
    return times


def assert_distinct(times: list[float], limit: Limit, factor: float) -> None:
    """Assert that no window, wherever it begins, has more than the amount."""
    most = int(limit.amount * factor)
    for first in range(len(times) - most):
        assert times[first + most] - times[first] >= limit.window, f"{most + 1} within {limit.text}"
