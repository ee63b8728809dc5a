"""Reads robots.txt as RFC 9309 has it, and tells who may fetch what.

The RFC's own records are read as written there; what else crawlers of good standing accept is accepted
here, because a file means what its readers take it to mean:

* the keys ``useragent`` and ``user agent``; ``dissallow``, ``dissalow``, ``disalow``, ``diasllow`` and
  ``disallaw``; ``sitemaps`` and ``site-map`` (the list of Google's own parser, and Protego's);
* blank space in place of a forgotten colon, where the line has just two words;
* a name with more behind it: ``Googlebot/2.1`` and ``Foo Bar`` are ``googlebot`` and ``foo``, and a ``*``
  with a space behind it is everyone.

Any other record is kept, and ends no group (§2.2.4).

Nothing here backtracks. A pattern is a list of pieces, each searched for once, from where the last one
ended; of plain prefixes, one dictionary look-up is made for each length that occurs. A file is read up to
500 KiB (§2.5), in one pass, and memory is linear in what was read: an agent that many groups name holds
these groups, not a copy of their rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: RFC 9309 §2.5: a crawler reads at least this much, and need not read more. Bytes.
LONGEST_FILE: Final = 500 * 1024
#: The URI that no rule disallows (RFC 9309 §2.2.2).
ROBOTS_PATH: Final = b"/robots.txt"

_KEYS: Final = {
    "useragent": "user-agent", "user agent": "user-agent", "dissallow": "disallow", "dissalow": "disallow",
    "disalow": "disallow", "diasllow": "disallow", "disallaw": "disallow", "sitemaps": "sitemap",
    "site-map": "sitemap",
}  # fmt: skip
# The RFC's identifier (§2.2), and the digits and dots of names in use: MJ12bot, 360Spider, archive.org_bot.
# The bound is for what clients send: a name is shortened from dash to dash until a group has it.
_TOKEN = re.compile(r"[a-z0-9_.-]{1,128}")
_PLAIN = re.compile(rb"[\x21-\x24\x26-\x7e]*")
_ODD = re.compile(rb"%[0-9A-Fa-f]{2}|[^\x21-\x24\x26-\x7e]")
#: Octets that stay escaped: those that a path's readers take for its structure.
_KEPT: Final = frozenset(b"/?#%")
_BOM: Final = b"\xef\xbb\xbf"

#: How specific a match is, in octets, and whether it allows: the greater wins, and of equals the one that allows.
_Match = tuple[int, bool]
_NO_MATCH: Final[_Match] = (0, True)


class Rule(NamedTuple):
    """An ``allow`` or ``disallow`` line; its pattern as written."""

    allow: bool
    pattern: bytes


class Record(NamedTuple):
    """Any other line: its key in lower case, its value as written."""

    key: str
    value: bytes


class Group(NamedTuple):
    """One group of a file.

    ``agents`` are product tokens in lower case, or ``*``. ``opened`` is the number, from 0, of its last
    user-agent line: what is put in behind that line belongs to the group and to no other. ``early`` are
    the agents behind whose line some other record stands, before the group's last user-agent line: by the
    RFC they are of this group, but readers that let such a record end a group see one without rules. Only those
    whose names are written as bare tokens are told, because all readers agree on these.
    """

    agents: tuple[str, ...]
    rules: tuple[Rule, ...]
    records: tuple[Record, ...]
    opened: int
    early: tuple[str, ...] = ()


class Pattern(NamedTuple):
    """A path pattern: ``pieces`` stand in this order with anything between them, the first at the start.

    ``octets`` is the length that decides which rule is the most specific; ``ends`` tells of a final ``$``.
    """

    pieces: tuple[bytes, ...]
    octets: int
    ends: bool

    def matches(self, path: bytes) -> bool:
        """Tell whether a path in canonical form matches, in time linear in it."""
        first, *rest = self.pieces
        if not path.startswith(first):
            return False
        if not rest:
            return not self.ends or len(path) == len(first)
        place = len(first)
        last = rest.pop()
        for piece in rest:
            found = path.find(piece, place)
            if found < 0:
                return False
            place = found + len(piece)
        if self.ends:
            return len(path) - len(last) >= place and path.endswith(last)
        return path.find(last, place) >= 0


class RuleSet:
    """The rules of one group, sorted so that the first match is the most specific (RFC 9309 §2.2.2)."""

    __slots__ = ("_lengths", "_prefixes", "_wild")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._prefixes: dict[bytes, bool] = {}
        wild: dict[Pattern, bool] = {}
        for allow, written in rules:
            if not written:  # "Disallow:" disallows nothing
                continue
            pattern = read_pattern(written)
            if len(pattern.pieces) == 1 and not pattern.ends:
                prefix = pattern.pieces[0]
                self._prefixes[prefix] = allow or self._prefixes.get(prefix, False)
            else:
                wild[pattern] = allow or wild.get(pattern, False)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._wild = sorted(
            ((pattern.octets, allow, pattern) for pattern, allow in wild.items()),
            key=lambda row: row[:2],
            reverse=True,
        )

    def match(self, path: bytes) -> _Match:
        """Return the most specific match of a path in canonical form."""
        best = _NO_MATCH
        for length in self._lengths:
            allow = self._prefixes.get(path[:length]) if length <= len(path) else None
            if allow is not None:
                best = (length, allow)
                break
        for octets, allow, pattern in self._wild:
            if (octets, allow) <= best:
                break
            if pattern.matches(path):
                return octets, allow
        return best

    def longest_allow(self, path: bytes) -> int:
        """Return the octets of the longest rule that allows a path in canonical form, or 0."""
        longest = max(
            (n for n in self._lengths if self._prefixes.get(path[:n]) and n <= len(path)), default=0
        )
        for octets, allow, pattern in self._wild:
            if octets <= longest:
                break
            if allow and pattern.matches(path):
                return octets
        return longest


@dataclass(frozen=True, slots=True)
class Robots:
    """A robots.txt file, read. ``records`` are those before the first group."""

    groups: tuple[Group, ...] = ()
    sitemaps: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    _sets: Mapping[str, tuple[RuleSet, ...]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, body: bytes) -> Robots:
        """Read a file; any bytes are one. What lies beyond ``LONGEST_FILE`` is not read, nor the line cut by it."""
        if len(body) > LONGEST_FILE:
            end = max(body.rfind(b"\n", 0, LONGEST_FILE), body.rfind(b"\r", 0, LONGEST_FILE))
            body = body[: end + 1]
        reader = _Reader()
        for number, line in enumerate(body.removeprefix(_BOM).splitlines()):
            reader.take(number, line)
        reader.close()
        sets: dict[str, list[RuleSet]] = {}
        for group in reader.groups:
            rules = RuleSet(group.rules)
            for agent in dict.fromkeys(group.agents):
                sets.setdefault(agent, []).append(rules)
        by_agent = {agent: tuple(those) for agent, those in sets.items()}
        return cls(tuple(reader.groups), tuple(reader.sitemaps), tuple(reader.outside), by_agent)

    def allows(self, agent_token: str, path: bytes) -> bool:
        """Tell whether the agent of this product token may fetch ``path``.

        ``path`` is the request target as sent, its query included. Of groups, those of the agent's own name are
        taken together; where it has none, those of the longest part of its name up to a ``-`` or ``_`` (as
        ``Googlebot-Image`` obeys ``Googlebot``), and at last those of ``*`` (RFC 9309 §2.2.1).
        """
        return self._allowed(self._sets_of(product_token(agent_token)), path)

    def disallows_everyone(self, path: bytes) -> bool:
        """Tell whether ``path`` is disallowed for agents that no group names."""
        return not self._allowed(self._sets.get("*", ()), path)

    def agents(self) -> tuple[str, ...]:
        """Return the product tokens that have groups, in the file's order, ``*`` among them."""
        return tuple(self._sets)

    def longest_allow(self, path: bytes) -> int:
        """Return the octets of the longest rule of any group that allows ``path``, or 0."""
        spelled = canonical(path)
        sets = {rules for those in self._sets.values() for rules in those}
        return max((rules.longest_allow(spelled) for rules in sets), default=0)

    def _sets_of(self, token: str) -> tuple[RuleSet, ...]:
        while token:
            sets = self._sets.get(token)
            if sets is not None:
                return sets
            token = token[: max(token.rfind("-"), token.rfind("_"), 0)]
        return self._sets.get("*", ())

    @staticmethod
    def _allowed(sets: tuple[RuleSet, ...], path: bytes) -> bool:
        if not sets or path.partition(b"?")[0] == ROBOTS_PATH:
            return True
        spelled = canonical(path)
        return max(rules.match(spelled) for rules in sets)[1]


