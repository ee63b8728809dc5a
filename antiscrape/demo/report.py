"""The demo's report: one HTML file that holds all it shows, readable without a network."""

from __future__ import annotations

import os
import tempfile
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from antiscrape.demo.compare import SAFE_CELLS, Comparison, Likeness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiscrape.demo.photos import Library, Photo
    from antiscrape.demo.results import Result

#: Rows of pictures side by side; each holds an original of some 200 kB.
_MOST_ROWS = 6
#: What may stand in a data: URI here; anything else a visitor was sent is not drawn.
_DRAWABLE = {"image/jpeg", "image/png", "image/webp", "image/gif"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the report tells of: the person first, then the harvesters; ``began`` is in words."""

    results: Sequence[Result]
    library: Library
    began: str
    version: str
    budgets: str
    screenshot: Path | None = None
    no_screenshot: str = ""
    cleared: bool = False  # whether the browser that drew it earned a clearance
    harvesters_cleared: int = 0
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def good(self) -> bool:
        """Whether every visitor got what they should."""
        return all(result.as_it_should_be for result in self.results)

    @property
    def summary(self) -> str:
        """How it went, in a sentence."""
        person = [result for result in self.results if result.person]
        ran = [result for result in self.results if not result.person and not result.absent]
        taken = sum(result.originals for result in ran)
        asked = sum(result.asked for result in ran)
        seen = " and ".join(f"{result.originals} of {result.asked}" for result in person)
        return (
            f"The person saw {seen} photos as originals; "
            f"{len(ran)} harvesters asked for {asked} and got {taken or 'none'}."
        )


class Cell(NamedTuple):
    """One picture of the side-by-side view: its data: URI (or ``""``), its words, and what it is."""

    uri: str
    words: str
    likeness: str


def render(report: Report) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shot = report.screenshot
    return environment.get_template("report.html").render(
        report=report,
        rows=_rows(report),
        shot=_uri("image/png", shot.read_bytes()) if shot else "",
        safe=SAFE_CELLS,
        shown=[result for result in report.results if not result.absent],
    )


def write(report: Report, path: Path) -> None:
    """Write the report to ``path``, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(render(report))
        # mkstemp makes files for their owner alone; a report is there to be handed round.
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _rows(report: Report) -> list[tuple[Photo, list[Cell]]]:
    """Return the photos that the person looked at, each with what every visitor has of it."""
    seen = [number for result in report.results if result.person for number in result.pictures]
    every = [number for result in report.results for number in result.pictures]
    chosen = list(dict.fromkeys(seen or every))[:_MOST_ROWS]
    return [
        (
            report.library.by_id[number],
            [_cell(result, number) for result in report.results if not result.absent],
        )
        for number in chosen
    ]


def _cell(result: Result, number: int) -> Cell:
    picture = result.pictures.get(number)
    if picture is None:
        return Cell("", "refused" if number in result.denied else "not asked for", "nothing")
    kind = picture.content_type.partition(";")[0].strip().lower()
    uri = _uri(kind, picture.body) if kind in _DRAWABLE else ""
    return Cell(uri, _words(picture.comparison), picture.comparison.likeness.value)


def _words(comparison: Comparison) -> str:
    if comparison.likeness is Likeness.SAME:
        return "the original, byte for byte"
    if comparison.likeness is Likeness.OTHER:
        return "nothing of the photo"
    kind = "as good as the original" if comparison.likeness is Likeness.NEAR else "a preview"
    return f"{kind}: {comparison.cells} cells of detail"


def _uri(kind: str, body: bytes) -> str:
    return f"data:{kind};base64,{b64encode(body).decode('ascii')}"
