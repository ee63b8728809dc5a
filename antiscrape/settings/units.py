"""The quantities that operators write: durations, sizes, limits, networks."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from antiscrape.core.budgets import MOST_DISTINCT, parse_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

Network = IPv4Network | IPv6Network

# The words that core.budgets takes for a window, so that "min" means the same in every setting.
_SECONDS = {
    "ms": 0.001,
    "": 1, "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *([a-z]*)", re.IGNORECASE)

_MOST = 2**63  # what a TOML integer may hold (TOML 1.0, Integer); it bounds nan and the infinities out, too

#: Three or four windows are the most that anybody can reason about; ten of them fit.
LONGEST_LIMITS = 200
#: The mapped part of IPv6 (RFC 4291 §2.5.5.2): whoever trusts it trusts every IPv4 address.
MAPPED = IPv6Network("::ffff:0:0/96")
EVERYONE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def read_duration(value: object) -> float:
    """Return the seconds in ``"15min"``, ``"1h"`` or a plain number; raise ``ValueError`` with what was expected."""
    return _read(value, _SECONDS, 'a duration such as "15min", "1h" or a number of seconds')


def read_bytes(value: object) -> int:
    """Return the bytes in ``"64MB"``, ``"32MiB"`` or a plain number; raise ``ValueError`` with what was expected."""
    amount = _read(value, _BYTES, 'a size such as "64MB", "32MiB" or a number of bytes')
    if amount != int(amount):
        msg = "is not a whole number of bytes"
        raise ValueError(msg)
    return int(amount)


def _read(value: object, units: Mapping[str, float], expected: str) -> float:
    # bool is an int in Python, but true is no number of seconds
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value < _MOST:
            raise ValueError(f"is not {expected}")
        return value
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"is not {expected}")
    return float(match[1]) * factor


def write_duration(seconds: float) -> str:
    """Return ``seconds`` in the largest unit that divides them: 900 is ``"15min"``."""
    for unit, factor in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds and seconds % factor == 0:
            return f"{seconds / factor:.0f}{unit}"
    if 0 < seconds < 1 and round(seconds * 1000, 6) % 1 == 0:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def write_bytes(amount: int) -> str:
    """Return ``amount`` in the largest unit that divides it: 33554432 is ``"32MiB"``."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        factor = _BYTES[unit.lower()]
        if amount and amount % factor == 0:
            return f"{amount // factor}{unit}"
    return f"{amount}B"


def lasting(least: str, most: str) -> AfterValidator:
    """Return a validator that keeps a duration between two others."""
    low, high = read_duration(least), read_duration(most)

    def check(seconds: float) -> float:
        if not low <= seconds <= high:
            msg = f"is not between {least} and {most}"
            raise ValueError(msg)
        return seconds

    return AfterValidator(check)


def sized(least: str, most: str) -> AfterValidator:
    """Return a validator that keeps a number of bytes between two others."""
    low, high = read_bytes(least), read_bytes(most)

    def check(amount: int) -> int:
        if not low <= amount <= high:
            msg = f"is not between {least} and {most}"
            raise ValueError(msg)
        return amount

    return AfterValidator(check)


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    # ``originals = 0`` reads better than ``originals = "0"``, and only zero needs no window
    if type(value) is int and value == 0:
        return "0"
    msg = 'is not a limit; expected an amount per window, such as "40/10min"'
    raise ValueError(msg)


def _check_limits(text: str) -> str:
    if len(text) > LONGEST_LIMITS:
        raise ValueError(f"is longer than {LONGEST_LIMITS} characters")
    parse_limits(text)
    return text


def _check_distinct(text: str) -> str:
    _check_limits(text)
    if any(limit.amount > MOST_DISTINCT for limit in parse_limits(text)):
        # they are remembered one by one (core.budgets.MOST_DISTINCT)
        raise ValueError(f'counts more than {MOST_DISTINCT} distinct things; write "unlimited" to count none')
    return text


