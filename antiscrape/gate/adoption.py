"""Adoption: a request whose verdict was made before, by this worker or another, takes its place among its client's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiscrape.core.verdict import Verdict
    from antiscrape.gate.gate import Gate
    from antiscrape.gate.passage import Passage


def adopt(gate: Gate, passage: Passage, verdict: Verdict) -> None:
    """Give a passage that was read the verdict that was made of it elsewhere: nothing is noted and nothing charged.

    Raise ``RequestError`` where its path has two readings.
    """
    now, known = gate.clock(), gate.shortcuts
    passage.find = known.find
    passage.account = passage.held = None
    passage.resource = resource = gate.place(passage.raw_path).resource
    passage.history = history = gate.clients.history(passage, now)
    face = known.face(passage, resource.kind, passage.shape.pick(passage.values))
    passage.profile, passage.role, passage.look = face.profile, face.role, face.look
    same = face.look == history.look
    passage.habits = history if same else gate.visits.find(history, face.look, now)
    passage.verdict = verdict
