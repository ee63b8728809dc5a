"""What a record takes over from the shared store's answer, and what there is to tell of it beside requests."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

from antiscrape.core import consequences
from antiscrape.core.history import History
from antiscrape.core.spending import kept_of
from antiscrape.core.verdict import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from antiscrape.core.purse import Purse
    from antiscrape.stores.wire import State

#: Seconds of requests that are not worth telling to a store that has lost everything.
_TRIFLE: Final = 1.0


def _take_tat(purse: Purse, tat: float) -> None:
    if purse.journal is not None:
        tat += purse.journal.requests  # spent while the exchange was under way
    purse.tat = max(purse.tat, tat)


def take_state(purse: Purse, state: State, offset: float) -> None:
    """Take over what the store knows of a record; its clock is ``offset`` ahead of ours."""
    _take_tat(purse, state.tat - offset)
    later = (purse.journal.rates or {}) if purse.journal is not None else {}
    for name, told in state.rates.items():
        if purse.tats is None:
            purse.tats = {}
        purse.tats[name] = max(purse.tats.get(name, 0.0), told - offset + later.get(name, 0.0))
    if state.originals:
        _add_had(kept_of(purse, Budget.ORIGINALS), state.originals, offset)
    if state.subjects:
        _add_had(kept_of(purse, Budget.SUBJECTS), state.subjects, offset)
    if (
        (state.banned or state.cooled)
        and isinstance(purse, History)
        and not (purse.journal is not None and purse.journal.lifted)
    ):
        # What was lifted and is not yet told was no news to the store when it answered.
        banned, cooled, _ = held(purse)
        if state.banned and state.banned - offset > banned:
            consequences.ban(purse, state.banned - offset)
        if state.cooled and state.cooled - offset > cooled:
            consequences.cool(purse, state.cooled - offset, state.level)


def held(purse: Purse) -> tuple[float, float, int]:
    """Return until when a principal is banned and cooling, and the cooling's level."""
    trouble = purse.trouble if isinstance(purse, History) else None
    return (
        (trouble.banned_until, trouble.cooled_until, trouble.level) if trouble is not None else (0.0, 0.0, 0)
    )


def weighs(purse: Purse, state: State) -> bool:
    """Tell whether a record may grow by what the store knows of it."""
    return bool(state.originals or state.subjects) or not state.rates.keys() <= (purse.tats or {}).keys()


def _add_had(kept: dict[int, float], told: Sequence[tuple[int, float]], offset: float) -> None:
    """Add what others charged, in the order of time, which is what expires first."""
    latest = next(reversed(kept.values()), 0.0)
    for identity, charged in told:
        kept.setdefault(identity, charged - offset)
    if told[0][1] - offset < latest:
        ordered = sorted(kept.items(), key=itemgetter(1))
        kept.clear()
        kept.update(ordered)


def worth_telling(purse: Purse, now: float) -> bool:
    """Tell whether a store that has lost a record is to be told of it."""
    return (
        purse.tat - now > _TRIFLE
        or (isinstance(purse, History) and purse.held_until > now)
        or bool(purse.tats or purse.originals or purse.subjects)
    )


def charged(
    had: Mapping[int, float] | None, news: Sequence[int] | None, offset: float, *, everything: bool
) -> list[tuple[int, float]]:
    """Return the identities that are news, or all that were had, with when they were charged by the store's clock."""
    had = had or {}
    return [(one, had[one] + offset) for one in (had if everything else news or ()) if one in had]
