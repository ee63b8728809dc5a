"""The figures of one process: read from the real counters, bounded, and merged without going backwards."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from antiscrape import AntiscrapeMiddleware, load_policy
from antiscrape.core.verdict import Action, Mode, Rendition, Standing
from antiscrape.evidence.events import NoSink
from antiscrape.images.frames import Outcome
from antiscrape.images.renderer import PillowRenderer
from antiscrape.operate.families import BY_NAME, FAMILIES, Merge
from antiscrape.operate.meter import OUTCOMES, Meter, merge, policy_version
from antiscrape.operate.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

    from antiscrape.asgi.types import Message, Receive, Scope, Send
    from antiscrape.core.rules import Policy

# prometheus_client leaves this one function without types
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families
SECRET = {"ANTISCRAPE_SECRET": "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"}


def policy(secret: str = SECRET["ANTISCRAPE_SECRET"]) -> Policy:
    made = load_policy(environ={"ANTISCRAPE_SECRET": secret})
    return replace(made, record=replace(made.record, events="off", admin=""))


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<p>"})


def protected(levels: Callable[[], dict[str, int]] = dict) -> tuple[AntiscrapeMiddleware, Meter]:
    made = policy()
    middleware = AntiscrapeMiddleware(site, policy=made)
    recorder, images = middleware._estate.recorder, renderer_of(middleware)
    sink = recorder._sink
    assert isinstance(sink, NoSink)
    meter = Meter(made, recorder=recorder, sink=sink, store=middleware.store, images=images, levels=levels)
    return middleware, meter


def renderer_of(middleware: AntiscrapeMiddleware) -> PillowRenderer:
    renderer = middleware._estate.renderer
    assert isinstance(renderer, PillowRenderer)
    return renderer


async def ask(
    middleware: AntiscrapeMiddleware, path: bytes, client: str, *headers: tuple[bytes, bytes]
) -> None:
    scope: Scope = {
        "type": "http", "method": "GET", "raw_path": path, "path": "/", "query_string": b"", "scheme": "https",
        "http_version": "1.1", "client": (client, 1), "headers": [(b"host", b"a.example"), *headers],
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    await middleware(scope, receive, send)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_what_was_served_is_what_is_told() -> None:
    middleware, meter = protected()

    async def visit() -> None:
        for _ in range(3):
            await ask(middleware, b"/page", "192.0.2.1")
        await ask(middleware, b"/page", "192.0.2.2", (b"user-agent", b"curl/8.1"))
        await ask(middleware, b"/../etc", "192.0.2.3")
        await ask(middleware, b"/robots.txt", "192.0.2.4")

    asyncio.run(visit())
    told = samples(Metrics(meter).tell()[0].decode())
    verdicts = {
        labels: value for (name, labels), value in told.items() if name == "antiscrape_verdicts_total"
    }
    assert sum(verdicts.values()) == 5
    assert verdicts[frozenset({("standing", "unknown"), ("action", "admit"), ("rendition", "original")})] == 1
    assert verdicts[frozenset({("standing", "bot"), ("action", "admit"), ("rendition", "preview")})] == 4
    assert told["antiscrape_malformed_requests_total", frozenset()] == 1
    assert told["antiscrape_principals", frozenset()] == len(middleware.store)
    assert told["process_open_fds", frozenset()] > 0


def test_originals_are_counted_only_where_they_are_marked() -> None:
    middleware, _ = protected()
    made = policy()
    marking = AntiscrapeMiddleware(site, policy=replace(made, trace=replace(made.trace, originals=True)))
    assert marking.house._tools.marker is not None
    marking.house._tools.marker.counts["marked"] += 2
    name = "antiscrape_originals_traced_total"
    assert samples(Metrics(marking.meter).tell()[0].decode())[name, frozenset({("outcome", "marked")})] == 2
    assert name not in {each for each, _ in samples(Metrics(middleware.meter).tell()[0].decode())}


@pytest.mark.security("J7")
def test_no_client_can_make_a_series() -> None:
    """Ten thousand hostile requests leave no more series than there are words for verdicts and outcomes."""
    middleware, meter = protected()
    source = random.Random(7)

    async def flood() -> None:
        for number in range(10_000):
            path = b"/" + source.randbytes(4).hex().encode() if number % 2 else source.randbytes(6)
            await ask(
                middleware, path, f"198.51.{number // 256 % 256}.{number % 256}", (b"x", source.randbytes(5))
            )

    asyncio.run(flood())
    text = Metrics(meter).tell()[0].decode()
    series = samples(text)
    outcomes, fixed = len(OUTCOMES), len(FAMILIES)
    assert len(series) <= len(Standing) * len(Action) * len(Rendition) + outcomes + fixed < 2000
    words = {
        value for _, labels in series for name, value in labels if name not in {"version", "python", "site"}
    }
    known = {word.value for kind in (Standing, Action, Rendition, Mode) for word in kind}
    assert words <= known | set(OUTCOMES) | {"done"}


def test_names_follow_prometheus_customs() -> None:
    """Base units, _total on counters alone, a help for each, and one order of words."""
    _, meter = protected()
    text = Metrics(meter).tell()[0].decode()
    for family in parse(text):
        assert family.documentation
        assert re.fullmatch(r"(antiscrape|process)_[a-z_]+", family.name)
        assert all(sample.name.endswith("_total") is (family.type == "counter") for sample in family.samples)
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent|minutes)$", family.name)


def test_openmetrics_is_spoken_to_whom_asks_for_it() -> None:
    _, meter = protected()
    body, content_type = Metrics(meter).tell("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    text = body.decode()
    assert text.endswith("# EOF\n")
    families = {family.name: family.type for family in parse_openmetrics(text)}
    assert families["antiscrape_verdicts"] == "counter"
    assert families["antiscrape_principals"] == "gauge"


def test_every_outcome_of_a_rendition_has_its_word() -> None:
    words = {outcome.name.lower() for outcome in Outcome} - {"ready"}
    assert words | {"cached", "found", "joined", "refused", "other"} == set(OUTCOMES)
    middleware, meter = protected()
    renderer_of(middleware).counts.update({"jpeg": 2, "cached": 3, "of-a-later-version": 4})
    told = meter.read()["antiscrape_image_renditions"]
    assert (told["jpeg",], told["cached",], told["other",]) == (2, 3, 4)
    assert "of-a-later-version" not in str(told)


def test_levels_are_told_where_there_are_some() -> None:
    _, meter = protected(lambda: {"queued": 5, "cache_bytes": 700, "something-else": 1})
    figures = meter.read()
    assert figures["antiscrape_image_queue"] == {(): 5}
    assert figures["antiscrape_image_cache_bytes"] == {(): 700}
    assert "antiscrape_image_workers" not in figures
    assert figures.keys() <= BY_NAME.keys()


@pytest.mark.security("J8")
@pytest.mark.security("J9")
def test_the_policys_version_changes_with_every_setting_and_with_no_secret() -> None:
    one = policy()
    assert policy_version(one) == policy_version(policy(secret="another-secret-of-thirty-two-bytes-9f"))
    assert policy_version(one) != policy_version(replace(one, bot_at=one.bot_at + 1))
    rules = {**one.signals, "accept-missing": replace(one.signals["accept-missing"], weight=1)}
    assert policy_version(one) != policy_version(replace(one, signals=rules))


def test_merging_adds_counters_of_the_dead_and_gauges_of_the_living() -> None:
    def of(verdicts: int, principals: int, start: float) -> dict[str, dict[tuple[str, ...], float]]:
        return {
            "antiscrape_verdicts": {("bot", "admit", "preview"): verdicts},
            "antiscrape_principals": {(): principals},
            "process_start_time_seconds": {(): start},
            "antiscrape_build": {("1", "3.11"): 1},
        }

    merged = merge([of(1, 10, 50.0), of(2, 20, 40.0)], [of(4, 40, 10.0)])
    assert merged["antiscrape_verdicts"] == {("bot", "admit", "preview"): 7}
    assert merged["antiscrape_principals"] == {(): 30}
    assert merged["process_start_time_seconds"] == {(): 40}
    assert merged["antiscrape_build"] == {("1", "3.11"): 1}
    assert merge([], [of(4, 40, 10.0)]).keys() == {"antiscrape_verdicts"}
    assert {family.merge for family in FAMILIES} == set(Merge)
