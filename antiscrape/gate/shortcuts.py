"""Shortcuts: what of a gate a faster way to its usual verdict has to know, and nothing of it to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from antiscrape.core.budgets import Limit
    from antiscrape.core.history import History
    from antiscrape.core.identity import Principal
    from antiscrape.core.memo import Memo
    from antiscrape.core.observation import Face
    from antiscrape.core.request import RequestHead
    from antiscrape.core.resource import Kind
    from antiscrape.core.spread import Spread
    from antiscrape.core.verdict import Exceeded
    from antiscrape.gate.passage import Place
    from antiscrape.ports import Sharing


class Shortcuts(NamedTuple):
    """One gate's memories of clients and of paths, which stay the same objects as long as it lives.

    ``believes`` tells whether some peer may speak for its clients, who are then in ``relayed`` by that peer.
    ``strips`` tells that the site may be given another query than was sent. ``face`` finds how a request looks,
    ``find`` who is behind it, and ``charge`` charges it where there is but one limit. ``keeps``, ``sharing``,
    ``spend_new`` and ``records`` are the store's, ``spread`` is what groups are told by. A record that was ``met`` in the
    present ``term``, the only item of that list, is where its network places it.
    """

    direct: Memo[str, History]
    relayed: Mapping[str, Memo[bytes, History]]
    places: Memo[bytes, Place]
    face: Callable[[RequestHead, Kind, object], Face]
    find: Callable[[RequestHead], Principal]
    charge: Callable[[History, Limit, float], Exceeded | None]
    records: Mapping[str, History]
    term: list[object]
    keeps: float | None = None
    sharing: Sharing | None = None
    spend_new: Callable[[History, tuple[Limit, ...], int, float], bool] | None = None
    spread: Spread | None = None
    believes: bool = False
    strips: bool = False
