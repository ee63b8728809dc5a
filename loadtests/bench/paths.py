"""What the rarer requests cost: previews, signing pages, a browser never seen before, the start, a client's memory."""

from __future__ import annotations

import asyncio
import io
import json
import resource
import secrets
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from PIL import Image

from antiscrape import clock
from antiscrape.core.rules import ImageRules
from antiscrape.core.tokens import KeyRing
from antiscrape.core.trace import payload_for, trace_keys
from antiscrape.core.verdict import Rendition
from antiscrape.images.faces.extra import finds_faces
from antiscrape.images.frames import Order, Task
from antiscrape.images.metadata import NOTHING_SAID
from antiscrape.images.recipes import marked, preview, unseen
from antiscrape.images.renderer import PillowRenderer
from antiscrape.images.stamping import Stamp
from antiscrape.ports import Wanted
from loadtests.bench.costs import Cost
from loadtests.bench.figures import peak_mb, resident
from loadtests.bench.galleries import next_picture
from loadtests.bench.inprocess import BATCH, Sink, run_batch
from loadtests.bench.peers import ROOT
from loadtests.bench.rooms import Rooms
from loadtests.bench.site import make_site, photograph
from loadtests.bench.texts import texts
from loadtests.bench.variants import protected
from loadtests.bench.visitors import API, IMAGE, scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.gate import Passage
    from antiscrape.images.recipes import Recipe

_TOOL = "python-requests/2.32.3"


