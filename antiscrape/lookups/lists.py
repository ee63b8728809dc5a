"""Reading lists of networks that others publish, and refusing the ones that have gone wrong.

A list is a file that somebody fetched, perhaps by night. On 18 November 2025 a file that had doubled
overnight took Cloudflare's network down; lists have come empty, cut in half, as the HTML of an error
page, and with 0.0.0.0/0 in them. So a list is read whole and strictly or not at all, and one that is
to replace another must be of its size (SECURITY H5).

Understood are text (a network or address a line, ``#`` and ``;`` begin comments), CSV whose first
column is a network (geofeeds, RFC 8805, and their like) or whose first two are the ends of a range, and
the JSON that providers publish. Which of them a file is, its content tells, not its name.
"""

from __future__ import annotations

import json
import os
import stat
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.core.networks import Extent, PrefixTable, ordered, pack
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.prefixes import IPV4, Prefix, objection, read_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The longest list of use here, the exits of Apple's privacy relay, has 290,000 lines and 10 MB.
MOST_LINES: Final = 500_000
MOST_BYTES: Final = 32 * 2**20
#: A provider's list grows by some percent a month. Three times as much is another list, and less than two thirds
#: of it a part: half a file is refused wherever it was cut.
MOST_GROWTH: Final = 3
LEAST_LEFT: Final = 2 / 3
#: A list may grow to three times this from nothing, and shrink below it as it likes.
SMALL: Final = Extent(64, 2**16, 64, 2**16)
_MOST_QUOTED: Final = 5
_LONGEST_QUOTE: Final = 60
_HEADINGS: Final = frozenset({"network", "prefix", "cidr", "ip_prefix", "ip", "start", "start_ip", "first"})
#: Where published JSON keeps its networks, and under which names where these are objects.
_PLACES: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    ((), ()),
    (("prefixes",), ("ipv4Prefix", "ipv6Prefix", "ip_prefix")),  # Google, Bing, OpenAI; Amazon
    (("ipv6_prefixes",), ("ipv6_prefix",)),  # Amazon
    (("addresses",), ()),  # Fastly
    (("ipv6_addresses",), ()),
    (("values", "properties", "addressPrefixes"), ()),  # Azure
    (("regions", "cidrs"), ("cidr",)),  # Oracle
)
#: Here one network stands once for each service that uses it.
_BY_SERVICE: Final = frozenset({"ip_prefix", "ipv6_prefix", "addressPrefixes", "cidr"})


class ListFile(NamedTuple):
    """A list as read: its table and extent, the networks it names, whether its last line ended, its file's time."""

    table: PrefixTable
    extent: Extent
    networks: int
    ended: bool = True
    modified: float = 0.0  # seconds since the Unix epoch


class _Row(NamedTuple):
    place: str  # the number of the line, or the path to a value in JSON
    text: str
    repeats: bool = False


def read_list(path: str, *, labels: int = 1, private: bool = False, empty: bool = False) -> ListFile:
    """Read a file of networks, which have ``labels`` in its table.

    ``private`` lets in networks that are not public, ``empty`` a file that holds comments only. Raise
    ``ConfigurationError`` with what is wrong and where, quoting at most five lines.
    """
    body, modified = read_file(path, most=MOST_BYTES)
    return parse_list(body, path, labels=labels, private=private, empty=empty)._replace(modified=modified)