def _check_volume(text: str) -> str:
    if len(text) > LONGEST_LIMITS:
        raise ValueError(f"is longer than {LONGEST_LIMITS} characters")
    parse_limits(text, sizes=True)
    return text


def read_network(text: str) -> tuple[Network, ...]:
    """Return the networks that ``text`` names: one address, one CIDR network, or ``"*"`` for everyone.

    A part of ``::ffff:0:0/96`` becomes its IPv4 network. Raise ``ValueError`` for anything else, a
    network with host bits set among it: a mistyped network must not become another one.
    """
    if text == "*":
        return EVERYONE
    # ip_address takes any text behind "%" for a zone, line breaks too, and a proxy's address has none
    if "%" in text or len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128"):
        msg = "is not an address or a network such as 10.0.0.0/8"
        raise ValueError(msg)
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(_wrong_network(text)) from None
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        low = int(network.network_address) & 0xFFFFFFFF
        return (IPv4Network((low, network.prefixlen - 96)),)
    return (network,)


def _wrong_network(text: str) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return "is not an address or a network such as 10.0.0.0/8"
    return f"has bits set beyond its prefix; the network is {meant}"


def _check_network(text: str) -> str:
    read_network(text)
    return text


def trusts_everyone(texts: tuple[str, ...]) -> bool:
    """Tell whether the networks cover all of IPv4 or all of IPv6, in one piece or in several."""
    networks = [network for text in texts for network in read_network(text)]
    four = collapse_addresses([one for one in networks if isinstance(one, IPv4Network)])
    six = collapse_addresses([one for one in networks if isinstance(one, IPv6Network)])
    return any(one.prefixlen == 0 for one in four) or any(one.prefixlen == 0 for one in six)


_WINDOW = r"[0-9]* *(s|sec|seconds?|min|minutes?|h|hours?|d|days?)"
_SIZE = r"([kKMG]i?B)?"


def _limits_schema(scale: str, example: str) -> WithJsonSchema:
    one = rf"(0|[0-9]+(\.[0-9]+)? *{scale} */ *{_WINDOW})"
    text = {"type": "string", "pattern": rf"^(unlimited|{one}( *, *{one})*)?$"}
    return WithJsonSchema({"anyOf": [text, {"const": 0}], "examples": [example, "unlimited", 0]})


def _quantity_schema(pattern: str, examples: list[str]) -> WithJsonSchema:
    text = {"type": "string", "pattern": rf"^[0-9]+(\.[0-9]+)? *({pattern})?$"}
    return WithJsonSchema({"anyOf": [{"type": "number"}, text], "examples": examples})


_DURATION_UNITS = "ms|s|sec|seconds?|min|minutes?|h|hours?|d|days?"

#: Seconds; written as ``"15min"`` or a number of seconds.
Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    PlainSerializer(write_duration),
    _quantity_schema(_DURATION_UNITS, ["15min", "1h", "90s"]),
]
#: Bytes; written as ``"64MB"`` or a number of bytes.
Bytes = Annotated[
    int,
    BeforeValidator(read_bytes),
    PlainSerializer(write_bytes),
    _quantity_schema("B|[kKMG]i?B", ["64MB", "32MiB"]),
]
#: Limits on what passes by, such as requests.
Limits = Annotated[
    str, BeforeValidator(_text_of), AfterValidator(_check_limits), _limits_schema("", "600/5min")
]
#: Limits on distinct things, which are remembered one by one.
Distinct = Annotated[
    str, BeforeValidator(_text_of), AfterValidator(_check_distinct), _limits_schema("", "40/10min, 60/day")
]
#: Limits on bytes.
Volume = Annotated[
    str, BeforeValidator(_text_of), AfterValidator(_check_volume), _limits_schema(_SIZE, "400MB/hour")
]
#: An address, a network in CIDR notation, or "*".
Trusted = Annotated[str, AfterValidator(_check_network)]
