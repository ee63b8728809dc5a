"""Structured fields (RFC 9651, which takes the place of RFC 8941): read and written in time linear in their length.

A field is an item, a list or a dictionary, and the reader has to know which. What is read is read
the strict way wherever the RFC leaves a choice: a byte sequence has exactly one base64 spelling, so
that nobody can write one signature in two ways. What is written is the one canonical form, which is
what signatures are made over (RFC 9421 §2.5).

::

    item        a bare item and its parameters
    inner list  items in parentheses, and parameters of the whole
    list        items and inner lists
    dictionary  a list whose members have keys; of members with one key the last counts
    parameters  keys and bare items
    bare item   int, Decimal, str, Token, bytes, bool, Date, Display
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeAlias
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Bytes of a field: RFC 9651 §3.3.5 asks that a byte sequence may have 16,384, and this is four of those.
LONGEST: Final = 65_536

_DIGITS: Final = 15  # RFC 9651 §3.3.1, and §4.2.4 for the lengths of a decimal's two parts
_WHOLE: Final = 12
_FRACTION: Final = 3
_LARGEST: Final = 10**_DIGITS - 1

# RFC 9651 §3.1.2, §3.3.3, §3.3.4, §3.3.5 and §3.3.8. In each, any character begins at most one of the
# alternatives, so nothing is tried twice.
_PARAMETER = re.compile(r"; *([a-z*][a-z0-9_.*-]*)(=?)")
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]*))?")
_STRING = re.compile(r'"([ !#-\[\]-~]*(?:\\["\\][ !#-\[\]-~]*)*)"')
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
_DISPLAY = re.compile(r'%"([ !#$&-~]*(?:%[0-9a-f]{2}[ !#$&-~]*)*)"')
_BOOLEAN = re.compile(r"\?([01])")
_SPACES = re.compile(r" *")
_COMMA = re.compile(r"[ \t]*(?:(,)[ \t]*)?")
_ESCAPED = re.compile(r"\\(.)")
_PLAIN = re.compile(r"[ -~]*")
_SPECIAL = re.compile(r'(["\\])')


@dataclass(frozen=True, slots=True)
class Token:
    """A word without quotes. It never equals the string of the same letters."""

    text: str


@dataclass(frozen=True, slots=True)
class Date:
    """Whole seconds since 1970."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Display:
    """Text of any script, for people to read."""

    text: str


Bare: TypeAlias = int | Decimal | str | Token | bytes | bool | Date | Display
Parameters: TypeAlias = dict[str, Bare]


class Item(NamedTuple):
    """A bare item with its parameters, in order."""

    value: Bare
    params: Parameters


class InnerList(NamedTuple):
    """Items in parentheses, and the parameters of the whole, in order."""

    items: tuple[Item, ...]
    params: Parameters


Member: TypeAlias = Item | InnerList


def read_item(field: bytes) -> Item:
    """Read an item field (RFC 9651 §4.2.3), its lines joined by commas; raise ``ValueError`` for anything else."""
    reader = _Reader(field)
    found = reader.item()
    reader.end()
    return found


def read_list(field: bytes) -> list[Member]:
    """Read a list field (RFC 9651 §4.2.1), its lines joined by commas; raise ``ValueError`` for anything else."""
    reader = _Reader(field)
    found: list[Member] = []
    while reader.more(first=not found):
        found.append(reader.member())
    return found


def read_dictionary(field: bytes) -> dict[str, Member]:
    """Read a dictionary field (RFC 9651 §4.2.2), its lines joined by commas; raise ``ValueError`` for anything else.

    A key that comes again keeps its first place and takes the last value.
    """
    reader = _Reader(field)
    found: dict[str, Member] = {}
    while reader.more(first=not found):
        key = reader.key()
        found[key] = reader.member() if reader.take("=") else Item(value=True, params=reader.params())
    return found


class _Reader:
    """Walks over one field from left to right, and never back."""

    __slots__ = ("_at", "_text")

    def __init__(self, field: bytes) -> None:
        if len(field) > LONGEST:
            raise ValueError(f"{len(field)} bytes are more than a structured field may have")
        self._text = field.decode("ascii")  # its error is a ValueError
        self._at = 0
        self._skip(_SPACES)

    def more(self, *, first: bool) -> bool:
        """Tell whether a member follows, and stand at its start."""
        if first:
            return self._at < len(self._text)
        match = self._match(_COMMA, "a comma")
        if self._at == len(self._text):
            if match[1]:
                self._fail("a member after the comma")
            return False
        if not match[1]:
            self._fail("a comma")
        return True

    def member(self) -> Member:
        return self._inner_list() if self.take("(") else self.item()

    def item(self) -> Item:
        return Item(self._bare(), self.params())

    def key(self) -> str:
        return self._match(_KEY, "a key")[0]

    def params(self) -> Parameters:
        found: Parameters = {}
        while match := _PARAMETER.match(self._text, self._at):
            self._at = match.end()
            found[match[1]] = self._bare() if match[2] else True
        if self._text.startswith(";", self._at):
            self._fail("a parameter")
        return found

    def take(self, character: str) -> bool:
        """Step over ``character`` if it stands here."""
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        return True

    def end(self) -> None:
        self._skip(_SPACES)
        if self._at < len(self._text):
            self._fail("the end")

    def _inner_list(self) -> InnerList:
        items: list[Item] = []
        while True:
            start = self._at
            self._skip(_SPACES)
            if self.take(")"):
                return InnerList(tuple(items), self.params())
            if items and start == self._at:
                self._fail("a space or a closing parenthesis")
            items.append(self.item())

    def _bare(self) -> Bare:
        first = self._text[self._at : self._at + 1]
        read = _BY_FIRST.get(first) or (_read_token if first.isalpha() else None)
        if read is None:
            self._fail("an item")
        return read(self)

    def number(self) -> int | Decimal:
        sign, whole, fraction = self._match(_NUMBER, "a number").groups()
        if fraction is None and len(whole) <= _DIGITS:
            return int(sign + whole)
        if not fraction or len(whole) > _WHOLE or len(fraction) > _FRACTION:
            self._fail("a number of fewer digits")
        return Decimal(f"{sign}{whole}.{fraction}")

    def string(self) -> str:
        found = self._match(_STRING, "a string")[1]
        return _ESCAPED.sub(r"\1", found) if "\\" in found else found

    def token(self) -> Token:
        return Token(self._match(_TOKEN, "a token")[0])

    def byte_sequence(self) -> bytes:
        found = self._match(_BYTES, "a byte sequence")[1]
        decoded = base64.b64decode(found)  # what is wrong with its padding is a ValueError
        # RFC 4648 §3.5: the last character has spare bits, and 16 spellings of it would stand for one signature.
        if base64.b64encode(decoded).decode() != found:
            self._fail("base64 in its one spelling")
        return decoded

    def boolean(self) -> bool:
        return self._match(_BOOLEAN, "a boolean")[1] == "1"

    def date(self) -> Date:
        self._demand("@")
        seconds = self.number()
        if isinstance(seconds, Decimal):
            self._fail("whole seconds")
        return Date(seconds)

    def display(self) -> Display:
        return Display(unquote_to_bytes(self._match(_DISPLAY, "a display string")[1]).decode())

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()

    def _match(self, pattern: re.Pattern[str], wanted: str) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            self._fail(wanted)
        self._at = found.end()
        return found

    def _demand(self, character: str) -> None:
        if not self.take(character):
            self._fail(repr(character))

    def _fail(self, wanted: str) -> NoReturn:
        raise ValueError(f"expected {wanted} at byte {self._at}")


