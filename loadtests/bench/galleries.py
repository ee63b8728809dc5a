"""What a visitor's next picture costs: an original that was not had before, of a path that others have asked for."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from loadtests.bench.costs import Cost
from loadtests.bench.inprocess import Sink, run_batch
from loadtests.bench.site import make_site
from loadtests.bench.variants import protected
from loadtests.bench.visitors import API, IMAGE, PAGE, scope

if TYPE_CHECKING:
    from loadtests.bench.variants import App

#: Who looks at the pictures, and how many each looks at: a browser's budget allows 40 in ten minutes.
_VISITORS: Final = 200
_PICTURES: Final = 36
#: The first pictures of a visit tell groups of visitors something, and their dictionaries grow.
_SETTLED: Final = 12


async def next_picture() -> list[Cost]:
    """Measure it against the bare site, in turns; raise ``RuntimeError`` where somebody was not served."""
    bare, whole, sink = make_site(), protected(make_site(), ANTISCRAPE__RECORD__EVENTS="off"), Sink()
    for visitor in range(_VISITORS + 1):
        for target in (PAGE, API):
            await whole(scope(visitor, target), sink.receive, sink.send)
    ratios, added = [], []
    for number in range(_PICTURES):
        await whole(_asking(_VISITORS, number), sink.receive, sink.send)  # the path is known from here on
        costs = [await _time(app, number, sink) for app in ((bare, whole) if number % 2 else (whole, bare))]
        alone, guarded = costs if number % 2 else reversed(costs)
        if number >= _SETTLED:
            ratios.append(guarded / alone)
            added.append(guarded - alone)
    if sink.failures:
        raise RuntimeError(f"{sink.failures} pictures were not answered 200")
    return [
        Cost("next_picture_us", "a known visitor's next picture, added", statistics.median(added), "µs"),
        Cost("next_picture_ratio", "  over the picture from the bare site", statistics.median(ratios), "x"),
    ]


async def _time(app: App, number: int, sink: Sink) -> float:
    return await run_batch(app, [_asking(visitor, number) for visitor in range(_VISITORS)], sink)


def _asking(visitor: int, number: int) -> dict[str, Any]:
    path = f"/media/{1003 + 17 * number}.jpg"  # no walk along the numbers
    return scope(visitor, IMAGE) | {"path": path, "raw_path": path.encode()}
