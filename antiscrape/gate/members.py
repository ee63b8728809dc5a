"""Members: whose request it is, where the site says so, and what one account may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from antiscrape.core.account import account_key, age_factor, age_of, allowances_by_age
from antiscrape.core.identity import Principal
from antiscrape.core.memo import Memo
from antiscrape.core.observation import Profile
from antiscrape.core.resource import Kind, Size
from antiscrape.core.signals.account import AccountBook
from antiscrape.core.verdict import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.account import Account
    from antiscrape.core.history import History
    from antiscrape.core.rules import Allowance, Policy
    from antiscrape.core.signals import Panel
    from antiscrape.gate.passage import Passage
    from antiscrape.ports import UsageStore

_IMAGE: Final = Kind.IMAGE
_ORIGINAL: Final = Size.ORIGINAL
_REMEMBERED = 65_536


class Members:
    """Finds the history of an account, and what speaks against it. ``key`` keeps names out of store keys."""

    def __init__(
        self, policy: Policy, panel: Panel, *, store: UsageStore, key: bytes, wall: Callable[[], float]
    ) -> None:
        self._rules = policy.accounts
        self._shares = allowances_by_age(policy.standings[Standing.MEMBER], self._rules)
        self._panel = panel
        self._store = store
        self._key = key
        self._wall = wall
        self._known: Memo[str, History] = Memo(_REMEMBERED)
        self._book = AccountBook(max(1000, policy.store.max_principals // 4))

    def follow(self, former: Members) -> None:
        """Go on with what another noted of accounts over days."""
        self._book = former._book

    def allowance(self, account: Account) -> Allowance:
        """Return what an account may have at its age."""
        return self._shares[age_factor(account, self._wall(), self._rules)]

    def find(self, passage: Passage, account: Account, network: str, now: float) -> History:
        """Return the history of an account that asks from ``network``, with what its habits over days tell."""
        history = self._known.get(account.name)
        if history is None or history.gone:
            key = account_key(account.name, self._key)
            # no roll-up: an account's network is shared with whoever is there
            history = self._store.find(Principal(key, "", passage.client), now)
            self._known.put(account.name, history)
        resource = passage.resource
        looked = resource.kind is not _IMAGE or resource.size is _ORIGINAL
        facts = self._book.seen(
            account.name,
            network,
            now,
            age=age_of(account, self._wall()),
            subject=resource.subject if looked else "",
        )
        outside = Profile(*self._panel.of_account(facts))
        if outside != history.outside:
            history.outside = outside
            history.visit = Profile(*self._panel.of_visit(history)).joined(outside)
        return history
