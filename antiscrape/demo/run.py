"""The demo from end to end: serve the site behind antiscrape, send the visitors, count, tell, report."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
import webbrowser
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.core.verdict import Standing
from antiscrape.demo.harvesters import HARVESTERS, Order, own_addresses
from antiscrape.demo.haul import Haul
from antiscrape.demo.photos import Library, make_library
from antiscrape.demo.report import Report, write
from antiscrape.demo.results import Result, read_events, tally
from antiscrape.demo.serving import Served, demo_policy
from antiscrape.demo.site import create_site
from antiscrape.demo.visitors import find_chromium, screenshot, visit
from antiscrape.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from antiscrape.demo.harvesters import Harvester
    from antiscrape.demo.terminal import Terminal

#: Bounds of each harvester: every photo of the site once, and no longer than this.
MOST_PICTURES = 48
MOST_SECONDS = 30.0
_PERSON = Result(
    key="person",
    title="A person in a browser",
    how="opens the gallery, turns a page, looks at a profile and a few photos",
    person=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``antiscrape demo`` was asked for."""

    report: Path
    once: bool = False
    port: int = 0
    open_report: bool = False
    cache: Path | None = None


class Stage(NamedTuple):
    """What every act of the demo plays on: the photos, the server, a scratch folder, and where to tell of it."""

    library: Library
    served: Served
    work: Path
    terminal: Terminal


def run_demo(options: Options, terminal: Terminal) -> int:
    """Run the demo; return 0 if the person got originals and no harvester did, else 1."""
    began = datetime.now(UTC)
    terminal.heading("antiscrape demo")
    library = make_library(
        cache=options.cache, progress=lambda done, total: terminal.bar("photos", done, total)
    )
    packages = sorted({source.package for source in library.sources})
    terminal.step("photos", f"{len(library.photos)}, cut from pictures that {', '.join(packages)} carry")
    # Ctrl-C and SIGTERM end the demo alike, from its first visitor on.
    with _sigterm_interrupts(), tempfile.TemporaryDirectory(prefix="antiscrape-demo-") as folder:
        work = Path(folder)
        policy = demo_policy(work / "events.jsonl")
        with Served(create_site(library), policy, port=options.port) as served:
            terminal.step("site", f"{served.url}  behind antiscrape, its default budgets, a fresh secret")
            report = _act(Stage(library, served, work, terminal), began)
            write(report, options.report)
            terminal.table(report.results)
            terminal.verdict(report.summary, good=report.good)
            terminal.step("report", str(options.report))
            if options.open_report:
                webbrowser.open(options.report.resolve().as_uri())
            if not options.once:
                with contextlib.suppress(KeyboardInterrupt):
                    terminal.step(
                        "serving", f"{served.url}  until Ctrl-C; open it in your browser, then try curl"
                    )
                    served.wait()
    return 0 if report.good else 1


def _act(stage: Stage, began: datetime) -> Report:
    """Send every visitor and return the report of what came of it."""
    addresses = own_addresses(1 + len(HARVESTERS))
    notes = () if addresses else ("This system has one loopback address, so all visitors shared one budget.",)
    sources = addresses or ("",) * (1 + len(HARVESTERS))
    visits = [_send_person(stage, sources[0])]
    shot, why_not = _draw(stage)
    drawn = stage.served.cleared
    visits += [_send_harvester(stage, *pair) for pair in zip(HARVESTERS, sources[1:], strict=True)]
    stage.terminal.progress("count", "comparing what they hold with the site's files")
    allowance = stage.served.policy.standings[Standing.BROWSER]
    return Report(
        results=_count(stage, visits),
        library=stage.library,
        began=began.isoformat(sep=" ", timespec="seconds"),
        version=__version__,
        budgets=f"originals of a browser: {', '.join(limit.text for limit in allowance.originals) or 'unlimited'}",
        screenshot=shot,
        no_screenshot=why_not,
        cleared=drawn > 0,
        harvesters_cleared=stage.served.cleared - drawn,
        notes=notes,
    )


def _send_person(stage: Stage, source: str) -> Result:
    stage.terminal.progress("person", "looks around")
    began = time.monotonic()
    visit(stage.served.url, Haul(stage.work / _PERSON.key), source=source or None)
    seconds = time.monotonic() - began
    stage.terminal.step("person", f"{_PERSON.how}: {seconds:.1f} s")
    return replace(_PERSON, address=source, seconds=seconds)


def _send_harvester(stage: Stage, harvester: Harvester, source: str) -> Result:
    result = Result(key=harvester.key, title=harvester.title, how=harvester.how, address=source)
    absent = harvester.absent()
    if absent:
        stage.terminal.step(harvester.key, f"skipped: {absent}")
        return replace(result, absent=absent)
    stage.terminal.progress(harvester.key, harvester.how)
    folder = stage.work / harvester.key
    folder.mkdir()
    ids = [photo.id for photo in stage.library.photos]
    began = time.monotonic()
    fault = harvester.run(Order(stage.served.url, folder, source, ids, MOST_PICTURES, MOST_SECONDS))
    seconds = time.monotonic() - began
    stage.terminal.step(harvester.key, f"{harvester.how}: {fault or f'{seconds:.1f} s'}")
    return replace(result, seconds=seconds, fault=fault)


def _draw(stage: Stage) -> tuple[Path | None, str]:
    """Have a real Chromium draw the gallery, if one is installed; return the file, or why there is none."""
    chromium = find_chromium()
    if chromium is None:
        stage.terminal.step("chromium", "skipped: none is installed")
        return None, "no Chromium is installed"
    stage.terminal.progress("chromium", "draws the gallery")
    target = stage.work / "gallery.png"
    why_not = screenshot(chromium, stage.served.other_url or stage.served.url, target)
    done = "drew the gallery for the report"
    cleared = f"{done}, and was cleared by the browser check meanwhile" if stage.served.cleared else done
    stage.terminal.step("chromium", why_not or cleared)
    return (None, why_not) if why_not else (target, "")


def _count(stage: Stage, visits: list[Result]) -> list[Result]:
    records = read_events(stage.work / "events.jsonl")
    return [
        result
        if result.absent
        else tally(
            result,
            stage.work / result.key,
            stage.library,
            record=records.get(result.address),
            standing=stage.served.witness.standings.get(result.address, ""),
        )
        for result in visits
    ]


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