class _Reader:
    """Gathers the lines of a file into groups."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.sitemaps: list[str] = []
        self.outside: list[Record] = []
        self._agents: list[str] = []
        self._rules: list[Rule] = []
        self._records: list[Record] = []
        self._opened = -1
        self._bare: list[str] = []  # the agents whose names are tokens as they are written
        self._early: tuple[str, ...] = ()  # those of them that stand before another record
        self._other = False  # such a record stands behind the last user-agent line

    def take(self, number: int, line: bytes) -> None:
        """Read one line."""
        record = read_line(line)
        if record is None:
            return
        key, value = record
        if key == "user-agent":
            self._name(number, value)
        elif key in {"allow", "disallow"}:
            if self._opened >= 0:  # RFC 9309 §2.2.2: rules that are in no group are ignored
                self._rules.append(Rule(key == "allow", value))
        elif key == "sitemap":
            self.sitemaps.append(value.decode("utf-8", "replace"))
        else:
            (self._records if self._opened >= 0 else self.outside).append(record)
            self._other = self._opened >= 0

    def _name(self, number: int, value: bytes) -> None:
        if self._rules:
            self.close()
        if self._other:
            self._early = tuple(self._bare)
            self._other = False
        self._opened = number
        text = value.decode("utf-8", "replace").lower()
        token = "*" if text.partition(" ")[0].partition("\t")[0] == "*" else product_token(text)
        if token:
            self._agents.append(token)
            if token == text:
                self._bare.append(token)

    def close(self) -> None:
        """End the group that is open."""
        if self._opened < 0:
            return
        self.groups.append(
            Group(tuple(self._agents), tuple(self._rules), tuple(self._records), self._opened, self._early)
        )
        self._agents, self._bare, self._rules, self._records = [], [], [], []
        self._opened, self._early, self._other = -1, (), False


def read_line(line: bytes) -> Record | None:
    """Read a line: its key, in lower case and spelled as the RFC has it, and its value; None if it has none."""
    text = line.partition(b"#")[0].strip()
    key, colon, value = text.partition(b":")
    if not colon:
        words = text.split()
        if len(words) != 2:  # noqa: PLR2004  a key and its value
            return None
        key, value = words
    name = key.strip().lower().decode("utf-8", "replace")
    return Record(_KEYS.get(name, name), value.strip()) if name else None


def product_token(agent: str) -> str:
    """Return the product token that an agent's name begins with, in lower case, or ``""`` (RFC 9309 §2.2.1)."""
    match = _TOKEN.match(agent.strip().lower())
    return match[0] if match else ""


