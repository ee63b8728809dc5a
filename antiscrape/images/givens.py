"""The files that an operator gives to draw with, told by their content: another logo under an old name is another mark.

A rendition's name and ETag hold this, so that what lies in memory, in the folder and in browsers is not taken for what
would be drawn now. It is read once, at start; a file that changes later counts from the next start on, as it does for
the workers, which read it when they start.
"""

from __future__ import annotations

from hashlib import blake2b, file_digest
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiscrape.core.rules import ImageRules


def givens_of(rules: ImageRules) -> bytes:
    """Return 16 bytes that differ with the mark's font and picture and the decoys' pool; take no file for an empty one.

    What cannot be read is not told here: a worker says so when it starts.
    """
    looks = rules.renditions
    told = blake2b(digest_size=16)
    for path in (looks.mark_font, looks.mark_image):
        told.update(_content(Path(path)) if path else b"")
        told.update(b"/")
    for file in _files(looks.decoys):
        told.update(file.name.encode("utf-8", "surrogateescape") + b"/" + _content(file))
    return told.digest()


def _files(folder: str) -> list[Path]:
    try:
        return sorted(entry for entry in Path(folder).iterdir() if entry.is_file()) if folder else []
    except OSError:
        return []


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would wait for its writer
            return b"?"
        with path.open("rb") as file:
            return file_digest(file, "sha256").digest()
    except (OSError, ValueError):
        return b"?"
