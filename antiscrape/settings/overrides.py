"""Settings from the environment: ``ANTISCRAPE__IMAGES__PREVIEW_SIZE=320`` goes before the file.

Two underscores stand between tables and keys; where a signal's name has hyphens, one underscore
stands for each. A value is read as TOML, and as text where it is not TOML, so that
``ANTISCRAPE__STANDING__BROWSER__ORIGINALS=20/10min`` needs no quotes inside quotes.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from antiscrape.settings.positions import BoundsError, scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.settings.origins import Origins, Tree

PREFIX = "ANTISCRAPE__"


def overlay(tree: Tree, origins: Origins, environ: Mapping[str, str]) -> list[str]:
    """Write the environment's settings over ``tree``; return what cannot be written."""
    problems: list[str] = []
    names = [name for name in environ if name.startswith(PREFIX)]
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        path = _path(name)
        value = read_value(environ[name])
        if not all(path):
            problems.append(f"{name}: is not the name of a setting; expected {PREFIX}TABLE__KEY")
        elif not _write(tree, path, value):
            problems.append(f"{name}: a list or value is set whole, as TOML, and not in parts")
        else:
            origins.set_by_variable(path, value, name)
    return problems


def read_value(text: str) -> Any:
    """Return what ``text`` means as a TOML value, or ``text`` itself."""
    try:
        scan(f"value = {text}")
        document = tomllib.loads(f"value = {text}")
    except (BoundsError, ValueError):
        return text
    # a line break could open another table behind the value
    return document["value"] if document.keys() == {"value"} else text


def _path(name: str) -> tuple[str, ...]:
    path = name.removeprefix(PREFIX).lower().split("__")
    if path[0] == "signals" and len(path) > 1:
        path[1] = path[1].replace("_", "-")
    return tuple(path)


def _write(tree: Tree, path: tuple[str, ...], value: Any) -> bool:
    inner: Any = tree
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
    _merge(inner, path[-1], value)
    return True


def _merge(tree: Tree, key: str, value: Any) -> None:
    known = tree.get(key)
    if isinstance(known, dict) and isinstance(value, dict):
        for inner, what in value.items():
            _merge(known, inner, what)
    else:
        tree[key] = value
