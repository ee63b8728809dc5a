"""From what pydantic found to what an operator reads: place, setting, value, what was expected."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from antiscrape.settings.model import Settings
from antiscrape.settings.store import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from antiscrape.settings.origins import Origins
    from antiscrape.settings.positions import Path

#: More problems than this are one mistake, made a hundred times.
MOST_PROBLEMS = 100
#: A value is shown so that it is recognised, not so that it is read.
LONGEST_SHOWN = 60
#: An operator may have put the secret where its file's name belongs (SECURITY J9).
HIDDEN = frozenset({("site", "secret_file"), ("store", "url"), ("store", "password_file")})

_EXPECTED = {
    "bool_type": "is not true or false",
    "int_type": "is not a whole number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "string_type": "is not text; put it in quotes",
    "string_unicode": "is not text in UTF-8",
    "tuple_type": "is not a list",
    "model_type": "is not a table",
    "model_attributes_type": "is not a table",
    "missing": "is missing",
    "greater_than_equal": "is less than {ge}, the least allowed",
    "less_than_equal": "is more than {le}, the most allowed",
    "string_too_long": "is longer than {max_length} characters",
    "string_too_short": "is empty",
    "too_long": "has more than {max_length} elements",
    "enum": "is none of {expected}",
    "literal_error": "is none of {expected}",
}


def problems(error: ValidationError, origins: Origins) -> list[str]:
    """Return one line for each thing that is wrong, in the order of the settings."""
    details = error.errors(include_url=False)
    lines = [origins.line(detail["loc"], _words(detail)) for detail in details[:MOST_PROBLEMS]]
    if len(details) > MOST_PROBLEMS:
        lines.append(f"and {len(details) - MOST_PROBLEMS} more")
    return lines


def _words(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(detail["loc"])
    if kind == "contradiction":
        return detail["msg"]
    if kind == "value_error":
        words = str(context["error"])
    else:
        words = (
            _EXPECTED.get(kind, f"is refused: {detail['msg'].lower()}").format(**context).replace("'", '"')
        )
    # core.budgets names the one limit of several that is wrong by itself
    alone = kind == "missing" or words.startswith(("'", '"'))
    return words if alone else f"{_shown(detail['loc'], detail['input'])} {words}"


def _shown(path: Path, value: object) -> str:
    if path in HIDDEN:
        return "the value"
    if isinstance(value, dict | list | tuple):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, bool | str):
        cut = value[:LONGEST_SHOWN] if isinstance(value, str) else value
        return json.dumps(cut) + ("..." if cut != value else "")
    return str(value)[:LONGEST_SHOWN]


def _unknown(path: Path) -> str:
    name, what = str(path[-1]), "signal" if path[:-1] == ("signals",) else "setting"
    if "secret" in name.lower():
        return "a secret does not belong here; set ANTISCRAPE_SECRET, or name a file in site.secret_file"
    if "password" in name.lower() and name != "password_file":
        return f"a password does not belong here; set {PASSWORD}, or name a file in store.password_file"
    near = get_close_matches(name[:LONGEST_SHOWN], siblings := _fields(path[:-1]), n=1)
    if near:
        return f'unknown {what}; did you mean "{near[0]}"?'
    elsewhere = [full for full in _names() if full.rpartition(".")[2] == name]
    if elsewhere:
        return f'unknown {what}; did you mean "{elsewhere[0]}"?'
    few = what == "setting" and siblings
    return f"unknown {what}; expected one of {', '.join(siblings)}" if few else f"unknown {what}"


def _fields(path: Path) -> list[str]:
    table: type[BaseModel] | None = Settings
    for part in path:
        if isinstance(part, str) and table is not None:
            table = _table(table, part)
    return list(table.model_fields) if table else []


def _table(of: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = of.model_fields.get(name)
    kinds: tuple[Any, ...] = (field.annotation, *get_args(field.annotation)) if field else ()
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _names(table: type[BaseModel] = Settings, before: str = "") -> Iterator[str]:
    for name in table.model_fields:
        yield before + name
        inner = _table(table, name)
        if inner is not None:
            yield from _names(inner, f"{before}{name}.")
