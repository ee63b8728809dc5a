"""Visits made by hand: what was asked for, in which order, with which fields. And visits as they were recorded."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.asgi.head import HeadReader
from antiscrape.core.history import History
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.traps import PICTURE
from antiscrape.core.verdict import Action
from antiscrape.settings import load_policy
from loadtests import corpus
from tests.house import SECRET, Clock, gate_of, head_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.core.request import RequestHead
    from antiscrape.core.rules import Policy


def image(number: int = -1, size: Size = Size.ORIGINAL) -> Resource:
    return Resource(Kind.IMAGE, f"/media/{number}", number, size, "", number)


PAGE = Resource(Kind.PAGE, "/a", 1)
ASSET = Resource(Kind.ASSET, "/s", 2)
TRAP = Resource(Kind.TRAP, "/t/archive", 3)
TRAP_PICTURE = Resource(Kind.TRAP, "/t" + PICTURE, 4)
THUMBNAIL = image(1, Size.THUMBNAIL)
BARE: dict[bytes, bytes] = {}
REFERRED = {b"referer": b"https://photos.example/"}


def head_with(fields: Mapping[bytes, bytes]) -> RequestHead:
    """Return a head with these fields and little else."""
    return head_of("/", [(b"host", b"photos.example"), *fields.items()])


def visit(*steps: tuple[Resource, Mapping[bytes, bytes]], pause: float = 10.0) -> History:
    """Make the requests, each for an image of its own."""
    history, now = History(0.0), 0.0
    for step, (resource, fields) in enumerate(steps):
        now += pause
        history.note_request(resource._replace(identity=step), head_with(fields), now)
    return history


def shown(dest: bytes) -> dict[bytes, bytes]:
    return {**REFERRED, b"sec-fetch-dest": dest}


SHOWN, SAVES = shown(b"image"), {**shown(b"empty"), b"sec-fetch-mode": b"navigate"}


LINKED = {**shown(b"document"), b"sec-fetch-site": b"same-origin"}
TYPED = {b"sec-fetch-dest": b"document", b"sec-fetch-site": b"none"}
#: What Chromium sends for a page that it expects to be opened.
PREFETCHED = {**TYPED, **REFERRED, b"sec-purpose": b"prefetch"}
FRAMED = {**TYPED, b"sec-fetch-dest": b"iframe"}


def subject(name: str) -> Resource:
    return Resource(Kind.SUBJECT, f"/u/{name}", 5, subject=name)


def sitemap_read(*steps: tuple[Resource, Mapping[bytes, bytes]]) -> History:
    history = visit(*steps)
    history.note_sitemap()
    return history


def refused(resource: Resource, times: int) -> History:
    history = visit(*[(resource, LINKED)] * times)
    for _ in range(times):
        history.note_refused(resource)
    return history


def disobedient(*resources: Resource) -> History:
    history = visit(*[(resource, LINKED) for resource in resources])
    for resource in resources:
        history.note_disobeyed(resource)
    return history


def again(times: int, fields: Mapping[bytes, bytes] = BARE, *, method: str = "GET") -> History:
    """Ask once more for each of so many originals that were had."""
    history = History(0.0)
    history.originals = dict.fromkeys(range(times), 0.0)
    for number in range(times):
        head = head_with(fields)
        head.method = method
        history.note_again(image(number), head)
    return history


def paced(*gaps: float, beside: Resource = ASSET, between: Resource = ASSET) -> History:
    """Ask for originals with these gaps in seconds, after ``beside`` and with ``between`` before each."""
    history, now = History(0.0), 0.0
    history.note_request(beside, head_with(SHOWN), now)
    for number, gap in enumerate((0.0, *gaps)):
        history.note_request(between, head_with(SHOWN), now)
        now += gap
        history.note_request(image(7919 * number % 1000), head_with(SHOWN), now)
    return history


def inventor(*tokens: int) -> History:
    """Return a visit that came with grants that nobody made."""
    history = visit()
    for token in tokens:
        history.note_invented(token)
    return history


def borrowed() -> History:
    history = visit((TRAP, BARE))
    history.note_borrowed()
    return history


def walked(steps: int, smaller: int, first: int = 1000) -> History:
    """Go from photo page to photo page, each with its original and some smaller pictures."""
    one = [(PAGE, SHOWN), *[(THUMBNAIL, SHOWN)] * smaller]
    return visit(*[step for n in range(steps) for step in (*one, (image(first - n), SHOWN))])


def offered(times: int, fields: Mapping[bytes, bytes]) -> History:
    history = visit(*[(PAGE, fields)] * times)
    for _ in range(times):
        history.note_answer(found=True, cookie_offered=True)
    return history


def unfound(times: int, requests: int) -> History:
    history = visit(*[(PAGE, BARE)] * requests)
    for _ in range(times):
        history.note_answer(found=False, cookie_offered=False)
    return history


@functools.cache
def layout() -> Policy:
    """Return the policy of the site that the recordings were made against."""
    return load_policy(Path(corpus.__file__).with_name("corpus.toml"), environ={"ANTISCRAPE_SECRET": SECRET})


def recorded(shared: Path, name: str, *, pace: float = 1.0) -> set[str]:
    """Judge a recording on its own clock, ``pace`` times as fast, and return every signal that was ever found."""
    rows = corpus.read(shared / "redteam" / "corpus" / f"{name}.jsonl.gz").rows
    clock, found = Clock(), set()
    gate = gate_of(layout(), clock)
    reader, start = HeadReader(), clock.now
    for row in rows:
        clock.now = start + float(row["t"]) / pace
        passage = gate.judge(reader.read(corpus.scope_of(row)))
        if row["path"] == "/sitemap.xml":
            passage.habits.note_sitemap()
        if passage.verdict.action is Action.LIMIT:
            passage.habits.note_refused(passage.resource)
        found |= {finding.name for finding in passage.verdict.findings}
    return found