def parse_list(
    body: bytes, name: str, *, labels: int = 1, private: bool = False, empty: bool = False
) -> ListFile:
    """Read the bytes of a list that errors call ``name``, as ``read_list`` does."""
    text = _decode(body, name)
    rows = _json_rows(text, name) if _is_json(text) else None
    problems = _Problems(name)
    packed: tuple[list[int], list[int]] = ([], [])
    for row in _text_rows(text) if rows is None else rows:
        try:
            for prefix in _read_row(row.text, private=private):
                packed[prefix.version != IPV4].append(pack(prefix.first, prefix.length))
        except ValueError as error:
            problems.add(row, str(error))
    problems.refuse()
    count = len(packed[0]) + len(packed[1])
    if not count and not (empty and text.strip()):
        raise ConfigurationError(f"{name}: names no network; expected one at least")
    in_order = [list(ordered(prefixes)) for prefixes in packed]
    if any(one == other for prefixes in in_order for one, other in pairwise(prefixes)):
        _note_repeats(_text_rows(text) if rows is None else rows, problems, private=private)
        problems.refuse()
    table = PrefixTable(in_order[0], in_order[1], labels)
    return ListFile(table, table.extent(), count, rows is not None or text.endswith("\n"))


def check_extent(old: Extent, new: Extent) -> str:
    """Return why a list of the extent ``new`` may not replace one of ``old``, or ``""``.

    It may have at most three times the ranges and addresses of the present one, and no less than two
    thirds, each version of IP by itself; what is small (``SMALL``) may change as it likes.
    """
    units = ("IPv4 ranges", "IPv4 addresses", "IPv6 ranges", "/64s of IPv6")
    for unit, before, after, small in zip(units, old, new, SMALL, strict=True):
        if after > MOST_GROWTH * max(before, small):
            return (
                f"it has {after:,} {unit}, more than {MOST_GROWTH} times the {before:,} of the present list"
            )
        if before > small and after < LEAST_LEFT * before:
            return f"it has {after:,} {unit}, less than two thirds of the {before:,} of the present list"
    return ""


class _Problems:
    """What is wrong with one list: the first few lines quoted, the others counted."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._quoted: list[str] = []
        self._more = 0

    def add(self, row: _Row, words: str) -> None:
        if len(self._quoted) < _MOST_QUOTED:
            self._quoted.append(f"{self._name}:{row.place}: {_quote(row.text)} {words}")
        else:
            self._more += 1

    def refuse(self) -> None:
        """Raise ``ConfigurationError`` if anything is wrong."""
        if self._more:
            self._quoted.append(f"{self._name}: {self._more:,} more lines are wrong")
        if self._quoted:
            raise ConfigurationError(*self._quoted)


def _quote(text: str) -> str:
    # J5: a list's bytes reach logs and terminals escaped and cut
    return json.dumps(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "...")


def read_file(path: str, *, most: int) -> tuple[bytes, float]:
    """Return the bytes of a regular file and the time it was written, in seconds since the Unix epoch.

    A pipe does not block, and a device is not read. Raise ``ConfigurationError`` where it cannot be read
    or has more than ``most`` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            body, status = _read_regular(descriptor, most)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = (error.strerror or "unknown cause").lower()
        raise ConfigurationError(f"{path}: cannot be read: {reason}") from None
    except ValueError as error:
        raise ConfigurationError(f"{_quote(path)}: cannot be read: {error}") from None
    if len(body) > most:
        raise ConfigurationError(f"{path}: is longer than {most:,} bytes")
    return body, status.st_mtime


def _read_regular(descriptor: int, most: int) -> tuple[bytes, os.stat_result]:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        msg = "it is no regular file"
        raise ValueError(msg)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(most + 1), status


def _decode(body: bytes, name: str) -> str:
    if len(body) > MOST_BYTES:
        raise ConfigurationError(f"{name}: is longer than {MOST_BYTES:,} bytes")
    if body.count(b"\n") > MOST_LINES:
        raise ConfigurationError(f"{name}: has more than {MOST_LINES:,} lines")
    if body.startswith(b"\x1f\x8b"):
        raise ConfigurationError(f"{name}: is compressed; expected the list itself")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{name}:{line}: is no UTF-8 text") from None
    if _first_character(text) == "<":
        raise ConfigurationError(f"{name}: is HTML or XML, perhaps an error page; expected a list")
    return text


def _first_character(text: str) -> str:
    return text[:_LONGEST_QUOTE].lstrip()[:1]


def _is_json(text: str) -> bool:
    return _first_character(text) in {"{", "["}


