"""The tables ``[[partners]]``: who is granted access, what for, how much, and until when."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from antiscrape.core.budgets import parse_limits
from antiscrape.core.partner import Partner, hash_key
from antiscrape.core.rules import Allowance
from antiscrape.core.verdict import Rendition, Standing
from antiscrape.settings.names import Listed
from antiscrape.settings.standings import BEST_FIRST, Beyond, Originals, Requests, Subjects, Volumes, Within
from antiscrape.settings.table import Remark, Table, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: A key is changed by having two for a while; more than these belong to more than one partner.
MOST_KEYS = 8
MOST_IDENTITIES = 32
_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_SCHEME = "sha256:"
_KEY_SHOWN = re.compile(r"ask_[A-Za-z0-9_-]{22}")
_MAKE = '"antiscrape key NAME" makes a key and prints its hash'


def _silent(words: str) -> PydanticCustomError:
    # reported as it stands: any other error would show the value, and the value may be a key (SECURITY J9)
    return PydanticCustomError("contradiction", "{words}", {"words": words})


def _no_key(value: object) -> object:
    if isinstance(value, str) and _KEY_SHOWN.search(value):
        raise _silent(f"holds a key, which belongs nowhere in this file; {_MAKE}")
    return value


def _check_list(value: object) -> object:
    if isinstance(value, str):
        raise _silent(f'is not a list; expected ["{_SCHEME}..."]; {_MAKE}')
    return value


def _check_hash(value: object) -> object:
    if not isinstance(value, str):
        return value
    if _KEY_SHOWN.search(value):
        raise _silent(
            f'is a key itself, and only its hash belongs here; {_MAKE}, "antiscrape key NAME --stdin" prints the '
            "hash of a key that you have"
        )
    if not re.fullmatch(r"sha256:[0-9A-Fa-f]{64}", value):
        raise _silent(f'is not the hash of a key; expected "{_SCHEME}" and 64 hex digits; {_MAKE}')
    return value.lower()


def _check_shown(text: str) -> str:
    if not text.isprintable():
        msg = "holds a character that cannot be shown"
        raise ValueError(msg)
    return text


def _check_name(text: str) -> str:
    # events, metrics and reports name partners by it
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", text):
        msg = 'is not a partner\'s name; expected up to 64 lower-case letters, digits, ".", "_" or "-"'
        raise ValueError(msg)
    return text


def _read_day(value: object) -> date | None:
    # a datetime is a date in Python, but its zone and hour would be lost
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if value is None:
        return None
    msg = "is not a day; expected one such as 2027-12-31, without a time"
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError(msg)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(msg) from None


def write_hash(key: bytes) -> str:
    """Return the hash of ``key`` as ``keys`` lists it: ``"sha256:"`` and 64 hex digits."""
    return _SCHEME + hash_key(key).hex()


def end_of(day: date) -> float:
    """Return the first second since 1970 after ``day``, in UTC."""
    return float((day.toordinal() - _EPOCH + 1) * _DAY)


PartnerName = Annotated[str, AfterValidator(_check_name), BeforeValidator(_no_key)]
# The length goes before the validator: behind it, pydantic would speak of items and not of characters.
Purpose = Annotated[
    str, Field(min_length=1, max_length=400), AfterValidator(_check_shown), BeforeValidator(_no_key)
]
Day = Annotated[
    date | None,
    BeforeValidator(_read_day),
    BeforeValidator(_no_key),
    PlainSerializer(lambda day: day and day.isoformat()),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2027-12-31"]}),
]
KeyHash = Annotated[
    str,
    BeforeValidator(_check_hash),
    WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9A-Fa-f]{64}$"}),
]
Identity = Annotated[
    str, Field(min_length=1, max_length=280), AfterValidator(_check_shown), BeforeValidator(_no_key)
]


class PartnerLine(Table):
    """One partner, with budgets of its own: whoever is verified is not for that unlimited."""

    name: PartnerName = Field(
        description="What events, metrics and reports call the partner; also what its budgets are kept by."
    )
    purpose: Purpose = Field(description="What it takes pictures for, in a line that reports show.")
    until: Day = Field(
        default=None,
        description="The last day of the grant, such as 2027-12-31; it ends with that day in UTC. Left out: no end.",
    )
    keys: Annotated[tuple[KeyHash, ...], Listed, BeforeValidator(_check_list)] = Field(
        default=(),
        max_length=MOST_KEYS,
        description='Hashes of its keys; "antiscrape key NAME" makes a key and its hash. A key comes as X-Antiscrape-Key '
        "or as Authorization: Bearer. To change it, list the new one beside the old until the partner has changed over.",
    )
    identities: Annotated[tuple[Identity, ...], Listed, BeforeValidator(_no_key)] = Field(
        default=(),
        max_length=MOST_IDENTITIES,
        description="Names of bots that sign their requests (Web Bot Auth), or the thumbprints of their keys.",
    )
    requests: Requests = "unlimited"
    originals: Originals = "unlimited"
    subjects: Subjects = "unlimited"
    bytes: Volumes = "unlimited"
    rendition: Within = Rendition.ORIGINAL
    beyond: Beyond = Rendition.PREVIEW

    def contradictions(self) -> Iterator[Remark]:
        """Yield a partner that nobody could recognise, and a rendition that gets better by spending the budget."""
        if not self.keys and not self.identities:
            yield ("keys",), f"there is neither a key nor an identity to know the partner by; {_MAKE}"
        if BEST_FIRST.index(self.beyond) < BEST_FIRST.index(self.rendition):
            words = f'"{self.beyond.value}" is better than rendition, which is "{self.rendition.value}"'
            yield ("beyond",), words

    def partner(self) -> Partner:
        """Return the partner, its limits and its last day read."""
        return Partner(
            name=self.name,
            purpose=self.purpose,
            allowance=Allowance(
                standing=Standing.PARTNER,
                rendition=self.rendition,
                beyond=self.beyond,
                requests=parse_limits(self.requests),
                originals=parse_limits(self.originals),
                subjects=parse_limits(self.subjects),
                bytes=parse_limits(self.bytes, sizes=True),
            ),
            until=None if self.until is None else end_of(self.until),
            key_hashes=tuple(map(_digest, self.keys)),
            identities=self.identities,
        )


def _digest(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix(_SCHEME))


def _distinct(lines: tuple[PartnerLine, ...]) -> tuple[PartnerLine, ...]:
    refuse(_shared(lines))
    return lines


def _shared(lines: tuple[PartnerLine, ...]) -> Iterator[Remark]:
    """Yield each name, key and identity that stands in a second place, and so would not tell whose a request is."""
    seen: dict[tuple[str, str], str] = {}
    for number, line in enumerate(lines):
        rows: list[tuple[tuple[str | int, ...], str]] = [(("name",), line.name)]
        rows += [(("keys", place), text) for place, text in enumerate(line.keys)]
        rows += [(("identities", place), text) for place, text in enumerate(line.identities)]
        for where, text in rows:
            kind = str(where[0])
            if (kind, text) in seen:
                what = {"name": "name", "keys": "key", "identities": "identity"}[kind]
                yield (number, *where), f'"{seen[kind, text]}" has this {what} already'
            else:
                seen[kind, text] = line.name


#: The partners: a list in the file.
PartnerLines = Annotated[tuple[PartnerLine, ...], Listed, AfterValidator(_distinct), BeforeValidator(_no_key)]


def partners(lines: Sequence[PartnerLine]) -> tuple[Partner, ...]:
    """Compile the lines, in their order."""
    return tuple(line.partner() for line in lines)


def doubts(found: Sequence[Partner], now: float) -> Iterator[Remark]:
    """Yield, at its place in the file, each grant that has ended at ``now`` and each that gives originals without end."""
    for number, partner in enumerate(found):
        allowance = partner.allowance
        if partner.ended(now):
            yield ("partners", number, "until"), f'has passed, so "{partner.name}" is nobody any more'
            continue
        bound = allowance.originals or allowance.subjects or allowance.bytes
        if allowance.rendition in {Rendition.ORIGINAL, Rendition.MARKED} and not bound:
            words = f'"{partner.name}" may take every picture of the site, and so may whoever finds its key'
            yield ("partners", number), f"{words}; write originals, subjects or bytes"
