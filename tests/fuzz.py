"""How much the seeded and the property tests try: a little with every run, twenty times that under ``make fuzz``."""

from __future__ import annotations

import os

#: ``ANTISCRAPE_FUZZ`` is a factor; ``1``, which ``make fuzz`` sets, means the usual one.
ASKED = os.environ.get("ANTISCRAPE_FUZZ", "")
FACTOR = 1 if ASKED in {"", "0"} else 20 if ASKED == "1" else int(ASKED)


def times(count: int) -> int:
    """Return ``count`` as often as this run asks for."""
    return count * FACTOR


def sized(little: int, whole: int) -> int:
    """Return ``little``, or the size that is asked of a load or a fault as a whole under ``make fuzz``."""
    return little if FACTOR == 1 else whole
