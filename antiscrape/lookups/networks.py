"""The book of networks: what an operator's lists and an ASN database know of an address.

Everything is read at the start, and what is wrong with it stops the start. A reload reads it again,
in a thread beside the traffic if the caller likes: what has gone wrong since is told, and the last
good reading of that file stays.
"""

from __future__ import annotations

import asyncio
import struct
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from antiscrape.core.identity import read_address
from antiscrape.core.memo import Memo
from antiscrape.core.networks import NOTHING, Address, Label, ListRule, NetworkFacts, PrefixTable, facts_of
from antiscrape.errors import ConfigurationError
from antiscrape.lookups.lists import ListFile, check_extent, read_file, read_list
from antiscrape.lookups.prefixes import IPV4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from maxminddb import Reader

#: Addresses that are remembered at once: those of some minutes of a busy site. An entry takes about 150 bytes.
_BOUND: Final = 65_536
#: The longest text of an address has 45 characters (an IPv6 address with an IPv4 tail).
_LONGEST: Final = 64
_LONGEST_OWNER: Final = 128
#: Numbers of autonomous systems have 32 bits (RFC 6793).
_MOST_ASN: Final = 2**32 - 1
#: Of a database with another purpose no record has a number; of one with this, nearly all do.
_PROBED: Final = 64
#: Empty branches of the tree on the way to those records: no more than its depth for each.
_MOST_STEPS: Final = 4096
#: GeoLite2-ASN has 10 MB, the largest with other columns beside it some 60.
_MOST_DATABASE: Final = 256 * 2**20
#: What the library raises on a database that does not keep to the format; its own error is a RuntimeError.
_CORRUPT: Final = (
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    struct.error,
)


class ListState(NamedTuple):
    """What is in use of one list: for metrics, which tell its age, and the console."""

    file: str
    label: Label
    networks: int
    modified: float  # seconds since the Unix epoch


class NetworkBook:
    """Answers what is known of an address.

    Raise ``ConfigurationError`` with everything that is wrong with the lists and the database. Look-ups
    are for one thread; ``reload`` may run in others.
    """

    def __init__(self, lists: Sequence[ListRule], asn_database: str = "") -> None:
        self._rules = tuple(lists)
        self._asn_database = asn_database
        self._files: list[ListFile] = []
        self._systems: _Systems | None = None
        problems: list[str] = []
        for rule in self._rules:
            try:
                self._files.append(_read(rule))
            except ConfigurationError as error:
                problems += error.problems
        try:
            self._systems = _Systems(asn_database) if asn_database else None
        except ConfigurationError as error:
            problems += error.problems
        if problems:
            raise ConfigurationError(*problems)
        self._reading = self._compile()
        # Two readings at once, and the older could be taken for the newer.
        self._reloads = Lock()

    def facts(self, address: str) -> NetworkFacts:
        """Return what is known of the canonical text of an address; of anything else, ``NOTHING``."""
        reading = self._reading
        known = reading.memo.get(address)
        if known is None:
            known = reading.find(address)
            if len(address) <= _LONGEST:
                reading.memo.put(address, known)
        return known

    def reload(self) -> tuple[str, ...]:
        """Read all files again and return the objections; a file that has one keeps its last good reading."""
        with self._reloads:
            return tuple(self._reload())

    def _reload(self) -> list[str]:
        objections: list[str] = []
        for place, (rule, present) in enumerate(zip(self._rules, self._files, strict=True)):
            try:
                fresh = _read(rule)
            except ConfigurationError as error:
                objections += error.problems
                continue
            words = "" if rule.own else _object(present, fresh)
            if words:
                objections.append(f"{rule.file}: not taken in place of the present list: {words}")
            else:
                self._files[place] = fresh
        if self._asn_database:
            try:
                self._systems = _Systems(self._asn_database)
            except ConfigurationError as error:
                objections += error.problems
        self._reading = self._compile()
        return objections

    def states(self) -> tuple[ListState, ...]:
        """Return what is in use, list by list."""
        return tuple(
            ListState(rule.file, rule.label, file.networks, file.modified)
            for rule, file in zip(self._rules, self._files, strict=True)
        )

    def _compile(self) -> _Reading:
        return _Reading(PrefixTable.overlay([file.table for file in self._files]), self._systems)


