"""The position index: every value that tomllib reads has the line it was written on."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiscrape.settings.positions import DEEPEST, BoundsError, index, scan
from tests.fuzz import times

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path(__file__).parents[2] / "config"


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every key and array element."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, what in inner:
        yield from paths_of(what, (*path, key))


DOCUMENT = '''\
top = 1  # [not.a.table]
"quoted.key" = """
[nor.this]
x = 1 """""
'literal \\' = \'\'\'it''s
[nor this]\'\'\'
dotted . "a\\u0062" . c = { x = [1, {y = "]"}], z.w = 2 }
list = [ 1, # ]
  "[x]",
  [ 2, [ 3 ] ],
  { deep = "}" },
]
when = 1979-05-27 07:32:00
part = 1.5

[ a . b ]
c = '[d]'

[[many]]
x = 1
[many.inner]
y = 2
[[many.inner2]]
[[many.inner2]]
z = 3

[[many]]
x = 4
[a]
late = true'''

LINES = {
    ("top",): 1,
    ("quoted.key",): 2,
    ("literal \\",): 5,
    ("dotted",): 7,
    ("dotted", "ab", "c", "x", 1, "y"): 7,
    ("dotted", "ab", "c", "z", "w"): 7,
    ("list",): 8,
    ("list", 1): 9,
    ("list", 2, 1, 0): 10,
    ("list", 3, "deep"): 11,
    ("when",): 13,
    ("part",): 14,
    ("a", "b"): 16,
    ("a", "b", "c"): 17,
    ("many",): 19,
    ("many", 0): 19,
    ("many", 0, "x"): 20,
    ("many", 0, "inner", "y"): 22,
    ("many", 0, "inner2", 1, "z"): 25,
    ("many", 1): 27,
    ("many", 1, "x"): 28,
    ("a",): 29,
    ("a", "late"): 30,
}


def test_lines_are_those_a_person_counts() -> None:
    lines = index(scan(DOCUMENT))
    assert {path: lines.get(path) for path in LINES} == LINES


def test_every_value_of_a_document_has_a_line() -> None:
    lines = index(scan(DOCUMENT))
    implicit = {("a",), ("dotted", "ab")}
    assert [
        path for path in paths_of(tomllib.loads(DOCUMENT)) if path not in lines | dict.fromkeys(implicit)
    ] == []


def test_every_value_of_our_own_files_has_a_line_that_names_it() -> None:
    for file in (CONFIG / "antiscrape.toml", *sorted((CONFIG / "policies").glob("*.toml"))):
        text = file.read_text("utf-8")
        lines, rows = index(scan(text)), text.splitlines()
        for path in paths_of(tomllib.loads(text)):
            if path in {("standing",), ("signals",), ("crawler",)}:
                continue  # headers below them make them
            named = [part for part in path if isinstance(part, str)][-1]
            assert named in rows[lines[path] - 1]


WORDS = st.text("abc-_019", min_size=1, max_size=6)
ODD = st.text(st.sampled_from("ab[]{}=.,#\"'\\ \t\u00e9"), max_size=12)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), ODD, st.floats(allow_nan=False))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD | WORDS, inner, max_size=3),
    max_leaves=8,
)


def quoted(text: str) -> str:
    return (
        '"' + "".join(f"\\u{ord(char):04x}" if char in '"\\' or char < " " else char for char in text) + '"'
    )


def inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value) if len(value) % 2 or "'" in value or "\t" in value else f"'{value}'"
    if isinstance(value, list):
        return "[ # ]\n" + "".join(f"  {inline(one)},\n" for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {inline(one)}" for key, one in value.items()) + "}"
    return repr(value)


@settings(max_examples=times(50))
@given(st.dictionaries(WORDS, st.dictionaries(ODD | WORDS, VALUES, max_size=4), max_size=4))
def test_no_value_of_any_document_is_without_a_line(tree: dict[str, dict[str, Any]]) -> None:
    text = "".join(
        f"\n[{name}] # [x]\n" + "".join(f"{quoted(key)} = {inline(value)}\n" for key, value in table.items())
        for name, table in tree.items()
    )
    document = tomllib.loads(text)
    try:
        lines = index(scan(text))
    except BoundsError:
        return
    rows = text.split("\n")
    for path in paths_of(document):
        assert path in lines
        if isinstance(path[-1], str) and len(path) == 2:
            assert rows[lines[path] - 1].startswith(quoted(path[-1]))


@settings(max_examples=times(80))
@given(st.text(st.sampled_from("ab1[]{}=.,#\"'\\\n \t\r\u00e9\0-+:"), max_size=60))
def test_any_text_is_walked_to_its_end(text: str) -> None:
    try:
        tokens = scan(text)
    except BoundsError:
        return
    assert all(1 <= line <= text.count("\n") + 1 for line in index(tokens).values())
    assert [token.text for token in tokens if token.kind == "mark" and token.text in " \t"] == []


def test_a_bound_names_its_line() -> None:
    with pytest.raises(BoundsError) as caught:
        scan("a = 1\nb = " + "[" * (DEEPEST + 1))
    assert caught.value.line == 2


def test_every_toml_file_at_hand_is_indexed_in_full() -> None:
    """The project's own, and where the shared data is at hand, what others wrote."""
    shared = Path(os.environ.get("ANTISCRAPE_SHARED", CONFIG.parents[1] / "shared"))
    files = [CONFIG.parent / "pyproject.toml"]
    files += sorted(shared.rglob("*.toml")) if shared.is_dir() else []
    assert files
    for file in files:
        text = file.read_text("utf-8")
        lines = index(scan(text))
        missing = [path for path in paths_of(tomllib.loads(text)) if path not in lines]
        # a table that only headers below it make stands nowhere; all else does
        assert [path for path in missing if not any(one[: len(path)] == path for one in lines)] == []