_read_token = _Reader.token
_BY_FIRST: Final[Mapping[str, Callable[[_Reader], Bare]]] = {
    **dict.fromkeys("-0123456789", _Reader.number),
    '"': _Reader.string,
    "*": _read_token,
    ":": _Reader.byte_sequence,
    "?": _Reader.boolean,
    "@": _Reader.date,
    "%": _Reader.display,
}


def write_item(item: Item) -> str:
    """Return the canonical form of an item (RFC 9651 §4.1.3); raise ``ValueError`` where it has none."""
    return _write_bare(item.value) + write_parameters(item.params)


def write_member(member: Member) -> str:
    """Return the canonical form of an item or an inner list (RFC 9651 §4.1.1.1); raise ``ValueError``."""
    if isinstance(member, Item):
        return write_item(member)
    return f"({' '.join(map(write_item, member.items))}){write_parameters(member.params)}"


def write_list(members: Iterable[Member]) -> str:
    """Return the canonical form of a list (RFC 9651 §4.1.1), ``""`` for an empty one; raise ``ValueError``."""
    return ", ".join(map(write_member, members))


def write_dictionary(members: Mapping[str, Member]) -> str:
    """Return the canonical form of a dictionary (RFC 9651 §4.1.2), ``""`` for an empty one; raise ``ValueError``."""
    return ", ".join(
        _checked_key(key) + write_parameters(member.params)
        if isinstance(member, Item) and member.value is True
        else f"{_checked_key(key)}={write_member(member)}"
        for key, member in members.items()
    )


def write_parameters(params: Parameters) -> str:
    """Return the canonical form of parameters (RFC 9651 §4.1.1.2); raise ``ValueError`` where they have none."""
    return "".join(
        f";{_checked_key(key)}" if value is True else f";{_checked_key(key)}={_write_bare(value)}"
        for key, value in params.items()
    )


def _write_bare(value: Bare) -> str:
    return _WRITE[type(value)](value)


def _checked_key(key: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is no key")
    return key


def _write_string(value: str) -> str:
    if _PLAIN.fullmatch(value) is None:
        raise ValueError("a string holds printable ASCII only")
    return '"' + _SPECIAL.sub(r"\\\1", value) + '"'


def _write_token(value: Token) -> str:
    if _TOKEN.fullmatch(value.text) is None:
        raise ValueError(f"{value.text!r} is no token")
    return value.text


def _write_integer(value: int) -> str:
    if abs(value) > _LARGEST:
        raise ValueError(f"an integer has at most {_DIGITS} digits")
    return str(value)


def _write_decimal(value: Decimal) -> str:
    if not value.is_finite() or value.adjusted() > _WHOLE:
        raise ValueError(f"a decimal has at most {_WHOLE} digits before its point")
    rounded = value.quantize(Decimal("0.001"), rounding=ROUND_HALF_EVEN)
    if abs(rounded) >= 10**_WHOLE:
        raise ValueError(f"a decimal has at most {_WHOLE} digits before its point")
    text = f"{rounded:f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def _write_display(value: Display) -> str:
    encoded = value.text.encode()  # a lone surrogate is a ValueError
    return '%"' + "".join(map(_DISPLAYED.__getitem__, encoded)) + '"'


_DISPLAYED: Final = tuple(
    chr(byte) if chr(byte) not in '%"' and _PLAIN.fullmatch(chr(byte)) else f"%{byte:02x}"
    for byte in range(256)
)
#: By the exact type: to Python, a boolean is an integer as well.
_WRITE: Final[Mapping[type, Callable[[Any], str]]] = {
    bool: lambda value: "?1" if value else "?0",
    int: _write_integer,
    Decimal: _write_decimal,
    str: _write_string,
    Token: _write_token,
    bytes: lambda value: f":{base64.b64encode(value).decode()}:",
    Date: lambda value: f"@{_write_integer(value.seconds)}",
    Display: _write_display,
}
