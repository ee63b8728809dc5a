"""What many clients do together, as evidence against each that does it."""

from __future__ import annotations

from typing import Final

from antiscrape.core.signals.table import Signal
from antiscrape.core.spread import GroupFacts, Level

_SOURCE: Final = "simulated crowds; no recorded person took an original before anything was shown"

SIGNALS: tuple[Signal[GroupFacts], ...] = (
    Signal("group-begins-with-originals", "spread", 25, "Many clients with something in common asked for an original first of all, each for another.",
           _SOURCE, lambda facts: facts.beginners >= Level.DOUBTED),
    Signal("group-only-begins", "spread", 15, "Hardly any client of that group ever did anything else.",
           _SOURCE, lambda facts: facts.beginners >= Level.CONVICTED),
    Signal("group-takes-unseen", "spread", 25, "Many clients with something in common took originals, and nothing that pages show beside them.",
           _SOURCE, lambda facts: facts.takers >= Level.DOUBTED),
    Signal("group-only-takes", "spread", 15, "Most of that group's clients that took originals took them so.",
           _SOURCE, lambda facts: facts.takers >= Level.CONVICTED),
    Signal("token-passed-on", "spread", 40, "An address that was made for one visitor was used from many networks.",
           "a phone, a home and an office, some of them dual-stack, are five networks", lambda facts: facts.passers >= Level.CONVICTED),
)  # fmt: skip
