"""What the demo prints: a line for each step, and the table at the end."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiscrape.demo.results import Result

_LABEL = 12
_HEADINGS = ("who", "asked for", "originals", "previews", "refused", "standing")
#: Lines of running text stay readable, also in a wide terminal.
_WIDTH = 96


class Terminal:
    """Writes to ``stream``; colours and rewritten lines only where a person watches, and never with NO_COLOR."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        # https://no-color.org: "when present and not an empty string (regardless of its value)".
        self._colour = self._live and not os.environ.get("NO_COLOR")
        self._open = False

    def heading(self, text: str) -> None:
        """Print a heading."""
        self._write(f"\n{self._style(text, bold=True)}\n")

    def step(self, label: str, text: str) -> None:
        """Print one finished step."""
        self._write(f"  {self._style(label.ljust(_LABEL), fg='cyan')}{text}\n")

    def progress(self, label: str, text: str) -> None:
        """Show what goes on, on a line that the next step replaces; on no terminal, show nothing."""
        if self._live:
            # A line that wraps could not be taken back.
            room = shutil.get_terminal_size().columns - _LABEL - 3
            self._write(
                f"  {self._style(label.ljust(_LABEL), fg='cyan')}{self._style(text[:room], dim=True)}"
            )
            self._open = True

    def bar(self, label: str, done: int, total: int) -> None:
        """Show how much of a step is done."""
        filled = round(24 * done / total)
        self.progress(label, f"[{'#' * filled}{'.' * (24 - filled)}] {done} of {total}")

    def table(self, results: Sequence[Result]) -> None:
        """Print the results as an aligned table, then what each of them means."""
        rows = [_cells(result) for result in results]
        widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
        self._write(f"\n  {self._style(_line(_HEADINGS, widths), bold=True)}\n")
        self._write(f"  {'-' * (sum(widths) + 3 * (len(widths) - 1))}\n")
        for result, row in zip(results, rows, strict=True):
            colour = "yellow" if result.absent else "green" if result.as_it_should_be else "red"
            self._write(f"  {self._style(_line(row, widths), fg=colour)}\n")
        self._write("\n")
        longest = max(len(result.title) for result in results) + 2
        for result in results:
            words = textwrap.wrap(result.meaning, self._width() - longest) or [""]
            for place, line in enumerate(words):
                self._write(f"  {(result.title if place == 0 else '').ljust(longest)}{line}\n")
        self._write("\n")

    def verdict(self, text: str, *, good: bool) -> None:
        """Print how it went."""
        self._write(f"  {self._style(text, bold=True, fg='green' if good else 'red')}\n\n")

    def _width(self) -> int:
        columns = shutil.get_terminal_size().columns if self._live else _WIDTH
        return max(40, min(columns - 3, _WIDTH))

    def _style(
        self, text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None
    ) -> str:
        return click.style(text, fg=fg, bold=bold, dim=dim) if self._colour else text

    def _write(self, text: str) -> None:
        if self._open:
            # Back to the line's beginning, and clear it (ECMA-48, EL).
            self._stream.write("\r\x1b[2K")
            self._open = False
        self._stream.write(text)
        self._stream.flush()


def _cells(result: Result) -> tuple[str, ...]:
    if result.absent:
        return result.title, "-", "-", "-", "-", "skipped"
    counts = (result.asked, result.originals, result.previews, result.refused)
    return result.title, *map(str, counts), result.standing or "-"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *counts, last = (
        cell.rjust(width) if 0 < place < len(widths) - 1 else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "   ".join((first, *counts, last)).rstrip()
