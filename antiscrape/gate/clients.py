"""Clients: whose history a request belongs to, as far as its address tells; who asked lately is found at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from antiscrape.core.identity import Identity, Principal
from antiscrape.core.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.history import History
    from antiscrape.core.request import RequestHead
    from antiscrape.core.rules import IdentityRules
    from antiscrape.ports import UsageStore

#: Addresses, and chains of them, whose clients are found at once.
_CLIENTS: Final = 65_536
_LONGEST_NAME: Final = 128
#: Trusted proxies that are remembered at once: a site has a handful, a CDN some dozens.
_PROXIES: Final = 64

Named = TypeVar("Named", str, bytes)


class Clients:
    """Finds principals and their histories. ``met`` is told of every history that is found anew, and whose it is.

    ``believes`` tells whether anybody is trusted to speak for others, ``trusts`` whether a peer is. ``direct`` and, by trusted peer,
    ``relayed`` hold who asked lately, for hot paths. The only item of ``term`` is what all records are marked with
    (``History.met``) that were met since everybody was to be met anew.
    """

    def __init__(
        self, rules: IdentityRules, store: UsageStore, met: Callable[[History, Principal], None] | None
    ) -> None:
        self._identity = Identity(rules)
        self._store = store
        self._met = met
        self._chain = rules.header.lower().encode("latin-1")
        self.believes = self._identity.believes
        #: Whether the forwarding field holds bare addresses.
        self.lists = self._identity.lists
        self.trusts = self._identity.trusts
        self.direct: Memo[str, History] = Memo(_CLIENTS)
        self.relayed: dict[str, Memo[bytes, History]] = {}
        self.term: list[object] = [object()]

    def principal(self, head: RequestHead) -> Principal:
        """Return whom a request's budgets are kept for; never raise."""
        shape = head.shape
        chain = head.values[shape.chain] if shape.chain >= 0 else None
        return self._identity.find(head.peer, chain, repeated=self._chain in shape.repeated)

    def history(self, head: RequestHead, now: float) -> History:
        """Return the history of a client that was not seen lately under this address or chain."""
        chain = head.shape.chain
        if chain < 0 or not self._identity.trusts(head.peer):
            return self._remembered(self.direct, head.peer, head, now)
        relayed = self.relayed.get(head.peer)
        if relayed is None:
            if len(self.relayed) >= _PROXIES:
                self.relayed.clear()
            relayed = self.relayed[head.peer] = Memo(_CLIENTS)
        return self._remembered(relayed, head.values[chain], head, now)

    def forget(self) -> None:
        """Meet every client anew at its next request."""
        self.direct.clear()
        self.relayed.clear()
        self.term[0] = object()

    def _remembered(self, memo: Memo[Named, History], name: Named, head: RequestHead, now: float) -> History:
        once = bool(head.shape.repeated) or len(name) > _LONGEST_NAME
        known = None if once else memo.get(name)
        if known is None or known.gone:
            principal = self.principal(head)
            known = self._store.find(principal, now)
            # The record of an IPv6 client is its network's, and lists may name one address of it.
            if known.met is not self.term[0] or principal.address != principal.key:
                if self._met is not None:
                    self._met(known, principal)
                known.met = self.term[0]
            if not once:
                memo.put(name, known)
        return known