def _lines(text: str) -> Iterator[str]:
    # not splitlines(), which ends lines at U+2028 and form feeds too, where no editor counts them; and one by
    # one, for other threads want to run
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _text_rows(text: str) -> Iterator[_Row]:
    first = True
    for number, line in enumerate(_lines(text), 1):
        entry = line.partition("#")[0].partition(";")[0].strip()
        if not entry:
            continue
        heading = first and "," in entry and _fields(entry)[0].lower() in _HEADINGS
        first = False
        if not heading:
            yield _Row(str(number), entry)


def _json_rows(text: str, name: str) -> list[_Row]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{name}:{error.lineno}: is broken JSON: {error.msg.lower()}") from None
    except (ValueError, RecursionError):  # D10: integers of a million digits, a hundred thousand brackets
        raise ConfigurationError(f"{name}: is JSON beyond all measure; expected a list of networks") from None
    found = (row for path, keys in _PLACES for row in _walk(document, path, keys, ""))
    rows = list(islice(found, MOST_LINES + 1))
    if len(rows) > MOST_LINES:
        raise ConfigurationError(f"{name}: names more than {MOST_LINES:,} networks")
    return rows


def _walk(node: Any, path: tuple[str, ...], keys: tuple[str, ...], place: str) -> Iterator[_Row]:
    if path and isinstance(node, list):
        for index, child in enumerate(node):
            yield from _walk(child, path, keys, f"{place}[{index}]")
    elif path:
        if isinstance(node, dict) and path[0] in node:
            yield from _walk(node[path[0]], path[1:], keys, f"{place}.{path[0]}".lstrip("."))
    elif isinstance(node, list):
        for index, entry in enumerate(node):
            yield _entry(entry, keys, f"{place}[{index}]")
    elif place:
        yield _Row(place, json.dumps(node))  # no list, where one belongs: it is refused as what it is


def _entry(entry: Any, keys: tuple[str, ...], place: str) -> _Row:
    key = next((key for key in keys if isinstance(entry, dict) and key in entry), "")
    value = entry[key] if key else entry
    text = value if isinstance(value, str) else json.dumps(value)
    return _Row(place, text, key in _BY_SERVICE or place.partition("[")[0] == "values")


def _read_row(text: str, *, private: bool) -> Iterable[Prefix]:
    if "," not in text:
        return (read_prefix(text, private=private),)
    start, end = _fields(text)
    if "/" not in start and ("." in end or ":" in end):
        return _read_range(start, end, private=private)
    return (read_prefix(start, private=private),)


def _fields(line: str) -> tuple[str, str]:
    start, end = line.split(",", 2)[:2]
    return start.strip(' \t"'), end.strip(' \t"')


def _read_range(start: str, end: str, *, private: bool) -> list[Prefix]:
    first, last = read_prefix(start, private=private), read_prefix(end, private=private)
    if first.version != last.version or first.first > last.first:
        msg = "is no range; expected its first and its last address"
        raise ValueError(msg)
    kind = IPv4Address if first.version == IPV4 else IPv6Address
    prefixes = [
        Prefix(network.version, int(network.network_address), network.prefixlen)
        for network in summarize_address_range(kind(first.first), kind(last.first))
    ]
    words = next(filter(None, (objection(prefix, private=private) for prefix in prefixes)), "")
    if words:
        raise ValueError(f"holds a network that {words}")
    return prefixes


def _note_repeats(rows: Iterable[_Row], problems: _Problems, *, private: bool) -> None:
    """Note the rows that name a network which an earlier row names too, but for those that may."""
    places: dict[str, str] = {}  # strings as keys: whoever writes a list could choose integers that collide
    for row in rows:
        for prefix in _read_row(row.text, private=private):
            key = f"{prefix.version} {prefix.first:x} {prefix.length}"
            if key in places and not row.repeats:
                problems.add(row, f"stands at {places[key]} already")
            places.setdefault(key, row.place)
