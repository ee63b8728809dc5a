"""The settings written down: the file of every default with a comment on each, and the JSON Schema for editors.

Run as ``python -m antiscrape.settings.document [FOLDER]`` to write both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from antiscrape.core.signals import SIGNALS
from antiscrape.settings.crawlers import BotLine, Purposes
from antiscrape.settings.model import Settings
from antiscrape.settings.partners import PartnerLine
from antiscrape.settings.routes import RouteLine
from antiscrape.settings.signals import Signals, SignalTable, SignalTables
from antiscrape.settings.standings import Standings, StandingTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from antiscrape.settings.table import Table

TOML_NAME = "antiscrape.toml"
SCHEMA_NAME = "antiscrape.schema.json"
WIDTH = 110
#: The settings that are lists, and what a line of each is.
LINES: Mapping[str, type[Table]] = {"routes": RouteLine, "partners": PartnerLine, "bots": BotLine}

_HEAD = f"""\
#:schema ./{SCHEMA_NAME}

# Every setting of antiscrape with its default. What you leave out keeps its default, so your own file needs
# only the lines that differ; see policies/ for three of them. "antiscrape check FILE" tells whether a file is
# right, and every place where it is not.
#
# Durations are written "90s", "15min", "1h", "7d" or as a number of seconds; sizes "500kB", "64MB", "32MiB"
# or as a number of bytes; limits as amounts per window, "40/10min, 60/day", of which all hold, or
# "unlimited", or 0 for none at all.
#
# The environment goes before the file: ANTISCRAPE__IMAGES__PREVIEW_SIZE=320 sets preview_size of [images],
# ANTISCRAPE__SIGNALS__ACCEPT_MISSING__WEIGHT=5 a signal's weight. ANTISCRAPE_CONFIG names the file, and
# ANTISCRAPE_SECRET holds the secret that URLs and cookies are signed with; it has no place here."""


def toml() -> str:
    """Return the settings file of every default, each setting with its description above it."""
    settings = Settings()
    parts: list[str] = [_HEAD]
    for name, field in Settings.model_fields.items():
        value: Any = getattr(settings, name)
        if isinstance(value, Standings):
            parts += _standings("standing", value)
        elif isinstance(value, Purposes):
            parts += _standings(name, value)
        elif isinstance(value, SignalTables):
            parts += _signals(value)
        elif isinstance(value, tuple):
            parts += _lines(name, value, field.description or "")
        else:
            parts.append(_table(name, value))
    return "\n\n".join(parts) + "\n"


def schema() -> str:
    """Return the JSON Schema (draft 2020-12) of the settings file, as text."""
    document = Settings.model_json_schema(schema_generator=_Schema)
    definitions = document["$defs"]
    for name, entry in document["properties"].items():
        entry.pop("default", None)  # each setting has its own
        _write_defaults(definitions, getattr(Settings(), name))
    _share(definitions, Standings, StandingTable)
    _share(definitions, Purposes, StandingTable)
    _share(definitions, Signals, SignalTable)
    head = {"$schema": _Schema.schema_dialect, "title": "antiscrape settings"}
    return json.dumps(head | {**document, "title": head["title"]}, indent=2, ensure_ascii=False) + "\n"


def _write_defaults(definitions: dict[str, Any], table: object) -> None:
    if isinstance(table, BaseModel):
        properties = definitions[type(table).__name__]["properties"]
        for key, value in _written(table).items():
            properties[key]["default"] = value


class _Schema(GenerateJsonSchema):
    """Without a title for every setting, which would repeat its name to whoever points at it."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the base class's signature
        return False


def _share(definitions: dict[str, Any], tables: type[Table], member: type[Table]) -> None:
    # Standings, and signals, differ in their defaults only: one definition, and what differs at each name
    for entry in definitions[tables.__name__]["properties"].values():
        own = definitions.pop(entry["$ref"].rpartition("/")[2])
        entry |= {"$ref": f"#/$defs/{member.__name__}", "description": own["description"]}
    shared = member.model_json_schema(schema_generator=_Schema)
    shared.pop("$defs", None)
    for field in shared["properties"].values():
        field.pop("default", None)
    definitions[member.__name__] = shared


def _table(name: str, table: Table) -> str:
    lines = [_comment(_purpose(type(table))), f"[{name}]"]
    for key, value in _written(table).items():
        lines += [_comment(_description(type(table), key)), f"{key} = {_value(value)}", ""]
    return "\n".join(lines).rstrip()


def _standings(family: str, standings: Standings | Purposes) -> Iterator[str]:
    yield _family(type(standings), StandingTable)
    for name in type(standings).model_fields:
        table: StandingTable = getattr(standings, name)
        yield _plain(f"{family}.{name}", table, _purpose(type(table)))


def _signals(signals: SignalTables) -> Iterator[str]:
    yield _family(SignalTables, SignalTable)
    family = ""
    for name, table in signals.rows():
        row = SIGNALS[name]
        heading = f"# Family: {row.family}.\n\n" if row.family != family else ""
        family = row.family
        yield heading + _plain(f"signals.{name}", table, f"{row.sentence} ({row.source})")


def _lines(name: str, lines: tuple[Table, ...], purpose: str) -> Iterator[str]:
    none = f"\n#\n# [[{name}]]" if not lines else ""
    yield f"{_comment(purpose)}\n#\n{_keys(LINES[name])}{none}"
    for line in lines:
        written = line.model_dump(mode="json", exclude_defaults=True)
        yield "\n".join([f"[[{name}]]", *(f"{key} = {_value(value)}" for key, value in written.items())])


def _family(tables: type[BaseModel], member: type[BaseModel]) -> str:
    return f"{_comment(_purpose(tables))}\n#\n{_keys(member)}"


def _keys(kind: type[BaseModel]) -> str:
    return "\n".join(_comment(f"{key}: {_description(kind, key)}", hang="  ") for key in kind.model_fields)


def _plain(name: str, table: Table, purpose: str) -> str:
    pairs = [f"{key} = {_value(value)}" for key, value in _written(table).items()]
    return "\n".join([_comment(purpose), f"[{name}]", *pairs])


def _written(table: BaseModel) -> Mapping[str, Any]:
    return table.model_dump(mode="json")


def _purpose(kind: type[BaseModel]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _description(kind: type[BaseModel], key: str) -> str:
    return kind.model_fields[key].description or ""


def _comment(text: str, hang: str = "") -> str:
    return fill(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent=f"# {hang}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _value(value: Any) -> str:
    # JSON's strings, numbers, booleans and lists are TOML's (TOML 1.0: the same escapes, but for "\/")
    return json.dumps(value, ensure_ascii=False)


def main(folder: Path) -> None:
    """Write both files into ``folder``."""
    (folder / TOML_NAME).write_text(toml(), encoding="utf-8")
    (folder / SCHEMA_NAME).write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("config"))
