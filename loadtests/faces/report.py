"""The faces trial's results: a table for the terminal, figures as JSON, and a page with what was served.

The page shows pictures that packages carry, never those of the research data.
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from loadtests.faces.attacks import working
from loadtests.faces.metrics import LIKENESS_GOAL, Likeness, Share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from loadtests.faces.matching import Cell

#: Most of the probes that may be nearest to the right person, and of the pairs that may pass for one person's.
RANK_GOAL, MATCH_GOAL = 0.05, 0.01
#: People from which on ranks are judged: of fewer, chance alone names too many right.
JUDGED_FROM = 40


class Sheet(NamedTuple):
    """One photo of the page: its name, and its pictures with what each is."""

    name: str
    pictures: tuple[tuple[str, Image.Image], ...]


@dataclass(slots=True)
class Results:
    """All that was tried.

    ``likeness`` is the similarity outside faces by variant, ``clear`` the variants that promise it; ``missing`` says why
    a part was left out, ``limits`` are the thresholds, ``placeholders`` how many renditions showed nothing.
    """

    cells: list[Cell]
    likeness: dict[str, Likeness] = field(default_factory=dict)
    clear: tuple[str, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    placeholders: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    people: int = 0
    probes: int = 0
    sheets: list[Sheet] = field(default_factory=list)

    def missed(self) -> list[str]:
        """Return a line for each goal that is missed, the worst first."""
        lines: list[tuple[float, str]] = []
        for cell in self.cells:
            if not cell.judged:
                continue
            ranked = cell.rank if self.people >= JUDGED_FROM else Share(0, 0)
            for what, share, goal in (("rank-1", ranked, RANK_GOAL), ("matches", cell.match, MATCH_GOAL)):
                if share.value > goal:
                    where = f"{cell.variant}, {cell.scene}, {cell.attack}, {cell.recogniser}"
                    sure = "" if share.interval()[0] > goal else ", which chance could explain"
                    words = f"{where}: {what} {_percent(share)}, goal {goal:.0%}{sure}"
                    lines.append((share.value / goal, words))
        for name in self.clear:
            seen = self.likeness.get(name)
            if seen is not None and seen.below:
                words = f"{name}: similarity outside faces {seen.least:.2f} at least, goal {LIKENESS_GOAL}"
                lines.append((0.0, f"{words}; {seen.below} of {seen.of} pictures are below"))
        return [line for _, line in sorted(lines, reverse=True)]

    def as_json(self) -> dict[str, Any]:
        """Return all figures with their names."""
        return {
            "people": self.people,
            "probes": self.probes,
            "thresholds": self.limits,
            "similarity_outside_faces": {name: seen._asdict() for name, seen in self.likeness.items()},
            "placeholders": self.placeholders,
            "missing": self.missing,
            "missed": self.missed(),
            "cells": [
                {
                    **{
                        name: getattr(cell, name)
                        for name in ("scene", "variant", "attack", "recogniser", "judged")
                    },
                    "rank_1": _figures(cell.rank),
                    "matches": _figures(cell.match),
                    "matches_at_own_threshold": _figures(cell.apart),
                    "found_by_a_detector": _figures(cell.seen),
                }
                for cell in self.cells
            ],
        }


def text(results: Results) -> str:
    """Return the results as the terminal shows them."""
    return "\n".join(_lines(results))


def _lines(results: Results) -> Iterator[str]:
    yield f"{results.people} people, {results.probes} probes; rank-1 and true matches at one false in a thousand"
    for name, why in results.missing.items():
        yield f"left out: {name}: {why}"
    names = list(dict.fromkeys(cell.recogniser for cell in results.cells))
    yield ""
    yield f"{'':44}" + "".join(f"{name:^34}" for name in names)
    yield (
        f"{'rendition, scene, attack':44}" + f"{'rank-1 (95 %)':>20}{'matches':>13} " * len(names) + "  found"
    )
    for group in _grouped(results.cells):
        first = group[0]
        by_name = {cell.recogniser: cell for cell in group}
        yield (
            f"{first.variant[:20]:20} {first.scene[:12]:12} {first.attack[:19]:19}"[:53].ljust(44)
            + "".join(_columns(by_name.get(name)) for name in names)
            + (f"{first.seen.value:7.0%}" if first.seen.of else "")
        )
    yield ""
    for variant, worst in _worst(results.cells).items():
        yield f"worst of {variant}: {worst}"
    for variant, seen in results.likeness.items():
        yield (
            f"similarity outside faces, {variant}: {seen.mean:.2f} in the mean, {seen.least:.2f} at least, "
            f"{seen.below} of {seen.of} pictures below {LIKENESS_GOAL}"
        )
    for variant, count in results.placeholders.items():
        yield f"placeholders instead of {variant}: {count}"
    yield ""
    missed = results.missed()
    if results.people < JUDGED_FROM:
        yield f"ranks are not judged: {results.people} people are too few, {JUDGED_FROM} are needed"
    yield f"{len(missed)} goals missed" if missed else "every goal that was judged is met"
    yield from missed


def _columns(cell: Cell | None) -> str:
    if cell is None:
        return f"{'':34}"
    low, high = cell.rank.interval()
    rank = f"{cell.rank.value:.3f} ({low:.2f}-{high:.2f})" if cell.rank.of else ""
    return f"{rank:>20}{cell.match.value:>8.3f} {f'/{cell.match.of}':<5}"


def _grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.variant, cell.scene, cell.attack), []).append(cell)
    return list(groups.values())


def _worst(cells: Sequence[Cell]) -> dict[str, str]:
    """Return, by variant, the cell with the highest rank-1 and the one with most matches."""
    told = {}
    for variant in dict.fromkeys(cell.variant for cell in cells):
        mine = [cell for cell in cells if cell.variant == variant]
        rank = max(mine, key=lambda cell: cell.rank.value)
        match = max(mine, key=lambda cell: cell.match.value)
        told[variant] = (
            f"rank-1 {_percent(rank.rank)} ({rank.scene}, {rank.attack}, {rank.recogniser}), "
            f"matches {_percent(match.match)} ({match.scene}, {match.attack}, {match.recogniser})"
        )
    return told


def _percent(share: Share) -> str:
    if not share.of:
        return "not tried"
    low, high = share.interval()
    return f"{share.value:.1%} ({share.hits} of {share.of}; {low:.1%} to {high:.1%})"


def _figures(share: Share) -> dict[str, float]:
    low, high = share.interval()
    return {"hits": share.hits, "of": share.of, "share": share.value, "low": low, "high": high}


def page(results: Results) -> str:
    """Return the results as a page: the pictures that were served, what is missed, and every figure."""
    sheets = "".join(
        f"<h3>{html.escape(sheet.name)}</h3>"
        + "".join(
            f'<figure><img alt="" src="{_inline(picture)}"><figcaption>{html.escape(words)}</figcaption></figure>'
            for words, picture in sheet.pictures
        )
        for sheet in results.sheets
    )
    missed = "".join(f"<li>{html.escape(line)}</li>" for line in results.missed())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>antiscrape: faces</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        "body{font:16px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "figure{display:inline-block;vertical-align:top;margin:0 .6rem 1rem 0}img{max-width:15rem;max-height:15rem}"
        "figcaption{font-size:.8rem;color:#444}pre{overflow-x:auto;background:#f5f5f5;padding:1rem;font-size:.75rem}"
        "</style><h1>Is a face left in what harvesters get?</h1>"
        f"<p>Of {results.people} people one photo or more went through the renderer and was restored as a harvester would; "
        f"{results.probes} other photos of them were then looked for in that gallery.</p>"
        f"<h2>{'Goals missed' if missed else 'Every goal that was judged is met'}</h2><ul>{missed}</ul>"
        f"<h2>What is served</h2>{sheets}"
        f"<h2>All figures</h2><pre>{html.escape(text(results))}</pre></html>"
    )


def _inline(picture: Image.Image) -> str:
    out = io.BytesIO()
    working(picture).save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
