"""The file of a site's secrets, oldest to newest: one a line, each below a comment that says when it was made.

::

    # made 2027-03-01T09:30:00Z
    mSkqkLk1...

A rotation adds a secret, which signs from then on, and leaves the others, which verify, until nothing that they
signed can be valid any more. The file is written beside itself and put in its place in one step, so that
whoever reads it meanwhile reads the one or the other.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from antiscrape.core.tokens import check_secret
from antiscrape.errors import SecretError
from antiscrape.settings.files import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A rotation keeps two or three secrets; this holds hundreds.
MOST_BYTES: Final = 64 * 1024
#: Python's bytes.split() takes white space, and operators also write commas.
_BETWEEN: Final = re.compile(rb"[\s,]+")
_COMMENT: Final = re.compile(rb"#[ \t]+(?:made[ \t]+(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(, signs next)?|.*)|#")
_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
#: Nobody but the owner reads it.
_MODE: Final = 0o600


class Dated(NamedTuple):
    """A secret and when it was made, in seconds since 1970; None where nobody wrote it down.

    ``announced``: it stands before the one that signs, and takes its place with the next rotation.
    """

    secret: bytes
    made: float | None = None
    announced: bool = False


def split_secrets(text: bytes) -> list[bytes]:
    """Return the secrets in a text, oldest to newest: between them stand white space, commas and comments."""
    return [dated.secret for dated in read_dated(text)]


def read_dated(text: bytes) -> list[Dated]:
    """Return the secrets in a text with their dates; a comment is a line that begins with ``#`` and a blank."""
    found: list[Dated] = []
    made: float | None = None
    announced = False
    for line in text.splitlines():
        comment = _COMMENT.fullmatch(line.strip())
        if comment is None:
            found += [Dated(piece, made, announced) for piece in _BETWEEN.split(line) if piece]
            made, announced = (None, False) if line.strip() else (made, announced)
        elif comment[1]:
            made, announced = _seconds(comment[1].decode()), comment[2] is not None
    return found


def read_file(path: Path) -> list[Dated]:
    """Return the secrets of a file, each of them checked; raise ``SecretError`` without the secret or the path."""
    try:
        found = read_dated(read_small(path, most=MOST_BYTES))
    except ValueError as error:
        raise SecretError(f"the file of secrets {error}") from None
    for dated in found or [Dated(b"")]:
        check_secret(dated.secret)
    return found


def write_file(path: Path, secrets: Iterable[Dated], *, new: bool = False) -> None:
    """Write a file of secrets in one step; ``new`` refuses to replace one. Raise ``SecretError`` where it cannot be."""
    lines = []
    for dated in secrets:
        if dated.made is not None:
            said = f"# made {datetime.fromtimestamp(dated.made, UTC).strftime(_FORMAT)}"
            lines.append(f"{said}, signs next".encode() if dated.announced else said.encode())
        lines.append(dated.secret)
    try:
        if new:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            _write(os.open(path, flags, _MODE), lines)
        else:
            _replace(path.resolve(strict=True), lines)
    except FileExistsError:
        raise SecretError("a file is there already; rotate it, or choose another name") from None
    except OSError as error:
        raise SecretError(
            f"the file cannot be written: {(error.strerror or 'unknown cause').lower()}"
        ) from None


def _replace(path: Path, lines: list[bytes]) -> None:
    """Write beside ``path``, with its owner and mode, and put it in place."""
    before = path.stat()
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        os.fchmod(descriptor, before.st_mode & 0o777)
        if (os.geteuid(), os.getegid()) != (before.st_uid, before.st_gid):
            os.fchown(descriptor, before.st_uid, before.st_gid)
        _write(descriptor, lines)
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise


def _write(descriptor: int, lines: list[bytes]) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"\n".join(lines) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _seconds(text: str) -> float | None:
    try:
        return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