def costs(*, rounds: int, clients: int) -> list[Cost]:
    """Measure all of them; ``rounds`` scales the repetitions, ``clients`` are remembered for the memory figure."""
    return [
        *asyncio.run(next_picture()),
        *asyncio.run(_cached_preview(rounds)),
        *asyncio.run(_cold_preview(max(3, rounds // 4))),
        *_traced(max(5, rounds // 2)),
        *texts(rounds),
        *_first_sight(rounds),
        *_start(max(3, rounds // 5)),
        *memory(clients),
    ]


async def _cached_preview(rounds: int) -> list[Cost]:
    """Measure a bot's preview that was made before, its trace apart, against the original from the bare site."""
    app = protected(make_site(), ANTISCRAPE__RECORD__EVENTS="off", ANTISCRAPE__TRACE__RENDITIONS="[]")
    bare, sink = make_site(), Sink()
    first = scope(1, IMAGE, agent=_TOOL)
    await app(first, sink.receive, sink.send)
    alone: list[float] = []
    previews: list[float] = []
    for number in range(rounds):
        alone.append(await run_batch(bare, [scope(place, IMAGE) for place in range(BATCH)], sink))
        scopes = [scope(number * BATCH + place, IMAGE, agent=_TOOL) for place in range(BATCH)]
        previews.append(await run_batch(app, scopes, sink))
    standing = first["state"]["antiscrape"].verdict.rendition
    if standing is not Rendition.PREVIEW or sink.failures:
        raise RuntimeError(f"a bot was answered {standing}")
    await app({"type": "lifespan"}, _ended, sink.send)
    cost = statistics.median(previews)
    return [
        Cost("preview_cached_us", "a bot's preview, made before", cost, "µs"),
        Cost(
            "preview_cached_ratio",
            "  over the original from the bare site",
            statistics.median([p / b for b, p in zip(alone, previews, strict=True)]),
            "x",
        ),
    ]


async def _ended() -> dict[str, str]:
    """Tell an app that the server ends."""
    return {"type": "lifespan.shutdown"}


async def _cold_preview(rounds: int) -> list[Cost]:
    """Measure a preview of a 1600x1200 JPEG, made by the recipes and by the workers, against decoding and encoding it."""
    rules = ImageRules()
    pictures = [photograph(1600, 1200, seed=seed) for seed in range(2 * rounds + 1)]
    found = _recipe("", "a preview of a 1600x1200 JPEG", unseen(rules), pictures[:rounds])
    if finds_faces(rules):
        found += _recipe("_faces", "  with faces looked for", preview(rules), pictures[:rounds])
    renderer = PillowRenderer(rules)
    await renderer.render(pictures[-1], Wanted(Rendition.PREVIEW))  # starts the worker
    waits = []
    for picture in pictures[rounds:-1]:
        begin = time.perf_counter()
        rendered = await renderer.render(picture, Wanted(Rendition.PREVIEW))
        waits.append((time.perf_counter() - begin) * 1000)
        if rendered.placeholder:
            raise RuntimeError("a preview could not be made")
    most = max(peak_mb(worker.process.pid) for worker in renderer._pool._living)  # noqa: SLF001 - a bench may look
    await renderer.aclose()
    return [
        *found,
        Cost("preview_cold_wait_ms", "  by a worker process, wall clock", statistics.median(waits), "ms"),
        Cost("worker_resident_mb", "  and the most that it had resident", most, "MB"),
    ]


def _recipe(kind: str, title: str, recipe: Recipe, pictures: list[bytes]) -> list[Cost]:
    """Make a preview of each picture; return the CPU time, and its ratio to that of decoding and encoding."""

    def make(source: bytes) -> None:
        recipe.make(source, Order(Task.PREVIEW), max_pixels=10**8)

    make(pictures[0])  # what is loaded late
    pairs = [(_cpu_ms(make, picture), _cpu_ms(_decode_and_encode, picture)) for picture in pictures]
    ratio = statistics.median([made / plain for made, plain in pairs])
    return [
        Cost(f"preview_cold{kind}_ms", title, statistics.median([made for made, _ in pairs]), "ms"),
        Cost(f"preview_cold{kind}_ratio", "  over decoding and encoding the picture", ratio, "x"),
    ]


def _traced(rounds: int) -> list[Cost]:
    """Measure a taker's copy of a preview and of a marked picture, against decoding and encoding the original.

    A taker's second picture of an hour costs less than the first, for which the pattern is drawn.
    """
    keys = trace_keys(KeyRing((secrets.token_bytes(40),)))[0]
    stamp, rules = Stamp(keys.pattern, NOTHING_SAID), ImageRules()
    picture = photograph(1600, 1200, seed=1)

    def copy(base: bytes, taker: int) -> None:
        stamp.make(base, Order(Task.STAMP, payload=taker), max_pixels=rules.max_pixels)

    figures = []
    plain = statistics.median([_cpu_ms(_decode_and_encode, picture) for _ in range(rounds)])
    for task, recipe in ((Task.PREVIEW, preview(rules)), (Task.MARKED, marked(rules))):
        base = recipe.make(picture, Order(task), max_pixels=rules.max_pixels).body
        takers = [payload_for(keys, f"{task} {number}", clock.wall()) for number in range(rounds)]
        first = statistics.median([_cpu_ms(copy, base, taker) for taker in takers])
        later = statistics.median([_cpu_ms(copy, base, takers[-1]) for _ in takers])
        name = task.name.lower()
        figures += [
            Cost(f"{name}_traced_first_ratio", f"a new taker's copy of a {name}", first / plain, "x"),
            Cost(
                f"{name}_traced_ratio",
                "  the same taker's next, over decoding and encoding",
                later / plain,
                "x",
            ),
        ]
    return figures


def _decode_and_encode(source: bytes) -> None:
    with Image.open(io.BytesIO(source)) as picture:
        picture.load()
        picture.save(io.BytesIO(), "JPEG", quality=85)


def _cpu_ms(work: Callable[..., object], *given: object) -> float:
    start = time.thread_time_ns()
    work(*given)
    return (time.thread_time_ns() - start) / 1e6


def _first_sight(rounds: int) -> list[Cost]:
    """Judge a header profile that was never seen, of a client that was never seen, against one known in both."""
    rooms = Rooms(protected(make_site()).policy)
    judge, read = rooms.gate.judge, rooms.reader.read
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.{}.0 Safari/537.36"
    new, known = [], []

    def judge_all(heads: list[Passage]) -> None:
        for head in heads:
            judge(head)

    for number in range(rounds):
        numbers = range(number * 50, number * 50 + 50)
        strangers = [read(scope(place, API, agent=agent.format(place))) for place in numbers]
        again = [read(scope(place, API, agent=agent.format(place))) for place in numbers]
        new.append(_cpu_ms(judge_all, strangers))
        known.append(_cpu_ms(judge_all, again))
    first, later = statistics.median(new) * 20, statistics.median(known) * 20
    return [
        Cost("first_sight_us", "judging a new client with a new header profile", first, "µs"),
        Cost("first_sight_ratio", "  over judging it again", first / later, "x"),
    ]


def _start(times: int) -> list[Cost]:
    """Import, and import and protect an app, in new processes; Python's own start taken off. CPU ms."""
    secret = "import os, secrets; os.environ['ANTISCRAPE_SECRET'] = secrets.token_urlsafe(40); "
    programs = {
        "python": "pass",
        "needed": "import pydantic, re2, PIL.Image, starlette.applications, crawleruseragents",
        "import": "import antiscrape.app",
        "start": f"{secret}from antiscrape.app import protect; protect(print)",
    }
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(times):
        for name, program in programs.items():
            found[name].append(_child_cpu_ms([sys.executable, "-c", program]))
    python, needed, imported, started = (statistics.median(values) for values in found.values())
    return [
        Cost("import_ms", "importing antiscrape.app", imported - python, "ms"),
        Cost("start_ms", "import, default policy, protect(app)", started - python, "ms"),
        Cost(
            "start_ratio",
            "  over importing the packages it needs",
            (started - python) / (needed - python),
            "x",
        ),
    ]


def _child_cpu_ms(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def memory(clients: int) -> list[Cost]:
    """Measure what a new process grows by, for each client that it remembers."""
    command = [sys.executable, "-m", "loadtests.bench.paths", str(clients)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
    once, seen = json.loads(done.stdout)
    return [
        Cost("bytes_per_client", f"memory per client, of {clients:,} that asked once", once, "B"),
        Cost("bytes_per_viewer", "  of clients that saw three originals", seen, "B"),
    ]


def remember(clients: int) -> tuple[float, float]:
    """Judge ``clients`` new clients once; return the growth per client, and that of viewers of originals."""
    policy = protected(make_site(), ANTISCRAPE__STORE__MAX_PRINCIPALS=str(2 * clients)).policy
    rooms = Rooms(policy)

    def visit(number: int, target: str, path: str) -> None:
        seen = scope(number, target)
        seen["raw_path"] = path.encode()
        passage = rooms.gate.judge(rooms.reader.read(seen))
        if passage.verdict.rendition is not Rendition.ORIGINAL:
            raise RuntimeError(f"a person was judged {passage.verdict}")

    for number in range(2_000_000, 2_001_000):
        visit(number, API, API)
    start = resident()
    for number in range(clients):
        visit(number, API, API)
    once = (resident() - start) / clients
    viewers = max(1, clients // 8)
    start = resident()
    for number in range(4_000_000, 4_000_000 + viewers):
        for photo in range(3):
            visit(number, IMAGE, f"/media/{1001 + (number + photo) % 5000}-original.jpg")
    if len(rooms.store) < clients + viewers:
        raise RuntimeError("the store forgot clients")
    return once, (resident() - start) / viewers


if __name__ == "__main__":
    print(json.dumps(remember(int(sys.argv[1]))))
