"""Where a setting was written: a line of the file, a variable of the environment, or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from antiscrape.settings.positions import Path

Tree = dict[str, Any]

#: No setting's name is half as long; what is longer is a mistake that should not fill the screen.
LONGEST_KEY = 64


class Origins:
    """The place of every setting that somebody wrote."""

    def __init__(self, source: str, lines: dict[Path, int]) -> None:
        self._source = source
        self._places = {path: f"{source}:{line}" for path, line in lines.items()}
        self._variables: dict[Path, str] = {}

    def set_by_variable(self, path: Path, value: object, name: str) -> None:
        """Note that ``name`` set ``path`` to ``value``: what a table holds one by one, all else as a whole."""
        if isinstance(value, dict):
            for key, inner in value.items():
                self.set_by_variable((*path, key), inner, name)
        else:
            self._places = {known: at for known, at in self._places.items() if known[: len(path)] != path}
        self._variables[path] = name

    def place(self, path: Path) -> str:
        """Return where ``path`` was written, or the nearest table or setting around or in it."""
        for length in range(len(path), 0, -1):
            known = path[:length]
            place = self._places.get(known) or self._variables.get(known) or self._below(known)
            if place:
                return place
        return self._source

    def _below(self, path: Path) -> str:
        # a default is wrong only together with what a variable set beside it
        return next((name for known, name in self._variables.items() if known[: len(path)] == path), "")

    def line(self, path: Path, words: str) -> str:
        """Return the line of a report: the place, the setting, and what is wrong with it."""
        return f"{self.place(path)}: {dotted(path)}: {words}"


def dotted(path: Path) -> str:
    """Write a path as operators read it: ``routes[2].pattern``; long and unprintable keys are cut and escaped."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _key(name: str) -> str:
    shown = name.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= LONGEST_KEY else f"{shown[:LONGEST_KEY]}..."
