"""The signals: tables of named evidence, one family a module, and the loop that reads them.

Evidence costs. A missing browser trait adds to the score, a present one earns nothing, because
everything that a header says can be copied (Anubis dropped such rewards for that reason).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from antiscrape.core.rules import SignalRule
from antiscrape.core.signals import account, agents, browser, headers, navigation, networks, spread, traps
from antiscrape.core.signals.table import Signal
from antiscrape.core.verdict import Finding, Mode

if TYPE_CHECKING:
    from antiscrape.core.history import History
    from antiscrape.core.networks import NetworkFacts
    from antiscrape.core.role import Role
    from antiscrape.core.spread import GroupFacts
    from antiscrape.core.traits import Traits

__all__ = ["OF_REQUEST", "OF_VISIT", "READ", "SIGNALS", "Panel", "Signal"]

Seen = TypeVar("Seen")

READ = headers.READ
#: Judged from one request's header fields, remembered per header profile.
OF_REQUEST: tuple[Signal[Traits], ...] = headers.SIGNALS + agents.SIGNALS
#: Judged from what a principal did over a visit.
OF_VISIT: tuple[Signal[History], ...] = navigation.SIGNALS + traps.SIGNALS + browser.SIGNALS

#: Judged from what is known of a principal's address.
OF_ADDRESS: tuple[Signal[NetworkFacts], ...] = networks.SIGNALS

#: Judged from what is counted of an account.
OF_ACCOUNT: tuple[Signal[AccountFacts], ...] = account.SIGNALS

#: Judged from what a group of clients does together.
OF_GROUP: tuple[Signal[GroupFacts], ...] = spread.SIGNALS

#: Judged from what became of a request's claim to be somebody.
OF_CLAIM: tuple[Signal[Role], ...] = agents.CLAIMS

if TYPE_CHECKING:
    from antiscrape.core.signals.account import AccountFacts

    Row = (
        Signal[AccountFacts]
        | Signal[GroupFacts]
        | Signal[History]
        | Signal[NetworkFacts]
        | Signal[Role]
        | Signal[Traits]
    )

_ALL: tuple[Row, ...] = (*OF_REQUEST, *OF_CLAIM, *OF_ADDRESS, *OF_ACCOUNT, *OF_GROUP, *OF_VISIT)
SIGNALS: Mapping[str, Row] = MappingProxyType({signal.name: signal for signal in _ALL})


class Panel:
    """The signals that a policy leaves standing, with the weights it gives them.

    A signal in shadow mode weighs nothing but is still named among the findings.
    """

    __slots__ = ("_account", "_address", "_claim", "_group", "_handshake", "_request", "_visit")

    def __init__(self, rules: Mapping[str, SignalRule]) -> None:
        self._request = _rows(OF_REQUEST, rules)
        self._handshake = _rows(agents.SIGNALS, rules)
        self._visit = _rows(OF_VISIT, rules)
        self._address = _rows(OF_ADDRESS, rules)
        self._account = _rows(OF_ACCOUNT, rules)
        self._claim = _rows(OF_CLAIM, rules)
        self._group = _rows(OF_GROUP, rules)

    def of_request(self, traits: Traits) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of one header profile."""
        return _weigh(self._request, traits)

    def of_handshake(self, traits: Traits) -> tuple[int, tuple[Finding, ...]]:
        """Return the same of a websocket's handshake, in which browsers send few of their fields."""
        return _weigh(self._handshake, traits)

    def of_visit(self, history: History) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of one visit so far."""
        return _NOTHING if navigation.is_calm(history) else _weigh(self._visit, history)

    def of_address(self, facts: NetworkFacts) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of one address."""
        return _weigh(self._address, facts)

    def of_account(self, facts: AccountFacts) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of what is counted of an account."""
        return _weigh(self._account, facts)

    def of_group(self, facts: GroupFacts) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of what a group does together."""
        return _weigh(self._group, facts)

    def of_claim(self, role: Role) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of what became of a claim."""
        return _weigh(self._claim, role)


_NOTHING: tuple[int, tuple[Finding, ...]] = (0, ())
_Row = tuple[Callable[[Seen], bool], Finding]


def _rows(signals: tuple[Signal[Seen], ...], rules: Mapping[str, SignalRule]) -> tuple[_Row[Seen], ...]:
    rows: list[_Row[Seen]] = []
    for signal in signals:
        rule = rules.get(signal.name, SignalRule(signal.weight))
        if rule.mode is not Mode.OFF:
            weight = rule.weight if rule.mode is Mode.ENFORCE else 0
            rows.append((signal.test, Finding(signal.name, weight, signal.sentence)))
    return tuple(rows)


def _weigh(rows: tuple[_Row[Seen], ...], seen: Seen) -> tuple[int, tuple[Finding, ...]]:
    findings = tuple([finding for test, finding in rows if test(seen)])
    return sum([finding.weight for finding in findings]), findings
