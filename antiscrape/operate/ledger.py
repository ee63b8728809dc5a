"""The ledger: a private folder in which the workers of one server keep their figures for each other.

A scrape reaches any one of them, and must be told the sum. Each writes a file of its own, replaced
as a whole, and holds a lock for as long as it lives: the system lets go of the lock however the
process ends, while a process id may be somebody else's by then. What a dead worker counted is
folded into one file, so that a server whose workers are replaced every night keeps a few files.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from antiscrape.operate.families import BY_NAME, Figures
from antiscrape.operate.meter import merge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger("antiscrape.metrics")
_PAST = "past.json"
_DOOR = "door.lock"


class Ledger:
    """One worker's place in ``folder``. Raise ``OSError`` where nothing can be kept there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._broken = False
        with self._door(fcntl.LOCK_EX):
            # Under the lock, for whoever met the file before it is locked would take us for dead.
            self._life = _open(folder / f"{self._name}.alive", os.O_EXCL)
            fcntl.flock(self._life, fcntl.LOCK_EX)
            self._fold()

    def publish(self, figures: Figures) -> bool:
        """Write this worker's figures; return whether that succeeded, and log the first time it did not."""
        draft = self._folder / f"{self._name}.draft"
        try:
            draft.write_text(_encode(figures), "ascii")
            draft.replace(self._folder / f"{self._name}.json")
        except OSError as error:
            if not self._broken:
                _log.error("the metrics cannot be written for the other workers: %s", error)
            self._broken = True
            return False
        self._broken = False
        return True

    def others(self) -> tuple[list[Figures], list[Figures]]:
        """Return the figures of the other living workers, and of the dead ones."""
        living: list[Figures] = []
        dead: list[Figures] = []
        with self._door(fcntl.LOCK_SH):
            names, past = self._past()
            dead.append(past)
            for name in self._names() - names - {self._name}:
                group = living if self._is_alive(name) else dead
                group.append(_decode(self._read(f"{name}.json")))
        return living, dead

    def close(self) -> None:
        """Let go of the lock; what was counted stays."""
        os.close(self._life)

    def _fold(self) -> None:
        """Add what the dead counted to the past, and take their files away.

        The names are written with the sum: a process that is killed between the two leaves files
        that everybody knows to be counted already.
        """
        folded, past = self._past()
        dead = {name for name in self._names() - {self._name} if not self._is_alive(name)}
        sums = [_decode(self._read(f"{name}.json")) for name in dead - folded]
        if not dead:
            return
        draft = self._folder / f"{self._name}.draft"
        text = json.dumps({"names": sorted(dead), "past": _encode(merge((), [past, *sums]))})
        draft.write_text(text, "ascii")
        draft.replace(self._folder / _PAST)
        for name in dead:
            for ending in ("json", "draft", "alive"):
                (self._folder / f"{name}.{ending}").unlink(missing_ok=True)

    def _past(self) -> tuple[set[str], Figures]:
        try:
            kept = json.loads(self._read(_PAST) or "{}")
            return set(kept.get("names", ())), _decode(kept.get("past", ""))
        except (ValueError, TypeError, AttributeError):
            return set(), {}

    def _names(self) -> set[str]:
        return {path.stem for path in self._folder.glob("*.alive")}

    def _is_alive(self, name: str) -> bool:
        try:
            life = _open(self._folder / f"{name}.alive")
        except OSError:
            return False
        try:
            fcntl.flock(life, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(life)
        return False

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text("ascii")
        except (OSError, ValueError):
            return ""

    @contextmanager
    def _door(self, how: int) -> Iterator[None]:
        """Keep folding and reading apart: a file that is being folded would be counted twice, or not at all."""
        lock = _open(self._folder / _DOOR)
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)


def _open(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _encode(figures: Figures) -> str:
    return json.dumps(
        {name: [[*labels, value] for labels, value in rows.items()] for name, rows in figures.items()}
    )


def _decode(text: str) -> Figures:
    """Read figures back; what cannot be read was never written whole, and counts nothing."""
    figures: Figures = {}
    try:
        for name, rows in json.loads(text or "{}").items():
            family = BY_NAME[name]
            figures[name] = {tuple(map(str, labels)): float(value) for *labels, value in rows}
            if any(len(labels) != len(family.labels) for labels in figures[name]):
                return {}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return figures
