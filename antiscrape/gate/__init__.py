"""The gate: where the pure judge meets state."""

from antiscrape.gate.gate import Gate
from antiscrape.gate.passage import Passage

__all__ = ["Gate", "Passage"]
