"""Where each setting stands in a TOML text, so that an error can name its line.

``tomllib`` keeps no positions, and the packages that do (tomlkit, toml-rs bindings) are parsers of
their own, which could read a file differently from the one whose values are used. So ``tomllib``
stays the only judge of what a text means, and this is an index beside it: tokens by one linear
regular expression, then a walk that follows headers, keys, arrays and inline tables. Where the two
disagreed, a line number would be missing or wrong, never a value.

The tokens also bound a text before it is parsed: ``tomllib`` recurses once per bracket, takes
quadratic time for a key of many parts, and hands numbers of any length to ``int``.
"""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

#: The path of a setting: keys, and indexes into arrays.
Path = tuple[str | int, ...]

#: The deepest setting stands in an inline table in an array: two brackets. Python stops near 1,000.
DEEPEST = 8
#: ``signals.agent-is-a-tool.weight`` has three parts, ``1.5`` two.
MOST_PARTS = 8
#: A name or number beyond a 64-bit integer in binary is a mistake; 10^6 digits are an attack.
LONGEST_WORD = 128
#: The longest text that a setting takes is a file's name (PATH_MAX, 4096 on Linux).
LONGEST_STRING = 8192
#: The file of every default has about 700; fifty times that are read and walked in half a second.
MOST_TOKENS = 50_000

# TOML 1.0: a multi-line string ends at its first three quotes, and up to two more belong to it. One
# that never ends runs to the end of the text, so that nothing in it is looked at twice.
_TOKEN = re.compile(
    r'''
    (?P<space>[ \t\r]+|\#[^\n]*)
  | (?P<newline>\n)
  | (?P<string>"""(?:\\.|[^\\])*?(?:"{3,5}|\\?\Z)|\'\'\'.*?(?:\'{3,5}|\Z)|"(?:\\.|[^"\\\n])*"?|'[^'\n]*'?)
  | (?P<word>[A-Za-z0-9_+:\-]+)
  | (?P<mark>.)
    ''',
    re.DOTALL | re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of TOML: ``kind`` is ``newline``, ``string``, ``word`` or ``mark``; ``line`` counts from 1."""

    kind: str
    text: str
    line: int


class BoundsError(ValueError):
    """A text goes beyond what any settings file needs; ``line`` is where."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(words)
        self.line = line


def scan(text: str) -> list[Token]:
    """Split TOML into tokens without spaces and comments; raise ``BoundsError`` for what must not be parsed.

    Takes any text, valid or not, in time linear in its length.
    """
    tokens: list[Token] = []
    line, depth, parts = 1, 0, 0
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup or "", match[0]
        if kind == "space":
            continue
        start, line = line, line + piece.count("\n")
        tokens.append(Token(kind, piece, start))
        parts = parts + 1 if piece == "." or kind in {"word", "string"} else 0
        depth = max(0, depth + (piece in "[{") - (piece in "]}"))
        if len(tokens) > MOST_TOKENS:
            raise BoundsError(start, f"more than {MOST_TOKENS} names, values and signs")
        if kind == "word" and len(piece) > LONGEST_WORD:
            raise BoundsError(
                line, f"a name or number of {len(piece)} characters; {LONGEST_WORD} are the most"
            )
        if kind == "string" and len(piece) > LONGEST_STRING:
            raise BoundsError(start, f"a text of more than {LONGEST_STRING} characters")
        if depth > DEEPEST:
            raise BoundsError(start, f"more than {DEEPEST} brackets inside each other")
        if parts > 2 * MOST_PARTS:
            raise BoundsError(start, f"a key of more than {MOST_PARTS} parts")
    return tokens


def index(tokens: list[Token]) -> dict[Path, int]:
    """Return the line of every key, table and array element of a TOML document that ``tomllib`` accepts."""
    walk = _Walk(tokens)
    while walk.more():
        walk.statement()
    return walk.lines


class _Walk:
    """One pass over the tokens; each method takes what it names and leaves the next to be read."""

    def __init__(self, tokens: list[Token]) -> None:
        self.lines: dict[Path, int] = {}
        self._tokens = tokens
        self._at = 0
        self._table: Path = ()
        self._lengths: dict[Path, int] = {}  # of the arrays of tables

    def more(self) -> bool:
        return self._at < len(self._tokens)

    def _next(self) -> str:
        return self._tokens[self._at].text if self.more() else ""

    def _take(self, text: str) -> bool:
        if self._next() != text:
            return False
        self._at += 1
        return True

    def statement(self) -> None:
        """Take a header or ``key = value``, and the end of its line."""
        if self._take("\n"):
            return
        if self._take("["):
            self._header(many=self._take("["))
        else:
            self._pair(self._table)
        while self.more() and not self._take("\n"):
            self._at += 1

    def _header(self, *, many: bool) -> None:
        line, path = self._tokens[self._at - 1].line, self._resolve(self._key())
        if many:
            number = self._lengths.get(path, 0)
            self._lengths[path] = number + 1
            self.lines.setdefault(path, line)
            path = (*path, number)
        self.lines[path] = line
        self._table = path

    def _resolve(self, keys: Path) -> Path:
        # TOML 1.0, Array of Tables: below one, a header means the element that was written last
        path: Path = ()
        for key in keys:
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
            path = (*path, key)
        return path

    def _key(self) -> Path:
        keys: list[str] = []
        while self.more() and self._tokens[self._at].kind in {"word", "string"}:
            keys.append(_name(self._tokens[self._at]))
            self._at += 1
            if not self._take("."):
                break
        return tuple(keys)

    def _pair(self, table: Path) -> None:
        line, keys = self._tokens[self._at].line, self._key()
        for count in range(1, len(keys) + 1):
            self.lines.setdefault((*table, *keys[:count]), line)
        if self._take("="):
            self._value((*table, *keys))

    def _value(self, path: Path) -> None:
        if self._take("["):
            self._elements(path)
        elif self._take("{"):
            while self.more() and not self._take("}"):
                before = self._at
                self._pair(path)
                self._at += self._at == before  # a comma, or nothing that a key may be
        else:
            while self.more() and self._next() not in {",", "]", "}", "\n"}:
                self._at += 1

    def _elements(self, path: Path) -> None:
        number = 0
        while self.more() and not self._take("]"):
            if self._take("\n") or self._take(","):
                continue
            before = self._at
            self.lines[*path, number] = self._tokens[before].line
            self._value((*path, number))
            self._at += self._at == before
            number += 1


def _name(token: Token) -> str:
    if token.kind == "word":
        return token.text
    try:
        return str(tomllib.loads(f"key = {token.text}")["key"])
    except (tomllib.TOMLDecodeError, KeyError):
        return token.text
