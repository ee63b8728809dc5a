"""The tables ``[[routes]]``: what each path is, before its answer is seen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, Strict, WithJsonSchema

from antiscrape.core.resource import Kind, Size
from antiscrape.core.routes import pattern_fault
from antiscrape.settings.table import KindName, Remark, SizeName, Table, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check_pattern(pattern: str) -> str:
    # "?" and "#" end a path; "\" and controls are refused in requests, so they could never match
    if re.search(r"[?#\\\x00-\x20\x7f]", pattern):
        words = "a path has no query, fragment, backslash, space or control character"
    else:
        words = pattern_fault(pattern)
    if words:
        msg = f"is not a route; {words}"
        raise ValueError(msg)
    return pattern


#: A route pattern of ``core.rules.Route``.
Pattern = Annotated[
    str,
    Field(max_length=512),
    AfterValidator(_check_pattern),
    WithJsonSchema({"type": "string", "pattern": "^/"}),
]


class RouteLine(Table):
    """One line of the route table."""

    pattern: Pattern = Field(
        description='A path in which "*" is anything but a slash, "**" anything, and {subject} the one segment that '
        "names the subject.",
    )
    kind: KindName = Field(
        description="image, page, subject (a page that belongs to one subject), api, asset (what pages are drawn "
        "with), trap (nobody who sees the page goes there), exempt (never judged), untold (its Content-Type tells)."
    )
    size: SizeName = Field(
        default=Size.UNTOLD,
        description="For images: original (counted by the originals budget), thumbnail (not counted) or untold "
        "(images.original_from decides when the picture comes).",
    )

    def contradictions(self) -> Iterator[Remark]:
        """Yield a subject without a name, and a size of what has none."""
        if self.kind is Kind.SUBJECT and "{subject}" not in self.pattern:
            yield ("pattern",), 'names no {subject}, so its kind cannot be "subject"'
        if self.size is not Size.UNTOLD and self.kind not in {Kind.IMAGE, Kind.UNTOLD}:
            yield ("size",), f'only images have one, and the kind is "{self.kind.value}"'


def _distinct(lines: tuple[RouteLine, ...]) -> tuple[RouteLine, ...]:
    refuse(_hidden(lines))
    return lines


def _hidden(lines: tuple[RouteLine, ...]) -> Iterator[Remark]:
    seen: set[str] = set()
    for number, line in enumerate(lines):
        if line.pattern in seen:
            yield (number, "pattern"), f'"{line.pattern}" stands in a line before, so this one never tells'
        seen.add(line.pattern)


#: The route table: a list in the file.
RouteLines = Annotated[tuple[RouteLine, ...], Strict(strict=False), AfterValidator(_distinct)]


def _rows(kind: Kind, *patterns: str) -> tuple[RouteLine, ...]:
    return tuple(RouteLine(pattern=pattern, kind=kind) for pattern in patterns)


#: RFC 9309 §2.3.1 (a refusal of robots.txt has a meaning) and RFC 8615 (certificates are fetched there).
ALWAYS_EXEMPT = _rows(Kind.EXEMPT, "/robots.txt", "/.well-known/**")

#: Paths that photo and social sites have in common. What is left out is left to the Content-Type: on many
#: sites /photos/1 and /p/1 are pages. No size is told: a folder called thumbs may hold anything.
ROUTES = (
    *ALWAYS_EXEMPT,
    *_rows(Kind.ASSET, "/favicon.ico", "/static/**", "/assets/**"),
    *_rows(
        Kind.SUBJECT,
        "/u/{subject}",
        "/user/{subject}",
        "/users/{subject}",
        "/profile/{subject}",
        "/@{subject}",
    ),
    *_rows(Kind.IMAGE, "/media/**", "/images/**", "/image/**", "/img/**", "/uploads/**"),
    *_rows(Kind.IMAGE, "/thumbs/**", "/thumbnails/**", "/avatars/**"),
    *_rows(Kind.API, "/api/**"),
)
