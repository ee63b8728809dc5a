"""What came of a visit: the haul compared with the site's own files, and what antiscrape wrote of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from antiscrape.core.verdict import Standing
from antiscrape.demo.compare import Comparison, compare
from antiscrape.demo.haul import read_haul

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from antiscrape.demo.haul import Taken
    from antiscrape.demo.photos import Library

#: The answers that say no: forbidden, too many requests.
_REFUSALS = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_LADDER = [standing.value for standing in Standing]


class Picture(NamedTuple):
    """One picture that a visitor holds, and how it compares with the site's original."""

    content_type: str
    body: bytes
    comparison: Comparison


class Held(NamedTuple):
    """One signal that was held against a visitor, and in how many events."""

    name: str
    weight: int
    sentence: str
    events: int


class Record(NamedTuple):
    """What antiscrape's events say of one client.

    ``standing`` is the least that it was trusted with, ``""`` where there is no event; ``score`` the
    highest; ``held`` the signals, heaviest first; ``spent`` the budgets that decided.
    """

    standing: str = ""
    score: int = 0
    events: int = 0
    held: tuple[Held, ...] = ()
    spent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One visitor's visit. ``absent`` says why there was none, ``fault`` what broke it off; both mostly ``""``.

    ``asked``, ``originals`` and ``previews`` count distinct photos asked for at full size, and had as an
    original by its pixels or as something less. ``refused`` counts requests of any kind that were
    answered 403 or 429, and ``denied`` names the photos among them.
    """

    key: str
    title: str
    how: str
    person: bool = False
    address: str = ""
    seconds: float = 0.0
    requests: int = 0
    small: int = 0
    asked: int = 0
    originals: int = 0
    previews: int = 0
    refused: int = 0
    denied: frozenset[int] = frozenset()
    most_cells: int = 0
    standing: str = ""
    record: Record = field(default_factory=Record)
    pictures: Mapping[int, Picture] = field(default_factory=dict)
    absent: str = ""
    fault: str = ""

    @property
    def as_it_should_be(self) -> bool:
        """Whether a person had all that was asked for, or a harvester asked and had nothing."""
        if self.absent:
            return not self.person
        had = self.originals == self.asked if self.person else self.originals == 0
        return had and self.asked > 0 and not self.fault

    @property
    def meaning(self) -> str:
        """What happened, in one line."""
        if self.absent:
            return f"Skipped: {self.absent}."
        if not self.asked:
            return f"Asked for no photo{f': {self.fault}' if self.fault else ''}."
        if self.person:
            words = f"Saw {self.originals} of {self.asked} photos as they were posted"
            return f"{words}, and met no check on the way." if self.as_it_should_be else f"{words}."
        if self.originals:
            return f"Took {self.originals} originals of {self.asked} photos."
        if not self.previews:
            return f"Asked for {self.asked} photos and was refused every one."
        words = (
            f"Took {self.previews} previews: {self.most_cells} cells of detail at most, nothing of a face."
        )
        return f"{words} {self.refused} requests were refused." if self.refused else words


def tally(
    result: Result, folder: Path, library: Library, *, record: Record | None = None, standing: str = ""
) -> Result:
    """Return ``result`` with the figures of what lies in ``folder``; ``standing`` is for who made no event."""
    answers = read_haul(folder)
    wanted: dict[int, list[Taken]] = {}
    for taken in answers:
        if taken.picture is not None and taken.picture[1] == 0 and taken.picture[0] in library.by_id:
            wanted.setdefault(taken.picture[0], []).append(taken)
    pictures = {number: best for number, all_of in wanted.items() if (best := _best(all_of, folder, library))}
    lesser = [picture.comparison.cells for picture in pictures.values() if not picture.comparison.is_original]
    record = record or Record()
    return replace(
        result,
        requests=len(answers),
        small=len({taken.picture for taken in answers if taken.picture and taken.picture[1]}),
        asked=len(wanted),
        originals=len(pictures) - len(lesser),
        previews=len(lesser),
        refused=sum(taken.status in _REFUSALS for taken in answers),
        denied=frozenset(
            number for number, all_of in wanted.items() if all(taken.status in _REFUSALS for taken in all_of)
        ),
        most_cells=max(lesser, default=0),
        standing=record.standing or standing,
        record=record,
        pictures=pictures,
    )


def _best(answers: Iterable[Taken], folder: Path, library: Library) -> Picture | None:
    """Return the picture that shows most of the photo among all answers to its URL."""
    held = []
    for taken in answers:
        if taken.status == HTTPStatus.OK and taken.file and taken.picture:
            body = (folder / taken.file).read_bytes()
            original = library.original(library.by_id[taken.picture[0]])
            held.append(Picture(taken.content_type, body, compare(original, body)))
    return max(held, key=lambda picture: picture.comparison.cells, default=None)


def read_events(path: Path) -> dict[str, Record]:
    """Return what the event stream says, by client; lines that are no events are passed over."""
    by_client: dict[str, list[dict[str, Any]]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event", "verdict") == "verdict":
                by_client.setdefault(str(event.get("client", "")), []).append(event)
    return {client: _record(events) for client, events in by_client.items()}


def _rank(standing: str) -> int:
    """Return how little a standing is trusted with, 0 for the least; answers end in another order than they began."""
    return _LADDER.index(standing) if standing in _LADDER else len(_LADDER)


def _record(events: list[dict[str, Any]]) -> Record:
    signals = [signal for event in events for signal in event.get("signals", ())]
    counts = Counter(signal["name"] for signal in signals)
    heaviest = {
        signal["name"]: signal for signal in sorted(signals, key=lambda signal: int(signal["weight"]))
    }
    held = [
        Held(name, int(signal["weight"]), str(signal["sentence"]), counts[name])
        for name, signal in heaviest.items()
    ]
    spent = dict.fromkeys(
        f"{event['exceeded']['budget']}: {event['exceeded']['limit']}"
        for event in events
        if event.get("exceeded")
    )
    return Record(
        standing=min((str(event.get("standing", "")) for event in events), key=_rank),
        score=max(int(event.get("score", 0)) for event in events),
        events=len(events),
        held=tuple(sorted(held, key=lambda one: (-one.weight, one.name))),
        spent=tuple(spent),
    )
