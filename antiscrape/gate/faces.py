"""Faces: what requests look like to the signals of one request, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.memo import Memo
from antiscrape.core.observation import Face, Profile
from antiscrape.core.role import UNASKED
from antiscrape.core.spread import look_of
from antiscrape.core.traits import read_traits

if TYPE_CHECKING:
    from antiscrape.core.request import RequestHead
    from antiscrape.core.resource import Kind
    from antiscrape.core.signals import Panel
    from antiscrape.ports import Agents, Roles

#: The looks of one site's visitors are some thousands; longer ones are worked out each time.
_FACES = 8192
_LONGEST = 2048
_HANDSHAKES: Final = frozenset({"ws", "wss"})


class Faces:
    """Reads the signals of requests, each look once."""

    def __init__(self, panel: Panel, agents: Agents, roles: Roles | None) -> None:
        self._panel = panel
        self._agents = agents
        self._roles = roles
        self._known: Memo[tuple[object, ...], Face] = Memo(_FACES)

    def find(self, head: RequestHead, kind: Kind, picked: object) -> Face:
        """Return how a request looks that asks for ``kind``; what was seen before costs a look-up."""
        key = (head.shape, kind, head.secure, head.scheme, head.http_version, picked)
        known = self._known.get(key)
        if known is None:
            # What nobody else sends is not worth its room.
            kept = head.shape.kept and len(str(picked)) <= _LONGEST
            known = Face(head, kind, picked, self._read(head, kind), kept=kept)
            known.look = look_of(head)
            if self._roles is not None and self._roles.claimed(head):
                known.odd, known.role = True, UNASKED
            if kept:
                self._known.put(key, known)
        return known

    def _read(self, head: RequestHead, kind: Kind) -> Profile:
        agent = self._agents.read(head.value(b"user-agent"))
        traits = read_traits(head, agent, kind)
        if head.scheme in _HANDSHAKES:
            return Profile(*self._panel.of_handshake(traits))
        return Profile(*self._panel.of_request(traits))
