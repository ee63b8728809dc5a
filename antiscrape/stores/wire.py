"""What a worker and a shared store say to each other, as bytes: ``lua/exchange.lua`` and ``lua/spend.lua`` read and write it.

Little-endian and packed without padding, so that a batch of a thousand records is a few strings and not ten thousand
arguments. Times are seconds of the shard's clock (``lua/clock.lua``); 0.0 stands for "none".
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from struct import Struct, unpack_from
from struct import error as StructError  # noqa: N812  it is an exception's class
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.verdict import Budget
from antiscrape.stores.names import epoch_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLOCK, _EXCHANGE, _SPEND, PRESENT, ONCE = [
    files("antiscrape.stores").joinpath(f"lua/{name}.lua").read_bytes()
    for name in ("clock", "exchange", "spend", "present", "once")
]
EXCHANGE: Final = _CLOCK + _EXCHANGE
SPEND: Final = _CLOCK + _SPEND

_HEADER: Final = Struct("<dddII")
_NEWS: Final = Struct("<dddddBBHH")
_ENTRY: Final = Struct("<8sd")
_BEGINNING: Final = Struct("<dd")
_STATE: Final = Struct("<ddddBBHH")
_DOUBLE: Final = Struct("<d")
_PAIR: Final = Struct("<dd")
_RATE: Final = Struct("<ddd")
_OUTCOME: Final = Struct("<BBBd")
#: Of one record and one exchange; what is left goes with the next.
MOST_ENTRIES: Final = 10_000
MOST_RATES: Final = 255


#: In place of the end of a ban or a cooling: it is taken back.
LIFTED: Final = -1.0


class News(NamedTuple):
    """What one worker tells of one record beside requests.

    ``since`` is the store's time at which the worker last read all of it (0.0: never), ``floor`` a TAT below which the
    record's cannot lie, ``requests`` the seconds it was moved on. ``banned`` and ``cooled`` are times, or
    ``LIFTED``. ``rates`` are name, floor and seconds; ``originals`` and ``subjects`` identity and the time it was charged.
    """

    keys: tuple[bytes, bytes, bytes]
    since: float = 0.0
    floor: float = 0.0
    requests: float = 0.0
    banned: float = 0.0
    cooled: float = 0.0
    level: int = 0
    rates: Sequence[tuple[str, float, float]] = ()
    originals: Sequence[tuple[int, float]] = ()
    subjects: Sequence[tuple[int, float]] = ()


class State(NamedTuple):
    """What the store knows of one record; ``originals`` and ``subjects`` are those charged since it was read last."""

    tat: float
    changed: float
    banned: float
    cooled: float
    level: int
    rates: dict[str, float]
    originals: list[tuple[int, float]]
    subjects: list[tuple[int, float]]


class Answer(NamedTuple):
    """What the store answers: its clock, its epoch, the TATs of the light records and when these last ``changed``, the full ones."""

    now: float
    epoch: float
    tats: tuple[float, ...]
    changed: tuple[float, ...]
    fulls: list[State]


class Rate(NamedTuple):
    """A limit on requests or bytes, as the store is told it."""

    name: str
    interval: float
    window: float
    amount: float


class Asked(NamedTuple):
    """One distinct thing that is charged: its identity, the seconds it is remembered, the limits' amounts and windows."""

    identity: int
    keep: float
    limits: Sequence[tuple[float, float]]


class Charging(NamedTuple):
    """One request that is charged at once, at all levels or at none. A level is three keys and a factor."""

    levels: Sequence[tuple[tuple[bytes, bytes, bytes], float]]
    requests: Sequence[Rate] = ()
    bytes: Sequence[Rate] = ()
    subject: Asked | None = None
    original: Asked | None = None


class Outcome(NamedTuple):
    """What became of a charge: the budget without room (None: it was charged), the place of its limit, the level, the wait.

    ``owed`` is, for each level, how many seconds its TAT lies ahead.
    """

    budget: Budget | None
    place: int
    level: int
    wait: float
    owed: tuple[float, ...]


