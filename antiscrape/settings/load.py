"""Loading the policy: defaults, then the file, then the environment; every error at once, or none."""

from __future__ import annotations

import logging
import os
import re
import secrets
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from antiscrape.clock import wall
from antiscrape.errors import ConfigurationError, SecretError
from antiscrape.settings import keys, partners, report, store
from antiscrape.settings.build import build
from antiscrape.settings.files import read_small
from antiscrape.settings.model import Settings
from antiscrape.settings.origins import Origins, Tree
from antiscrape.settings.overrides import overlay
from antiscrape.settings.positions import BoundsError, index, scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from antiscrape.core.rules import Policy

VARIABLE = "ANTISCRAPE_CONFIG"
#: The file of every default is 20 kB; a megabyte is somebody's log.
MOST_BYTES = 2**20

_AT = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)
_log = logging.getLogger("antiscrape.settings")


class Loaded(NamedTuple):
    """A policy, what it was read from, and what an operator should hear about it."""

    policy: Policy
    source: str  # the file's path, or "defaults"
    warnings: tuple[str, ...]


def load_policy(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None, require_secret: bool = True
) -> Policy:
    """Return the policy of a TOML file, with the environment's settings over it, and log its warnings.

    Without ``path`` the file is the one that ``ANTISCRAPE_CONFIG`` names, else there are only the
    defaults. ``environ`` stands for the process's environment. Without ``require_secret`` a missing
    secret is replaced by a random one, good for this process.

    Raise ``ConfigurationError`` with a line for every problem that was found, or ``SecretError``
    where only the secret is wrong.
    """
    loaded = load(path, environ=environ, require_secret=require_secret)
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    return loaded.policy


def load(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None, require_secret: bool = True
) -> Loaded:
    """Do as ``load_policy`` does, and return the warnings instead of logging them."""
    environ = os.environ if environ is None else environ
    named = str(path) if path is not None else environ.get(VARIABLE, "")
    source = named or "defaults"
    tree, origins = _read(Path(named)) if named else ({}, Origins(source, {}))
    settings, problems = _settings(tree, origins, environ)
    password = ""
    try:
        password = _store_password(tree, origins, environ, Path(named).parent)
    except ConfigurationError as error:
        problems = (*problems, *error.problems)
    try:
        given = _secrets(tree, origins, environ, Path(named).parent)
        if require_secret and not given:
            raise keys.missing()
    except SecretError as error:
        raise ConfigurationError(*problems, *error.problems) if problems else error from None
    if settings is None or problems:
        raise ConfigurationError(*problems)
    policy = build(
        settings, given or (secrets.token_urlsafe(32).encode(),), Path(named).parent, store_password=password
    )
    doubts = (*settings.doubts(), *partners.doubts(policy.partners, wall()))
    warnings = [origins.line(where, words) for where, words in doubts]
    if not given:
        warnings.append("no secret is set; a random one is used, and what it signs ends with this process")
    return Loaded(policy, source, tuple(warnings))


def load_secrets(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> tuple[bytes, ...]:
    """Return the secrets alone, read anew from where ``load_policy`` with these arguments reads them.

    Raise ``SecretError`` or ``ConfigurationError`` where they cannot be used, or there are none.
    """
    environ = os.environ if environ is None else environ
    named = str(path) if path is not None else environ.get(VARIABLE, "")
    tree, origins = _read(Path(named)) if named else ({}, Origins("defaults", {}))
    given = _secrets(tree, origins, environ, Path(named).parent)
    if not given:
        raise keys.missing()
    return given


def secret_file(path: str | Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file from which ``load_secrets`` would read them, or None."""
    named = str(path) if path is not None else environ.get(VARIABLE, "")
    tree = _read(Path(named))[0] if named else {}
    return keys.named_file(environ, _named(tree, "site", "secret_file", Path(named).parent))


def _settings(
    tree: Tree, origins: Origins, environ: Mapping[str, str]
) -> tuple[Settings | None, tuple[str, ...]]:
    refused = overlay(tree, origins, environ)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        return None, (*refused, *report.problems(error, origins))
    return (None if refused else settings), tuple(refused)


def _secrets(tree: Tree, origins: Origins, environ: Mapping[str, str], folder: Path) -> tuple[bytes, ...]:
    file = _named(tree, "site", "secret_file", folder)
    return keys.read_secrets(environ, file, origins.place(("site", "secret_file")))


def _store_password(tree: Tree, origins: Origins, environ: Mapping[str, str], folder: Path) -> str:
    file = _named(tree, "store", "password_file", folder)
    return store.read_password(environ, file, origins.place(("store", "password_file")))


def _named(tree: Tree, table: str, key: str, folder: Path) -> Path | None:
    """Return the file that a setting names, before it is known that the setting is right."""
    settings = tree.get(table)
    name = settings.get(key) if isinstance(settings, dict) else None
    return folder / name if isinstance(name, str) and name else None


def _read(path: Path) -> tuple[Tree, Origins]:
    try:
        text = read_small(path, most=MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}:{line}: is not UTF-8, which TOML files are") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    try:
        tokens = scan(text)
        return tomllib.loads(text), Origins(str(path), index(tokens))
    except BoundsError as error:
        raise ConfigurationError(f"{path}:{error.line}: {error}") from None
    except ValueError as error:  # tomllib's own error is one, and int and datetime raise it, too
        raise ConfigurationError(_syntax(path, text, str(error))) from None


def _syntax(path: Path, text: str, words: str) -> str:
    match = _AT.fullmatch(words)
    if match is None:
        last = text.count("\n") + 1
        return f"{path}:{last}: is not TOML: {words.removesuffix(' (at end of document)')}, at the end of the file"
    return f"{path}:{match[2]}:{match[3]}: is not TOML: {match[1]}"
