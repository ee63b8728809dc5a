"""Where the secret comes from: the environment, or a file; never the settings file itself, never a message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from antiscrape.core.tokens import check_secret
from antiscrape.errors import SecretError
from antiscrape.settings.files import read_small
from antiscrape.settings.secret_file import MOST_BYTES, split_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "ANTISCRAPE_SECRET"
FILE_VARIABLE = "ANTISCRAPE_SECRET_FILE"


def read_secrets(environ: Mapping[str, str], secret_file: Path | None, where: str) -> tuple[bytes, ...]:
    """Return the secrets, oldest to newest, or none; raise ``SecretError`` for what is there and wrong.

    ``where`` names the setting that gave ``secret_file``. No message holds a secret, nor the name of
    a file: an operator may have put the secret in its place.
    """
    text, named = environ.get(VARIABLE, ""), environ.get(FILE_VARIABLE, "")
    if text and named:
        raise SecretError(f"{VARIABLE} and {FILE_VARIABLE} are both set; keep the one that you mean")
    if text:
        return _checked(text.encode("utf-8", "surrogateescape"), VARIABLE)
    if named:
        return _checked(_read(Path(named), FILE_VARIABLE), FILE_VARIABLE)
    if secret_file is not None:
        return _checked(_read(secret_file, where), where)
    return ()


def named_file(environ: Mapping[str, str], secret_file: Path | None) -> Path | None:
    """Return the file of secrets that the environment names, or else the setting."""
    named = environ.get(FILE_VARIABLE, "")
    return Path(named) if named else secret_file


def missing() -> SecretError:
    """Return the error that says that there is no secret, and how to have one."""
    try:
        check_secret(b"")
    except SecretError as error:
        words = str(error)
        return SecretError(
            f"{words} and put it into {VARIABLE}, into a file that {FILE_VARIABLE} names, or into site.secret_file"
        )
    return SecretError("no secret is set")


def _read(path: Path, where: str) -> bytes:
    try:
        return read_small(path, most=MOST_BYTES)
    except ValueError as error:
        raise SecretError(f"{where}: the file that it names {error}") from None


def _checked(text: bytes, where: str) -> tuple[bytes, ...]:
    secrets = tuple(split_secrets(text))
    problems: list[str] = []
    for number, secret in enumerate(secrets or (b"",), 1):
        try:
            check_secret(secret)
        except SecretError as error:
            which = f"secret {number} of {len(secrets)}: " if len(secrets) > 1 else ""
            problems += [f"{where}: {which}{words}" for words in error.problems]
    if problems:
        raise SecretError(*problems)
    return secrets
