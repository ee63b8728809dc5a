"""Quantities: what is read is what is meant, and what is written is read back."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from antiscrape.core.budgets import parse_limits
from antiscrape.settings.units import (
    EVERYONE,
    Bytes,
    Distinct,
    Duration,
    Limits,
    Volume,
    read_bytes,
    read_duration,
    read_network,
    trusts_everyone,
    write_bytes,
    write_duration,
)

UNITS = [
    "s",
    "sec",
    "second",
    "seconds",
    "min",
    "minute",
    "minutes",
    "h",
    "hour",
    "hours",
    "d",
    "day",
    "days",
]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("15min", 900),
        ("1h", 3600),
        ("90s", 90),
        ("1.5h", 5400),
        ("2 days", 172_800),
        ("45", 45),
        (5, 5),
        (0.5, 0.5),
        ("100ms", 0.1),
        ("0.5 ms", 0.0005),
    ],
)
def test_durations_are_seconds(written: object, seconds: float) -> None:
    assert read_duration(written) == seconds


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_as_long_as_the_window_of_a_limit(unit: str) -> None:
    assert read_duration(f"3{unit}") == parse_limits(f"1/3{unit}")[0].window


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("64MB", 64_000_000),
        ("32MiB", 2**25),
        ("1.5kB", 1500),
        ("12", 12),
        ("12b", 12),
        (4096, 4096),
        ("1 GiB", 2**30),
    ],
)
def test_sizes_are_bytes(written: object, amount: int) -> None:
    assert read_bytes(written) == amount


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "h",
        "1 fortnight",
        "-1h",
        "1e9",
        "1h 5min",
        "٣h",
        "1" * 40,
        True,
        None,
        [],
        -1,
        float("inf"),
        float("nan"),
        2**70,
    ],
)
def test_what_is_no_quantity_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a duration such as"):
        read_duration(wrong)
    with pytest.raises(ValueError, match="is not a size such as"):
        read_bytes(wrong)


def test_half_a_byte_is_none() -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        read_bytes("1.5")


@given(st.integers(0, 2**45))
def test_a_written_size_is_read_back(amount: int) -> None:
    assert read_bytes(write_bytes(amount)) == amount


@given(st.integers(0, 10**9) | st.decimals(0, 1000, places=3).map(float))
def test_a_written_duration_is_read_back(seconds: float) -> None:
    assert read_duration(write_duration(seconds)) == pytest.approx(seconds)


def schema_takes(kind: Any, value: object) -> bool:
    return jsonschema.Draft202012Validator(TypeAdapter(kind).json_schema()).is_valid(value)


def model_takes(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "value", "right"),
    [
        *[
            (Limits, text, True)
            for text in ("", "unlimited", "0", 0, "1/s", "40/10min, 60/day", "1.5 / 2 hours", "5/ 3d")
        ],
        *[
            (Limits, text, False)
            for text in ("x", "1", "/s", "1/", "1/month", "1/s,", "-1/s", "5kB/s", 1, "40/10min 60/day")
        ],
        *[(Distinct, text, True) for text in ("10000/day", 0)],
        *[(Volume, text, True) for text in ("400MB/hour", "1 GiB/2h, 5GB/day", "7/s", "0", 0)],
        *[(Volume, text, False) for text in ("5 parsecs/s", "400MB", "MB/s", 5)],
        *[(Duration, value, True) for value in ("15min", "1.5h", "3 days", 3, 0.5, "7")],
        *[(Duration, value, False) for value in ("1 week", "min", "", None)],
        *[(Bytes, value, True) for value in ("64MB", "1 KiB", "5kB", "5B", 12)],
        *[(Bytes, value, False) for value in ("64 megs", "MB", "", None)],
    ],
)
def test_the_schema_and_the_loader_agree(kind: Any, value: object, *, right: bool) -> None:
    assert (schema_takes(kind, value), model_takes(kind, value)) == (right, right)


def test_limits_on_distinct_things_are_a_bound_on_memory() -> None:
    assert not model_takes(Distinct, "10001/day")
    assert model_takes(Limits, "10001/day")


@pytest.mark.parametrize("kind", [Limits, Distinct, Volume])
def test_an_endless_limit_is_refused(kind: Any) -> None:
    assert not model_takes(kind, "9" * 5000 + "/min")
    assert not model_takes(kind, "1/min, " * 100)


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.0.0.0/8", [IPv4Network("10.0.0.0/8")]),
        ("127.0.0.1", [IPv4Network("127.0.0.1/32")]),
        ("2001:db8::/32", [IPv6Network("2001:db8::/32")]),
        ("*", list(EVERYONE)),
    ],
)
def test_networks_are_read(text: str, networks: list[object]) -> None:
    assert list(read_network(text)) == networks


@pytest.mark.security("A10")
def test_a_mapped_network_is_its_ipv4_network() -> None:
    assert read_network("::ffff:10.0.0.0/104") == (IPv4Network("10.0.0.0/8"),)


@pytest.mark.security("A9")
@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "01.2.3.4",
        "fe80::1%eth0",
        "fe80::1%\n",
        "localhost",
        "",
        " 10.0.0.1",
        "0" * 99,
    ],
)
def test_a_mistyped_network_is_not_taken_for_another(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address|has bits set beyond its prefix"):
        read_network(text)


@pytest.mark.security("A3")
@pytest.mark.parametrize(
    "texts",
    [
        ("*",),
        ("0.0.0.0/0",),
        ("::/0",),
        ("0.0.0.0/1", "128.0.0.0/1"),
        ("::ffff:0:0/96",),
        ("8000::/1", "10.0.0.1", "::/1"),
    ],
)
def test_everyone_is_recognised_in_one_piece_and_in_several(texts: tuple[str, ...]) -> None:
    assert trusts_everyone(texts)


@pytest.mark.parametrize("texts", [(), ("10.0.0.0/8",), ("0.0.0.0/1",), ("::1", "128.0.0.0/1")])
def test_less_than_everyone_is_not_everyone(texts: tuple[str, ...]) -> None:
    assert not trusts_everyone(texts)
