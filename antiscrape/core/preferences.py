"""What the site says about being crawled, in the languages that crawlers read.

The operator says once, for each use, whether it is welcome; each language that is switched on says the
same in its own way, so that no two of them can contradict each other:

* robots.txt (RFC 9309): which purposes of crawler may not fetch at all, and where the traps lie;
* ``Content-Usage`` (draft-ietf-aipref-attach), a field and a robots.txt record;
* ``Content-Signal`` (contentsignals.org), a robots.txt record;
* TDMRep (W3C community group), two fields and ``/.well-known/tdmrep.json``;
* ``X-Robots-Tag: noai, noimageai``, which dataset tools such as img2dataset obey;
* RSL 1.0 (rslstandard.org), a robots.txt record and a ``Link`` to the licence.

What the site says itself stands. Its robots.txt is extended in such a way that the additions hold by
RFC 9309 and for readers that are older than it. An agent that has a group of its own reads no other
(§2.2.1), so what is for everyone goes into every group, right behind its user-agent lines, where readers
that take the first rule that matches meet it in time. What is for named crawlers is a group at the end,
which joins the site's own group of that name: what the site allows a crawler by name, and as specifically
as ``/``, stays allowed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from antiscrape.core.crawler import Purpose
from antiscrape.core.resource import Kind
from antiscrape.core.robots import LONGEST_FILE, Robots, read_pattern
from antiscrape.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from antiscrape.core.robots import Group


Fields = tuple[tuple[bytes, bytes], ...]

# No space, control, quote or angle bracket: the URL stands in header fields, in JSON and in a robots.txt line.
_URL = re.compile(r"https?://[A-Za-z0-9][^\x00-\x20\x7f-\U0010ffff\"<>\\^`{|}#]{0,2000}")
_PATH = re.compile(r"/[^\x00-\x20\x7f-\U0010ffff#*$]{0,500}")
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,128}")
#: What a trap's rule is lengthened by at most, so that it outweighs a longer rule that allows. Octets.
_MOST_PADDING: Final = 2_000


def is_url(text: str) -> bool:
    """Tell whether ``text`` is an absolute URL that can stand in a header field, in JSON and in robots.txt."""
    return _URL.fullmatch(text) is not None


class Wish(Enum):
    """What the operator says of one use."""

    YES = "yes"
    NO = "no"
    UNSTATED = "unstated"

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRules:
    """What the site says about being crawled, and in which languages.

    Raise ``ConfigurationError`` for a URL that could not be written into a header field.
    """

    robots: bool = True  # serve /robots.txt, or extend the site's own
    disallow: tuple[Purpose, ...] = (Purpose.AI_TRAINING,)
    train: Wish = Wish.NO  # training or fine-tuning of models
    search: Wish = Wish.UNSTATED  # a search index that links here
    answer: Wish = Wish.UNSTATED  # input to a model that answers a question now
    content_usage: bool = True
    content_signal: bool = True
    tdmrep: bool = True  # reserve text and data mining, Directive (EU) 2019/790, Article 4
    tdm_policy: str = ""  # URL of the terms on which mining is allowed
    noai: bool = True
    license: str = ""  # URL of an RSL document

    def __post_init__(self) -> None:
        """Refuse what would break out of a field or a line."""
        problems = [
            f"preferences.{name}: {url!r} is not an absolute http or https URL in ASCII without spaces, quotes or #"
            for name, url in (("tdm_policy", self.tdm_policy), ("license", self.license))
            if url and not is_url(url)
        ]
        if problems:
            raise ConfigurationError(*problems)


class Statements:
    """The documents and fields of one policy, worked out at start.

    ``tokens`` are the product tokens of the crawlers of each purpose, ``traps`` the paths that no
    obedient crawler may meet. Raise ``ConfigurationError`` for a token or path that is none.
    """

    def __init__(
        self,
        rules: PreferenceRules,
        *,
        tokens: Mapping[Purpose, Collection[str]],
        traps: Collection[str] = (),
    ) -> None:
        named = (token for purpose in rules.disallow for token in tokens.get(purpose, ()))
        self._tokens = tuple({token.lower(): token for token in named}.values())
        self._traps = tuple(traps)
        _check(self._tokens, self._traps)
        usage, signal = _usage(rules), _signal(rules)
        self._said = {"content-usage": b"/ " + usage} if usage else {}
        if signal:
            self._said["content-signal"] = signal
        reserved = Wish.NO in {rules.train, rules.answer, rules.search} and bool(self._said)
        self._comment = _RESERVATION if reserved else ()
        self._license = b"License: " + rules.license.encode() if rules.license else b""
        self._entry = _entry(rules) if rules.tdmrep else None
        self._fields = {kind: _fields(rules, usage, kind) for kind in Kind}
        self._speaks = rules.robots and bool(self._tokens or self._traps or self._said or self._license)

    def fields(self, kind: Kind) -> Fields:
        """Return the header fields that an answer of this kind carries."""
        return self._fields[kind]

    def robots(self, site: bytes | None) -> bytes | None:
        """Return the robots.txt to serve where the site's own is ``site`` (None: it has none); None for no change.

        A page of markup that a site answers every path with is no robots.txt. A file that would exceed
        ``LONGEST_FILE`` is not touched, because crawlers need not read on, nor one that is not ASCII's kin.
        """
        if not self._speaks:
            return None
        body = site or b""
        if body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
            body = b""
        if b"\0" in body[:LONGEST_FILE] or len(body) > LONGEST_FILE:
            return None
        merged = self._merge(body)
        return merged if len(merged) <= LONGEST_FILE else None

    def tdmrep(self, site: bytes | None) -> bytes | None:
        """Return the tdmrep.json to serve where the site's own is ``site``; None for no change.

        The first entry that matches holds, so ours comes last and for everything: the site's own exceptions
        stand. What is no list of entries is not touched.
        """
        if self._entry is None:
            return None
        entries: object = []
        if site is not None:
            try:
                entries = json.loads(site, parse_constant=_refuse)
            except (ValueError, RecursionError):
                return None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            return None
        if any(entry.get("location") in _EVERYTHING for entry in entries):
            return None
        return json.dumps([*entries, self._entry], indent=1).encode() + b"\n"

    def _merge(self, body: bytes) -> bytes:
        robots = Robots.parse(body)
        newline = b"\r\n" if b"\r\n" in body else b"\n"
        lines = body.splitlines(keepends=True)
        shared = self._disallowed_traps(robots)
        told = self._told(robots.groups)
        for group, own in zip(robots.groups, self._share(robots.groups, told), strict=True):
            added = [*shared, *own]
            if not group.rules and not shared:
                added.append(_CLOSE)
            line = lines[group.opened]
            ended = line if line.endswith((b"\r", b"\n")) else line + newline
            lines[group.opened] = ended + b"".join(text + newline for text in added)
        if lines and not lines[-1].endswith((b"\r", b"\n")):
            lines[-1] += newline
        closing = list(self._closing(robots, shared, told))
        if lines and closing:
            closing.insert(0, b"")
        if closing and not closing[-1]:
            closing.pop()
        return b"".join([*lines, *(text + newline for text in closing)])

    def _told(self, groups: tuple[Group, ...]) -> _Told:
        """Return what the file tells each agent: by its name, keys, each with whether that is in our words."""
        told: _Told = {}
        for group in groups:
            heard = {
                (key, value == self._said[key])
                for key, value in group.records
                if key in self._said and not _speaks_of_a_part(key, value)
            }
            for agent in group.agents:
                told.setdefault(agent, set()).update(heard)
        return told

    def _share(self, groups: tuple[Group, ...], told: _Told) -> list[list[bytes]]:
        """Return what is to be said in each group: what one of its agents is told nowhere, and none otherwise.

        Where the site speaks for itself it is not contradicted, not even for the agents beside. What is said here is told.
        """
        lines = []
        for group in groups:
            known = [told[agent] for agent in group.agents]
            new = [
                key
                for key in self._said
                if not any((key, False) in words for words in known)
                and not all((key, True) in words for words in known)
            ]
            for words in known:
                words.update((key, True) for key in new)
            lines.append([_line(key, self._said[key]) for key in new])
        return lines

    def _closing(self, robots: Robots, shared: list[bytes], told: _Told) -> Iterable[bytes]:
        """Make what stands at the end of the file: a licence, and the groups that the site's file lacks.

        A crawler that the site names only beside others, to whom it speaks for itself, is told ours here.
        """
        said = [_line(key, value) for key, value in self._said.items()]
        own = frozenset(robots.agents())
        strangers = [token for token in self._tokens if token.lower() not in own]
        acquainted: dict[tuple[bytes, ...], list[str]] = {}
        for token in self._tokens:
            if token.lower() in own:
                heard = {key for key, _ in told[token.lower()]}
                missing = tuple(_line(key, value) for key, value in self._said.items() if key not in heard)
                acquainted.setdefault(missing, []).append(token)
        yield from self._comment
        if self._license and not _licensed(robots):
            yield self._license
            yield b""
        early = dict.fromkeys(agent for group in robots.groups for agent in group.early)
        if early and shared:
            yield from _group(early, shared)
        if "*" not in own and (shared or said):
            yield from _group("*", [*shared, *said])
        if strangers:
            yield from _group(strangers, [*said, b"Disallow: /"])
        for missing, tokens in acquainted.items():
            yield from _group(tokens, [*missing, b"Disallow: /"])

    def _disallowed_traps(self, robots: Robots) -> list[bytes]:
        """Make the rules that keep crawlers from the traps, longer than any rule of the site that lets them in."""
        rules = []
        for trap in self._traps:
            path = trap.encode()
            padding = robots.longest_allow(path) + 1 - read_pattern(path).octets
            rules.append(b"Disallow: " + path + b"*" * min(max(padding, 0), _MOST_PADDING))
        return rules


#: By agent: keys, each with whether it is said in our words.
_Told = dict[str, set[tuple[str, bool]]]
_RESERVATION: Final = (
    b"# The uses that this file answers with no (n) are reserved by the holders of the rights in the content:",
    b"# an express reservation in the sense of Article 4(3) of Directive (EU) 2019/790.",
)
# RFC 9309 §2.2: only a rule ends a run of user-agent lines. Behind a group that has but other records, the next
# group's agents would join it, and everyone would be disallowed what is meant for a few.
_CLOSE: Final = b"Disallow:"
#: Locations of tdmrep.json after which no entry can match.
_EVERYTHING: Final = frozenset({"/", "*", "/*"})
_WORDS: Final = {Wish.YES: ("y", "yes"), Wish.NO: ("n", "no")}
#: Kinds of answers that have something in them which could be used.
_CONTENT: Final = frozenset({Kind.IMAGE, Kind.PAGE, Kind.SUBJECT, Kind.API})
_SHOWN: Final = frozenset({Kind.IMAGE, Kind.PAGE, Kind.SUBJECT})


def _refuse(constant: str) -> object:
    msg = f"{constant} is no JSON"  # RFC 8259 §6
    raise ValueError(msg)


def _usage(rules: PreferenceRules) -> bytes:
    """Write a Content-Usage dictionary; its vocabulary has no word for ``answer``."""
    if not rules.content_usage:
        return b""
    wishes = (("train-ai", rules.train), ("search", rules.search))
    return ", ".join(f"{key}={_WORDS[wish][0]}" for key, wish in wishes if wish in _WORDS).encode()


def _signal(rules: PreferenceRules) -> bytes:
    if not rules.content_signal:
        return b""
    wishes = (("search", rules.search), ("ai-input", rules.answer), ("ai-train", rules.train))
    return ", ".join(f"{key}={_WORDS[wish][1]}" for key, wish in wishes if wish in _WORDS).encode()


def _entry(rules: PreferenceRules) -> dict[str, object]:
    entry: dict[str, object] = {"location": "/", "tdm-reservation": 1}
    if rules.tdm_policy:
        entry["tdm-policy"] = rules.tdm_policy
    return entry


def _fields(rules: PreferenceRules, usage: bytes, kind: Kind) -> Fields:
    if kind not in _CONTENT:
        return ()
    fields = []
    if usage:
        fields.append((b"content-usage", usage))
    if rules.tdmrep:
        fields.append((b"tdm-reservation", b"1"))
        if rules.tdm_policy:
            fields.append((b"tdm-policy", rules.tdm_policy.encode()))
    if rules.noai and kind in _SHOWN:
        fields.append((b"x-robots-tag", b"noai, noimageai"))
    if rules.license:
        link = f'<{rules.license}>; rel="license"; type="application/rsl+xml"'
        fields.append((b"link", link.encode()))
    return tuple(fields)


def _line(key: str, value: bytes) -> bytes:
    return key.title().encode() + b": " + value


def _speaks_of_a_part(key: str, value: bytes) -> bool:
    """Tell whether a Content-Usage record is for some paths: ours, for all of them, is shorter and gives way."""
    path = value.split(maxsplit=1)[:1]
    return key == "content-usage" and bool(path) and path[0].startswith(b"/") and path[0] not in {b"/", b"/*"}


def _group(agents: Iterable[str], lines: list[bytes]) -> Iterable[bytes]:
    yield from (b"User-agent: " + agent.encode() for agent in agents)
    yield from lines
    if not any(line.startswith(b"Disallow:") for line in lines):
        yield _CLOSE
    yield b""


def _licensed(robots: Robots) -> bool:
    """Tell whether the site names a licence itself; the record is bound to no group."""
    records = (*robots.records, *(record for group in robots.groups for record in group.records))
    return any(record.key == "license" for record in records)


def _check(tokens: Iterable[str], traps: Iterable[str]) -> None:
    problems = [f"{token!r} is no product token" for token in tokens if not _TOKEN.fullmatch(token)]
    problems += [
        f"trap path {trap!r} cannot stand in robots.txt" for trap in traps if not _PATH.fullmatch(trap)
    ]
    if problems:
        raise ConfigurationError(*problems)
