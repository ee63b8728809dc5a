"""The signals: tables of named evidence, one family a module, and the loop that reads them.

Evidence costs. A missing browser trait adds to the score, a present one earns nothing, because
everything that a header says can be copied (Anubis dropped such rewards for that reason).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from antiscrape.core.rules import SignalRule
from antiscrape.core.signals import agents, headers, navigation, traps
from antiscrape.core.signals.table import Signal
from antiscrape.core.verdict import Finding, Mode

if TYPE_CHECKING:
    from antiscrape.core.history import History
    from antiscrape.core.traits import Traits

__all__ = ["OF_REQUEST", "OF_VISIT", "READ", "SIGNALS", "Panel", "Signal"]

Seen = TypeVar("Seen")

READ = headers.READ
#: Judged from one request's header fields, remembered per header profile.
OF_REQUEST: tuple[Signal[Traits], ...] = headers.SIGNALS + agents.SIGNALS
#: Judged from what a principal did over a visit.
OF_VISIT: tuple[Signal[History], ...] = navigation.SIGNALS + traps.SIGNALS

_ALL: tuple[Signal[Traits] | Signal[History], ...] = (*OF_REQUEST, *OF_VISIT)
SIGNALS: Mapping[str, Signal[Traits] | Signal[History]] = MappingProxyType(
    {signal.name: signal for signal in _ALL}
)


class Panel:
    """The signals that a policy leaves standing, with the weights it gives them.

    A signal in shadow mode weighs nothing but is still named among the findings.
    """

    __slots__ = ("_handshake", "_request", "_visit")

    def __init__(self, rules: Mapping[str, SignalRule]) -> None:
        self._request = _rows(OF_REQUEST, rules)
        self._handshake = _rows(agents.SIGNALS, rules)
        self._visit = _rows(OF_VISIT, rules)

    def of_request(self, traits: Traits) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of one header profile."""
        return _weigh(self._request, traits)

    def of_handshake(self, traits: Traits) -> tuple[int, tuple[Finding, ...]]:
        """Return the same of a websocket's handshake, in which browsers send few of their fields."""
        return _weigh(self._handshake, traits)

    def of_visit(self, history: History) -> tuple[int, tuple[Finding, ...]]:
        """Return the score and the findings of one visit so far."""
        return _weigh(self._visit, history)


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