def read_pattern(written: bytes) -> Pattern:
    """Read a rule's path: ``*`` stands for anything, a ``$`` at the end for the end (RFC 9309 §2.2.3)."""
    ends = written.endswith(b"$")
    first, *rest = (canonical(piece) for piece in (written[:-1] if ends else written).split(b"*"))
    octets = len(first) + sum(map(len, rest)) + len(rest) + ends
    if rest:  # "a**b" matches what "a*b" does, and is more specific
        rest = [*filter(None, rest[:-1]), rest[-1]]
    return Pattern((first, *rest), octets, ends)


def canonical(path: bytes) -> bytes:
    """Return ``path`` in the spelling in which paths are compared (RFC 9309 §2.2.2).

    What RFC 3986 lets be written in two ways is written in one: escapes of printable ASCII are read,
    but for the four octets that make up a path's structure; every other octet is escaped, in upper case.
    """
    return path if _PLAIN.fullmatch(path) else _ODD.sub(_respell, path)


def _respell(match: re.Match[bytes]) -> bytes:
    odd = match[0]
    octet = int(odd[1:], 16) if len(odd) > 1 else odd[0]
    if 0x21 <= octet <= 0x7E and octet not in _KEPT:  # noqa: PLR2004  printable ASCII
        return bytes([octet])
    return b"%%%02X" % octet