def pack_exchange(
    epoch: bytes,
    telling: bytes,
    number: int,
    keep: tuple[float, float],
    age: float,
    names: Sequence[bytes],
    seconds: Sequence[float],
    fulls: Sequence[News],
) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and arguments of an exchange: of light records the ``names`` and the ``seconds`` spent, and the full ones.

    ``telling`` is the key under which its ``number`` is kept: what is told twice under one number counts once. In seconds,
    ``keep`` is how long originals and subjects are kept, ``age`` how long ago the first of what is told was spent.
    """
    keys = [epoch, telling, *names]
    for news in fulls:
        keys += news.keys
    deltas = array("d", seconds).tobytes()
    header = _HEADER.pack(*keep, age, len(names), len(fulls))
    return keys, [header, b"%d" % number, deltas, *map(_pack_news, fulls)]


def _pack_news(news: News) -> bytes:
    originals, subjects = news.originals[:MOST_ENTRIES], news.subjects[:MOST_ENTRIES]
    rates = news.rates[:MOST_RATES]
    parts = [
        _NEWS.pack(
            news.since, news.floor, news.requests, news.banned, news.cooled, news.level,
            len(rates), len(originals), len(subjects),
        )
    ]  # fmt: skip
    for name, floor, seconds in rates:
        parts += (_named(name), _PAIR.pack(floor, seconds))
    if originals or subjects:
        parts += [_ENTRY.pack(identity.to_bytes(8, "big"), at) for identity, at in chain(originals, subjects)]
    return b"".join(parts)


def unpack_exchange(blob: bytes, lights: int, fulls: int) -> Answer:
    """Read the answer to an exchange of so many records; raise ``ValueError`` where it is none."""
    try:
        now, epoch = _BEGINNING.unpack_from(blob)
        at = _BEGINNING.size
        told = unpack_from(f"<{2 * lights}d", blob, at)
        at += _PAIR.size * lights
        states = []
        for _ in range(fulls):
            state, at = _unpack_state(blob, at)
            states.append(state)
    except (LookupError, StructError) as error:
        raise ValueError("the store's answer is cut short") from error
    if at != len(blob):
        raise ValueError("the store's answer has another length than was asked for")
    return Answer(now, epoch, told[::2], told[1::2], states)


def _unpack_state(blob: bytes, at: int) -> tuple[State, int]:
    tat, changed, banned, cooled, level, names, originals, subjects = _STATE.unpack_from(blob, at)
    at += _STATE.size
    rates = {}
    for _ in range(names):
        size = blob[at]
        name = blob[at + 1 : at + 1 + size].decode()
        (rates[name],) = _DOUBLE.unpack_from(blob, at + 1 + size)
        at += 1 + size + _DOUBLE.size
    middle = at + _ENTRY.size * originals
    end = middle + _ENTRY.size * subjects
    had = _entries(blob[at:middle]) if originals else []
    shown = _entries(blob[middle:end]) if subjects else []
    return State(tat, changed, banned, cooled, level, rates, had, shown), end


def _entries(blob: bytes) -> list[tuple[int, float]]:
    return [(int.from_bytes(identity, "big"), charged) for identity, charged in _ENTRY.iter_unpack(blob)]


def pack_spend(charges: Sequence[Charging]) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and arguments that charge ``charges``, all of one shard, one after another."""
    keys = [epoch_of(charges[0].levels[0][0][0])]
    arguments = []
    for charge in charges:
        parts = [bytes([len(charge.levels)])]
        for level, factor in charge.levels:
            keys += level
            parts.append(_DOUBLE.pack(factor))
        parts += (_pack_rates(tuple(charge.requests)), _pack_rates(tuple(charge.bytes)))
        parts += (_pack_asked(charge.subject), _pack_asked(charge.original))
        arguments.append(b"".join(parts))
    return keys, arguments


@lru_cache(256)  # as many as a policy has limits
def _pack_rates(rates: tuple[Rate, ...]) -> bytes:
    return bytes([len(rates)]) + b"".join([_named(rate.name) + _RATE.pack(*rate[1:]) for rate in rates])


def _pack_asked(asked: Asked | None) -> bytes:
    if asked is None or not asked.limits:
        return b"\0"
    limits = b"".join([_PAIR.pack(*limit) for limit in asked.limits])
    return bytes([len(asked.limits)]) + _ENTRY.pack(asked.identity.to_bytes(8, "big"), asked.keep) + limits


def _named(name: str) -> bytes:
    text = name.encode()
    return bytes([len(text)]) + text


_BUDGETS: Final = (None, Budget.REQUESTS, Budget.BYTES, Budget.ORIGINALS, Budget.SUBJECTS)


def unpack_spend(blob: bytes, charges: Sequence[Charging]) -> list[Outcome]:
    """Read what became of each charge; raise ``ValueError`` where that is not what stands there."""
    size = _DOUBLE.size + sum(_OUTCOME.size + _DOUBLE.size * len(charge.levels) for charge in charges)
    if len(blob) != size:
        raise ValueError("the store's answer has another length than was asked for")
    (now,) = _DOUBLE.unpack_from(blob)
    at, outcomes = _DOUBLE.size, []
    for charge in charges:
        budget, place, level, wait = _OUTCOME.unpack_from(blob, at)
        if budget >= len(_BUDGETS):
            raise ValueError("the store's answer names no budget")
        at += _OUTCOME.size
        owed = tuple(
            tat - now for (tat,) in _DOUBLE.iter_unpack(blob[at : at + _DOUBLE.size * len(charge.levels)])
        )
        at += _DOUBLE.size * len(charge.levels)
        outcomes.append(Outcome(_BUDGETS[budget], place - 1, level - 1, wait, owed))
    return outcomes
