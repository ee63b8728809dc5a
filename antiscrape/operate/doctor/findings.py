"""What a check has to say: how bad it is, what was seen, and what to do."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """How bad it is."""

    WRONG = "wrong"  # to be mended
    DOUBT = "doubt"  # may be meant so; worth a look
    UNSEEN = "unseen"  # could not be looked at
    FINE = "fine"


class Finding(NamedTuple):
    """One thing that was looked at. ``check`` is its row's name; ``do`` is empty where there is nothing to do."""

    level: Level
    check: str
    says: str
    do: str = ""


class Said(NamedTuple):
    """The same before the table has named it."""

    level: Level
    says: str
    do: str = ""


def wrong(says: str, do: str) -> Said:
    """Say what has to be mended, and how."""
    return Said(Level.WRONG, says, do)


def doubt(says: str, do: str) -> Said:
    """Say what may be meant so, and what to do where it is not."""
    return Said(Level.DOUBT, says, do)


def unseen(says: str, do: str = "") -> Said:
    """Say what could not be looked at."""
    return Said(Level.UNSEEN, says, do)


def fine(says: str) -> Said:
    """Say what is as it should be."""
    return Said(Level.FINE, says)