async def keep_fresh(
    book: NetworkBook,
    every: float,
    *,
    changed: Callable[[], None],
    refused: Callable[[tuple[str, ...]], None],
) -> None:
    """Read the files of ``book`` again every so many seconds, in a thread, until cancelled.

    ``changed`` is called after each reading, ``refused`` with the objections where there are any.
    """
    while True:
        await asyncio.sleep(every)
        objections = await asyncio.to_thread(book.reload)
        changed()
        if objections:
            refused(objections)


class _Reading:
    """One state of all files with what was looked up in it: replaced whole, so no answer outlives its list."""

    __slots__ = ("_systems", "_table", "memo")

    def __init__(self, table: PrefixTable, systems: _Systems | None) -> None:
        self._table = table
        self._systems = systems
        self.memo: Memo[str, NetworkFacts] = Memo(_BOUND)

    def find(self, text: str) -> NetworkFacts:
        address = read_address(text)
        if address is None:
            return NOTHING
        facts = facts_of(self._table.find(address))
        number, owner = self._systems.find(address) if self._systems else (0, "")
        return facts._replace(asn=number, owner=owner) if number else facts


class _Systems:
    """A MaxMind DB file of autonomous systems, in memory.

    The library's reader in C is ten times as fast as its reader in Python, but it maps the file: who
    writes over the file in place (``wget -O``) kills every process that has it mapped, by SIGBUS. So the
    bytes are ours, and the 15 µs are spent once for each address that is remembered.
    """

    def __init__(self, path: str) -> None:
        self._reader = _open(path)
        try:
            found = any(_probe(self._reader))
        except _CORRUPT:
            raise ConfigurationError(f"{path}: is a corrupt MaxMind DB file") from None
        if not found:
            kind = _printable(self._reader.metadata().database_type)
            raise ConfigurationError(
                f"{path}: holds no numbers of autonomous systems; expected an ASN database, found {kind!r}"
            )

    def find(self, address: Address) -> tuple[int, str]:
        """Return the number and the owner of the system that announces an address, or ``(0, "")``; never raise."""
        try:
            return _system_of(self._reader.get(address))
        except _CORRUPT:  # a broken record, or an IPv6 address in a database of IPv4
            return 0, ""


def _open(path: str) -> Reader:
    try:
        import maxminddb  # noqa: PLC0415  an extra, wanted only where there is a database
    except ImportError:
        raise ConfigurationError(f"{path}: cannot be read without the extra antiscrape[networks]") from None
    body, _ = read_file(path, most=_MOST_DATABASE)
    try:
        return maxminddb.open_database(BytesIO(body), maxminddb.MODE_FD)
    except _CORRUPT:
        raise ConfigurationError(f"{path}: is no MaxMind DB file, or a corrupt one") from None


def _probe(reader: Reader) -> Iterator[int]:
    """Yield the systems of the first records, 0 for a record without; the work is bounded, whatever the tree."""
    versions = (IPv4Address, IPv6Address)[: 1 if reader.metadata().ip_version == IPV4 else 2]
    for kind, bits in zip(versions, (32, 128), strict=False):
        number = records = 0
        for _ in range(_MOST_STEPS):
            record, length = reader.get_with_prefix_len(kind(number))
            if record is not None:
                yield _system_of(record)[0]
                records += 1
            number += 1 << bits - length
            if number >> bits or records == _PROBED:
                break


def _system_of(record: Any) -> tuple[int, str]:
    """Return the system of a record as MaxMind and DB-IP write it (number, name), or IPinfo ("AS15169")."""
    if not isinstance(record, dict):
        return 0, ""
    number: Any = record.get("autonomous_system_number", record.get("asn"))
    owner: Any = record.get("autonomous_system_organization", record.get("as_name", record.get("name")))
    if (
        isinstance(number, str)
        and number[:2].upper() == "AS"
        and number[2:].isascii()
        and number[2:].isdecimal()
    ):
        number = int(number[2:12])
    if not isinstance(number, int) or not 0 < number <= _MOST_ASN:
        return 0, ""
    return number, _printable(owner) if isinstance(owner, str) else ""


def _printable(text: str) -> str:
    return "".join(letter for letter in text[:_LONGEST_OWNER] if letter.isprintable())


def _read(rule: ListRule) -> ListFile:
    return read_list(rule.file, labels=rule.label.bit, private=rule.label is Label.ALLOW, empty=rule.own)


def _object(present: ListFile, fresh: ListFile) -> str:
    if not fresh.ended and fresh.networks < present.networks:
        return "it ends in the middle of a line and names less, as if half of it were written"
    return check_extent(present.extent, fresh.extent)
